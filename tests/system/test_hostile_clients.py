# SPDX-License-Identifier: Apache-2.0
"""Clients that take their time or take too much, children that cannot start, and a long journal."""
import os
import shutil
import sqlite3
import threading
import time

import pytest

import gfs
from gfs import file_site, read_answer, wait_for


def service(suite, name):
    return next(s for s in suite.daemon("router")["services"] if s["name"] == name)


# ---- clients ----

def test_heads_that_never_end_are_closed_in_time_and_hold_nobody_up(tmp, suites):
    """The time for a head is for all of it, however steadily its bytes arrive."""
    suite = suites(tmp, [file_site(f"{tmp}/A", "a")], limits={"header_timeout": "600ms"}).start()
    assert suite.put("k", b"v").status == 201
    began = time.monotonic()
    loris = [suite.raw(b"GET /api/v1/info HTTP/1.1\r\nHost: x\r\n") for _ in range(100)]
    stop, slowest = threading.Event(), []

    def drip():
        while not stop.is_set():
            for s in loris:
                try:
                    s.send(b"X")
                except OSError:
                    pass
            time.sleep(0.05)
    thread = threading.Thread(target=drip)
    thread.start()
    try:
        while time.monotonic() - began < 0.6:
            asked = time.monotonic()
            assert suite.get("k").body == b"v"
            slowest.append(time.monotonic() - asked)
        assert max(slowest) < 0.5, max(slowest)
        wait_for("their end", lambda: suite.metric("globalfs_connections") <= 1, 5)
        assert time.monotonic() - began < 4
    finally:
        stop.set()
        thread.join()
    answers = []
    for s in loris:
        s.settimeout(5)
        try:
            answers.append(read_answer(s)[0])
        except ConnectionResetError:
            answers.append(0)
    assert set(answers) <= {0, 408}, set(answers)


def test_readers_that_do_not_read_cost_little_and_end(tmp, suites):
    suite = suites(tmp, [file_site(f"{tmp}/A", "a")], limits={"stall_timeout": "800ms", "min_rate": 1000}).start()
    assert suite.put("big", bytes(32 << 20)).status == 201
    before = suite.rss_peak_kib()
    for _ in range(60):
        suite.raw(f"GET {suite.url('big')} HTTP/1.1\r\nHost: x\r\n\r\n".encode()).setsockopt(
            gfs.socket.SOL_SOCKET, gfs.socket.SO_RCVBUF, 4096)
    readers = [suite.raw(f"GET {suite.url('big')} HTTP/1.1\r\nHost: x\r\n\r\n".encode()) for _ in range(60)]
    assert suite.put("k", b"v").status == 201 and suite.get("k").body == b"v"
    wait_for("their end", lambda: suite.metric("globalfs_connections") <= 1, 10)
    assert suite.rss_peak_kib() - before < 16 * 1024 or gfs.SANITIZED
    for r in readers:
        r.close()


def test_more_connections_than_allowed_wait_and_are_served(tmp, suites):
    """Who only holds a place loses it to who waits; who is at work keeps it."""
    suite = suites(tmp, [file_site(f"{tmp}/A", "a")], limits={"max_connections": 8})
    suite.conf["coordinator"]["workers"] = 1
    suite.start()
    assert suite.put("k", b"v").status == 201
    put = suite.slow_put("slow", 10)
    put.sendall(b"01234")
    wait_for("the write to be open", lambda: suite.daemon("repl")["open_writes"] == 1)
    idle = [suite.raw() for _ in range(30)]
    began = time.monotonic()
    late = suite.raw(f"GET {suite.url('k')} HTTP/1.1\r\nHost: x\r\n\r\n".encode(), timeout=0.2)
    with pytest.raises(TimeoutError):
        late.recv(1)
    assert "limits.max_connections reached" in suite.log_text()
    late.settimeout(20)
    status, _, body = read_answer(late)  # behind thirty that ask for nothing
    assert (status, body) == (200, b"v") and time.monotonic() - began < 9  # not their timeouts of 10 s and 60 s
    put.sendall(b"56789")
    assert read_answer(put)[0] == 201
    for s in idle:
        s.close()


# ---- children that cannot start ----

@pytest.fixture
def programs(tmp):
    """A directory of the daemons, in which a test can spoil one."""
    d = f"{tmp}/bin"
    os.mkdir(d)
    for name in gfs.CHILDREN:
        shutil.copy2(gfs.ROUTERD.replace("routerd", name), d)
    return d


def spoiled(suites, tmp, programs, name, script):
    with open(f"{programs}/{name}.new", "w") as f:
        f.write(f"#!/bin/sh\n{script}\n")
    os.chmod(f"{programs}/{name}.new", 0o755)
    os.rename(f"{programs}/{name}.new", f"{programs}/{name}")
    suite = suites(tmp, [file_site(f"{tmp}/A", "a")])
    suite.wrap = ["sh", "-c", 'program=$0; shift; exec "$program" "$@"', f"{programs}/routerd"]
    suite.start()
    assert suite.put("k", b"v").status == 201 and suite.get("k").body == b"v"  # cached is not needed for either
    return suite


def test_a_child_that_finds_the_configuration_bad_is_not_started_again(tmp, suites, programs):
    suite = spoiled(suites, tmp, programs, "cached", f"echo started >> {tmp}/starts; exit 78")
    row = wait_for("its refusal", lambda: service(suite, "cached")["state"] == "refused" and service(suite, "cached"))
    assert row["pid"] == 0 and row["restarts"] == 0 and not row["throttled"], row
    assert "event=service_refused service=cached" in suite.log_text()
    assert b"refused" in suite.ctl("--run-dir", suite.run_dir, "router", "show").stdout
    suite.kill9(suite.pids()["healthd"][0])  # others are restarted as ever, this one is left alone
    wait_for("healthd", lambda: service(suite, "healthd")["state"] == "ready" and service(suite, "healthd")["restarts"] == 1)
    assert open(f"{tmp}/starts").read() == "started\n"
    assert suite.stop() == 0


def test_a_child_that_keeps_dying_is_throttled_and_shown(tmp, suites, programs):
    suite = spoiled(suites, tmp, programs, "cached", f"echo started >> {tmp}/starts; exit 1")
    row = wait_for("the second pause", lambda: service(suite, "cached")["restarts"] >= 1 and service(suite, "cached")["throttled"]
                   and service(suite, "cached"))
    assert row["state"] == "waiting", row
    shown = suite.ctl("--run-dir", suite.run_dir, "router", "show").stdout.decode().splitlines()
    head, line = next(x for x in shown if "THROTTLED" in x).split(), next(x for x in shown if x.split()[:1] == ["cached"]).split()
    assert line[head.index("THROTTLED")] == "true" and line[head.index("STATE")] == "waiting", line
    log = suite.log_text()
    assert "service=cached fails=1 next_s=1" in log and "service=cached fails=2 next_s=2" in log
    assert len(open(f"{tmp}/starts").read().split()) == row["restarts"] + 1
    shutil.copy2(gfs.ROUTERD.replace("routerd", "cached"), f"{programs}/cached.new")
    os.rename(f"{programs}/cached.new", f"{programs}/cached")
    wait_for("the mended one", lambda: service(suite, "cached")["state"] == "ready" and not service(suite, "cached")["throttled"])
    assert suite.stop() == 0


# ---- a long journal ----

def multiply(path, n):
    """Copies the rows of the key 'seed' to n keys of their own."""
    db = sqlite3.connect(path)
    for table in ("version", "pending"):
        columns = [r[1] for r in db.execute(f"PRAGMA table_info({table})")]
        others = ",".join(c for c in columns if c != "key")
        before = db.execute(f"SELECT count(*) FROM {table} WHERE key=CAST('seed' AS BLOB)").fetchone()[0]
        assert before > 0, table
        db.execute(f"WITH RECURSIVE c(i) AS (SELECT 1 UNION ALL SELECT i+1 FROM c WHERE i<{n}) INSERT INTO {table}(key,{others}) "
                   f"SELECT CAST('many/'||c.i AS BLOB),{others} FROM {table},c WHERE key=CAST('seed' AS BLOB)")
    db.commit()
    db.close()


def test_twenty_thousand_rows_in_the_journal(tmp, suites):
    """Restarts stay short, reads go on meanwhile, nothing is forgotten, and memory does not grow with the rows."""
    suite = suites(tmp, [file_site(f"{tmp}/A", "a"), file_site(f"{tmp}/B", "b", "backup")]).start()
    assert suite.put("clean", b"c").status == 201
    suite.wait_clean()
    os.rename(f"{tmp}/B", f"{tmp}/B.away")
    assert suite.put("seed", b"s").status == 201
    assert suite.stop() == 0
    multiply(f"{suite.top}/state/repld.db", 20000)
    suite.start(wait=False)
    wait_for("/readyz", lambda: suite.req("GET", "/readyz").status == 200)
    assert time.monotonic() - suite.started < 3
    assert suite.daemon("repl")["queue_depth"] == 20001
    repld = suite.pids()["repld"][0]
    suite.kill9(repld)
    killed, reads = time.monotonic(), 0

    def written():
        nonlocal reads
        r = suite.get("clean")
        assert r.status == 200 and r.body == b"c", r
        reads += 1
        return suite.pids()["repld"] not in ([], [repld])
    wait_for("repld", written, 5)
    r = suite.put("clean", b"d")
    assert r.status == 201 and time.monotonic() - killed < 3, r
    assert suite.get("clean").body == b"d" and reads > 0
    assert suite.daemon("repl")["queue_depth"] == 20002
    with open(f"/proc/{suite.pids()['repld'][0]}/status") as f:
        peak = int(next(x for x in f if x.startswith("VmHWM")).split()[1])
    assert peak < 64 * 1024 or gfs.SANITIZED, peak


# ---- the clock ----

def test_a_clock_that_went_back_changes_nothing(tmp, suites):
    """As if the last run had been an hour ahead of this one: what is written now is newer all the same, everywhere."""
    a, b = file_site(f"{tmp}/A", "a"), file_site(f"{tmp}/B", "b", "backup")
    suite = suites(tmp, [a, b]).start()
    hour = 3600 * 1000 << 16

    def hlc(answer):
        return int(answer.headers["X-GlobalFS-Generation"].split("-")[0], 16)
    now = hlc(suite.put("k", b"before"))
    suite.wait_clean()
    assert suite.stop() == 0
    db = sqlite3.connect(f"{suite.top}/state/repld.db")
    assert db.execute("UPDATE note SET value=? WHERE name='clock'", (now + hour,)).rowcount == 1
    db.commit()
    db.close()
    suite.start()
    ahead = hlc(suite.put("k", b"an hour ahead"))
    assert ahead > now + hour
    suite.wait_clean()
    assert suite.stop() == 0
    suite.start()  # and now the clock is right again
    again = hlc(suite.put("k", b"after"))
    assert again > ahead
    assert suite.get("k").body == b"after" and hlc(suite.get("k")) == again
    assert suite.put("l", b"x").status == 201 and suite.delete("l").status == 204 and suite.get("l").status == 404
    suite.wait_clean()
    assert gfs.read_site_file(a, "k") == gfs.read_site_file(b, "k") == b"after" and gfs.read_site_file(b, "l") is None
