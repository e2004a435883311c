# SPDX-License-Identifier: Apache-2.0
"""Health and circuits seen from outside: what probes and traffic make of a site, who is asked then, and who is not. Tests are named by
the rows of the older system's contract (G: what it promises, W: what it gets wrong)."""
import os
import re
import signal
import subprocess
import threading
import time

import pytest

import gfs
from faults import FaultProxy
from gfs import file_site, s3_site, wait_for
from places import kind  # noqa: F401

MARKER = r"\.globalfs/site"


def breaker(threshold, cooldown, **more):
    """Probes come at the start, when traffic fails, and when a cooldown is over; else never in a test."""
    return {"health_poll_interval": "60s", "probe_timeout": "5s", **more,
            "circuit_breaker": {"enabled": True, "threshold": threshold, "cooldown": cooldown}}


def row(suite, name):
    return {r["name"]: r for r in suite.req("GET", "/api/v1/sites").json()}[name]


def health(suite, name):
    return {r["name"]: r for r in suite.daemon("health")["sites"]}[name]


def wait_circuit(suite, name, state, seconds=15):
    return wait_for(f"circuit of {name} {state}", lambda: (r := row(suite, name))["circuit_state"] == state and r, seconds)


def served_by(suite, key="k"):
    r = suite.get(key)
    assert r.status == 200, r
    return r.headers["X-GlobalFS-Site"]


def client_requests(store, since=0):
    return [r for r in store.log[since:] if not r[2].startswith(".globalfs/")]


def probes(store, since=0):
    return [r for r in store.log[since:] if r[2] == ".globalfs/site" and r[0] == "GET"]


@pytest.fixture
def two(tmp, suites, fake):
    """A suite over two scripted stores, a (primary) and b (backup), that both have the object k."""
    def make(**conf):
        a, b = fake(), fake()
        suite = suites(tmp, [s3_site(a, "data", "a"), s3_site(b, "data", "b", "backup")], **conf).start()
        assert suite.put("k", b"data").status == 201
        suite.wait_clean()
        assert served_by(suite) == "a"
        return suite, a, b
    return make


# ---- states ----

def test_G29_health_aware_ordering(two):
    """One failed probe makes a site degraded: the other is asked first, until two were good again."""
    suite, a, b = two()
    a.fault("500", key=MARKER)
    suite.wait_site("a", "degraded")
    at = len(a.log)
    assert served_by(suite) == "b"
    assert client_requests(a, at) == []
    suite.wait_site("a", "up")
    assert served_by(suite) == "a"


def test_G29_a_site_that_is_away_is_not_asked(tmp, suites, kind):  # noqa: F811
    a, b = kind("a"), kind("b", "backup")
    suite = suites(tmp, [a.conf, b.conf]).start()
    assert suite.put("k", b"data").status == 201
    suite.wait_clean()
    assert served_by(suite) == "a"
    a.away()
    suite.wait_site("a", "down")
    assert served_by(suite) == "b"
    assert "event=read-fault site=a" not in suite.log_text().split("event=state site=a old=")[-1]
    a.back()
    suite.wait_site("a", "up")
    assert served_by(suite) == "a"


def test_traffic_that_fails_is_looked_into_at_once(two):
    """With a minute between probes a store that is gone is down after a few seconds, because readers met it."""
    suite, a, b = two(resilience={"health_poll_interval": "60s"})
    a.pause()
    for _ in range(3):
        assert served_by(suite) == "b"
    suite.wait_site("a", "down", 8)
    a.resume()
    # a down site is asked at the interval; a suite that is told to look again by nothing else would need the minute
    assert health(suite, "a")["traffic"]["faults"] >= 1


def test_site_whose_probe_is_fine_but_whose_traffic_fails_is_degraded(two):
    suite, a, b = two(resilience={"health_poll_interval": "60s"})
    fault = a.fault("500", method="GET", key="k", times=0)
    for _ in range(3):
        assert served_by(suite) == "b"
    r = suite.wait_site("a", "degraded", 3)
    assert "3 faults of requests in a row" in r["error"], r
    at = len(a.log)
    assert served_by(suite) == "b" and client_requests(a, at) == []
    a.faults.remove(fault)
    suite.wait_site("a", "up", 8)
    assert served_by(suite) == "a"


def test_hung_site_is_left_alone_about_a_second_after_a_reader_gave_up(two):
    """A probe takes up to twenty seconds to fail; that traffic hangs, too, is enough to go elsewhere."""
    suite, a, b = two(resilience={"health_poll_interval": "60s", "probe_timeout": "20s"})
    a.fault("hang", times=0)
    assert served_by(suite) == "b"
    suite.wait_site("a", "degraded", 3)
    began = time.monotonic()
    assert served_by(suite) == "b" and time.monotonic() - began < 1
    assert "waiting_ms" in health(suite, "a")["probes"]
    # what hangs goes on hanging; the store is asked anew, and is back long before the first probe would have failed
    a.clear()
    suite.wait_site("a", "up", 10)
    assert health(suite, "a")["probes"]["failed"] == 0


def test_a_site_that_flaps_has_to_prove_itself_longer(two):
    suite, a, b = two(resilience={"health_poll_interval": "200ms"})
    for n in range(1, 4):
        a.fault("500", key=MARKER)
        wait_for("a fall", lambda: health(suite, "a")["probes"]["times_left_up"] == n)
        if n < 3:
            suite.wait_site("a", "up")
    assert health(suite, "a")["probes"]["needed_to_be_up"] == 4
    at = len(probes(a))
    suite.wait_site("a", "up")
    assert len(probes(a)) - at >= 3


# ---- circuits ----

def test_G45_circuit_opens(two):
    suite, a, b = two(resilience=breaker(5, "60s"))
    a.fault("500", method="GET", key="k", times=0)
    # five in flight together: three would do for others to be asked first
    gates = [a.gate("head", method="GET", key="k") for _ in range(5)]
    readers = [threading.Thread(target=suite.get, args=("k",)) for _ in range(5)]
    for t in readers:
        t.start()
    for g in gates:
        g.wait()
    assert row(suite, "a")["circuit_state"] == "closed"
    for g in gates:
        g.release()
    for t in readers:
        t.join()
    wait_circuit(suite, "a", "open", 3)
    suite.wait_site("a", "up")  # its probe is fine: what keeps clients away is the circuit
    at = len(a.log)
    for _ in range(10):
        assert served_by(suite) == "b"
    assert client_requests(a, at) == []
    text = suite.ctl("site", "list").stdout.decode()
    assert re.search(r"^NAME +ROLE +STATUS +CIRCUIT$", text, re.M) and re.search(r"^a +primary .* open$", text, re.M), text
    show = health(suite, "a")
    assert (show["circuit"], show["cooldown_ms"]) == ("open", 60000) and show["retry_at"] > show["changed_at"]
    assert re.search(r'event=circuit site=a old=closed new=open why="5 faults of requests in a row', suite.log_text())
    assert row(suite, "b")["circuit_state"] == "closed"


def test_circuits_stay_closed_unless_enabled(two):
    suite, a, b = two(resilience={"health_poll_interval": "60s"})
    a.fault("500", method="GET", key="k", times=0)
    b.fault("500", method="GET", key="k", times=0)
    for _ in range(10):
        assert suite.get("k").status >= 500
    wait_for("ten faults", lambda: health(suite, "a")["traffic"]["faults_in_a_row"] >= 10)
    assert row(suite, "a")["circuit_state"] == "closed"


def open_circuit(suite, store, faults=2):
    fault = store.fault("500", method="GET", key="k", times=0)
    for _ in range(faults):
        assert suite.get("k").status == 200
    wait_circuit(suite, "a", "open", 3)
    store.faults.remove(fault)


def test_G46_circuit_half_open_close(two):
    """After the cooldown exactly one probe, by healthd, decides; no client's request is part of it."""
    suite, a, b = two(resilience=breaker(2, "1s"))
    probe = a.gate("head", key=MARKER)
    at = len(a.log)
    open_circuit(suite, a)
    refused = len(a.log)
    for _ in range(10):
        assert served_by(suite) == "b"
    probe.wait(5)
    assert row(suite, "a")["circuit_state"] == "half-open"
    for _ in range(10):
        assert served_by(suite) == "b"
    assert client_requests(a, refused) == []
    probe.release()
    wait_circuit(suite, "a", "closed", 3)
    assert len(probes(a, at)) == 1
    assert served_by(suite) == "a"
    changes = re.findall(r"event=circuit site=a old=(\S+) new=(\S+)", suite.log_text())
    assert changes == [("closed", "open"), ("open", "half-open"), ("half-open", "closed")]


def test_G46_failed_probe_opens_again_with_twice_the_cooldown(two):
    suite, a, b = two(resilience=breaker(2, "500ms"))
    a.fault("500", key=MARKER)
    open_circuit(suite, a)
    wait_for("the cooldown doubled", lambda: health(suite, "a")["cooldown_ms"] == 1000)
    assert served_by(suite) == "b"
    wait_circuit(suite, "a", "closed")
    changes = re.findall(r"event=circuit site=a old=(\S+) new=(\S+)", suite.log_text())
    assert changes == [("closed", "open"), ("open", "half-open"), ("half-open", "open"), ("open", "half-open"), ("half-open", "closed")]


def test_G46_real_sites_come_back(tmp, suites, kind):  # noqa: F811
    a, b = kind("a"), kind("b", "backup")
    suite = suites(tmp, [a.conf, b.conf], resilience=breaker(2, "500ms", health_poll_interval="1s")).start()
    assert suite.put("k", b"data").status == 201
    suite.wait_clean()
    a.away()
    gates = [threading.Thread(target=served_by, args=(suite,)) for _ in range(4)]
    for t in gates:
        t.start()
    for t in gates:
        t.join()
    wait_circuit(suite, "a", "open")
    assert served_by(suite) == "b"
    a.back()
    wait_circuit(suite, "a", "closed")
    suite.wait_site("a", "up")
    assert served_by(suite) == "a"


def test_circuit_that_opens_again_soon_doubles_its_cooldown(two):
    """A store whose probe works and whose traffic fails is tried more and more rarely."""
    suite, a, b = two(resilience=breaker(1, "300ms"))
    a.fault("500", method="GET", key="k", times=0)
    seen = set()

    def doubled_twice():
        assert suite.get("k").status == 200
        seen.add(health(suite, "a")["cooldown_ms"])
        return {300, 600, 1200} <= seen
    wait_for("three cooldowns, each twice the last", doubled_twice)


def test_G47_all_open_fallback(two):
    """Every circuit open: requests are tried all the same, and succeed as soon as a site does."""
    suite, a, b = two(resilience=breaker(1, "60s"))
    faults = [(s, s.fault("500", method="GET", key="k", times=0)) for s in (a, b)]
    assert suite.get("k").status >= 500
    wait_circuit(suite, "a", "open", 3)
    wait_circuit(suite, "b", "open", 3)
    at = len(a.log), len(b.log)
    assert suite.get("k").status >= 500
    assert client_requests(a, at[0]) and client_requests(b, at[1])
    for store, fault in faults:
        store.faults.remove(fault)
    assert suite.get("k").body == b"data"
    assert suite.put("new", b"x").status == 201
    assert [row(suite, s)["circuit_state"] for s in "ab"] == ["open", "open"]


def test_W4_absent_keys_never_open_a_circuit(tmp, suites, kind):  # noqa: F811
    a, b = kind("a"), kind("b", "backup")
    suite = suites(tmp, [a.conf, b.conf], resilience=breaker(1, "60s")).start()
    assert suite.put("k", b"data").status == 201
    suite.wait_clean()
    for i in range(10):
        assert suite.get(f"absent{i}").status == 404
        assert suite.head(f"absent{i}").status == 404
    wait_for("outcomes", lambda: health(suite, "a")["traffic"]["goods"] >= 20)
    for name in "ab":
        show = health(suite, name)
        assert (show["state"], show["circuit"], show["traffic"]["faults"]) == ("up", "closed", 0), show
    assert served_by(suite) == "a"


def test_denied_preconditions_and_aborted_clients_never_open_a_circuit(two):
    suite, a, b = two(resilience=breaker(1, "60s"))
    goods = health(suite, "a")["traffic"]["goods"]
    a.fault("403", method="GET", key="k", times=3)
    for _ in range(3):
        suite.get("k")
    assert suite.get("k", If_Match='"0"').status == 412
    assert suite.get("k", Range="bytes=99-").status == 416
    gate = a.gate("head", method="GET", key="k")
    with pytest.raises(OSError):
        suite.req("GET", suite.url("k"), timeout=0.1)
    gate.wait()
    gate.release()
    assert served_by(suite) == "a"
    wait_for("outcomes", lambda: health(suite, "a")["traffic"]["goods"] >= goods + 4)
    show = health(suite, "a")
    assert (show["circuit"], show["traffic"]["faults"]) == ("closed", 0), show


def test_W13_no_probe_leak(two):
    """Whatever clients do while a circuit is half-open, the site is back after the probe, without a write to set it free."""
    suite, a, b = two(resilience=breaker(2, "500ms"))
    for _ in range(2):
        probe = a.gate("head", key=MARKER)
        open_circuit(suite, a)
        probe.wait(10)
        assert row(suite, "a")["circuit_state"] == "half-open"
        assert suite.get("k").status == 200 and suite.head("k").status == 200 and suite.list().status in (200, 207)
        with pytest.raises(OSError):
            hold = b.gate("head", method="GET", key="k")
            try:
                suite.req("GET", suite.url("k"), timeout=0.2)
            finally:
                hold.release()
        assert row(suite, "a")["circuit_state"] == "half-open"
        probe.release()
        wait_circuit(suite, "a", "closed", 5)
        assert served_by(suite) == "a"
        assert suite.list().status == 200


def test_W26_a_rule_that_writes_elsewhere_trips_nobody(tmp, suites, kind):  # noqa: F811
    """Written to burst only, read in the default order: the primary's 404 is an answer."""
    a, b = kind("a"), kind("b", "burst")
    rule = {"name": "scratch", "key_pattern": "scratch/", "operations": ["write"], "target_roles": ["burst"], "priority": 1}
    suite = suites(tmp, [a.conf, b.conf], resilience=breaker(1, "60s"), policy={"rules": [rule]}).start()
    assert suite.put("scratch/x", b"burst").status == 201
    assert a.look("scratch/x") is None and b.look("scratch/x") == b"burst"
    for _ in range(5):
        r = suite.get("scratch/x")
        assert (r.status, r.body, r.headers["X-GlobalFS-Site"]) == (200, b"burst", "b")
        assert suite.head("scratch/x").status == 200
    wait_for("outcomes", lambda: health(suite, "b")["traffic"]["goods"] >= 10)
    for name in "ab":
        show = health(suite, name)
        assert (show["state"], show["circuit"], show["traffic"]["faults"]) == ("up", "closed", 0), show
    assert suite.put("k", b"data").status == 201
    assert served_by(suite) == "a"


# ---- latency ----

def test_reads_go_to_the_nearest_by_measure_and_move_when_it_changes(tmp, suites, fake):
    stores = [FaultProxy(fake(), tmp), FaultProxy(fake(), tmp)]
    try:
        suite = suites(tmp, [s3_site(stores[0], "data", "a"), s3_site(stores[1], "data", "b")],
                       routing={"order": "latency"}).start()
        assert suite.put("k", b"data").status == 201
        slow = stores[0].fault("first-byte:60")
        wait_for("reads from b", lambda: served_by(suite) == "b")
        assert (health(suite, "b")["nearness"], health(suite, "a")["nearness"]) == (1, 2)
        stores[0].off(slow)
        stores[1].fault("first-byte:60")
        wait_for("reads from a", lambda: served_by(suite) == "a", 20)
        show = health(suite, "b")
        assert show["nearness"] == 2 and show["latency_us"] > 20000, show
    finally:
        for s in stores:
            s.stop()


def test_equal_sites_do_not_alternate(tmp, suites, fake):
    stores = [FaultProxy(fake(), tmp), FaultProxy(fake(), tmp)]
    try:
        suite = suites(tmp, [s3_site(stores[0], "data", "a"), s3_site(stores[1], "data", "b")],
                       routing={"order": "latency"}).start()
        for s in stores:
            s.fault("first-byte:20")
        assert suite.put("k", b"data").status == 201
        wait_for("both measured", lambda: all(health(suite, s)["nearness"] and health(suite, s)["latency_us"] > 15000 for s in "ab"))
        end, seen = time.monotonic() + 5, []
        while time.monotonic() < end:
            seen.append(served_by(suite))
        moves = sum(x != y for x, y in zip(seen, seen[1:]))
        assert len(seen) > 30 and moves <= 1, (moves, len(seen))
        p95 = health(suite, seen[-1])["p95_us"]
        assert 15000 < p95 < 1000000, p95
    finally:
        for s in stores:
            s.stop()


# ---- life of the daemon ----

def test_a_new_table_leaves_watches_alone(two):
    suite, a, b = two(resilience={"health_poll_interval": "60s"})
    before, at = health(suite, "a"), len(probes(a))
    assert suite.req("POST", "/api/v1/sites/b/drain").status == 200
    assert suite.daemon("health")["epoch"] >= 2
    after = health(suite, "a")
    assert after["checked_at"] == before["checked_at"] and after["probes"]["good"] == before["probes"]["good"]
    assert len(probes(a)) == at


def test_restarted_healthd_goes_on_from_the_board(two):
    suite, a, b = two(resilience=breaker(2, "60s"))
    open_circuit(suite, a)
    before = health(suite, "a")
    (pid,) = suite.pids()["healthd"]
    suite.kill9(pid)

    def restarted():
        show = suite.daemon("health")
        return show["pid"] != pid and {r["name"]: r for r in show["sites"]}["a"]
    after = wait_for("a new healthd", lambda: suite.ctl("--run-dir", suite.run_dir, "--json", "health", "show", check=False).returncode == 0
                     and restarted())
    assert after["circuit"] == "open" and after["state"] == "up"
    assert abs(rfc3339(after["retry_at"]) - rfc3339(before["retry_at"])) < 1
    assert served_by(suite) == "b"


def rfc3339(text):
    t = time.strptime(text[:19], "%Y-%m-%dT%H:%M:%S")
    return time.mktime(t) + float("0" + text[19:-1])


def test_old_rows_are_forgotten_at_the_start(two):
    """A board that nobody kept up says nothing about a site, and a new heartbeat does not make it say something."""
    suite, a, b = two(resilience=breaker(2, "60s", health_poll_interval="200ms"))
    open_circuit(suite, a)
    assert suite.stop() == 0
    time.sleep(0.7)  # three intervals
    gates = [a.gate("head", key=MARKER) for _ in range(2)]
    suite.start(wait=False)
    for g in gates[:1]:
        g.wait()
    r = wait_for("the list", lambda: row(suite, "a"))
    assert (r["state"], r["circuit_state"]) == ("unknown", "closed"), r
    a.clear()
    suite.wait_site("a", "up")


def test_without_healthd_all_circuits_count_as_closed(two):
    suite, a, b = two(resilience=breaker(2, "60s", health_poll_interval="200ms"))
    open_circuit(suite, a)
    assert served_by(suite) == "b"
    (pid,) = suite.pids()["healthd"]
    os.kill(pid, signal.SIGSTOP)
    try:
        wait_for("reads from a", lambda: served_by(suite) == "a", 5)
        lost = suite.metric('globalfs_site_outcomes_total{status="lost"}')
        for _ in range(50):
            assert served_by(suite) == "a"
    finally:
        os.kill(pid, signal.SIGCONT)
    wait_for("the circuit is open as before", lambda: served_by(suite) == "b")
    assert suite.metric('globalfs_site_outcomes_total{status="lost"}') >= lost


def test_lost_outcomes_are_counted(two):
    suite, a, b = two()
    sent = wait_for("told", lambda: suite.metric('globalfs_site_outcomes_total{status="sent"}'))
    assert suite.daemon("health")["batches"] > 0
    assert served_by(suite) == "a"
    wait_for("more told", lambda: suite.metric('globalfs_site_outcomes_total{status="sent"}') > sent)


@pytest.mark.skipif(gfs.SANITIZED, reason="the sanitizers' library must be the first to be loaded")
def test_hung_mounts_do_not_hold_up_the_end(tmp, suites):
    """A directory site that hangs is down after three probes, and a healthd whose threads are stuck on it ends all the same."""
    source = os.path.join(os.path.dirname(__file__), "..", "helpers", "hang.c")
    subprocess.run([os.environ.get("CC", "cc"), "-D_GNU_SOURCE", "-shared", "-fPIC", "-o", f"{tmp}/hang.so", source], check=True)
    suite = suites(tmp, [file_site(f"{tmp}/A", "a"), file_site(f"{tmp}/B", "b")])
    suite.env.update(LD_PRELOAD=f"{tmp}/hang.so", HANG_IN="healthd", HANG_WHEN=f"{tmp}/hang")
    suite.start()
    with open(f"{tmp}/hang", "w"):
        pass
    suite.wait_site("a", "down")
    suite.wait_site("b", "down")
    (pid,) = suite.pids()["healthd"]
    began = time.monotonic()
    os.kill(pid, signal.SIGTERM)
    wait_for("its end", lambda: pid not in suite.pids()["healthd"], 5)
    assert time.monotonic() - began < 4
    assert "its probe is left behind" in suite.log_text()
    os.unlink(f"{tmp}/hang")
    suite.wait_site("a", "up")
