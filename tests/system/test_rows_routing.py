# SPDX-License-Identifier: Apache-2.0
"""Policy, administrative state, explanation and the health endpoints, seen from outside. Tests are named by the rows of the older
system's contract (G: what it promises, W: what it gets wrong)."""
import json
import os
import threading
import time

import pytest

import gfs
from gfs import file_site, md5, read_site_file, s3_site, wait_for


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


def test_drained_site_serves_when_nobody_else_can(tmp, suites):
    a, b = file_site(f"{tmp}/A", "a"), file_site(f"{tmp}/B", "b", "backup")
    suite = suites(tmp, [a, b]).start()
    suite.put("k", b"old")
    suite.wait_clean()
    drain(suite, "a")
    assert suite.get("k").headers["X-GlobalFS-Site"] == "b"
    r = suite.put("k", b"new")
    assert r.status == 503 and r.json() == {"error": "every site that could take it at once is drained: a"}
    assert suite.delete("k").status == 503 and "drained: a" in suite.delete("k").json()["error"]
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
