# SPDX-License-Identifier: Apache-2.0
"""Reads that do not notice a failing site: fall-back, retry, take-over in mid-body, hedges. Tests are named by the rows of the older
system's contract where there is one (G: what it promises, W: what it gets wrong)."""
import hashlib
import http.client
import os
import random
import re
import shutil
import socket
import threading
import time

import pytest

import gfs
from gfs import file_site, md5, multipart_etag, read_site_file, s3_site, wait_for
from places import kind  # noqa: F401

MiB = 1 << 20
RETRY = {"enabled": True, "max_attempts": 3, "initial_delay": "10ms", "max_delay": "50ms", "multiplier": 2}


def raw_get(suite, key, **headers):
    """GET on a connection of its own: (status, headers, the bytes that came before the end, whether all came)."""
    c = suite.connect()
    c.request("GET", suite.url(key), headers={k.replace("_", "-"): v for k, v in headers.items()})
    r = c.getresponse()
    try:
        return r.status, r.headers, r.read(), True
    except http.client.IncompleteRead as e:
        return r.status, r.headers, e.partial, False
    finally:
        c.close()


def two_fakes(tmp, suites, fake, roles=("primary", "primary"), **conf):
    """Two stores behind one suite."""
    stores = [fake(), fake()]
    sites = [s3_site(s, "data", n, r) for s, n, r in zip(stores, ("a", "b"), roles)]
    for s in sites:
        s["timeouts"] = {"stall": "400ms", "first_byte": "2s", "connect": "1s"}
    return suites(tmp, sites, **conf).start(), *stores


def access_line(suite, request_id):
    return wait_for("the access log line", lambda: next(
        (l for l in suite.log_text().splitlines() if f"request_id={request_id} " in l and "event=request" in l), None))


# ---- order and fall-back ----

def test_G27_default_read_order(kind, tmp, suites):
    """Primary, then backup, then burst, whatever their order in the file."""
    burst, backup, primary = kind("u", "burst"), kind("b", "backup"), kind("p", "primary")
    suite = suites(tmp, [burst.conf, backup.conf, primary.conf]).start()
    assert suite.put("k", b"data").status == 201
    suite.wait_clean()
    for gone, left in (None, "p"), (primary, "b"), (backup, "u"):
        if gone:
            gone.away()
            suite.wait_site(gone.name, "down")
        r = suite.get("k")
        assert (r.status, r.body, r.headers["X-GlobalFS-Site"]) == (200, b"data", left)
    for p in (primary, backup):
        p.back()
    wait_for("the primary to be read again", lambda: suite.get("k").headers["X-GlobalFS-Site"] == "p")


def test_G28_read_failover(kind, tmp, suites):
    """The primary goes away: GET and HEAD go on without an error, at once and after it was found down."""
    a, b = kind("a"), kind("b", "backup")
    suite = suites(tmp, [a.conf, b.conf]).start()
    assert suite.put("k", b"data").status == 201
    suite.wait_clean()
    a.away()
    for _ in range(3):
        r = suite.get("k")
        assert (r.status, r.body) == (200, b"data")
        assert suite.head("k").status == 200
    suite.wait_site("a", "down")
    r = suite.get("k")
    assert (r.body, r.headers["X-GlobalFS-Site"]) == (b"data", "b")
    a.back()
    suite.wait_site("a", "up")
    wait_for("the primary to be read again", lambda: suite.get("k").headers["X-GlobalFS-Site"] == "a")


@pytest.mark.parametrize("fault", ["refuse", "503", "500", "cut:0", "cut:3", "hang"])
def test_a_reader_does_not_notice_how_a_site_fails(tmp, suites, fake, fault):
    suite, a, b = two_fakes(tmp, suites, fake)
    assert suite.put("k", b"data").status == 201
    a.fault(fault, method="GET", key="k", times=0)
    assert raw_get(suite, "k")[2:] == (b"data", True)
    a.fault(fault, method="HEAD", key="k", times=0)
    assert suite.head("k").headers["Content-Length"] == "4"


def test_fall_back_on_404_to_the_site_that_has_it(kind, tmp, suites):
    """W26: a rule that writes to the burst site only, and the default order of reads, which meets others first."""
    a, u = kind("a"), kind("u", "burst")
    rules = [{"name": "scratch", "key_pattern": "scratch/", "operations": ["write", "delete"], "target_roles": ["burst"]}]
    suite = suites(tmp, [a.conf, u.conf], policy={"rules": rules}).start()
    assert suite.put("scratch/k", b"data").status == 201
    for _ in range(3):
        r = suite.get("scratch/k")
        assert (r.status, r.body, r.headers["X-GlobalFS-Site"]) == (200, b"data", "u")
    assert a.look("scratch/k") is None
    row = next(s for s in suite.req("GET", "/api/v1/sites").json() if s["name"] == "a")
    assert row["state"] == "up"


# ---- 404 is an answer ----

def test_W4_a_missing_object_is_404_not_an_outage(kind, tmp, suites):
    a, b = kind("a"), kind("b", "backup")
    suite = suites(tmp, [a.conf, b.conf], resilience={"retry": dict(RETRY, initial_delay="30s", max_delay="30s")}).start()
    began = time.monotonic()
    for r in suite.get("no/such"), suite.head("no/such"):
        assert r.status == 404 and "Retry-After" not in r.headers
    assert time.monotonic() - began < 10  # an answer is not tried again
    assert "error" in suite.get("no/such").json()
    a.away(), b.away()
    r = suite.get("no/such")
    assert r.status in (503, 504) and "Retry-After" in r.headers
    a.back(), b.back()


def test_W4_absent_keys_cost_one_question_each_and_do_a_site_no_harm(tmp, suites, fake):
    breaker = {"enabled": True, "threshold": 2, "cooldown": "30s"}
    suite, a, b = two_fakes(tmp, suites, fake, resilience={"retry": RETRY, "circuit_breaker": breaker})
    for i in range(20):
        assert suite.get(f"absent{i}").status == 404
        assert (a.count("GET", f"absent{i}"), b.count("GET", f"absent{i}")) == (1, 1)
    for row in suite.req("GET", "/api/v1/sites").json():
        assert (row["state"], row["circuit_state"]) == ("up", "closed")
    assert suite.put("k", b"x").status == 201 and suite.get("k").headers["X-GlobalFS-Site"] == "a"


# ---- retry ----

def test_G48_read_retry_with_backoff(tmp, suites, fake):
    """A store that fails once: 200 with retry on, an error with retry off."""
    store = fake()
    for n, (enabled, status, asked) in enumerate(((True, 200, 2), (False, 503, 1))):
        suite = suites(f"{tmp}/{n}", [s3_site(store, "data", "a")], resilience={"retry": dict(RETRY, enabled=enabled)}).start()
        assert suite.put(f"k{n}", b"data").status == 201
        for method in "GET", "HEAD":
            store.fault("503", method=method, key=f"k{n}")
            r = suite.req(method, suite.url(f"k{n}"))
            assert r.status == status, r
            assert store.count(method, f"k{n}") == asked
        assert suite.stop() == 0
        store.buckets["data"].clear()


def test_G48_as_many_attempts_as_configured(tmp, suites, fake):
    store = fake()
    suite = suites(tmp, [s3_site(store, "data", "a")], resilience={"retry": RETRY}).start()
    assert suite.put("k", b"data").status == 201
    store.fault("500", method="GET", key="k", times=0)
    r = suite.get("k")
    assert r.status == 503 and "Retry-After" in r.headers and "a (" in r.json()["error"]
    assert store.count("GET", "k") == 3


def test_G49_writes_fail_fast(kind, tmp, suites):
    """A primary is away: PUT and DELETE fail at once and name it; retries, which are on, do not hold them up."""
    a, b = kind("a"), kind("b")
    suite = suites(tmp, [a.conf, b.conf], resilience={"retry": dict(RETRY, initial_delay="30s", max_delay="30s")}).start()
    assert suite.put("k", b"old").status == 201
    b.away()
    began = time.monotonic()
    for r in suite.put("k", b"new"), suite.delete("k"):
        assert r.status >= 500 and "b" in r.json()["error"], r
    assert time.monotonic() - began < 10
    b.back()


def test_G49_a_write_is_sent_once(tmp, suites, fake):
    suite, a, b = two_fakes(tmp, suites, fake, resilience={"retry": RETRY})
    a.fault("503", method="PUT", key="k", times=0)
    assert suite.put("k", b"data").status >= 500
    assert a.count("PUT", "k") == 1


def test_W28_no_delay_is_longer_than_max_delay(tmp, suites, fake):
    store, seen = fake(), []
    retry = {"enabled": True, "max_attempts": 6, "initial_delay": "150ms", "max_delay": "150ms", "multiplier": 1000}
    suite = suites(tmp, [s3_site(store, "data", "a")], resilience={"retry": retry}).start()
    assert suite.put("k", b"data").status == 201
    store.fault("500", method="GET", key="k", times=0)

    class Log(list):
        def append(self, row):
            if row[0] == "GET" and row[2] == "k":
                seen.append(time.monotonic())
            super().append(row)
    store.log = Log(store.log)
    assert suite.get("k").status == 503
    gaps = [b - a for a, b in zip(seen, seen[1:])]
    assert len(seen) == 6 and max(gaps) < 1, gaps
    # the first delay is no exception: a longer one is refused
    suite.conf["resilience"]["retry"]["initial_delay"] = "10s"
    suite.write_conf()
    r = suite.ctl("config", "validate", suite.conf_path, check=False)
    assert r.returncode == 1 and b"resilience.retry.initial_delay" in r.stderr


def test_W28_delays_are_by_chance(tmp, suites, fake):
    """Full jitter: clients that failed together do not come back together."""
    store = fake()
    retry = {"enabled": True, "max_attempts": 2, "initial_delay": "400ms", "max_delay": "400ms", "multiplier": 2}
    suite = suites(tmp, [s3_site(store, "data", "a")], resilience={"retry": retry}).start()
    for i in range(16):
        assert suite.put(f"k{i}", b"data").status == 201
        store.fault("500", method="GET", key=f"k{i}")
    took = [0.0] * 16

    def read(i):
        began = time.monotonic()
        assert suite.get(f"k{i}").status == 200
        took[i] = time.monotonic() - began
    threads = [threading.Thread(target=read, args=(i,)) for i in range(16)]
    [t.start() for t in threads]
    [t.join() for t in threads]
    assert max(took) - min(took) > 0.1, took  # 16 equal draws from 0 to 400 ms: less than that once in a million million


def test_retry_after_of_a_store_is_respected(tmp, suites, fake):
    store = fake()
    suite = suites(tmp, [s3_site(store, "data", "a")], resilience={"retry": RETRY}, routing={"read_deadline": "5s"}).start()
    assert suite.put("k", b"data").status == 201
    store.fault("503:1", method="GET", key="k")
    began = time.monotonic()
    assert suite.get("k").status == 200
    assert time.monotonic() - began >= 0.99
    store.fault("429:17", method="GET", key="k")
    began = time.monotonic()
    r = suite.get("k")
    assert (r.status, time.monotonic() - began < 4) == (503, True)
    assert 15 <= int(r.headers["Retry-After"]) <= 17
    assert store.count("GET", "k") == 3


# ---- in mid-body ----

CUTS = [0, 1, 100, 16384, 65535, 65536, 65537, 262143, 300000, 399999]


@pytest.mark.parametrize("other", ["s3", "files"])
def test_mid_body_take_over_gives_the_exact_bytes(tmp, suites, fake, other):
    """The first site breaks off at every sort of place, whole reads and ranges; the other one goes on."""
    store = fake()
    second = s3_site(fake(), "data", "b") if other == "s3" else file_site(f"{tmp}/B", "b")
    suite = suites(tmp, [s3_site(store, "data", "a"), second]).start()
    data = random.Random(1).randbytes(400000)
    assert suite.put("k", data).status == 201
    assert suite.req("POST", "/api/v1/sites/b/drain").status == 200  # so that reads begin at a, however often it fails
    before = suite.metric("globalfs_read_takeovers_total")
    for cut in CUTS:
        store.fault(f"cut:{cut}", method="GET", key="k")
        status, headers, body, whole = raw_get(suite, "k", X_Request_ID=f"cut{cut}")
        assert (status, whole, body == data) == (200, True, True), cut
        assert headers["X-GlobalFS-Site"] == "a"
        assert ' site="a,b"' in access_line(suite, f"cut{cut}")
    for first, last, cut in (0, 399999, 7), (100, 299999, 199999), (399990, 399999, 5), (5, 5, 0):
        store.fault(f"cut:{cut}", method="GET", key="k")
        status, headers, body, whole = raw_get(suite, "k", Range=f"bytes={first}-{last}")
        assert (status, whole, body == data[first:last + 1]) == (206, True, True), (first, last, cut)
        assert headers["Content-Range"] == f"bytes {first}-{last}/400000"
    assert suite.metric("globalfs_read_takeovers_total") - before == len(CUTS) + 4


def test_a_site_that_stalls_in_mid_body_is_replaced(tmp, suites, fake):
    suite, a, b = two_fakes(tmp, suites, fake)
    data = random.Random(2).randbytes(300000)
    assert suite.put("k", data).status == 201
    a.fault("stall:123456", method="GET", key="k")
    began = time.monotonic()
    assert raw_get(suite, "k")[2:] == (data, True)
    assert time.monotonic() - began < 10  # the stall timeout is 400 ms


def test_sites_that_break_off_again_and_again(tmp, suites, fake):
    suite, a, b = two_fakes(tmp, suites, fake)
    data = random.Random(3).randbytes(500000)
    assert suite.put("k", data).status == 201
    a.fault("cut:30000", method="GET", key="k", times=0)
    b.fault("cut:50001", method="GET", key="k", times=0)
    assert raw_get(suite, "k")[2:] == (data, True)


def test_a_large_multipart_object_is_taken_over(tmp, suites, fake):
    """64 MiB and a byte: its ETag has a dash, and is the same on every site."""
    store = fake()
    suite = suites(tmp, [s3_site(store, "data", "a"), file_site(f"{tmp}/B", "b")], performance={"transfer_chunk_size": "8MiB"}).start()
    data = random.Random(4).randbytes(64 * MiB + 1)
    assert suite.put("big", data).status == 201
    assert "-" in suite.head("big").headers["ETag"]
    for cut in 8 * MiB, 40 * MiB + 12345:
        store.fault(f"cut:{cut}", method="GET", key="big")
        status, headers, body, whole = raw_get(suite, "big")
        assert (status, whole, md5(body)) == (200, True, md5(data))
        assert headers["ETag"] == f'"{multipart_etag(data, 8 * MiB)}"'


def test_with_no_other_site_the_connection_is_cut(tmp, suites, fake):
    store = fake()
    suite = suites(tmp, [s3_site(store, "data", "a")]).start()
    data = random.Random(5).randbytes(200000)
    assert suite.put("k", data).status == 201
    # the same site goes on as long as it gives anything ...
    store.fault("cut:70000", method="GET", key="k", times=2)
    assert raw_get(suite, "k")[2:] == (data, True)
    # ... and when it does not, the client sees that it is not all
    store.fault("cut:70000", method="GET", key="k")
    store.fault("cut:0", method="GET", key="k")
    status, headers, body, whole = raw_get(suite, "k")
    assert (status, headers["Content-Length"], body == data[:70000], whole) == (200, "200000", True, False)
    store.fault("cut:70000", method="GET", key="k")
    store.fault("404", method="GET", key="k")
    assert raw_get(suite, "k")[2:] == (data[:70000], False)


@pytest.mark.parametrize("how", ["changed", "deleted", "store ignores If-Match"])
def test_a_version_that_changed_meanwhile_is_never_mixed_in(tmp, suites, fake, how):
    """The reader has the first half of the old version when the site dies; only the new one is left."""
    store = fake()
    suite = suites(tmp, [s3_site(store, "data", "a")]).start()
    old, new = random.Random(6).randbytes(200000), random.Random(7).randbytes(200000)
    assert suite.put("k", old).status == 201
    store.fault("stall:100000", method="GET", key="k")
    with suite.raw(f"GET {suite.url('k')} HTTP/1.1\r\nHost: x\r\n\r\n".encode()) as sock:
        got = b""
        while len(got.partition(b"\r\n\r\n")[2]) < 100000:
            got += sock.recv(65536)
        if how == "deleted":
            assert suite.delete("k").status == 204
        else:
            assert suite.put("k", new).status == 201
        if how == "store ignores If-Match":
            store.ignore_if_match = True
        for c in list(store.conns):
            c.shutdown(socket.SHUT_RDWR)
        while piece := sock.recv(65536):
            got += piece
    body = got.partition(b"\r\n\r\n")[2]
    assert body == old[:100000]
    assert suite.get("k").status == (404 if how == "deleted" else 200)


def test_an_overwrite_of_one_site_is_not_mixed_into_a_read_of_the_other(tmp, suites, fake):
    """Somebody replaces the object behind our back at one site; a read of the other breaks off."""
    suite, a, b = two_fakes(tmp, suites, fake)
    data = random.Random(8).randbytes(100000)
    assert suite.put("k", data).status == 201
    with b.lock:
        o = b.buckets["data"]["k"]
        b.buckets["data"]["k"] = dict(o, body=bytes(100000), etag=md5(bytes(100000)))
    a.fault("cut:50000", method="GET", key="k")
    a.fault("refuse", method="GET", key="k", times=0)
    status, _, body, whole = raw_get(suite, "k")
    assert (status, body, whole) == (200, data[:50000], False)


def slow_reader(suite, key, first):
    """Reads the head and some of the body, then nothing until the returned function is called, which reads the rest."""
    sock = socket.socket()
    sock.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, 65536)
    sock.settimeout(60)
    sock.connect(("127.0.0.1", suite.port))
    sock.sendall(f"GET {suite.url(key)} HTTP/1.1\r\nHost: x\r\nConnection: close\r\n\r\n".encode())
    got = bytearray()
    while len(got) < first:
        got += sock.recv(16384)

    def rest():
        while piece := sock.recv(1 << 20):
            got.extend(piece)
        sock.close()
        head, _, body = bytes(got).partition(b"\r\n\r\n")
        return head, body
    return rest


def test_a_directory_whose_file_is_cut_in_mid_body_is_taken_over(tmp, suites):
    """An operator truncates the file while its descriptor is being sent."""
    a, b = file_site(f"{tmp}/A", "a"), file_site(f"{tmp}/B", "b")
    suite = suites(tmp, [a, b]).start()
    data = random.Random(9).randbytes(48 * MiB)
    assert suite.put("k", data).status == 201
    rest = slow_reader(suite, "k", 100000)
    os.truncate(os.path.join(a["file"]["path"], "k"), 0)
    head, body = rest()
    assert b"X-GlobalFS-Site: a" in head
    assert (len(body), md5(body)) == (len(data), md5(data))
    assert suite.metric("globalfs_read_takeovers_total") == 1
    assert read_site_file(b, "k") == data


def test_a_directory_that_is_taken_away_in_mid_body(tmp, suites):
    """What is open goes on; and a read that meets the gap goes to the other site."""
    a, b = file_site(f"{tmp}/A", "a"), file_site(f"{tmp}/B", "b")
    suite = suites(tmp, [a, b]).start()
    data = random.Random(10).randbytes(32 * MiB)
    assert suite.put("k", data).status == 201
    rest = slow_reader(suite, "k", 100000)
    shutil.rmtree(a["file"]["path"])
    assert md5(rest()[1]) == md5(data)
    assert md5(suite.get("k").body) == md5(data)


def test_a_directory_cut_in_mid_body_with_nobody_else_cuts_the_connection(tmp, suites):
    a = file_site(f"{tmp}/A", "a")
    suite = suites(tmp, [a]).start()
    data = random.Random(11).randbytes(48 * MiB)
    assert suite.put("k", data).status == 201
    rest = slow_reader(suite, "k", 100000)
    os.truncate(os.path.join(a["file"]["path"], "k"), 0)
    head, body = rest()
    assert len(body) < len(data) and data.startswith(body)


# ---- hedges ----

HEDGE = {"hedge": True, "hedge_share": 0.05}


def hedging(tmp, suites, fake, **routing):
    """One worker, two stores, and enough reads that the usual time of the first is known."""
    suite, a, b = two_fakes(tmp, suites, fake, coordinator={"workers": 1}, routing={**HEDGE, **routing})
    assert suite.put("k", b"data").status == 201

    def measured():
        for _ in range(30):
            assert suite.get("k").body == b"data"
        return next(s for s in suite.daemon("health")["sites"] if s["name"] == "a")["p95_us"]
    p95_us = wait_for("the p95 of the first site", measured)
    return suite, a, b, p95_us


def hedges(suite):
    return suite.metric("globalfs_hedges_sent_total"), suite.metric("globalfs_hedges_won_total")


def test_a_hedge_wins_over_a_late_site(tmp, suites, fake):
    suite, a, b, p95_us = hedging(tmp, suites, fake)
    sent, won = hedges(suite)
    for method in "GET", "HEAD":
        gate = a.gate("received", method=method, key="k")
        began = time.monotonic()
        r = suite.req(method, suite.url("k"), headers={"X-Request-ID": "late" + method})
        took = time.monotonic() - began
        assert (r.status, r.headers["X-GlobalFS-Site"]) == (200, "b")
        assert took < 0.45, (took, p95_us)  # the first site may hold a read up for 500 ms at least
        gate.wait()
        gate.release()
    assert hedges(suite) == (sent + 2, won + 2)
    row = next(s for s in suite.req("GET", "/api/v1/sites").json() if s["name"] == "a")
    assert row["state"] != "down"


def test_a_hedge_that_loses_is_ended(tmp, suites, fake):
    suite, a, b, p95_us = hedging(tmp, suites, fake)
    sent, won = hedges(suite)
    first, second = a.gate("received", method="GET", key="k"), b.gate("received", method="GET", key="k")
    answer = []
    t = threading.Thread(target=lambda: answer.append(suite.get("k")))
    t.start()
    second.wait()
    first.release()
    t.join()
    assert (answer[0].body, answer[0].headers["X-GlobalFS-Site"]) == (b"data", "a")
    assert hedges(suite) == (sent + 1, won)
    second.release()


def test_hedges_keep_to_their_share(tmp, suites, fake):
    """A first site that has become slow for good: at most the share of its reads is sent twice, and a few."""
    suite, a, b, _ = hedging(tmp, suites, fake, hedge_share=0.01)
    for _ in range(40):
        gate = a.gate("received", method="GET", key="k")
        t = threading.Thread(target=lambda g=gate: (g.wait(), time.sleep(0.03), g.release()))
        t.start()
        assert suite.get("k").body == b"data"
        t.join()
    reads = suite.metric('globalfs_object_operations_total{operation="get",status="ok"}')
    assert 1 <= hedges(suite)[0] <= 2 + reads / 100, reads  # two were saved up, and one comes per hundred reads


def test_without_hedge_nothing_is_sent_twice(tmp, suites, fake):
    suite, a, b, _ = hedging(tmp, suites, fake, hedge=False)
    gate = a.gate("received", method="GET", key="k")
    t = threading.Thread(target=lambda: (gate.wait(), time.sleep(0.2), gate.release()))
    t.start()
    assert suite.get("k").headers["X-GlobalFS-Site"] == "a"
    t.join()
    assert hedges(suite) == (0, 0) and b.count("GET", "k") == 0


def test_a_hung_site_costs_reads_little_time(tmp, suites, fake):
    """It hangs, and nobody has found it down yet: the first read waits what the site is used to (500 ms at least), not 5 s."""
    suite, a, b, _ = hedging(tmp, suites, fake, hedge=False)
    gate = a.gate("received", method="GET", key="k")
    began = time.monotonic()
    r = suite.get("k")
    took = time.monotonic() - began
    assert (r.body, r.headers["X-GlobalFS-Site"]) == (b"data", "b") and gate.reached
    assert 0.4 < took < 3, took
    gate.release()


def test_a_hung_site_that_was_hardly_ever_read_costs_reads_two_seconds(tmp, suites, fake):
    """As it comes, no breaker and no hedges, and too few reads to know what the site is used to."""
    a, b = fake(), fake()
    suite = suites(tmp, [s3_site(a, "data", "a"), s3_site(b, "data", "b")], resilience={"health_poll_interval": "30s"}).start()
    assert suite.put("k", b"data").status == 201
    gate = a.gate("received", method="GET", key="k")
    began = time.monotonic()
    r = suite.get("k")
    took = time.monotonic() - began
    assert (r.body, r.headers["X-GlobalFS-Site"]) == (b"data", "b") and gate.reached
    assert 1.5 < took < 4, took
    gate.release()


# ---- clients that go away ----

def test_a_client_that_leaves_frees_its_connection_to_the_store_at_once(tmp, suites, fake):
    store = fake()
    site = s3_site(store, "data", "a")
    suite = suites(tmp, [site], coordinator={"workers": 1}).start()
    assert suite.put("k", b"data").status == 201
    gates = [store.gate("received", method="GET", key="k") for _ in range(8)]
    socks = [suite.raw(f"GET {suite.url('k')} HTTP/1.1\r\nHost: x\r\nX-Request-ID: gone{i}\r\n\r\n".encode()) for i in range(8)]
    for g in gates:
        g.wait()
    for s in socks:
        s.close()
    for i in range(8):
        assert " status=499 " in access_line(suite, f"gone{i}")
    assert not any(g._released.is_set() for g in gates)  # they ended while the store was still silent
    for g in gates:
        g.release()
    assert suite.get("k").body == b"data"


# ---- what must not be read ----

def test_W10_no_stale_reads(kind, tmp, suites):
    """The primary that took the write goes away: an older copy elsewhere is never shown as the current one."""
    a, b = kind("a"), kind("b", "backup")
    suite = suites(tmp, [a.conf, b.conf]).start()
    assert suite.put("k", b"old").status == 201
    suite.wait_clean()
    b.away()
    suite.wait_site("b", "down")
    assert suite.put("k", b"new").status == 201
    a.away()
    b.back()
    suite.wait_site("b", "up")

    def read():
        r = suite.get("k")
        return r.status == 200 and r
    r = wait_for("the backup to answer", read)
    assert (r.body, r.headers["X-GlobalFS-Stale"]) == (b"old", "true")
    assert suite.get("k", X_GlobalFS_Consistency="current").status in (503, 504)
    a.back()
    suite.wait_site("a", "up")
    r = suite.get("k")
    assert (r.body, r.headers["X-GlobalFS-Stale"]) == (b"new", None)
    suite.wait_clean()
    assert b.look("k") == b"new"


def test_W10_a_primary_that_lags_is_not_preferred(tmp, suites, fake):
    """write_min 1 of two primaries: the one that missed the write is asked last, though it is first in order."""
    suite, a, b = two_fakes(tmp, suites, fake, routing={"write_min": 1})
    assert suite.put("k", b"old").status == 201
    a.fault("503", method="PUT", key="k", times=0)
    assert suite.put("k", b"new").status == 201
    for _ in range(3):
        r = suite.get("k")
        assert (r.body, r.headers["X-GlobalFS-Stale"], r.headers["X-GlobalFS-Site"]) == (b"new", None, "b")
    a.clear()
    suite.wait_clean()
    wait_for("the first site to be read again", lambda: suite.get("k").headers["X-GlobalFS-Site"] == "a")
    assert suite.get("k").body == b"new"


# ---- memory ----

def test_W14_streams_in_flat_memory(kind, tmp, suites):
    """Objects far larger than what a process may hold, several at a time, in and out."""
    if gfs.SANITIZED:
        pytest.skip("the sanitizers' own memory is not flat")
    a = kind("a")
    suite = suites(tmp, [a.conf], coordinator={"workers": 1}, performance={"transfer_chunk_size": "16MiB"}).start()
    piece = random.Random(12).randbytes(MiB)
    n = 96
    want = hashlib.md5(piece * n).hexdigest()

    def put(key):
        c = suite.connect()
        c.putrequest("PUT", suite.url(key))
        c.putheader("Content-Length", str(n * MiB))
        c.endheaders()
        for _ in range(n):
            c.send(piece)
        assert c.getresponse().status == 201
        c.close()

    def get(key):
        c = suite.connect()
        c.request("GET", suite.url(key))
        r = c.getresponse()
        h = hashlib.md5()
        while data := r.read(MiB):
            h.update(data)
        assert h.hexdigest() == want
        c.close()
    put("small")
    before = suite.rss_peak_kib()
    for work in put, get:
        errors = []

        def run(key, work=work):
            try:
                work(key)
            except Exception as e:  # noqa: BLE001
                errors.append(e)
        threads = [threading.Thread(target=run, args=(f"big{i}",)) for i in range(3)]
        [t.start() for t in threads]
        [t.join() for t in threads]
        assert not errors, errors
    peak = suite.rss_peak_kib()
    assert peak < 48 * 1024 and peak - before < 16 * 1024, (before, peak)
