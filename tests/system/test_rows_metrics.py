# SPDX-License-Identifier: Apache-2.0
"""Acceptance rows: what is counted, and that it is true. /metrics, /api/v1/info, gfsctl info; what repld says of its queue."""
import concurrent.futures
import json
import os
import re
import shutil
import subprocess
import time

import pytest

import gfs
from gfs import file_site, s3_site, wait_for
from places import kind  # noqa: F401 (a fixture)

TREE = os.path.join(os.path.dirname(__file__), "..", "..")
FAMILIES = {  # the nine of the contract
    "globalfs_object_operations_total": "counter",
    "globalfs_object_operation_duration_seconds": "histogram",
    "globalfs_sites_current": "gauge",
    "globalfs_replication_jobs_total": "counter",
    "globalfs_replication_queue_depth": "gauge",
    "globalfs_cache_hits_total": "counter",
    "globalfs_cache_misses_total": "counter",
    "globalfs_cache_evictions_total": "counter",
    "globalfs_cache_bytes": "gauge",
}
SAMPLE = re.compile(r'^([a-z_]+)(?:\{((?:[a-z_]+="(?:[^"\\\n]|\\["\\n])*",?)*)\})? (\d+(?:\.\d+)?)$')
LABEL = re.compile(r'([a-z_]+)="((?:[^"\\]|\\.)*)"')


class Page:
    """/metrics, taken apart: every line must be one of the format's."""

    def __init__(self, suite):
        r = suite.req("GET", "/metrics")
        assert r.status == 200 and r.headers["Content-Type"].startswith("text/plain; version=0.0.4"), r
        self.text = r.body.decode()
        assert self.text.endswith("\n")
        self.types, self.helps, self.samples = {}, {}, {}
        for line in self.text.splitlines():
            if line.startswith("# "):
                _, what, name, rest = line.split(" ", 3)
                into = {"HELP": self.helps, "TYPE": self.types}[what]
                assert name not in into and rest, f"twice, or empty: {line}"
                into[name] = rest
                continue
            m = SAMPLE.match(line)
            assert m, f"not a sample: {line}"
            key = (m.group(1), frozenset(LABEL.findall(m.group(2) or "")))
            assert key not in self.samples, f"twice: {line}"
            self.samples[key] = float(m.group(3))

    def get(self, name, **labels):
        return self.samples[(name, frozenset(labels.items()))]

    def sum(self, name, **labels):
        want = set(labels.items())
        return sum(v for (n, have), v in self.samples.items() if n == name and want <= have)

    def labels(self, name, label):
        return {v for (n, have) in self.samples if n == name for k, v in have if k == label}


def promtool(*args, **kw):
    if not shutil.which("promtool"):
        pytest.skip("promtool is not installed (Debian package prometheus)")
    return subprocess.run(["promtool", *args], capture_output=True, timeout=60, **kw)


def traffic(suite):
    """3 PUTs, 2 GETs, a GET of nothing, a HEAD, a list, a DELETE."""
    for i in range(3):
        assert suite.put(f"m/{i}", b"x" * 1000).status == 201
    for i in range(2):
        assert suite.get(f"m/{i}").body == b"x" * 1000
    assert suite.get("m/none").status == 404
    assert suite.head("m/1").status == 200
    assert suite.list("m/").status == 200
    assert suite.delete("m/2").status == 204
    suite.wait_clean()


# ---- G12 ----

def test_G12_metrics_page(kind, tmp, suites):
    a, b = kind("a"), kind("b", "backup")
    suite = suites(tmp, [a.conf, b.conf]).start()
    fresh = Page(suite)
    for name, type_ in FAMILIES.items():
        assert fresh.types.get(name) == type_ and fresh.helps[name], name
        sample = name + "_count" if type_ == "histogram" else name
        assert any(n == sample for n, _ in fresh.samples), f"no sample of {name}"
    for op in ("get", "put", "delete", "head", "list"):
        for status in ("ok", "error"):
            assert fresh.get("globalfs_object_operations_total", operation=op, status=status) == 0
    traffic(suite)
    # What is counted at the end of a request, and by repld after it, may come a moment later.
    page = wait_for("the last request and all copies to be counted", lambda: (p := Page(suite)).get(
        "globalfs_object_operations_total", operation="delete", status="ok") == 1 and p.get("globalfs_replication_queue_depth") == 0 and
        p.get("globalfs_replication_jobs_total", status="completed") >= 3 and p)
    for op, ok, error in (("put", 3, 0), ("get", 2, 1), ("head", 1, 0), ("list", 1, 0), ("delete", 1, 0)):
        assert page.get("globalfs_object_operations_total", operation=op, status="ok") == ok, op
        assert page.get("globalfs_object_operations_total", operation=op, status="error") == error, op
        name = "globalfs_object_operation_duration_seconds"
        assert page.get(name + "_count", operation=op) == ok + error
        assert page.get(name + "_bucket", operation=op, le="+Inf") == ok + error
        assert 0 < page.get(name + "_sum", operation=op) < 60
        buckets = [page.get(name + "_bucket", operation=op, le=le)
                   for le in ("0.005", "0.01", "0.025", "0.05", "0.1", "0.25", "0.5", "1", "2.5", "5", "10", "+Inf")]
        assert buckets == sorted(buckets), op
    assert page.get("globalfs_sites_current") == 2
    assert page.get("globalfs_replication_jobs_total", status="completed") <= 4  # or 3: the third may be deleted before it was copied
    for name in ("hits_total", "misses_total", "evictions_total", "bytes"):
        assert page.get("globalfs_cache_" + name) == 0, "it is off"


def test_G12_what_each_site_did(kind, tmp, suites):
    a, b = kind("a"), kind("b", "backup")
    suite = suites(tmp, [a.conf, b.conf]).start()
    traffic(suite)
    for site in ("a", "b"):  # the very first check claims the site instead
        wait_for("a probe", lambda: Page(suite).get("globalfs_site_requests_total", site=site, operation="probe", status="ok"))
    page = Page(suite)

    def done(site, op, status="ok"):
        return page.get("globalfs_site_requests_total", site=site, operation=op, status=status)

    assert done("a", "put") == 3 and done("a", "delete") == 1 and done("b", "delete") <= 1 and 2 <= done("b", "put") <= 3
    assert done("a", "get") >= 3  # a 404 is an answer, and repld reads here
    assert done("a", "list") >= 1
    for op in ("get", "head", "list", "put", "delete"):  # a probe may be late on a busy machine
        assert page.sum("globalfs_site_requests_total", status="error", operation=op) == 0
    assert page.get("globalfs_site_written_bytes_total", site="a") == 3000
    assert page.get("globalfs_site_read_bytes_total", site="a") >= 2000
    assert page.get("globalfs_site_first_byte_seconds_count", site="a", operation="get") == done("a", "get")
    for site in ("a", "b"):
        page = wait_for(f"{site} up", lambda: (p := Page(suite)).get("globalfs_site_state", site=site, state="up") and p)
        assert page.get("globalfs_site_up", site=site) == 1 and page.get("globalfs_site_drained", site=site) == 0
        assert page.get("globalfs_site_state", site=site, state="up") == 1 and page.sum("globalfs_site_state", site=site) == 1
        assert page.get("globalfs_site_circuit_state", site=site, state="closed") == 1
        assert page.sum("globalfs_site_circuit_state", site=site) == 1
        assert 0 < page.get("globalfs_site_latency_seconds", site=site) < 10
    # every process counts, and what it counted outlives it
    before = Page(suite)
    for pid in suite.pids()["routerd"] + suite.pids()["repld"]:
        suite.kill9(pid)
    wait_for("the processes again", lambda: suite.get("m/1").status == 200)
    after = Page(suite)
    for key, value in before.samples.items():
        if before.types.get(key[0]) == "counter":
            assert after.samples[key] >= value, key
    # a site that fails, and one that goes
    b.away()
    suite.wait_site("b", "down")
    page = Page(suite)
    assert page.get("globalfs_site_up", site="b") == 0 and page.get("globalfs_site_state", site="b", state="down") == 1
    assert page.get("globalfs_site_requests_total", site="b", operation="probe", status="error") >= 1
    b.back()
    suite.wait_site("b", "up")
    assert suite.req("DELETE", "/api/v1/sites/b").status == 204
    gone = wait_for("one site", lambda: (p := Page(suite)).get("globalfs_sites_current") == 1 and p)
    assert gone.labels("globalfs_site_requests_total", "site") == gone.labels("globalfs_site_up", "site") == {"a"}
    assert 'site="b"' not in gone.text


def test_G12_promtool_finds_nothing(tmp, suites, fake):
    store = fake()
    suite = suites(tmp, [file_site(f"{tmp}/A", "a"), s3_site(store, "data", "b", "backup")]).start()
    for when in ("fresh", "after traffic"):
        r = promtool("check", "metrics", input=suite.req("GET", "/metrics").body)
        assert r.returncode == 0 and not r.stdout + r.stderr, (when, r)
        traffic(suite)
        store.fault("status 503", times=3)
        suite.get("m/none")


def test_G12_the_example_rules_fit(tmp, suites):
    rules = os.path.join(TREE, "etc", "prometheus", "globalfs.rules.yml")
    for args in (("check", "rules", rules), ("check", "config", os.path.join(TREE, "etc", "prometheus", "prometheus.yml"))):
        r = promtool(*args)
        assert r.returncode == 0, r
    page = Page(suites(tmp, [file_site(f"{tmp}/A", "a")]).start())
    with open(rules) as f:
        named = set(re.findall(r"globalfs_[a-z_]+", re.sub(r"(summary|#).*", "", f.read())))
    assert len(named) >= 7 and not named - {n for n, _ in page.samples}, named


# ---- G13 ----

def test_G13_info(kind, tmp, suites):
    a, b, c = kind("a"), kind("b", "backup"), kind("c", "backup")
    suite = suites(tmp, [a.conf, b.conf, c.conf]).start()
    started = time.monotonic()

    def info():
        return suite.req("GET", "/api/v1/info").json()

    first = wait_for("all healthy", lambda: (i := info())["health"].get("healthy") == 3 and i)
    assert first["sites"] == 3 and first["sites_by_role"] == {"primary": 1, "backup": 2} and first["is_leader"] is True
    assert first["replication_queue_depth"] == 0 and first["health"]["unhealthy"] == 0
    assert re.fullmatch(r"\d{4}-\d\d-\d\dT\d\d:\d\d:\d\d(\.\d+)?Z", first["health"]["last_checked_at"])
    assert first["version"] == suite.ctl("--json", "version").stdout.decode().split('"')[3]
    c.away()
    suite.wait_site("c", "down")
    assert all(suite.put(f"i/{i}", b"x").status == 201 for i in range(4))

    def queue(site):
        return Page(suite).get("globalfs_replication_site_queue", site=site)

    # A write is acknowledged before repld has counted what others lack: b may be without rows before the last one comes.
    wait_for("b to be filled, and c to lack all", lambda: queue("c") == 4 and queue("b") == 0)
    now = wait_for("as many in the queue", lambda: (i := info())["replication_queue_depth"] == 4 and i)
    assert now["health"]["healthy"] == 2 and now["health"]["unhealthy"] == 1 and now["sites"] == 3
    for pid in suite.pids()["routerd"]:
        suite.kill9(pid)  # the suite is no younger for it
    later = wait_for("another worker", info)
    assert first["uptime_seconds"] - 0.1 <= now["uptime_seconds"] <= later["uptime_seconds"] + 0.1
    assert time.monotonic() - started - 1 <= later["uptime_seconds"] <= time.monotonic() - suite.started + 0.1
    text = suite.ctl("info").stdout.decode()
    rows = dict(re.findall(r"^\s*(\w+):?\s+(.+?)\s*$", text, re.M))
    assert rows["sites"] == "3" and rows["primary"] == "1" and rows["backup"] == "2" and "burst" not in rows, text
    assert rows["replication_queue"] == "4" and rows["is_leader"] == "true" and rows["version"] == first["version"], text
    shown = json.loads(suite.ctl("--json", "info").stdout)
    assert shown["health"]["unhealthy"] == 1 and shown["replication_queue_depth"] == 4  # W27: the old one lost health
    c.back()
    suite.wait_site("c", "up")
    wait_for("an empty queue", lambda: info()["replication_queue_depth"] == 0)
    assert suite.req("DELETE", "/api/v1/sites/c").status == 204
    wait_for("two sites", lambda: (i := info())["sites"] == 2 and i["sites_by_role"] == {"primary": 1, "backup": 1})


# ---- W18, W6 ----

def test_W18_gauges_are_current(kind, tmp, suites):
    a, b = kind("a"), kind("b", "backup")
    suite = suites(tmp, [a.conf, b.conf]).start()
    assert Page(suite).get("globalfs_sites_current") == 2, "right from the start"
    os.makedirs(f"{tmp}/more")
    added = {"name": "more", "role": "backup", "uri": f"file://{tmp}/more"}
    assert suite.req("POST", "/api/v1/sites", json.dumps(added)).status == 201
    assert Page(suite).get("globalfs_sites_current") == 3
    assert suite.req("DELETE", "/api/v1/sites/more").status == 204
    assert Page(suite).get("globalfs_sites_current") == 2
    b.away()
    suite.wait_site("b", "down")
    for n in range(1, 6):
        assert suite.put(f"q/{n}", b"x").status == 201
        # the answer may overtake repld's account of it, by one message
        wait_for(f"{n} in the queue", lambda: Page(suite).get("globalfs_replication_queue_depth") == n)
    page = Page(suite)
    assert page.get("globalfs_replication_site_queue", site="b") == 5 and page.get("globalfs_replication_site_queue", site="a") == 0
    assert page.get("globalfs_replication_site_lag_seconds", site="a") == 0
    lag = page.get("globalfs_replication_site_lag_seconds", site="b")
    assert 0 < lag < 60
    wait_for("the lag to grow", lambda: Page(suite).get("globalfs_replication_site_lag_seconds", site="b") > lag + 0.2)
    # a repld that is killed knows it all again
    suite.kill9(suite.pids()["repld"][0])
    wait_for("repld again", lambda: Page(suite).get("globalfs_replication_usable") == 1 and suite.daemon("repl"))
    page = Page(suite)
    assert page.get("globalfs_replication_queue_depth") == 5 == page.get("globalfs_replication_site_queue", site="b")
    assert page.get("globalfs_replication_site_lag_seconds", site="b") > lag
    b.back()
    suite.wait_site("b", "up")
    suite.wait_clean()
    page = Page(suite)
    assert page.get("globalfs_replication_queue_depth") == 0 == page.get("globalfs_replication_site_queue", site="b")
    assert page.get("globalfs_replication_site_lag_seconds", site="b") == 0


def test_W6_a_burst_loses_no_replica(kind, tmp, suites):
    a, b = kind("a"), kind("b", "backup")
    suite = suites(tmp, [a.conf, b.conf]).start()
    n = 500
    bodies = [b"%d " % i * 40 for i in range(n)]
    with concurrent.futures.ThreadPoolExecutor(16) as pool:
        answers = list(pool.map(lambda i: suite.put(f"burst/{i}", bodies[i]).status, range(n)))
    assert answers == [201] * n
    suite.wait_clean(60)
    for place in (a, b):
        missing = [i for i in range(n) if place.look(f"burst/{i}") != bodies[i]]
        assert not missing, (place.name, missing)
    page = Page(suite)
    assert page.get("globalfs_replication_jobs_total", status="completed") == n
    assert page.get("globalfs_replication_bytes_total") == sum(map(len, bodies))


# ---- G41, G42 ----

def test_G41_skip_identical_content(tmp, suites, fake):
    store = fake()
    target = s3_site(store, "data", "far", "burst")
    suite = suites(tmp, [file_site(f"{tmp}/A", "a"), target], policy={"rules": [
        {"name": "near", "key_pattern": "near/", "target_sites": ["a"]}]}).start()
    body = os.urandom(50000)

    def replicate(key):
        r = suite.req("POST", "/api/v1/replicate", json.dumps({"key": key, "from": "a", "to": "far"}))
        assert r.status == 202, r
        suite.wait_clean()

    assert suite.put("near/k", body).status == 201
    suite.wait_clean()
    assert store.get("data", "near/k") is None
    replicate("near/k")
    assert store.get("data", "near/k")[0] == body and store.count("PUT", "near/k") == 1
    asked = store.count("HEAD", "near/k")
    replicate("near/k")
    replicate("near/k")
    assert store.count("PUT", "near/k") == 1 and store.count("HEAD", "near/k") >= asked + 2, "asked, found, not sent again"
    # the same bytes that somebody else put there are not sent either
    assert suite.put("near/by-hand", body).status == 201
    with store.lock:
        store.buckets["data"]["near/by-hand"] = dict(store.buckets["data"]["near/k"], headers={"Content-Type": "text/plain"})
    replicate("near/by-hand")
    assert store.count("PUT", "near/by-hand") == 0
    # other bytes are
    assert suite.put("near/k", body + b"more").status == 201
    replicate("near/k")
    assert store.get("data", "near/k")[0] == body + b"more" and store.count("PUT", "near/k") == 2


def test_G42_content_hash_record(kind, tmp, suites):
    a, b = kind("a"), kind("b", "backup")
    suite = suites(tmp, [a.conf, b.conf], performance={"transfer_chunk_size": 5 << 20}).start()
    bodies = {"h/empty": b"", "h/small": b"123456789", "h/parts": os.urandom(12000000)}
    for key, body in bodies.items():
        assert suite.put(key, body).status == 201
        suite.wait_clean()
    copies = json.loads(suite.ctl("--run-dir", suite.run_dir, "--json", "repl", "show", "copies").stdout)["copies"]
    assert [c["key"] for c in copies] == ["h/parts", "h/small", "h/empty"], "the newest first"
    for c in copies:
        head = suite.head(c["key"])
        assert c["site"] == "b" and c["bytes"] == len(bodies[c["key"]]) and c["proof"] == "hash"
        assert f'"{c["etag"]}"' == head.headers["ETag"] and c["etag"] == gfs.multipart_etag(bodies[c["key"]], 5 << 20)
        assert c["generation"] == head.headers["X-GlobalFS-Generation"]
        # an S3 store is told of it only when it is known before the body
        assert head.headers["X-GlobalFS-Checksum"] in [c["checksum"]] + [None] * ("objectfs" in a.conf), head
        assert b.look(c["key"]) == bodies[c["key"]]
    assert copies[1]["checksum"] == "ae8b14860a799888"  # the check value of CRC-64/NVME
    assert suite.daemon("repl")["proofs"] == {"hash": 3, "etag": 0, "size": 0}


# ---- what repld says when it cannot write ----

def test_a_full_disk_under_the_journal_is_said_once(tmp, suites):
    suite = suites(tmp, [file_site(f"{tmp}/A", "a"), file_site(f"{tmp}/B", "b", "backup")])
    state = f"{suite.top}/state"
    os.makedirs(state)
    if subprocess.run(["mount", "-t", "tmpfs", "-o", "size=4m", "tmpfs", state], capture_output=True).returncode:
        pytest.skip("needs the right to mount")
    try:
        suite.start()
        assert suite.put("k", b"v").status == 201
        suite.wait_clean()
        with pytest.raises(OSError), open(f"{state}/fill", "wb", buffering=0) as f:
            while True:
                f.write(b"x" * (1 << 16))
        refused = [suite.put(f"k{i}", b"w") for i in range(50)]
        assert all(r.status == 503 and "journal could not be written: its disk is full" in r.json()["error"] for r in refused), refused[0]
        wait_for("the gauge", lambda: Page(suite).get("globalfs_replication_usable") == 0)
        assert suite.get("k").body == b"v"
        lines = [x for x in suite.log_text().splitlines() if " ERROR " in x]
        assert len(lines) == 1 and "event=journal-failing" in lines[0], lines
        os.unlink(f"{state}/fill")
        wait_for("the gauge", lambda: Page(suite).get("globalfs_replication_usable") == 1)
        assert suite.put("k", b"w").status == 201 and suite.get("k").body == b"w"
        lines = [x for x in suite.log_text().splitlines() if "event=journal-works-again" in x]
        assert len(lines) == 1 and int(re.search(r"failed=(\d+)", lines[0]).group(1)) >= 50, lines
    finally:
        suite.end()
        subprocess.run(["umount", "-l", state])


def test_a_damaged_journal_is_named_to_the_client(tmp, suites):
    suite = suites(tmp, [file_site(f"{tmp}/A", "a")]).start()
    assert suite.put("k", b"v").status == 201 and Page(suite).get("globalfs_replication_usable") == 1
    suite.wait_clean()
    assert suite.stop() == 0
    with open(f"{suite.top}/state/repld.db", "wb") as f:
        f.write(os.urandom(100000))
    suite.start(wait=False)
    wait_for("the refusal in the log", lambda: "event=journal-refused" in suite.log_text())
    for r in (wait_for("an answer", lambda: suite.put("k", b"w")), suite.delete("k")):
        assert r.status == 503 and "repld.db cannot be used" in r.json()["error"] and r.headers["Retry-After"], r
    assert Page(suite).get("globalfs_replication_usable") == 0
