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
