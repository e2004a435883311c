# SPDX-License-Identifier: Apache-2.0
"""Acceptance rows: flags, environment, configuration, logs, authentication. From outside, each by its number."""
import json
import os
import re
import subprocess
import time

import pytest
import yaml

import gfs
from gfs import file_site, free_port, wait_for

TREE = os.path.join(os.path.dirname(__file__), "..", "..")
LINE = re.compile(r"^\d{4}-\d\d-\d\dT\d\d:\d\d:\d\d\.\d{3}Z (\w+)\[(\d+)\] (DEBUG|INFO|WARN|ERROR) (.*)$")


@pytest.fixture
def suite(tmp, suites):
    return suites(tmp, [file_site(f"{tmp}/A", "a")])


def run(*args, **kw):
    return subprocess.run(args, capture_output=True, timeout=20, **kw)


def routerd_refuses(suite, *args):
    """Starts with these arguments in vain; returns the exit code and what it said."""
    os.makedirs(suite.top, exist_ok=True)
    suite.write_conf()
    r = run(gfs.ROUTERD, "-f", "-c", suite.conf_path, *args, env=suite.env)
    return r.returncode, r.stderr.decode()


def lines(suite):
    """[(program, level, text)] of the log."""
    found = [LINE.match(x) for x in suite.log_text().splitlines()]
    return [(m.group(1), m.group(3), m.group(4)) for m in found if m]


def answers(port, path="/readyz"):
    c = gfs.http.client.HTTPConnection("127.0.0.1", port, timeout=5)
    try:
        c.request("GET", path)
        return c.getresponse().status
    except ConnectionRefusedError:
        return None
    finally:
        c.close()


# ---- G1: flags and environment ----

def test_G1_config_flag_names_the_file(suite):
    os.makedirs(suite.top)
    r = run(gfs.ROUTERD, "-f", "--config", f"{suite.top}/nowhere.yaml")
    assert r.returncode == 1 and b"nowhere.yaml" in r.stderr, r
    suite.write_conf()
    r = run(gfs.ROUTERD, "-n", "--config", suite.conf_path)
    assert r.returncode == 0 and r.stdout == b"Configuration is valid.\n", r


@pytest.mark.parametrize("given, seen", [(["--log-level", "warn"], {"WARN", "ERROR"}), (["--log-level=Debug"], None)])
def test_G1_log_level_flag_wins_over_the_file(suite, given, seen):
    """In every process of the suite."""
    suite.conf["global"]["log_level"] = "DEBUG" if seen else "ERROR"
    suite.args = given
    suite.start()
    suite.put("k", b"v")
    suite.wait_clean()
    assert suite.stop() == 0
    levels = {(program, level) for program, level, _ in lines(suite)}
    if seen:
        assert {level for _, level in levels} <= seen, levels
    else:
        assert {p for p, level in levels if level == "DEBUG"} == set(gfs.CHILDREN), levels


def test_G1_bind_addr_flag_wins_over_the_file_and_the_file_over_the_default(suite):
    suite.start()
    wait_for("each worker", lambda: answers(suite.port) == 200)  # the file's
    suite.stop()
    in_file, suite.port = suite.port, free_port()
    suite.args = ["--bind-addr", f"127.0.0.1:{suite.port}"]
    suite.conf["coordinator"]["listen_addr"] = f"127.0.0.1:{in_file}"
    suite.start()
    wait_for("each worker", lambda: answers(suite.port) == 200)
    assert answers(in_file) is None
    suite.stop()
    code, said = routerd_refuses(suite, "--bind-addr", "no-port")
    assert code in (1, 2) and "no-port" in said, said


def test_G1_without_flag_and_file_port_8090_is_bound(suite):
    """In a network of its own, where the port is surely free."""
    if run("unshare", "-n", "true").returncode:
        pytest.skip("needs the right to make a network namespace")
    del suite.conf["coordinator"]["listen_addr"]
    suite.wrap = ["unshare", "-n", "sh", "-c", 'ip link set lo up && exec "$@"', "sh"]
    suite.start(wait=False)
    ask = ["nsenter", "-n", "-t", str(suite.proc.pid), "curl", "-s", "http://127.0.0.1:8090/readyz"]
    wait_for("port 8090", lambda: run(*ask).stdout == b"OK\n")


def with_key(suite, key):
    return suite.req("GET", "/api/v1/info", headers={"X-GlobalFS-API-Key": key} if key else {}).status


def test_G1_api_key_flag_wins_over_the_environment_and_that_over_the_file(suite):
    suite.conf["coordinator"]["api_key"] = "from-file"
    suite.env["GLOBALFS_API_KEY"] = "from-env"
    suite.args = ["--api-key", "from-flag"]
    for key in ("from-flag", "from-env", "from-file"):
        suite.start(wait=False)
        wait_for("/readyz", lambda: suite.req("GET", "/readyz").status == 200)
        assert with_key(suite, key) == 200
        for other in {"from-flag", "from-env", "from-file", ""} - {key}:
            assert with_key(suite, other) == 401, (key, other)
        assert suite.stop() == 0
        if key == "from-flag":
            suite.args = []
        else:
            suite.env.pop("GLOBALFS_API_KEY", None)
    suite.conf["coordinator"]["api_key"] = ""
    suite.start()
    assert with_key(suite, "") == 200  # no key, no authentication


def test_G1_health_poll_interval_flag_wins_over_the_file(suite):
    suite.conf["resilience"]["health_poll_interval"] = "1h"
    suite.args = ["--health-poll-interval", "150ms"]
    suite.start()
    os.rename(suite.conf["sites"][0]["file"]["path"], f"{suite.top}/gone")
    suite.wait_site("a", "down", 5)
    os.rename(f"{suite.top}/gone", suite.conf["sites"][0]["file"]["path"])
    suite.wait_site("a", "up", 5)
    for bad in ("soon", "0", "-3s", "5"):
        code, said = routerd_refuses(suite, "--health-poll-interval", bad)
        assert code == 2 and bad in said and "duration" in said, (bad, said)


def test_G1_version_and_wrong_usage():
    programs = [gfs.ROUTERD] + [gfs.ROUTERD.replace("routerd", d) for d in ("healthd", "repld", "cached")]
    for program in programs:
        r = run(program, "-V")
        assert r.returncode == 0 and re.fullmatch(rb"\w+ \d+\.\d+.*\n", r.stdout), r
        assert run(program, "--no-such-flag").returncode == 2
    r = run(gfs.ROUTERD, "--version")
    assert r.returncode == 0 and r.stdout.startswith(b"routerd "), r
    version = run(gfs.GFSCTL, "version").stdout.split()[1]
    assert r.stdout.split()[1] == version
    assert run(gfs.ROUTERD, "--log-level", "LOUD").returncode == 2
    assert run(gfs.ROUTERD, "surplus").returncode == 2


# ---- G2 to G5, W1, W2: the configuration ----

def test_G2_config_file_load(tmp, suites):
    """A file in YAML with every documented key of the older system; what it says is what happens, and again after an edit."""
    suite = suites(tmp, [])
    text = """
global: {{cluster_name: "the-lab", log_level: INFO, log_file: "{top}/gfs.log", metrics_enabled: true, metrics_port: {metrics},
  run_dir: "{top}/run", state_dir: "{top}/state"}}
coordinator:
  listen_addr: "127.0.0.1:{port}"
  etcd_endpoints: ["localhost:2379"]
  lease_timeout: 60s
sites:
  - name: first
    role: primary
    uri: file://{top}/A
  - {{name: second, role: backup, file: {{path: "{top}/B"}}, cargoship: {{endpoint: "", enabled: false}}}}
policy:
  rules:
    - {{name: only-first, key_pattern: "private/", operations: [write], target_roles: [primary], priority: 1}}
policies: [{{name: old, path_pattern: "/x/**", primary: first, replicate_to: [second], priority: 1}}]
performance: {{max_concurrent_transfers: 4}}
resilience:
  health_poll_interval: 1s
  circuit_breaker: {{enabled: true, threshold: 5, cooldown: 30s}}
  retry: {{enabled: true, max_attempts: 3, initial_delay: 100ms, max_delay: 2s, multiplier: 2.0}}
cache: {{enabled: true, max_bytes: 67108864, ttl: 0s}}
"""
    for d in ("A", "B"):
        os.makedirs(f"{suite.top}/{d}")
    for _ in range(2):
        suite.port, metrics = free_port(), free_port()
        filled = text.format(top=suite.top, port=suite.port, metrics=metrics)
        suite.write_conf = lambda: open(suite.conf_path, "w").write(filled) and None
        suite.start()
        rows = suite.req("GET", "/api/v1/sites").json()
        assert [(r["name"], r["role"]) for r in rows] == [("first", "primary"), ("second", "backup")]
        assert answers(metrics, "/metrics") == 200
        assert suite.put("private/k", b"1").status == 201 and suite.put("k", b"2").status == 201
        suite.wait_clean()
        assert not os.path.exists(f"{suite.top}/B/private/k") and os.path.exists(f"{suite.top}/B/k")
        assert suite.stop() == 0
        log = open(f"{suite.top}/gfs.log").read()
        assert "event=request" in log and "event=request" not in suite.log_text()
        # What has no effect is told to those who read logs, too.
        assert "WARN event=config" in log and "coordinator.etcd_endpoints" in log


# What the older system documents, with ours where the architecture decides otherwise.
DEFAULTS = {
    "global": {"cluster_name": "globalfs-cluster", "log_level": "INFO", "log_file": "", "metrics_enabled": True, "metrics_port": 0},
    "coordinator": {"listen_addr": ":8090", "etcd_endpoints": [], "lease_timeout": "1m", "health_check_interval": "30s"},
    "sites": [],
    "policy": {"rules": []},
    "performance": {"max_concurrent_transfers": 8, "transfer_chunk_size": "64MiB"},
    "resilience": {"health_poll_interval": "30s", "circuit_breaker": {"enabled": False, "threshold": 5, "cooldown": "30s"},
                   "retry": {"enabled": False, "max_attempts": 3, "initial_delay": "100ms", "max_delay": "2s", "multiplier": 2.0}},
    "cache": {"enabled": False, "max_bytes": "64MiB", "ttl": "0s"},
}


def includes(have, want, path=""):
    for k, v in want.items():
        assert k in have, f"{path}{k} is not shown"
        if isinstance(v, dict):
            includes(have[k], v, f"{path}{k}.")
        else:
            assert have[k] == v, (path + k, have[k], v)


def test_G3_config_defaults(tmp):
    """An empty file: every documented default, and every setting there is, is printed and marked as a default."""
    path = f"{tmp}/empty.yaml"
    open(path, "w").close()
    r = run(gfs.GFSCTL, "config", "show", path)
    assert r.returncode == 0, r
    shown = yaml.safe_load(r.stdout)
    includes(shown, DEFAULTS)
    with open(f"{TREE}/common/conf/schema.def") as f:
        paths = re.findall(r'^CONF\("([^"]+)", (\w+)', f.read(), re.M)
    for setting, kind in paths:
        at = shown
        for part in setting.split("."):
            assert kind == "LIST" and part == "policies" or part in at, setting
            at = at.get(part)
    plain = [x for x in r.stdout.decode().splitlines() if not x.endswith(":") and not re.match(r"\s*(sites|rules): \[\]", x)]
    assert plain and all(x.endswith("  # default") for x in plain), plain
    as_json = json.loads(run(gfs.GFSCTL, "--json", "config", "show", path).stdout)
    assert isinstance(as_json, dict) and set(as_json) >= {"global", "coordinator", "sites", "resilience", "cache"}, as_json


GOOD = {
    "sites": [{"name": "a", "role": "primary", "uri": "s3://bucket-a?region=eu-west-1"},
              {"name": "b", "role": "backup", "objectfs": {"s3_bucket": "bucket-b", "s3_region": "eu-west-1"}}],
}
RETRY = {"enabled": True}
# (what is wrong, as changes to GOOD; the field that the message must name)
BAD = [
    ({"global": {"cluster_name": ""}}, "global.cluster_name"),
    ({"global": {"log_level": "LOUD"}}, "global.log_level"),
    ({"coordinator": {"listen_addr": ""}}, "coordinator.listen_addr"),
    ({"coordinator": {"listen_addr": "8090"}}, "coordinator.listen_addr"),
    ({"coordinator": {"lease_timeout": "long"}}, "coordinator.lease_timeout"),
    ({"sites": [{"role": "primary", "uri": "s3://bucket-a"}]}, "sites[0].name"),
    ({"sites": GOOD["sites"] + [{"name": "a", "role": "backup", "uri": "s3://bucket-c"}]}, "sites[2].name"),
    ({"sites": [{"name": "a", "role": "primary", "objectfs": {"s3_region": "eu-west-1"}}]}, "objectfs.s3_bucket"),
    ({"sites": [{"name": "a", "role": "primary", "objectfs": {"s3_bucket": ""}}]}, "objectfs.s3_bucket"),
    ({"sites": [{"name": "a", "role": "primary", "objectfs": {"s3_bucket": "bucket-a", "s3_region": "not a region"}}]},
     "sites[0].objectfs.s3_region"),
    ({"sites": [{"name": "a", "role": "boss", "uri": "s3://bucket-a"}]}, "sites[0].role"),
    ({"sites": [{"name": "a", "uri": "s3://bucket-a"}]}, "role"),
    ({"sites": [{"name": "a", "role": "primary", "uri": "s3://bucket-a", "cargoship": {"enabled": True}}]},
     "sites[0].cargoship.endpoint"),
    ({"sites": [{"name": "a", "role": "backup", "uri": "s3://bucket-a"}]}, "primary"),
    ({"policies": [{"path_pattern": "/x"}]}, "name is missing"),
    ({"policies": [{"name": "p"}]}, "path_pattern"),
    ({"policies": [{"name": "p", "path_pattern": "/x", "primary": "zz"}]}, "primary: there is no site 'zz'"),
    ({"policies": [{"name": "p", "path_pattern": "/x", "replicate_to": ["zz"]}]}, "replicate_to: there is no site 'zz'"),
    ({"policy": {"rules": [{"name": "r", "operations": ["fly"]}]}}, "policy.rules[0].operations"),
    ({"policy": {"rules": [{"name": "r", "target_roles": ["boss"]}]}}, "policy.rules[0].target_roles"),
    ({"performance": {"max_concurrent_transfers": 0}}, "performance.max_concurrent_transfers"),
    ({"resilience": {"health_poll_interval": "1ms"}}, "resilience.health_poll_interval"),
    ({"resilience": {"circuit_breaker": {"enabled": True, "threshold": -1}}}, "resilience.circuit_breaker.threshold"),
    ({"resilience": {"circuit_breaker": {"enabled": True, "cooldown": "-1s"}}}, "resilience.circuit_breaker.cooldown"),
    ({"resilience": {"retry": dict(RETRY, max_attempts=0)}}, "resilience.retry.max_attempts"),
    ({"resilience": {"retry": dict(RETRY, multiplier=0.5)}}, "resilience.retry.multiplier"),
    ({"resilience": {"retry": dict(RETRY, initial_delay="3s", max_delay="2s")}}, "resilience.retry.initial_delay"),
    ({"cache": {"enabled": True, "max_bytes": 0}}, "cache.max_bytes"),
    ({"coordinator": {"listenaddr": ":1"}}, "did you mean 'listen_addr'"),
]


@pytest.mark.parametrize("change, field", BAD, ids=[f for _, f in BAD])
def test_G4_config_validation(tmp, change, field):
    good, bad = f"{tmp}/good.yaml", f"{tmp}/bad.yaml"
    for path, conf in ((good, GOOD), (bad, {**GOOD, **change})):
        with open(path, "w") as f:
            yaml.safe_dump(conf, f)
    r = run(gfs.GFSCTL, "config", "validate", good)
    assert r.returncode == 0 and r.stdout == b"Configuration is valid.\n", r
    r = run(gfs.GFSCTL, "config", "validate", bad)
    assert r.returncode == 1 and field in r.stderr.decode() and b"bad.yaml" in r.stderr and r.stdout == b"", r
    r = run(gfs.ROUTERD, "-f", "-c", bad)
    assert r.returncode == 1 and field in r.stderr.decode(), r


def test_G4_a_configuration_without_sites_is_refused_by_the_cli(tmp):
    with open(f"{tmp}/none.yaml", "w") as f:
        f.write("sites: []\n")
    r = run(gfs.GFSCTL, "config", "validate", f"{tmp}/none.yaml")
    assert r.returncode == 1 and b"sites: at least one site" in r.stderr, r


def test_G5_config_template(tmp):
    r = run(gfs.GFSCTL, "config", "init")
    assert r.returncode == 0, r
    template = yaml.safe_load(r.stdout)
    assert {"global", "coordinator", "sites", "policy", "performance", "resilience", "cache"} <= set(template)
    assert [s["role"] for s in template["sites"]] == ["primary"]
    path = f"{tmp}/globalfs.yaml"
    w = run(gfs.GFSCTL, "config", "init", "-o", path)
    assert w.returncode == 0 and open(path, "rb").read() == r.stdout and path.encode() in w.stdout, w
    v = run(gfs.GFSCTL, "config", "validate", path)
    assert v.returncode == 0 and v.stdout == b"Configuration is valid.\n" and b"warning" not in v.stderr, v


def test_W1_documented_keys_are_honoured_or_refused_loudly(tmp, suites, fake):
    """listen_addr: G1, G2. Here: the number of transfers is obeyed exactly; what has no effect says so; a wrong spelling fails."""
    burst = fake()
    suite = suites(tmp, [file_site(f"{tmp}/A", "a"), gfs.s3_site(burst, "data", "burst", "burst")],
                   performance={"max_concurrent_transfers": 2})
    suite.conf["coordinator"]["etcd_endpoints"] = ["127.0.0.1:2379"]
    suite.conf["policies"] = [{"name": "p", "path_pattern": "/x/**", "primary": "a", "replicate_to": ["burst"]}]
    suite.start()
    log = suite.log_text()
    assert re.search(r"warning: \S+: coordinator.etcd_endpoints: .*no effect", log), log
    assert re.search(r"warning: \S+: policies: .*no effect.*policy.rules", log), log
    gates = [burst.gate("head", "PUT", r"k\d") for _ in range(6)]
    for i in range(6):
        assert suite.put(f"k{i}", b"x").status == 201
    for n in (2, 4, 6):
        wait_for(f"{n} copies under way", lambda: sum(g.reached for g in gates) == n)
        assert suite.daemon("repl")["active"] == 2
        for g in gates[:n]:
            g.release()
    suite.wait_clean()
    code, said = routerd_refuses(suite)
    assert code == 1 and "running" in said  # the file itself is good
    suite.conf["coordinator"]["leasetimeout"] = "60s"
    code, said = routerd_refuses(suite, "-n")
    assert code == 1 and "coordinator.leasetimeout" in said and "lease_timeout" in said


def test_W2_shipped_configuration_validates(tmp):
    with open(f"{TREE}/README.md") as f:
        examples = re.findall(r"```yaml\n(.*?)```", f.read(), re.S)
    assert examples
    for i, text in enumerate(examples):
        with open(f"{tmp}/{i}.yaml", "w") as f:
            f.write(text)
    for path in [f"{TREE}/etc/globalfs.yaml"] + [f"{tmp}/{i}.yaml" for i in range(len(examples))]:
        for command in ([gfs.GFSCTL, "config", "validate", path], [gfs.ROUTERD, "-n", "-c", path]):
            r = run(*command)
            assert r.returncode == 0 and r.stdout == b"Configuration is valid.\n", r


# ---- G6 to G8: logs and request ids ----

def test_G6_log_level(suite):
    def traffic():
        suite.put("k", b"v")
        suite.get("k")
        suite.get("none")
        suite.wait_clean()
        assert suite.stop() == 0
        text = suite.log_text()
        os.unlink(suite.log_path)
        return text
    texts = {}
    for level in ("ERROR", "WARN", "INFO", "DEBUG"):
        suite.conf["global"]["log_level"] = level
        texts[level] = traffic() if suite.start() else ""
    assert all("event=request" not in texts[quiet] for quiet in ("ERROR", "WARN"))
    assert " DEBUG " not in texts["INFO"] and " DEBUG " in texts["DEBUG"]
    assert texts["INFO"].count("event=request ") >= 4
    assert len(texts["WARN"]) < len(texts["INFO"]) < len(texts["DEBUG"])


def test_G7_structured_access_log(suite):
    suite.env["GLOBALFS_API_KEY"] = "sesame"
    suite.start(wait=False)
    wait_for("/readyz", lambda: suite.req("GET", "/readyz").status == 200)
    key = {"X-GlobalFS-API-Key": "sesame"}
    asked = [("PUT", "/api/v1/objects/dir/k%20%22x", b"12345", 201), ("GET", "/api/v1/objects/dir/k%20%22x", None, 200),
             ("HEAD", "/api/v1/objects/none", None, 404), ("GET", "/api/v1/objects?limit=x", None, 400),
             ("DELETE", "/api/v1/objects/dir/k%20%22x", None, 204), ("GET", "/nope", None, 404), ("GET", "/healthz", None, 200)]
    c = suite.connect()
    want = {}
    for i, (method, path, body, status) in enumerate(asked):
        rid = f"g7-request-{i}"
        c.request(method, path, body=body, headers={**key, "X-Request-ID": rid})
        r = c.getresponse()
        r.read()
        assert r.status == status, (method, path, r.status)
        want[rid] = (method, path.split("?")[0], status)
    c.request("GET", "/api/v1/info", headers={"X-Request-ID": "g7-request-401"})
    assert c.getresponse().status == 401
    want["g7-request-401"] = ("GET", "/api/v1/info", 401)
    peer = "127.0.0.1:%d" % c.sock.getsockname()[1] if c.sock else None
    form = re.compile(r'event=request method=(\w+) path=("(?:[^"\\]|\\.)*"|\S+) status=(\d+) .*duration_ms=(\d+\.\d{3}) '
                      r'request_id=(\S+) peer=(\S+)')
    wait_for("all lines", lambda: all(suite.log_text().count(f"request_id={rid} ") >= 1 for rid in want))
    seen = [m.groups() for m in map(form.search, suite.log_text().splitlines()) if m]
    for rid, (method, path, status) in want.items():
        rows = [s for s in seen if s[4] == rid]
        assert len(rows) == 1, (rid, rows)
        got = rows[0]
        path_seen = got[1][1:-1].replace('\\"', '"') if got[1][0] == '"' else got[1]
        assert (got[0], path_seen, int(got[2])) == (method, path, status), got
        assert float(got[3]) < 60000 and (not peer or got[5] in (peer, peer.split(":")[0])), got


def test_G7_an_abandoned_transfer_is_a_line_too(suite):
    suite.start()
    put = suite.raw(b"PUT /api/v1/objects/half HTTP/1.1\r\nHost: x\r\nX-Request-ID: g7-gone\r\nContent-Length: 1000\r\n\r\nabc")
    wait_for("the write to be open", lambda: suite.daemon("repl")["open_writes"] == 1)
    put.close()
    line = wait_for("its line", lambda: next((x for x in suite.log_text().splitlines() if "request_id=g7-gone" in x
                                              and "event=request " in x), None))
    assert "status=499" in line and "aborted=true" in line, line


def test_G8_request_id(suite):
    suite.start()
    paths = ["/healthz", "/nope", "/api/v1/objects/none", "/api/v1/objects?limit=x", "/metrics", "/api/v1/info"]
    fresh = [suite.req("GET", paths[i % len(paths)]).headers["X-Request-ID"] for i in range(120)]
    assert all(re.fullmatch(r"[0-9a-f]{16}", x) for x in fresh) and len(set(fresh)) == len(fresh), fresh[:4]
    for path in paths:
        for given in ("abc", "A-1.2_3", "f" * 16):
            assert suite.req("GET", path, headers={"X-Request-ID": given}).headers["X-Request-ID"] == given, path
    # One that would forge a log line, or fill it, is not taken.
    for bad in ("two words", 'a" status=200', "x" * 5000):
        got = suite.req("GET", "/healthz", headers={"X-Request-ID": bad}).headers["X-Request-ID"]
        assert re.fullmatch(r"[0-9a-f]{16}", got), (bad[:20], got)


# ---- G9, W24: authentication ----

CLOSED = [("GET", "/api/v1/info"), ("GET", "/api/v1/sites"), ("POST", "/api/v1/sites"), ("DELETE", "/api/v1/sites/a"),
          ("POST", "/api/v1/replicate"), ("GET", "/api/v1/objects"), ("GET", "/api/v1/objects/k"), ("HEAD", "/api/v1/objects/k"),
          ("PUT", "/api/v1/objects/k"), ("DELETE", "/api/v1/objects/k"), ("GET", "/metrics"), ("GET", "/nope"),
          ("POST", "/api/v1/sites/a/drain"), ("GET", "/api/v1/where/k")]


def test_G9_api_key_auth(suite):
    suite.env["GLOBALFS_API_KEY"] = "sesame"
    suite.start(wait=False)
    wait_for("/readyz", lambda: suite.req("GET", "/readyz").status == 200)
    good = {"X-GlobalFS-API-Key": "sesame"}
    assert suite.req("PUT", "/api/v1/objects/k", b"v", good).status == 201
    for method, path in CLOSED:
        for key in (None, "", "sesam", "sesame2", "SESAME"):
            body, headers = b"" if method in ("PUT", "POST") else None, {} if key is None else {"X-GlobalFS-API-Key": key}
            r = suite.req(method, path, body, headers)
            assert r.status == 401, (method, path, key, r)
            assert method == "HEAD" or (r.json() == {"error": "unauthorized"} and "json" in r.headers["Content-Type"]), r
    for path in ("/healthz", "/readyz"):
        assert suite.req("GET", path).status == 200
    for path in ("/api/v1/info", "/api/v1/sites", "/api/v1/objects", "/metrics", "/api/v1/objects/k"):
        assert suite.req("GET", path, headers=good).status == 200, path
    assert suite.req("GET", "/metrics", headers={"Authorization": "bearer sesame"}).status == 200
    for wrong in ("Bearer sesam", "Basic sesame", "Bearer", "sesame"):
        assert suite.req("GET", "/metrics", headers={"Authorization": wrong}).status == 401, wrong
    assert suite.req("GET", "/api/v1/objects/k", headers=good).body == b"v"  # what came without the key changed nothing


def test_W24_the_key_guards_site_add_and_metrics_and_is_not_shown(tmp, suites):
    suite = suites(tmp, [file_site(f"{tmp}/A", "a")])
    door = free_port()
    suite.conf["global"]["metrics_port"] = door
    suite.args = ["--api-key", "sesame-in-the-flag"]
    suite.start(wait=False)
    wait_for("/readyz", lambda: suite.req("GET", "/readyz").status == 200)
    probe = gfs.socket.socket()  # what an unauthorised site add must never reach
    probe.bind(("127.0.0.1", 0))
    probe.listen(1)
    probe.settimeout(0.3)
    body = json.dumps({"name": "x", "s3_bucket": "bucket", "s3_endpoint": f"http://127.0.0.1:{probe.getsockname()[1]}"})
    assert suite.req("POST", "/api/v1/sites", body).status == 401
    with pytest.raises(TimeoutError):
        probe.accept()
    assert answers(suite.port, "/metrics") == 401 and answers(door, "/metrics") == 401
    for pid in [suite.proc.pid] + [p for v in suite.pids().values() for p in v]:
        with open(f"/proc/{pid}/cmdline", "rb") as f:
            assert b"sesame" not in f.read(), pid
    suite.env["GLOBALFS_API_KEY"] = "sesame-in-the-flag"
    shown = [suite.ctl("--run-dir", suite.run_dir, "--json", d, "show").stdout for d in ("router", "health", "repl", "cache")]
    shown.append(suite.ctl("config", "show", suite.conf_path).stdout)
    assert not any(b"sesame" in s for s in shown) and "sesame" not in suite.log_text()


def test_W24_keys_in_the_file_are_not_printed(suite):
    suite.conf["coordinator"]["api_key"] = "sesame"
    secret = {"access_key": "AK", "secret_key": "open-it"}
    suite.conf["sites"].append({"name": "s", "role": "backup", "uri": "s3://bucket", "credentials": secret})
    os.makedirs(suite.top)
    suite.write_conf()
    for flags in ([], ["--json"]):
        r = run(gfs.GFSCTL, *flags, "config", "show", suite.conf_path)
        assert r.returncode == 0 and b"sesame" not in r.stdout and b"open-it" not in r.stdout, r.stdout


# ---- W16 ----

def test_W16_a_door_that_cannot_be_bound_ends_the_start(tmp, suites):
    with gfs.socket.socket() as taken:
        taken.bind(("127.0.0.1", 0))
        taken.listen(1)
        port = taken.getsockname()[1]
        suite = suites(tmp, [file_site(f"{tmp}/A", "a")])
        for where, value in (("coordinator.listen_addr", f"127.0.0.1:{port}"), ("global.metrics_port", port),
                             ("coordinator.listen_addr", "192.0.2.1:80"), ("coordinator.listen_addr", "no-such-host.invalid:80")):
            section, name = where.split(".")
            before = dict(suite.conf[section])
            suite.conf[section][name] = value
            began = time.monotonic()
            code, said = routerd_refuses(suite)
            told = [x for x in said.splitlines() if not LINE.match(x)]
            assert code == 1 and len(told) == 1 and told[0].startswith("routerd: ") and str(value).split(":")[0] in told[0], said
            assert time.monotonic() - began < 10
            suite.conf[section] = before
        suite.conf["coordinator"]["listen_addr"] = f"127.0.0.1:{port}"
        # Into the background: whoever starts it is told as well.
        suite.write_conf()
        r = run(gfs.ROUTERD, "-c", suite.conf_path)
        assert r.returncode == 1 and str(port).encode() in r.stderr, r
