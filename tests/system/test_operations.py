# SPDX-License-Identifier: Apache-2.0
"""What globalfs(7), routerd(8) and the README promise to whoever runs the suite, each shown once."""
import glob
import json
import os
import pwd
import re
import shutil
import signal
import subprocess

import pytest

import gfs
from gfs import file_site, s3_site, wait_for


def run(*args, **kw):
    return subprocess.run(args, capture_output=True, timeout=20, **kw)


def all_pids(suite):
    return [suite.proc.pid] + [p for v in suite.pids().values() for p in v]


def test_rotating_the_log(tmp, suites):
    """SIGHUP to the supervisor: every process writes to the new file, and no more to the old one."""
    suite = suites(tmp, [file_site(f"{tmp}/A", "a")])
    log = f"{suite.top}/gfs.log"
    suite.conf["global"]["log_file"] = log
    suite.start()
    os.rename(log, log + ".1")
    suite.proc.send_signal(signal.SIGHUP)
    ours = set(map(str, all_pids(suite)))

    def reopened():
        suite.put("k", b"v")
        for name in ("router", "health", "repl", "cache"):
            suite.daemon(name)
        for _ in range(4):
            suite.get("k")  # sooner or later by each worker
        with open(log) as f:
            return ours <= set(re.findall(r"^\S+ \w+\[(\d+)\]", f.read(), re.M))
    wait_for("lines of all processes", reopened)
    size = os.path.getsize(log + ".1")
    suite.put("k", b"w")
    suite.wait_clean()
    assert os.path.getsize(log + ".1") == size


def test_run_dir_may_be_lost(tmp, suites):
    """With everything in it, after a crash with work in the journal: a deleted key stays deleted, a lagging copy is not shown."""
    a, b = file_site(f"{tmp}/A", "a"), file_site(f"{tmp}/B", "b", "backup")
    suite = suites(tmp, [a, b]).start()
    assert suite.put("gone", b"x").status == 201 and suite.put("k", b"old").status == 201
    suite.wait_clean()
    os.rename(f"{tmp}/B", f"{tmp}/B.away")
    assert suite.delete("gone").status == 204 and suite.put("k", b"new").status == 201
    for pid in all_pids(suite):
        try:
            suite.kill9(pid)
        except ProcessLookupError:
            pass
    suite.proc.wait()
    shutil.rmtree(suite.run_dir)
    os.rename(f"{tmp}/B.away", f"{tmp}/B")
    suite.start(wait=False)
    wait_for("/readyz", lambda: suite.req("GET", "/readyz").status == 200)
    for _ in range(20):
        assert suite.get("gone").status in (404, 503)
        r = suite.get("k")
        assert r.status == 503 or r.body == b"new" or r.headers["X-GlobalFS-Stale"] == "true", r
    suite.wait_clean()
    assert suite.get("gone").status == 404 and suite.get("k").body == b"new"
    assert gfs.read_site_file(b, "k") == b"new" and gfs.read_site_file(b, "gone") is None


def test_started_by_root_it_becomes_another_user(tmp, suites):
    if os.geteuid():
        pytest.skip("needs root")
    user = pwd.getpwnam("nobody")
    for path in (os.path.dirname(tmp), tmp):
        os.chmod(path, 0o755)
    suite = suites(tmp, [file_site(f"{tmp}/A", "a")])
    os.chown(f"{tmp}/A", user.pw_uid, user.pw_gid)
    suite.conf["global"]["user"] = "nobody"
    suite.start()
    assert suite.put("dir/k", b"v").status == 201 and suite.get("dir/k").body == b"v"
    for pid in all_pids(suite):
        with open(f"/proc/{pid}/status") as f:
            status = dict(x.rstrip("\n").split(":\t", 1) for x in f if ":\t" in x)
        assert set(status["Uid"].split()) == {str(user.pw_uid)} and set(status["Gid"].split()) == {str(user.pw_gid)}, pid
        assert status["NoNewPrivs"] == "1" and int(status["CapEff"], 16) == 0, pid
    assert os.stat(f"{tmp}/A/dir/k").st_uid == user.pw_uid
    # A child that is started again, later, can do all that it could before.
    suite.kill9(suite.pids()["repld"][0])
    wait_for("writes", lambda: suite.put("dir/k", b"w").status == 201)
    assert suite.stop() == 0


def test_monitoring_may_look_and_not_touch(tmp, suites):
    """Anybody may ask the monitors' sockets; the operators' are closed to others, and the monitors' take nothing but questions."""
    if os.geteuid():
        pytest.skip("needs root")
    for path in (os.path.dirname(tmp), tmp):
        os.chmod(path, 0o755)
    suite = suites(tmp, [file_site(f"{tmp}/A", "a")])
    os.makedirs(suite.top, mode=0o755)
    suite.start()
    ctl = shutil.copy2(gfs.GFSCTL, f"{tmp}/gfsctl")
    as_nobody = ["setpriv", "--reuid=65534", "--regid=65534", "--clear-groups", ctl]
    for name in ("router", "health", "repl", "cache"):
        r = run(*as_nobody, "--run-dir", f"{suite.run_dir}/monitor", "--json", name, "show")
        assert r.returncode == 0 and json.loads(r.stdout), r
    for name in gfs.CHILDREN:
        assert os.stat(f"{suite.run_dir}/{name}.sock").st_mode & 0o007 == 0
        assert os.stat(f"{suite.run_dir}/monitor/{name}.sock").st_mode & 0o006 == 0o006


def test_without_repld_reads_say_what_they_do_not_know(tmp, suites):
    suite = suites(tmp, [file_site(f"{tmp}/A", "a"), file_site(f"{tmp}/B", "b", "backup")]).start()
    assert suite.put("clean", b"c").status == 201
    suite.wait_clean()
    os.rename(f"{tmp}/B", f"{tmp}/B.away")
    assert suite.put("dirty", b"d").status == 201
    repld = suite.pids()["repld"][0]
    os.kill(repld, signal.SIGSTOP)
    try:
        r = suite.get("clean", X_GlobalFS_Consistency="current")
        assert r.status == 200 and r.body == b"c" and "X-GlobalFS-Consistency" not in r.headers, r
        r = suite.get("dirty")
        assert r.status == 200 and r.body == b"d" and r.headers["X-GlobalFS-Consistency"] == "unverified", r
        r = suite.get("dirty", X_GlobalFS_Consistency="current")
        assert r.status == 503 and "Retry-After" in r.headers, r
    finally:
        os.kill(repld, signal.SIGCONT)
    r = suite.get("dirty", X_GlobalFS_Consistency="current")
    assert r.status == 200 and r.body == b"d", r


def test_without_healthd_every_site_is_tried_after_three_intervals(tmp, suites):
    poll = {"health_poll_interval": "300ms", "probe_timeout": "300ms"}
    suite = suites(tmp, [file_site(f"{tmp}/A", "a")], resilience=poll).start()
    assert suite.put("k", b"v").status == 201
    os.rename(f"{tmp}/A", f"{tmp}/A.away")
    suite.wait_site("a", "down")
    healthd = suite.pids()["healthd"][0]
    os.kill(healthd, signal.SIGSTOP)
    try:
        os.rename(f"{tmp}/A.away", f"{tmp}/A")
        wait_for("the site to be tried", lambda: suite.get("k").body == b"v" and suite.put("k", b"v").status == 201, 6)
    finally:
        os.kill(healthd, signal.SIGCONT)


def test_uploads_of_unknown_length_have_a_bounded_spool(tmp, suites, fake):
    suite = suites(tmp, [s3_site(fake(), "data", "a")], limits={"spool_bytes": "1MiB"}).start()
    assert suite.req("PUT", suite.url("small"), (b"x" * 65536 for _ in range(8))).status == 201
    r = suite.req("PUT", suite.url("big"), (b"x" * 65536 for _ in range(64)))
    assert r.status == 503 and r.json()["error"], r
    assert suite.put("known", b"x" * (4 << 20)).status == 201  # a known length needs none of it
    assert suite.get("big").status == 404 and suite.req("PUT", suite.url("small"), (b"y" * 65536 for _ in range(8))).status == 201


def test_into_the_background_and_out_of_an_installed_tree(tmp, suites):
    """As the README says: make install, gfsctl config validate, routerd -c. The command returns when clients are served."""
    dest = f"{tmp}/dest"
    r = run("make", "-C", os.path.abspath(gfs.BUILD), "-s", "install", f"DESTDIR={dest}")
    assert r.returncode == 0, r.stderr[-2000:]
    found = {os.path.basename(p): p for p in glob.glob(f"{dest}/**", recursive=True) if os.path.isfile(p)}
    for name, folder in (("gfsctl", "/bin/"), ("routerd", "/sbin/"), ("healthd", "bin/"), ("repld", "bin/"), ("cached", "bin/"),
                         ("globalfs.7", "/man7/"), ("globalfs.yaml.5", "/man5/"), ("gfsctl.8", "/man8/")):
        assert name in found and folder in found[name], (name, sorted(found))
    suite = suites(tmp, [file_site(f"{tmp}/A", "a")])
    suite.conf["global"]["log_file"] = f"{suite.top}/gfs.log"
    os.makedirs(suite.top)
    suite.write_conf()
    assert run(found["gfsctl"], "config", "validate", suite.conf_path).returncode == 0
    pid = 0
    try:
        r = run(found["routerd"], "-c", suite.conf_path)  # nothing of it keeps our pipes
        pid = json.loads(run(found["gfsctl"], "--run-dir", suite.run_dir, "--json", "router", "show").stdout)["pid"]
        assert r.returncode == 0 and r.stdout == b"", r
        suite.req("GET", "/healthz")  # the door is bound: nobody is refused
        wait_for("/readyz", lambda: suite.req("GET", "/readyz").status == 200)
        assert suite.put("k", b"v").status == 201 and suite.get("k").body == b"v"
        assert run(found["routerd"], "-c", suite.conf_path).returncode == 1  # a second one
        assert os.readlink(f"/proc/{pid}/fd/2") == "/dev/null" and os.getsid(pid) != os.getsid(0)
    finally:
        pid = pid or json.loads(suite.ctl("--run-dir", suite.run_dir, "--json", "router", "show").stdout)["pid"]
        os.kill(pid, signal.SIGTERM)
    wait_for("its end", lambda: not os.path.exists(f"/proc/{pid}") or open(f"/proc/{pid}/stat").read().split(") ")[1][0] == "Z")
    assert "event=exit code=0" in open(f"{suite.top}/gfs.log").read()


def test_the_readme_can_be_typed_in(tmp, suites, fake):
    """Every command of its section "Use", as it stands there but for address and store."""
    with open(os.path.join(os.path.dirname(__file__), "..", "..", "README.md")) as f:
        section = re.search(r"^## Use$(.*?)^## ", f.read(), re.S | re.M).group(1)
    commands = re.findall(r"^    \$ (.*)$", section, re.M)
    assert len(commands) >= 10
    tape = fake(buckets=("tape",))
    suite = suites(tmp, [file_site(f"{tmp}/A", "onprem"), file_site(f"{tmp}/B", "cloud", "burst")])
    suite.env.update(AWS_ACCESS_KEY_ID=tape.access, AWS_SECRET_ACCESS_KEY=tape.secret)
    suite.start()
    work = f"{tmp}/work"
    os.makedirs(f"{work}/dir")
    for name in ("run-1.dat", "dir/x"):
        with open(f"{work}/{name}", "wb") as f:
            f.write(os.urandom(100000))
    env = dict(suite.env, GLOBALFS_COORDINATOR=f"http://127.0.0.1:{suite.port}", GLOBALFS_CONFIG=suite.conf_path,
               PATH=f"{os.path.dirname(gfs.GFSCTL)}:{os.environ['PATH']}")
    for command in commands:
        line = command.replace("localhost:8090", f"127.0.0.1:{suite.port}").replace("http://10.0.0.5:9000", tape.endpoint)
        if line.startswith("curl "):
            line = "curl -sSf " + line[5:]
        r = run("bash", "-o", "pipefail", "-c", line, cwd=work, env=env)
        assert r.returncode == 0, (command, r)
    with open(f"{work}/run-1.dat", "rb") as f, open(f"{work}/copy.dat", "rb") as g:
        assert f.read() == g.read()
    wait_for("the copy at the site that was added", lambda: tape.get("tape", "results/run-1.dat"))


def test_requests_that_do_not_end_are_cut_after_shutdown_timeout(tmp, suites):
    suite = suites(tmp, [file_site(f"{tmp}/A", "a")])
    suite.conf["coordinator"]["shutdown_timeout"] = "500ms"
    suite.start()
    put = suite.slow_put("k", 1000)
    put.sendall(b"some")
    wait_for("the write to be open", lambda: suite.daemon("repl")["open_writes"] == 1)
    pids = all_pids(suite)
    assert suite.stop(10) == 1  # something had to be killed, and it says so
    assert "event=service_killed service=worker" in suite.log_text()
    assert not any(os.path.exists(f"/proc/{pid}") and open(f"/proc/{pid}/stat").read().split(") ")[1][0] != "Z" for pid in pids[1:])
    suite.start()
    assert suite.get("k").status == 404 and suite.put("k", b"v").status == 201


def test_each_daemon_runs_alone(tmp, suites):
    """Without a supervisor: repld and healthd finish what the suite had left, from its journal and its registry."""
    a, b = file_site(f"{tmp}/A", "a"), file_site(f"{tmp}/B", "b", "backup")
    suite = suites(tmp, [a, b]).start()
    os.rename(f"{tmp}/B", f"{tmp}/B.away")
    assert suite.put("k", b"v").status == 201
    assert suite.stop() == 0
    os.rename(f"{tmp}/B.away", f"{tmp}/B")
    alone = []
    try:
        for name in ("healthd", "repld", "cached"):
            alone.append(subprocess.Popen([gfs.ROUTERD.replace("routerd", name), "-f", "-c", suite.conf_path], stderr=suite.log,
                                          stdout=suite.log))
        wait_for("the copy", lambda: gfs.read_site_file(b, "k") == b"v")
        wait_for("healthd's view", lambda: [s["state"] for s in suite.daemon("health")["sites"]] == ["up", "up"])
        wait_for("an empty journal", lambda: suite.daemon("repl")["queue_depth"] == 0)
        assert isinstance(suite.daemon("cache"), dict)
        second = run(gfs.ROUTERD.replace("routerd", "repld"), "-f", "-c", suite.conf_path)
        assert second.returncode == 1 and b"another replicator has this state directory" in second.stderr, second
    finally:
        for p in alone:
            p.send_signal(signal.SIGTERM)
        codes = [p.wait(20) for p in alone]
    assert codes == [0, 0, 0]
    suite.start()
    assert suite.get("k").body == b"v"


def test_a_start_that_cannot_work_says_why_in_a_sentence(tmp, suites):
    with open(f"{tmp}/file", "w") as f:
        f.write("x")
    for setting, value in (("user", "no-such-user"), ("state_dir", "/proc/gfs"), ("run_dir", "/proc/gfs"), ("log_file", f"{tmp}/none/log"),
                           ("state_dir", f"{tmp}/file"), ("run_dir", f"{tmp}/file"), ("state_dir", f"{tmp}/file/below")):
        suite = suites(tmp, [file_site(f"{tmp}/A", "a")])
        suite.conf["global"].update({setting: value, "log_level": "WARN"})
        os.makedirs(suite.top)
        suite.write_conf()
        for background in ([], ["-f"]):
            r = run(gfs.ROUTERD, *background, "-c", suite.conf_path)
            text = r.stderr.decode()
            assert r.returncode == 1 and value.replace("/below", "") in text, (setting, r)
            assert text.startswith("routerd: ") and text.count("\n") == 1, (setting, r)


def test_what_the_daemons_show_is_a_table_of_plain_values(tmp, suites):
    """Sections of a row stand in tables of their own, by the row's name; a topic that a daemon does not have is refused."""
    suite = suites(tmp, [file_site(f"{tmp}/A", "a"), file_site(f"{tmp}/B", "bee", "backup")]).start()
    ctl = (gfs.GFSCTL, "--run-dir", suite.run_dir)
    shown = run(*ctl, "health", "show")
    text = shown.stdout.decode()
    assert shown.returncode == 0 and "{" not in text, text
    for section in ("probes", "traffic"):
        header, first, second = re.search(rf"^  {section}:\n(.*)\n(.*)\n(.*)$", text, re.M).groups()
        assert header.split()[:2] == ["NAME", {"probes": "GOOD", "traffic": "GOODS"}[section]]
        assert [first.split()[0], second.split()[0]] == ["a", "bee"] and first.split()[1].isdigit()
    assert json.loads(run(*ctl, "health", "show", "--json").stdout)["sites"][1]["probes"]["good"] >= 1
    for daemon in ("router", "health", "cache", "repl"):
        refused = run(*ctl, daemon, "show", "nonsense")
        assert refused.returncode != 0 and refused.stdout == b"" and refused.stderr, daemon


def test_a_site_that_fails_under_load_does_not_fill_the_log(tmp, suites, fake):
    """Each fault is counted in the metrics; the log has the first ones, and says how many it left out once there are fewer."""
    store = fake()
    suite = suites(tmp, [s3_site(store, "data", "a"), file_site(f"{tmp}/B", "b", "backup")], coordinator={"workers": 1}).start()
    suite.put("k", b"data")
    suite.wait_clean()
    before = suite.metric("globalfs_read_fallbacks_total")
    for _ in range(40):  # never two in a row: nothing makes the site rest
        store.fault("500", method="GET", key="k")
        assert suite.get("k").headers["X-GlobalFS-Site"] == "b"
        assert suite.get("k").headers["X-GlobalFS-Site"] == "a"
    assert suite.metric("globalfs_read_fallbacks_total") == before + 40
    said = re.findall(r"event=read-fault site=a key=k .*", suite.log_text())
    assert 10 <= len(said) <= 20 and len(said) < 40, said  # ten in ten seconds; it may have gone on into the next ten


def test_a_refused_connection_is_told_in_one_plain_sentence(tmp, suites):
    port = gfs.free_port()
    site = {"name": "gone", "role": "backup", "uri": f"s3://data?endpoint=http://127.0.0.1:{port}",
            "credentials": {"access_key": "x", "secret_key": "y"}}
    suite = suites(tmp, [file_site(f"{tmp}/A", "a"), site]).start(wait=False)
    wait_for("ready", lambda: suite.req("GET", "/readyz").status == 200)
    suite.wait_site("gone", "down")
    row = next(r for r in suite.req("GET", "/api/v1/sites").json() if r["name"] == "gone")
    assert row["error"] == f"cannot connect to http://127.0.0.1:{port}: Connection refused"
    where = run(gfs.GFSCTL, "--coordinator-addr", f"http://127.0.0.1:{suite.port}", "object", "where", "k").stdout.decode()
    line = next(x for x in where.splitlines() if x.startswith("gone"))
    assert line.count("Connection refused") == 1, where


def test_what_gfsctl_says_is_said_once_and_plainly(tmp, suites):
    suite = suites(tmp, []).start(wait=False)
    wait_for("an answer", lambda: b"there are no sites" in suite.req("GET", "/readyz").body)

    def ctl(*args, port=suite.port):
        done = run(gfs.GFSCTL, "--coordinator-addr", f"http://127.0.0.1:{port}", *args)
        return done.returncode, re.sub(r", request \w+", "", (done.stdout + done.stderr).decode())
    assert ctl("object", "get", "k") == (1, "gfsctl: object k: there are no sites (status 503)\n")
    assert ctl("site", "add", "--name", "a", "--uri", f"file://{tmp}/none") == (
        1, f"gfsctl: site a: {tmp}/none: no such directory (status 502)\n")
    port = gfs.free_port()
    assert ctl("site", "list", port=port) == (3, f"gfsctl: site list: http://127.0.0.1:{port}: Connection refused\n")
    for name in "ab":
        os.mkdir(f"{tmp}/{name}")
        assert ctl("site", "add", "--name", name, "--uri", f"file://{tmp}/{name}", "--role", {"a": "primary", "b": "backup"}[name])[0] == 0
    suite.put("k", b"v")
    suite.wait_clean()
    assert ctl("site", "drain", "b")[0] == 0 and ctl("object", "delete", "k")[0] == 0
    assert ctl("object", "where", "k")[1].endswith("\nA read would use no site: the object is deleted\n")
