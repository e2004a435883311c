# SPDX-License-Identifier: Apache-2.0
"""Lists: rows G21 to G23 and W17, and W9 as far as lists go; groups against a model."""
import concurrent.futures
import os
import random
import re
import time

import pytest

import gfs
from gfs import file_site, md5, s3_site, wait_for
from places import kind  # noqa: F401


def keys_of(answer):
    return [o["key"] for o in answer.json()["objects"]]


def sorted_keys(keys):
    return sorted(keys, key=str.encode)


def put_all(suite, objects):
    with concurrent.futures.ThreadPoolExecutor(16) as pool:
        for status in pool.map(lambda kv: suite.put(*kv).status, objects.items()):
            assert status == 201


# ---- G21, G22, G23 ----

def test_G21_object_list_with_prefix(kind, tmp, suites):
    a, b = kind("a"), kind("b", "burst")
    suite = suites(tmp, [a.conf, b.conf]).start()
    a.plant("p/dup", b"of a")
    b.plant("p/dup", b"of b, longer")
    a.plant("p/only-a", b"1")
    b.plant("p/only-b", b"22")
    b.plant("p/z/deep", b"333")
    b.plant("q/not-asked-for", b"")
    suite.put("p/both", b"4444")
    suite.wait_clean()
    r = suite.list("p/")
    assert r.status == 200 and "X-GlobalFS-Partial" not in r.headers
    j = r.json()
    assert [(o["key"], o["size"]) for o in j["objects"]] == [("p/both", 4), ("p/dup", 4), ("p/only-a", 1), ("p/only-b", 2), ("p/z/deep", 3)]
    assert j["prefix"] == "p/" and j["count"] == 5 and j["truncated"] is False and set(j) == {"prefix", "objects", "count", "truncated"}
    assert j["objects"][0]["etag"] == md5(b"4444") and re.fullmatch(r"\d{4}-\d\d-\d\dT\d\d:\d\d:\d\dZ", j["objects"][0]["last_modified"])
    assert keys_of(suite.list("q/")) == ["q/not-asked-for"] and keys_of(suite.list("nothing/")) == []


def test_G21_the_current_copy_wins_over_the_nearer_site(fake, tmp, suites):
    """The first site of the order still has the old version, and answers."""
    store = fake()
    suite = suites(tmp, [s3_site(store, "data", "near"), file_site(f"{tmp}/far", "far")], routing={"write_min": 1}).start()
    assert suite.put("k", b"old").status == 201
    suite.wait_clean()
    store.fault("503", method="PUT", key="k", times=10000)
    assert suite.put("k", b"newer").status == 201
    o, = suite.list().json()["objects"]
    assert store.get("data", "k")[0] == b"old" and (o["size"], o["etag"]) == (5, md5(b"newer"))
    # Groups and pages ask the same.
    assert suite.list(limit=1).json()["objects"] == [o]


def test_G22_list_limit(kind, tmp, suites):
    a, b = kind("a"), kind("b", "burst")
    suite = suites(tmp, [a.conf, b.conf]).start()
    for i in range(10):
        (a if i % 3 else b).plant(f"k{i}", b"x" * i)
    keys = [f"k{i}" for i in range(10)]
    for limit in (1, 3, 9):
        got, after = [], ""
        while True:
            j = suite.list(limit=limit, start_after=after).json()
            got += [o["key"] for o in j["objects"]]
            assert j["count"] == len(j["objects"]) <= limit and j["truncated"] == ("next_start_after" in j)
            if not j["truncated"]:
                break
            after = j["next_start_after"]
        assert got == keys
    assert keys_of(suite.list(limit=10)) == keys_of(suite.list(limit=0)) == keys and not suite.list(limit=10).json()["truncated"]
    for query, name in (("limit=-1", "limit"), ("limit=ten", "limit"), ("limit=1.5", "limit"), ("limit=", "limit"), ("limt=3", "limt"),
                        ("strict=maybe", "strict"), ("limit=1&limit=2", "limit"), ("delimiter=%FF", "delimiter")):
        r = suite.req("GET", "/api/v1/objects?" + query)
        assert r.status == 400 and r.json()["error"].startswith(name + ":"), (query, r)


def test_G23_partial_list(kind, tmp, suites):
    a, b, c = kind("a"), kind("b"), kind("c", "burst")
    suite = suites(tmp, [a.conf, b.conf, c.conf]).start()
    suite.put("everywhere", b"1")
    suite.wait_clean()
    c.plant("only-c", b"1")
    a.plant("only-a", b"1")
    assert keys_of(suite.list(strict=1)) == ["everywhere", "only-a", "only-c"]
    c.away()
    for state in ("at once", "known to healthd"):
        r = suite.list()
        assert r.status == 207 and r.headers["X-GlobalFS-Partial"] == 'true; sites="c"', state
        j = r.json()
        assert keys_of(r) == ["everywhere", "only-a"] and j["partial"] == ["c"] and j["partial_reasons"]["c"]
        r = suite.list(strict=1)
        assert r.status == 503 and "c (" in r.json()["error"] and "Retry-After" in r.headers
        suite.wait_site("c", "down")
    b.away()
    suite.wait_site("b", "down")
    assert suite.list().headers["X-GlobalFS-Partial"] == 'true; sites="b,c"'
    a.away()
    r = suite.list()
    assert r.status in (503, 504) and all(f"{n} (" in r.json()["error"] for n in "abc")
    for p in (a, b, c):
        p.back()
    wait_for("a whole list", lambda: suite.list(strict=1).status == 200)


def test_G23_a_silent_site_is_named(fake, tmp, suites):
    store = fake()
    suite = suites(tmp, [file_site(f"{tmp}/a", "a"), s3_site(store, "data", "slow", "burst")], routing={"read_deadline": "1s"}).start()
    suite.put("k", b"1")
    suite.wait_clean()
    store.fault("hang", method="GET", times=10000)
    began = time.monotonic()
    r = suite.list()
    assert r.status == 207 and r.headers["X-GlobalFS-Partial"] == 'true; sites="slow"' and keys_of(r) == ["k"]
    assert 0.5 < time.monotonic() - began < 5
    assert suite.list(strict=1).status in (503, 504)


# ---- W17: pagination, order, all of it ----

def test_W17_lists_are_whole_and_in_order(kind, tmp, suites):
    """More keys than a page of S3, put at two sites in parallel; some only at one."""
    a, b = kind("a"), kind("b", "burst")
    suite = suites(tmp, [a.conf, b.conf], replication={"in_doubt": "2s", "retry_initial": "100ms", "retry_max": "1s"}).start()
    put_all(suite, {f"w/{i % 7}/{i:04d}": b"x" * (i % 5) for i in range(1200)})
    for i in range(30):
        b.plant(f"w/{i % 7}/{i:04d}-b", b"")
    want = sorted_keys([f"w/{i % 7}/{i:04d}" for i in range(1200)] + [f"w/{i % 7}/{i:04d}-b" for i in range(30)])
    assert keys_of(suite.list("w/")) == want
    got, after = [], ""
    while True:
        j = suite.list("w/", limit=400, start_after=after).json()
        got += [o["key"] for o in j["objects"]]
        if not j["truncated"]:
            break
        after = j["next_start_after"]
    assert got == want
    j = suite.list("w/", delimiter="/").json()
    assert j["common_prefixes"] == [f"w/{i}/" for i in range(7)] and j["objects"] == [] and j["count"] == 7
    suite.wait_clean()
    assert keys_of(suite.list("w/")) == want


def test_W17_memory_does_not_grow_with_the_list(tmp, suites):
    sites = [file_site(f"{tmp}/a", "a"), file_site(f"{tmp}/b", "b")]
    for s in ("a", "b"):
        for d in range(60):
            os.makedirs(f"{tmp}/{s}/d{d:02d}")
            for i in range(1000):
                os.close(os.open(f"{tmp}/{s}/d{d:02d}/{i:04d}", os.O_CREAT | os.O_WRONLY))
    suite = suites(tmp, sites, coordinator={"workers": 1}).start()
    worker, = suite.pids()["routerd"]

    def peak():
        with open(f"/proc/{worker}/status") as f:
            return int(re.search(r"VmHWM:\s+(\d+)", f.read()).group(1))

    assert suite.list(limit=5000).json()["count"] == 5000
    before = peak()
    j = suite.list().json()
    assert j["count"] == 60000 and [o["key"] for o in j["objects"]] == [f"d{d:02d}/{i:04d}" for d in range(60) for i in range(1000)]
    assert peak() - before < 8 << 10 or gfs.SANITIZED, "KiB more than for 5,000 keys"


# ---- W9: what is deleted never shows ----

def test_W9_deleted_keys_never_show_in_lists(kind, tmp, suites):
    a, b = kind("a"), kind("b", "burst")
    suite = suites(tmp, [a.conf, b.conf]).start()
    put_all(suite, {f"gone/{i:03d}": b"x" for i in range(150)} | {"kept/1": b"x", "mixed/0": b"x", "mixed/1": b"x"})
    suite.wait_clean()
    b.away()
    dead = [f"gone/{i:03d}" for i in range(150)] + ["mixed/0"]
    with concurrent.futures.ThreadPoolExecutor(16) as pool:
        assert set(pool.map(lambda k: suite.delete(k).status, dead)) == {204}

    def check(delimited):
        if delimited:
            r = suite.list(delimiter="/", limit=2)
            assert r.json()["common_prefixes"] == ["kept/", "mixed/"] and not r.json()["truncated"], r
        else:
            r = suite.list(limit=2)
            assert keys_of(r) == ["kept/1", "mixed/1"] and not r.json()["truncated"], r
        assert "unverified" not in r.json()

    assert b.look("gone/000") == b"x"
    check(False)
    check(True)
    b.back()  # it still has all of them, and loses them one by one while we look
    seen_lagging = False

    def settled():
        nonlocal seen_lagging
        check(False)
        check(True)
        seen_lagging = seen_lagging or b.look("gone/149") is not None or b.look("gone/000") is not None
        return suite.daemon("repl")["queue_depth"] == 0
    wait_for("the deletes to reach the site", settled, 30)
    assert seen_lagging
    for _ in range(5):
        check(False)
        check(True)


# ---- groups, against a model ----

class Model:
    def __init__(self, keys):
        self.keys = keys

    def items(self, prefix, delimiter, after):
        """What comes behind after: keys, and beginnings up to the delimiter. A group in which after lies was told before it."""
        out = {}
        for k in self.keys:
            if not k.startswith(prefix):
                continue
            i = k.find(delimiter, len(prefix)) if delimiter else -1
            name = k if i < 0 else k[:i + len(delimiter)]
            if name.encode() > after.encode() and not (i >= 0 and after.startswith(name)):
                out[name] = i >= 0
        return [(k, out[k]) for k in sorted_keys(out)]


def check_model(suite, model, rng, rounds):
    for _ in range(rounds):
        some = rng.choice(model.keys)
        prefix = some[:rng.randrange(len(some))] if rng.random() < 0.5 else ""
        delimiter = rng.choice(["/", "/", "/", "-", "a", "b/", "é", "ab", ""])
        after = "" if rng.random() < 0.5 else rng.choice(model.keys)[:rng.randrange(1, 6)]
        limit = rng.choice([0, 1, 2, 5])
        want = model.items(prefix, delimiter, after)
        r = suite.list(prefix, delimiter=delimiter, start_after=after, limit=limit)
        j = r.json()
        said = f"prefix={prefix!r} delimiter={delimiter!r} after={after!r} limit={limit}: {j}"
        assert r.status == 200 and "unverified" not in j, said
        n = limit or len(want)
        assert keys_of(r) == [k for k, group in want[:n] if not group], said
        assert j.get("common_prefixes", []) == [k for k, group in want[:n] if group], said
        assert j["truncated"] == (len(want) > n) and j["count"] == len(want[:n]), said
        if j["truncated"]:
            assert j["next_start_after"] == want[n - 1][0], said
            assert suite.list(prefix, delimiter=delimiter, start_after=j["next_start_after"], limit=1).json()["count"] == 1


@pytest.mark.parametrize("where", ["files", "fake", "mixed", "s3"])
def test_groups_are_those_of_the_model(where, tmp, suites, fake, bucket, request):
    rng = random.Random(f"groups {where}")
    if where == "s3":
        stores = request.getfixturevalue("stores")
        for s in stores:
            s.make_bucket(bucket)
    else:
        stores, bucket = [fake(), fake()] if where != "files" else [], "data"
    a = s3_site(stores[0], bucket, "a") if where in ("fake", "s3") else file_site(f"{tmp}/a", "a")
    b = s3_site(stores[1], bucket, "b", "burst") if stores else file_site(f"{tmp}/b", "b", "burst")
    suite = suites(tmp, [a, b]).start()
    keys = set()
    while len(keys) < 120:
        key = "".join(rng.choice("ab-/é") for _ in range(rng.randrange(1, 9)))
        if not any(s in (".", "..") for s in key.split("/")):
            keys.add(key)
    keys = sorted_keys(keys)
    put_all(suite, {k: k.encode() for k in keys})
    check_model(suite, Model(keys), rng, 40)  # much of it still dirty
    suite.wait_clean()
    rng.shuffle(keys)
    with concurrent.futures.ThreadPoolExecutor(8) as pool:
        assert set(pool.map(lambda k: suite.delete(k).status, keys[60:])) == {204}
    keys = sorted_keys(keys[:60])
    check_model(suite, Model(keys), rng, 40)  # among tombstones
