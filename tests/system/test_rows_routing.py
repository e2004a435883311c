# SPDX-License-Identifier: Apache-2.0
"""Policy, administrative state, explanation and the health endpoints, seen from outside. Tests are named by the rows of the older
system's contract (G: what it promises, W: what it gets wrong)."""
import json
import os
import signal
import subprocess
import threading

import pytest

import gfs
from gfs import file_site, md5, wait_for
from places import kind  # noqa: F401 (a fixture)


def drain(suite, name, verb="drain"):
    r = suite.req("POST", f"/api/v1/sites/{name}/{verb}")
    assert r.status == 200, r
    return r.json()


def site_row(suite, name):
    return {r["name"]: r for r in suite.req("GET", "/api/v1/sites").json()}[name]


# ---- drain ----

def test_drain_and_undrain_a_site(tmp, suites):
    suite = suites(tmp, [file_site(f"{tmp}/A", "a"), file_site(f"{tmp}/B", "b")]).start()
    row = drain(suite, "a")
    assert row.keys() == site_row(suite, "a").keys() and row["drained"] is True and (row["name"], row["state"]) == ("a", "up")
    assert drain(suite, "a")["drained"] is True
    assert site_row(suite, "b")["drained"] is False
    shown = suite.ctl("config", "show", suite.conf_path).stdout.decode()
    assert "sites: site a is drained\n" in shown and "site b is drained" not in shown
    assert json.loads(suite.ctl("--json", "config", "show", suite.conf_path).stdout)["registry"]["drained"] == ["a"]
    assert "drained" in suite.ctl("site", "list").stdout.decode().splitlines()[1]
    assert suite.req("POST", "/api/v1/sites/none/drain").status == 404
    assert suite.req("POST", "/api/v1/sites//drain").status == 400
    assert suite.req("GET", "/api/v1/sites/a/drain").status == 405
    r = suite.req("POST", "/api/v1/sites/a")
    assert r.status == 405 and r.headers["Allow"] == "DELETE"
    assert suite.stop() == 0
    suite.start()
    assert site_row(suite, "a")["drained"] is True
    assert drain(suite, "a", "undrain")["drained"] is False
    assert drain(suite, "a", "undrain")["drained"] is False


class Traffic:
    """Clients that write and read their own keys and know what they must see. Bodies begin with their number."""

    def __init__(self, suite, n=6):
        self.suite, self.stop, self.faults, self.ops = suite, threading.Event(), [], 0
        self.threads = [threading.Thread(target=self.run, args=(i,)) for i in range(n)]
        for t in self.threads:
            t.start()

    def run(self, me):
        number = 0
        while not self.stop.is_set():
            number += 1
            key, data = f"traffic/{me}/{number % 5}", f"{number}|".encode() + os.urandom(2000)
            r = self.suite.put(key, data)
            got = self.suite.get(key)
            gone = self.suite.get(f"traffic/{me}/none")
            if r.status != 201 or got.status != 200 or got.body != data or "X-GlobalFS-Stale" in got.headers or gone.status != 404:
                self.faults.append((key, r, got, gone))
            if number % 7 == 0 and self.suite.delete(key).status != 204:
                self.faults.append((key, "delete"))
            if number % 7 == 0 and self.suite.get(key).status != 404:
                self.faults.append((key, "deleted"))
            self.ops += 1

    def wait(self, n):
        until = self.ops + n
        wait_for(f"{n} more operations", lambda: self.ops >= until, 30)

    def end(self):
        self.stop.set()
        for t in self.threads:
            t.join()
        assert not self.faults, self.faults[:3]


def tree(site):
    out = {}
    for top, dirs, files in os.walk(site["file"]["path"]):
        if ".globalfs" in dirs:
            dirs.remove(".globalfs")
        for name in files:
            with open(os.path.join(top, name), "rb") as f:
                out[os.path.relpath(os.path.join(top, name), site["file"]["path"])] = md5(f.read())
    return out


def repl_row(suite, name):
    return {r["site"]: r for r in suite.daemon("repl")["sites"]}[name]


def test_drain_of_a_primary_under_traffic(tmp, suites):
    """No client sees the drain, nor the undrain; the drained site gets nothing meanwhile, and everything afterwards."""
    a, b, c = file_site(f"{tmp}/A", "a"), file_site(f"{tmp}/B", "b"), file_site(f"{tmp}/C", "c", "burst")
    suite = suites(tmp, [a, b, c]).start()
    clients = Traffic(suite)
    clients.wait(60)
    drain(suite, "a")
    clients.wait(20)  # what was under way when it was drained ends
    before = tree(a)
    clients.wait(60)
    assert tree(a) == before, "a drained site is not written to"
    held = repl_row(suite, "a")
    assert held["drained"] and held["pending"] > 0 and held["parked"] == 0
    rows = json.loads(suite.ctl("--run-dir", suite.run_dir, "--json", "repl", "show", "queue").stdout)["rows"]
    mine = [r for r in rows if r["site"] == "a"]
    assert mine and all(r["held"] and not r["error"] and r["attempts"] == 0 for r in mine), mine
    # It survives a restart of the journal's keeper, too.
    os.kill(suite.pids()["repld"][0], 9)
    clients.wait(30)
    assert tree(a) == before
    drain(suite, "a", "undrain")
    clients.wait(60)
    clients.end()
    suite.wait_clean()
    assert tree(a) == tree(b) == tree(c) and len(tree(a)) > 10


def test_drain_ends_a_copy_that_is_under_way(tmp, suites, fake):
    store = fake()
    suite = suites(tmp, [file_site(f"{tmp}/A", "a"), gfs.s3_site(store, "data", "b", "backup")]).start()
    data = os.urandom(40 << 20)  # more than sockets hold
    gate = store.gate("head", "PUT", "^k$")
    assert suite.put("k", data).status == 201
    gate.wait()
    drain(suite, "b")
    wait_for("the end of the copy", lambda: suite.daemon("repl")["active"] == 0)
    gate.release()
    assert suite.get("k").body == data and store.get("data", "k") is None
    row = repl_row(suite, "b")
    assert (row["pending"], row["parked"], row["drained"]) == (1, 0, True)
    drain(suite, "b", "undrain")
    suite.wait_clean()
    assert store.get("data", "k")[0] == data


def test_drained_site_serves_when_nobody_else_can(tmp, suites):
    a, b = file_site(f"{tmp}/A", "a"), file_site(f"{tmp}/B", "b", "backup")
    suite = suites(tmp, [a, b]).start()
    suite.put("k", b"old")
    suite.wait_clean()
    drain(suite, "a")
    assert suite.get("k").headers["X-GlobalFS-Site"] == "b"
    r = suite.put("k", b"new")
    assert r.status == 503 and r.json() == {"error": "every site that could take it at once is drained or not in use yet: a"}
    assert suite.delete("k").status == 503 and "not in use yet: a" in suite.delete("k").json()["error"]
    os.rename(f"{tmp}/B", f"{tmp}/B-away")
    suite.wait_site("b", "down")
    assert suite.get("k").headers["X-GlobalFS-Site"] == "a"
    assert suite.get("none").status == 404, "the only primary's word counts"
    assert suite.stop() == 0
    os.rename(f"{tmp}/B-away", f"{tmp}/B")
    suite.start()
    assert suite.put("k", b"new").status == 503, "it is drained still"
    drain(suite, "a", "undrain")
    assert suite.put("k", b"new").status == 201


def test_drain_keeps_the_number_of_copies_that_was_chosen(tmp, suites):
    suite = suites(tmp, [file_site(f"{tmp}/A", "a"), file_site(f"{tmp}/B", "b")], routing={"write_min": 2}).start()
    drain(suite, "a")
    r = suite.put("k", b"x")
    assert r.status == 503 and "a (drained)" in r.json()["error"] and "2 of 2" in r.json()["error"], r


def test_drained_site_that_is_switched_off_costs_nothing(tmp, suites):
    """A 404 and a list do not wait for a site that was drained before it went."""
    a, b = file_site(f"{tmp}/A", "a"), file_site(f"{tmp}/B", "b")
    suite = suites(tmp, [a, b]).start()
    suite.put("k", b"x")
    drain(suite, "a")
    os.rename(f"{tmp}/A", f"{tmp}/A-away")
    suite.wait_site("a", "down")
    assert suite.get("none").status == 404 and suite.get("k").status == 200
    r = suite.list()
    assert r.status == 200 and [o["key"] for o in r.json()["objects"]] == ["k"]
    os.rename(f"{tmp}/A-away", f"{tmp}/A")


# ---- where ----

def where(suite, key):
    r = suite.req("GET", suite.url(key).replace("/objects/", "/where/", 1))
    assert r.status == 200, r
    w = r.json()
    return w, {s["name"]: s for s in w["sites"]}


def test_where_shows_every_copy_and_explains_the_route(tmp, suites):
    a, b, c = file_site(f"{tmp}/A", "a"), file_site(f"{tmp}/B", "b", "backup"), file_site(f"{tmp}/C", "c", "burst")
    rules = [{"name": "kept", "key_pattern": "kept/", "target_roles": ["primary", "backup"]}]
    suite = suites(tmp, [a, b, c], policy={"rules": rules}).start()
    put = suite.put("kept/one", b"some bytes")
    suite.wait_clean()
    w, s = where(suite, "kept/one")
    assert [x["name"] for x in w["sites"]] == ["a", "b", "c"] and w["rule"] == "kept"
    assert (w["deleted"], w["decided"]) == (False, True)
    assert w["read"] == {"site": "a", "why": "first: primary, up, current"}
    assert (s["b"]["place"], s["b"]["why"], s["b"]["current"]) == (2, "second: backup, up, current", True)
    assert (s["c"]["place"], s["c"]["routed"], s["c"]["current"]) == (None, False, None)
    assert s["c"]["why"] == "rule kept sends reads to primary and backup sites only" and s["c"]["copy"]["present"] is False
    copy = s["b"]["copy"]
    assert (copy["present"], copy["size"], copy["etag"], copy["error"]) == (True, 10, md5(b"some bytes"), None)
    assert copy["generation"] == put.headers["X-GlobalFS-Generation"] and copy["last_modified"].endswith("Z")
    # Behind our back at one site.
    with open(f"{tmp}/B/loose", "w") as f:
        f.write("x")
    w, s = where(suite, "loose")
    assert s["b"]["copy"]["generation"] == "untagged" and s["b"]["current"] is True and s["a"]["current"] is False
    assert w["read"] == {"site": "b", "why": "second: backup, up, current; passed over a: has it not"} and w["rule"] is None
    # Nowhere.
    w, s = where(suite, "none")
    assert w["read"]["site"] is None and w["read"]["why"] == "no such object" and not any(x["copy"]["present"] for x in w["sites"])
    assert suite.req("GET", "/api/v1/where/.globalfs/site").status == 400
    assert suite.req("PUT", "/api/v1/where/x").status == 405


def test_where_shows_what_lags_and_what_is_deleted(tmp, suites):
    suite = suites(tmp, [file_site(f"{tmp}/A", "a"), file_site(f"{tmp}/B", "b", "burst")]).start()
    suite.put("k", b"first")
    suite.wait_clean()
    drain(suite, "b")
    gen = suite.put("k", b"second").headers["X-GlobalFS-Generation"]
    w, s = where(suite, "k")
    assert w["known"] and w["generation"] == gen and w["size"] == 6 and w["etag"] == md5(b"second")
    assert s["b"]["current"] is False and s["b"]["drained"] and s["a"]["current"] is True
    assert s["b"]["why"] == f"second: burst, up, drained: a last resort, lags: has not got generation {gen} yet"
    suite.delete("k")
    w, s = where(suite, "k")
    assert w["deleted"] is True and s["a"]["current"] is True and s["b"]["current"] is False and w["read"]["site"] is None
    drain(suite, "b", "undrain")
    suite.wait_clean()
    assert where(suite, "k")[1]["b"]["copy"]["present"] is False


# ---- G10, G11 and the detail of both: health and readiness ----

def start_with(suites, tmp, *places, **conf):
    return suites(tmp, [p.conf for p in places], **conf).start()


def text(suite, path):
    r = suite.req("GET", path)
    assert r.headers["Content-Type"].startswith("text/plain") or r.status == 400, r
    return r.status, r.body.decode()


def test_G10_liveness_by_primary_health(kind, tmp, suites):  # noqa: F811
    a, b, c = kind("a"), kind("b"), kind("c", "backup")
    suite = start_with(suites, tmp, a, b, c)
    assert text(suite, "/healthz") == (200, "OK\n")
    c.away()
    suite.wait_site("c", "down")
    assert text(suite, "/healthz") == (200, "OK\n"), "only primaries count"
    b.away()
    suite.wait_site("b", "down")
    status, said = text(suite, "/healthz")
    assert status == 503 and said.startswith("DEGRADED\nb: ") and said.count("\n") == 2 and len(said) > len("DEGRADED\nb: \n"), said
    status, said = text(suite, "/healthz?verbose=1")
    lines = said.splitlines()
    assert status == 503 and lines[0] == "DEGRADED" and [x.split(":")[0] for x in lines[1:]] == ["a", "b", "c"], said
    assert lines[1].startswith("a: primary, up, circuit closed, 0 to copy") and lines[2].startswith("b: primary, down, circuit "), said
    drain(suite, "b")
    assert text(suite, "/healthz") == (200, "OK\n"), "nobody misses a primary that was drained"
    assert ", drained, " in text(suite, "/healthz?verbose=1")[1]
    b.back()
    c.back()
    suite.wait_site("b", "up")
    suite.wait_site("c", "up")


def settle(suite):
    """Until every worker says that it is ready: each has its own channel to repld."""
    wait_for("all workers", lambda: all(suite.req("GET", "/readyz").status == 200 for _ in range(20)))


def test_healthz_asks_no_site(tmp, suites, fake):
    """It answers at once, whatever hangs: from the board."""
    store = fake()
    suite = suites(tmp, [file_site(f"{tmp}/A", "a"), gfs.s3_site(store, "data", "b", "backup")]).start()
    suite.put("k", b"x")
    suite.wait_clean()
    settle(suite)
    asked = len(store.log)
    for _ in range(50):
        assert text(suite, "/healthz")[0] == text(suite, "/readyz")[0] == text(suite, "/readyz?site=b&max_lag=1s")[0] == 200
        assert suite.req("GET", "/api/v1/sites").status == 200
    assert len(store.log) - asked < 20, "healthd's own probes, and nothing else"


def test_G11_readiness(tmp, suites):
    a, b = file_site(f"{tmp}/A", "a"), file_site(f"{tmp}/B", "b", "backup")
    suite = suites(tmp, [a, b], coordinator={"api_key": "k"})
    suite.start(wait=False)
    wait_for("/readyz without the key", lambda: text(suite, "/readyz") == (200, "OK\n"))
    repld = suite.pids()["repld"][0]
    os.kill(suite.proc.pid, signal.SIGSTOP)  # so that nobody starts another
    try:
        suite.kill9(repld)
        wait_for("not ready", lambda: text(suite, "/readyz") == (503, "repld is not connected: no writes\n"))
        wait_for("not current", lambda: text(suite, "/readyz?site=b&max_lag=1h") == (503, "site b may lag: repld does not tell\n"))
    finally:
        os.kill(suite.proc.pid, signal.SIGCONT)
    settle(suite)
    os.rename(f"{tmp}/B", f"{tmp}/B-away")

    def state(name):
        rows = suite.req("GET", "/api/v1/sites", headers={"X-GlobalFS-API-Key": "k"}).json()
        return {r["name"]: r["state"] for r in rows}[name]
    wait_for("b down", lambda: state("b") == "down")
    assert text(suite, "/readyz") == (200, "OK\n"), "one can serve"
    os.rename(f"{tmp}/A", f"{tmp}/A-away")
    wait_for("a down", lambda: state("a") == "down")
    assert text(suite, "/readyz") == (503, "every site is down\n")
    os.rename(f"{tmp}/A-away", f"{tmp}/A")
    wait_for("ready again", lambda: text(suite, "/readyz")[0] == 200)


def test_G11_not_ready_without_sites_or_journal(tmp, suites):
    suite = suites(tmp, [])
    suite.start(wait=False)
    wait_for("an answer", lambda: suite.req("GET", "/healthz").status == 200)
    wait_for("no sites", lambda: text(suite, "/readyz") == (503, "there are no sites: add one\n"))
    assert suite.req("POST", "/api/v1/sites", json.dumps({"name": "a", "uri": f"file://{tmp}/A"})).status == 502
    os.mkdir(f"{tmp}/A")
    assert suite.req("POST", "/api/v1/sites", json.dumps({"name": "a", "uri": f"file://{tmp}/A"})).status == 201
    wait_for("ready", lambda: text(suite, "/readyz")[0] == 200)
    assert suite.stop() == 0
    with open(f"{suite.top}/state/repld.db", "wb") as f:
        f.write(os.urandom(100000))
    suite.start(wait=False)
    wait_for("unusable", lambda: text(suite, "/readyz") == (503, "repld's journal cannot be used: no writes\n"))


def test_readyz_of_one_site(tmp, suites):
    a, b = file_site(f"{tmp}/A", "a"), file_site(f"{tmp}/B", "b", "backup")
    suite = suites(tmp, [a, b]).start()
    settle(suite)
    for query in ("site=b", "site=b&max_lag=30s", "site=b&max_lag=0", "max_lag=1m&site=b"):
        assert text(suite, f"/readyz?{query}") == (200, "OK\n"), query
    assert text(suite, "/readyz?site=none") == (404, "there is no such site\n")
    for query, what in (("max_lag=30s", "max_lag"), ("site=b&max_lag=30", "max_lag"), ("site=b&max_lag=", "max_lag"),
                        ("site=b&max_lag=-1s", "max_lag"), ("site=", "site"), ("sit=b", "sit"), ("site=a&site=b", "site"),
                        ("site=%00", "site"), ("site=" + "x" * 300, "site")):
        r = suite.req("GET", f"/readyz?{query}")
        assert r.status == 400 and r.json()["error"].startswith(what), (query, r)
    drain(suite, "b")
    assert text(suite, "/readyz?site=b") == (503, "site b is drained\n")
    suite.put("k", b"x")
    os.rename(f"{tmp}/B", f"{tmp}/B-away")
    suite.wait_site("b", "down")
    drain(suite, "b", "undrain")
    status, said = text(suite, "/readyz?site=b")
    assert status == 503 and said.startswith("site b is down: ") and said.count("\n") == 1, said
    assert text(suite, "/readyz?site=a&max_lag=0")[0] == 200
    os.rename(f"{tmp}/B-away", f"{tmp}/B")
    suite.wait_clean()
    wait_for("b again", lambda: text(suite, "/readyz?site=b&max_lag=0") == (200, "OK\n"))


def test_readyz_of_a_site_that_lags(tmp, suites, fake):
    """A site that answers but has not got everything: its oldest missing copy says how far behind it is."""
    store = fake()
    suite = suites(tmp, [file_site(f"{tmp}/A", "a"), gfs.s3_site(store, "data", "b", "backup")]).start()
    settle(suite)
    gate = store.gate("received", "PUT", "^k$")
    suite.put("k", b"x" * 1000)
    gate.wait()
    status, said = wait_for("a lag of 300 ms", lambda: (lambda t: t[0] == 503 and t)(text(suite, "/readyz?site=b&max_lag=300ms")))
    assert said.startswith("site b lags ") and said.endswith(" s, more than 300ms\n"), said
    assert text(suite, "/readyz?site=b&max_lag=1h") == (200, "OK\n")
    assert "1 to copy, lags " in text(suite, "/healthz?verbose=1")[1]
    gate.release()
    suite.wait_clean()
    assert text(suite, "/readyz?site=b&max_lag=300ms") == (200, "OK\n")


# ---- G14 to G17, W20: sites at run time ----

def api_body(place, **over):
    """What POST /api/v1/sites wants to know of a place."""
    conf = place.conf
    body = {"name": conf["name"], "role": conf["role"]}
    if "file" in conf:
        body["uri"] = "file://" + conf["file"]["path"]
    else:
        body.update(conf["objectfs"], **conf["credentials"])
    return json.dumps({**body, **over})


def test_G14_site_list(tmp, suites):
    a, b, c = file_site(f"{tmp}/A", "a"), file_site(f"{tmp}/B", "b", "backup"), file_site(f"{tmp}/C", "c", "burst")
    suite = suites(tmp, [a, b, c]).start()
    os.rename(f"{tmp}/B", f"{tmp}/B-away")
    suite.wait_site("b", "down")
    rows = suite.req("GET", "/api/v1/sites").json()
    assert [(r["name"], r["role"], r["state"], r["healthy"]) for r in rows] == [
        ("a", "primary", "up", True), ("b", "backup", "down", False), ("c", "burst", "up", True)]
    assert rows[1]["error"] and "error" not in rows[0] and all(r["circuit_state"] in ("closed", "open", "half-open") for r in rows)
    shown = suite.ctl("site", "list").stdout.decode()
    for row in rows:
        assert row["name"] in shown and row["role"] in shown
    assert rows[1]["error"] in shown


def test_G15_site_add_at_run_time(kind, tmp, suites):  # noqa: F811
    """A backup that is added gets what is written from then on and serves reads, without a restart and after one."""
    a, b = kind("a"), kind("b", "backup")
    if hasattr(b, "path"):
        os.makedirs(b.path, exist_ok=True)
    suite = start_with(suites, tmp, a)
    pids = suite.pids()
    r = suite.req("POST", "/api/v1/sites", api_body(b))
    assert r.status == 201 and (r.json()["name"], r.json()["role"], r.json()["healthy"]) == ("b", "backup", True), r
    suite.wait_site("b", "up")
    assert suite.put("k", b"bytes").status == 201
    suite.wait_clean()
    assert b.look("k") == b"bytes" and suite.pids() == pids
    a.away()
    suite.wait_site("a", "down")
    r = suite.get("k")
    assert r.status == 200 and r.body == b"bytes" and r.headers["X-GlobalFS-Site"] == "b"
    a.back()
    suite.wait_site("a", "up")
    assert suite.stop() == 0
    suite.start()
    suite.wait_site("b", "up")
    assert suite.put("k2", b"more").status == 201
    suite.wait_clean()
    assert b.look("k2") == b"more"


def test_G15_a_primary_joins_under_traffic(tmp, suites):
    """No write fails, not even between the answer to the addition and the moment when the new site is taken into use."""
    a, b = file_site(f"{tmp}/A", "a"), file_site(f"{tmp}/B", "b")
    suite = suites(tmp, [a]).start()
    clients = Traffic(suite)
    clients.wait(30)
    r = suite.req("POST", "/api/v1/sites", json.dumps({"name": "b", "role": "primary", "uri": f"file://{tmp}/B"}))
    assert r.status == 201, r
    clients.wait(60)
    suite.wait_site("b", "up")
    clients.wait(30)
    clients.end()
    suite.wait_clean()
    new = {k: v for k, v in tree(a).items() if k in tree(b)}
    assert tree(b) == new and len(new) > 10


def test_G16_site_add_errors(tmp, suites):
    a = file_site(f"{tmp}/A", "a")
    suite = suites(tmp, [a]).start()
    os.mkdir(f"{tmp}/B")
    good = {"name": "b", "role": "backup", "s3_bucket": "bucket", "s3_region": "us-east-1", "s3_endpoint": "http://127.0.0.1:1",
            "access_key": "x", "secret_key": "y"}

    def add(**over):
        body = {k: v for k, v in {**good, **over}.items() if v is not None}
        return suite.req("POST", "/api/v1/sites", json.dumps(body))
    for status, field, over in (
            (400, "role", {"role": "boss"}), (400, "role", {"role": 7}), (400, "s3_bucket", {"s3_bucket": None}),
            (400, "s3_bucket", {"s3_bucket": 5}), (400, "name", {"name": None}), (400, "name", {"name": "no spaces"}),
            (400, "name", {"name": ["b"]}), (400, "colour", {"colour": "red"}), (400, "tls_verify", {"tls_verify": "yes"}),
            (400, "uri", {"uri": "ftp://x"}), (400, "s3_endpoint", {"s3_endpoint": "nonsense"})):
        r = add(**over)
        assert r.status == status and r.json()["error"].startswith(field), (over, r)
    r = add()
    assert r.status == 502 and "b" in r.json()["error"], r
    for body in (b"", b"[]", b"{", b"nonsense", b'{"name": "b", "name": "c"}', b"\xff"):
        assert suite.req("POST", "/api/v1/sites", body).status == 400, body
    big = json.dumps({**good, "prefix": "x" * (1 << 20)})
    assert suite.req("POST", "/api/v1/sites", big).status == 413
    assert suite.req("POST", "/api/v1/sites", (big[i:i + 50000].encode() for i in range(0, len(big), 50000))).status == 413
    assert [r["name"] for r in suite.req("GET", "/api/v1/sites").json()] == ["a"], "nothing of all that was added"


def test_G16_more_sites_than_are_served(tmp, suites):
    sites = [file_site(f"{tmp}/S{i}", f"s{i}", "primary" if i == 0 else "burst") for i in range(64)]
    suite = suites(tmp, sites, resilience={"health_poll_interval": "5s"}).start()
    assert suite.put("k", b"x").status == 201
    os.mkdir(f"{tmp}/more")
    r = suite.req("POST", "/api/v1/sites", json.dumps({"name": "more", "uri": f"file://{tmp}/more"}))
    assert r.status == 409 and "64" in r.json()["error"], r
    assert len(where(suite, "k")[0]["sites"]) == 64
    suite.wait_clean()
    assert all(gfs.read_site_file(s, "k") == b"x" for s in sites)


def test_G17_site_remove(kind, tmp, suites):  # noqa: F811
    a, b = kind("a"), kind("b", "backup")
    suite = start_with(suites, tmp, a, b)
    suite.put("before", b"x")
    suite.wait_clean()
    r = suite.req("DELETE", "/api/v1/sites/b")
    assert r.status == 204 and r.body == b""
    assert suite.req("DELETE", "/api/v1/sites/b").status == 404
    assert suite.req("DELETE", "/api/v1/sites/").status == 400
    assert [r["name"] for r in suite.req("GET", "/api/v1/sites").json()] == ["a"]
    assert suite.put("after", b"y").status == 201
    suite.wait_clean()
    assert b.look("after") is None and b.look("before") == b"x", "its objects stay, traffic does not reach it"
    assert suite.get("before").headers["X-GlobalFS-Site"] == "a"
    assert suite.stop() == 0
    suite.conf["sites"] = [a.conf]
    suite.start()
    assert [r["name"] for r in suite.req("GET", "/api/v1/sites").json()] == ["a"]


def test_W20_a_name_and_a_place_only_once(tmp, suites):
    suite = suites(tmp, [file_site(f"{tmp}/A", "a"), file_site(f"{tmp}/B", "b", "backup")]).start()
    os.mkdir(f"{tmp}/C")

    def add(name, path):
        return suite.req("POST", "/api/v1/sites", json.dumps({"name": name, "role": "backup", "uri": f"file://{path}"}))
    assert add("b", f"{tmp}/C").status == 409
    assert add("c", f"{tmp}/B").status == 409
    # Many at once: one of them gets the name.
    answers = []
    threads = [threading.Thread(target=lambda: answers.append(add("c", f"{tmp}/C").status)) for _ in range(8)]
    for t in threads:
        t.start()
    for t in threads:
        t.join()
    assert sorted(answers) == [201] + [409] * 7, answers
    assert [r["name"] for r in suite.req("GET", "/api/v1/sites").json()] == ["a", "b", "c"]
    assert suite.req("DELETE", "/api/v1/sites/c").status == 204
    suite.put("k", b"x")
    suite.wait_clean()
    assert not os.path.exists(f"{tmp}/C/k"), "nothing is left that writes there"


# ---- G31 to G37, W3, W5, W26: policy ----

def rule(name, pattern=None, **more):
    return {"name": name, **({"key_pattern": pattern} if pattern is not None else {}), **more}


BURST, PRIMARY = {"target_roles": ["burst"]}, {"target_roles": ["primary"]}


def held_by(suite, key, *places):
    """Names of the places that have the key once all copies are made."""
    suite.wait_clean()
    return [p.name for p in places if p.look(key) is not None]


class Place:
    def __init__(self, tmp, name, role="primary"):
        self.name, self.conf = name, file_site(f"{tmp}/{name}", name, role)

    def look(self, key):
        return gfs.read_site_file(self.conf, key)


@pytest.fixture
def three(tmp, suites):
    """A suite of a primary, a backup and a burst site under the given rules, and put(key): where that key went."""
    places = [Place(tmp, "a"), Place(tmp, "b", "backup"), Place(tmp, "c", "burst")]

    def make(*rules):
        suite = suites(tmp, [p.conf for p in places], policy={"rules": list(rules)}).start()

        def put(key):
            r = suite.put(key, b"x")
            assert r.status == 201, r
            return held_by(suite, key, *places)
        return suite, put
    return make


def test_G31_promotion_of_the_first_site(kind, tmp, suites):  # noqa: F811
    """A rule that writes to burst sites only: one of them has it before the answer, the other afterwards."""
    a, b, c = kind("a"), kind("b", "burst"), kind("c", "burst")
    suite = start_with(suites, tmp, a, b, c, policy={"rules": [rule("out", "out/", operations=["write"], **BURST)]})
    for i in range(5):
        data = os.urandom(1000)
        assert suite.put(f"out/{i}", data).status == 201
        assert b.look(f"out/{i}") == data, "there at the answer"
    suite.wait_clean()
    assert all(c.look(f"out/{i}") is not None and a.look(f"out/{i}") is None for i in range(5))
    assert suite.get("out/0").status == 200


def test_G32_policy_exact_key(three):
    _, put = three(rule("one", "only/this", **BURST))
    assert put("only/this") == ["c"] and put("only/this2") == put("only/thi") == put("x/only/this") == ["a", "b", "c"]


def test_G33_policy_glob(three):
    _, put = three(rule("stars", "a/*", **BURST), rule("question", "q/?.txt", **BURST), rule("class", "k/[a-c]*", **BURST),
                   rule("any", "deep/**/*.bam", **BURST), rule("literally", "s/\\*", **BURST))
    everywhere = ["a", "b", "c"]
    assert put("a/x") == ["c"] and put("a/b/x") == everywhere
    assert put("q/1.txt") == ["c"] and put("q/12.txt") == everywhere
    assert put("k/b1") == ["c"] and put("k/d1") == everywhere
    assert put("deep/1/2/s.bam") == put("deep/1/s.bam") == ["c"] and put("deep/s.bam") == put("deep/1/s.bai") == everywhere
    assert put("s/*") == ["c"] and put("s/x") == everywhere


def test_G34_policy_recursive_prefix(three):
    _, put = three(rule("below", "a/", **BURST), rule("brackets", "[x]/", **BURST))
    assert put("a/b/x") == put("a/y") == put("[x]/1") == ["c"] and put("ab") == put("x/1") == ["a", "b", "c"]


def test_G35_policy_by_operation(three):
    """Written to the primary alone, read from the burst site alone."""
    suite, put = three(rule("w", "d/", operations=["write"], **PRIMARY), rule("r", "d/", operations=["read"], **BURST))
    assert put("d/k") == ["a"]
    r = suite.get("d/k")
    assert r.status in (404, 503), "reads may only go to the site that never got it"
    r = suite.req("POST", "/api/v1/replicate", json.dumps({"key": "d/k", "from": "a", "to": "c"}))
    assert r.status == 202
    suite.wait_clean()
    assert suite.get("d/k").headers["X-GlobalFS-Site"] == "c"
    assert where(suite, "d/k")[1]["a"]["why"] == "rule r sends reads to burst sites only"
    assert suite.put("e/k", b"x").status == 201 and suite.get("e/k").headers["X-GlobalFS-Site"] == "a"


def test_G36_policy_priority_and_ties(three):
    _, put = three(rule("second", "p/", priority=2, **PRIMARY), rule("first", "p/x*", priority=1, **BURST),
                   rule("tie1", "t/x", priority=5, **BURST), rule("tie2", "t/", priority=5, **PRIMARY),
                   rule("negative", "p/y", priority=-1, target_roles=["backup"]))
    assert put("p/x1") == ["c"] and put("p/z") == ["a"] and put("t/x") == ["c"] and put("t/y") == ["a"] and put("p/y") == ["b"]


def refused(suite):
    """Starts it in vain: what it said."""
    os.makedirs(suite.top)
    suite.write_conf()
    r = subprocess.run([gfs.ROUTERD, "-f", "-c", suite.conf_path], capture_output=True, timeout=20)
    assert r.returncode == 1, r
    said = r.stderr.decode()
    v = subprocess.run([gfs.GFSCTL, "config", "validate", suite.conf_path], capture_output=True, timeout=20)
    assert v.returncode == 1 and said.replace("routerd: ", "").startswith(v.stderr.decode().replace("gfsctl: ", "")), (v, said)
    return said


def test_G37_policy_error(tmp, suites):
    """A file that is wrong in its policy does not start, says where and exits 1, and `config validate` says the same."""
    sites = [file_site(f"{tmp}/A", "a"), file_site(f"{tmp}/B", "b", "backup")]
    for what, bad in (("target_roles: unknown role 'boss'", rule("x", "k", target_roles=["boss"])),
                      ("operations: unknown operation 'reed'", rule("x", "k", operations=["reed"])),
                      ("target_sites: there is no site 'z'", rule("x", "k", target_sites=["z"])),
                      ("key_pattern: has a [ without its ]", rule("x", "[a")),
                      ("key_pattern: key has a segment", rule("x", "a/../*"))):
        suite = suites(tmp, sites, policy={"rules": [bad]})
        said = refused(suite)
        assert what in said and "globalfs.yaml:" in said, said
    suite = suites(tmp, sites, policy={"rules": [rule("all", ""), rule("late", "k/")]})
    assert "policy.rules[1]: can never match: rule 'all'" in refused(suite)


def test_W3_the_daemon_validates_its_configuration(tmp, suites):
    for what, sites in (("is the name of sites[0] already", [file_site(f"{tmp}/A", "a"), file_site(f"{tmp}/B", "a")]),
                        ("is the same place as sites[0]", [file_site(f"{tmp}/A", "a"), file_site(f"{tmp}/A", "b")]),
                        ("role", [{**file_site(f"{tmp}/A", "a"), "role": ""}]),
                        ("at least one site must have the role primary", [file_site(f"{tmp}/A", "a", "backup")]),
                        ("at most 64", [file_site(f"{tmp}/S{i}", f"s{i}") for i in range(65)])):
        assert what in refused(suites(tmp, sites)), what


def test_W5_no_silent_success(tmp, suites):
    """A write that no site may take is an error, whoever asks, and nothing is stored."""
    a = file_site(f"{tmp}/A", "a")
    suite = suites(tmp, [a], policy={"rules": [rule("nowhere", "x/", **BURST)]}).start()
    v = suite.ctl("config", "validate", suite.conf_path)
    assert b"warning" in v.stderr and b"policy.rules[0].target_roles: no site has such a role yet" in v.stderr
    for r in (suite.put("x/k", b"bytes"), suite.delete("x/k")):
        assert r.status == 503 and "rule nowhere routes it to no site" in r.json()["error"], r
    assert suite.get("x/k").status in (404, 503) and not os.path.exists(f"{tmp}/A/x")
    assert suite.ctl("object", "put", "x/k", stdin=b"x", check=False).returncode == 1
    assert suite.put("y/k", b"bytes").status == 201
    # The site that the rule waits for may come at run time.
    os.mkdir(f"{tmp}/C")
    assert suite.req("POST", "/api/v1/sites", json.dumps({"name": "c", "role": "burst", "uri": f"file://{tmp}/C"})).status == 201
    wait_for("c in use", lambda: suite.put("x/k", b"bytes").status == 201)
    assert suite.get("x/k").body == b"bytes"
    # And with no sites at all.
    for name in ("c", "a"):
        assert suite.req("DELETE", f"/api/v1/sites/{name}").status == 204
    for r in (suite.put("y/k", b"bytes"), suite.delete("y/k")):
        assert r.status == 503 and r.json()["error"] == "there are no sites", r


def test_W26_a_rule_that_writes_elsewhere_is_read_in_the_default_order(tmp, suites):
    """Written to the burst site, read without a rule: the primary's 404 is not the last word, and nobody holds it against the primary."""
    a, c = file_site(f"{tmp}/A", "a"), file_site(f"{tmp}/C", "c", "burst")
    suite = suites(tmp, [a, c], policy={"rules": [rule("out", "out/", operations=["write"], **BURST)]},
                   resilience={"health_poll_interval": "1s", "circuit_breaker": {"enabled": True, "threshold": 2}}).start()
    data = os.urandom(5000)
    assert suite.put("out/k", data).status == 201
    for _ in range(20):
        r = suite.get("out/k")
        assert r.status == 200 and r.body == data and r.headers["X-GlobalFS-Site"] == "c"
        assert suite.head("out/k").status == 200
    assert site_row(suite, "a")["circuit_state"] == "closed" and site_row(suite, "a")["healthy"]
    assert [o["key"] for o in suite.list("out/").json()["objects"]] == ["out/k"]
    w, s = where(suite, "out/k")
    assert w["read"] == {"site": "c", "why": "second: burst, up, current; passed over a: has it not"} and s["a"]["current"] is None


# ---- G40: manual replication ----

def test_G40_manual_replicate(kind, tmp, suites):  # noqa: F811
    a, b = kind("a"), kind("b", "burst")
    suite = start_with(suites, tmp, a, b, policy={"rules": [rule("kept", "kept/", **PRIMARY)]})
    data = os.urandom(70000)
    assert suite.put("kept/k", data).status == 201
    suite.wait_clean()
    assert b.look("kept/k") is None

    def ask(**body):
        return suite.req("POST", "/api/v1/replicate", json.dumps(body))
    r = ask(key="kept/k", **{"from": "a", "to": "b"})
    assert r.status == 202 and r.json() == {"status": "accepted", "key": "kept/k", "from": "a", "to": "b"}, r
    suite.wait_clean()
    assert b.look("kept/k") == data
    for field, body in (("from", {"key": "k", "from": "z", "to": "b"}), ("to", {"key": "k", "from": "a", "to": "z"}),
                        ("key", {"from": "a", "to": "b"}), ("from", {"key": "k", "to": "b"}), ("to", {"key": "k", "from": "a"}),
                        ("size", {"key": "k", "from": "a", "to": "b", "size": 1}), ("key", {"key": 7, "from": "a", "to": "b"}),
                        ("from and to", {"key": "k", "from": "a", "to": "a"})):
        r = ask(**body)
        assert r.status == 400 and r.json()["error"].startswith(field), (body, r)
    assert ask(key="a/../b", **{"from": "a", "to": "b"}).status == 400
    r = ask(key="none", **{"from": "a", "to": "b"})
    assert r.status == 404 and r.json()["error"], r
    big = json.dumps({"key": "x" * (1 << 20), "from": "a", "to": "b"})
    assert suite.req("POST", "/api/v1/replicate", big).status == 413
    assert suite.ctl("replicate", "--key", "kept/k", "--from", "a", "--to", "b").returncode == 0
