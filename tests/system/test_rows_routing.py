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
