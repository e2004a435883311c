# SPDX-License-Identifier: Apache-2.0
"""Acceptance rows: objects and their copies. Each by its number; over directories and over real stores where sites matter."""
import os
import re
import threading
import time
from email.utils import parsedate_to_datetime

import pytest

import gfs
from gfs import file_site, md5, read_answer, s3_site, wait_for
from places import kind  # noqa: F401 (a fixture)

SIZES = (0, 1, 4096, 65536, 1000003)


def start(suites, tmp, *places, **conf):
    return suites(tmp, [p.conf for p in places], **conf).start()


def keep(suite, **data):
    for key, value in data.items():
        r = suite.put(key, value)
        assert r.status == 201, (key, r)


def start_without_waiting(suite, site):
    """For a suite of which some sites are away: ready, and one site up."""
    suite.start(wait=False)
    wait_for("/readyz", lambda: suite.req("GET", "/readyz").status == 200)
    suite.wait_site(site, "up")


# ---- G18 to G20, G24, G25, W25: objects ----

def test_G18_put_and_get(kind, tmp, suites):
    suite = start(suites, tmp, kind("a"), kind("b", "backup"))
    for n in SIZES:
        data = os.urandom(n)
        r = suite.put(f"k{n}", data)
        assert r.status == 201 and r.body == b"", r
        r = suite.get(f"k{n}")
        assert r.status == 200 and r.body == data and r.headers["Content-Length"] == str(n), (n, r.status, len(r.body))
        data = os.urandom(n + 1)  # an overwrite is as exact
        assert suite.put(f"k{n}", data).status == 201 and suite.get(f"k{n}").body == data


def test_G19_head(kind, tmp, suites):
    a = kind("a")
    suite = start(suites, tmp, a, kind("b", "backup"))
    before = time.time()
    for n in SIZES:
        data = os.urandom(n)
        assert suite.put("k", data).status == 201
        s = suite.raw(f"HEAD {suite.url('k')} HTTP/1.1\r\nHost: x\r\nConnection: close\r\n\r\n".encode())
        got = b""
        while piece := s.recv(65536):
            got += piece
        head, _, body = got.partition(b"\r\n\r\n")
        fields = {k.lower(): v.strip() for k, v in (x.split(":", 1) for x in head.decode().split("\r\n")[1:])}
        assert head.startswith(b"HTTP/1.1 200") and body == b"", got
        assert fields["content-length"] == str(n) and fields["etag"] == f'"{md5(data)}"', fields
        # A store takes metadata before the body, so only directories have room for a checksum of ours.
        assert re.fullmatch(r"[0-9a-f]{16}", fields.get("x-globalfs-checksum", "")) or "objectfs" in a.conf, fields
        at = parsedate_to_datetime(fields["last-modified"]).timestamp()
        assert before - 5 <= at <= time.time() + 5, fields
        full = suite.get("k").headers
        assert all(full[h] == fields.get(h.lower()) for h in ("ETag", "Last-Modified", "X-GlobalFS-Checksum", "Content-Type"))
    assert suite.head("none").status == 404


def test_G19_the_checksum_is_that_of_the_bytes(tmp, suites):
    """CRC-64/NVME, computed here bit by bit."""
    def crc64nvme(data):
        crc = 0xFFFFFFFFFFFFFFFF
        for byte in data:
            crc ^= byte
            for _ in range(8):
                crc = crc >> 1 ^ (0x9A6C9329AC4BC9B5 if crc & 1 else 0)
        return f"{crc ^ 0xFFFFFFFFFFFFFFFF:016x}"
    assert crc64nvme(b"123456789") == "ae8b14860a799888"
    suite = suites(tmp, [file_site(f"{tmp}/A", "a")]).start()
    for data in (b"", b"123456789", os.urandom(5000)):
        keep(suite, k=data)
        assert suite.head("k").headers["X-GlobalFS-Checksum"] == crc64nvme(data)


def test_G20_delete_on_every_site(kind, tmp, suites):
    a, b, c = kind("a"), kind("b"), kind("c", "burst")
    suite = start(suites, tmp, a, b, c)
    keep(suite, k=b"v", other=b"w")
    suite.wait_clean()
    assert all(p.look("k") == b"v" for p in (a, b, c))
    assert suite.delete("k").status == 204
    assert a.look("k") is None and b.look("k") is None  # primaries: before the answer
    suite.wait_clean()
    assert c.look("k") is None
    for gone in ("", "a", "b"):  # whichever site is asked, alone at the end
        if gone:
            assert suite.req("DELETE", f"/api/v1/sites/{gone}").status == 204
        assert suite.get("k").status == 404 and suite.head("k").status == 404
        assert suite.get("other").body == b"w"
    assert suite.delete("k").status == 204


def test_G24_key_validation(tmp, suites):
    suite = suites(tmp, [file_site(f"{tmp}/A", "a")]).start()
    outside = f"{tmp}/outside"
    bad = ["a%00b", "%00", "..", "../x", "a/../b", "a/..", "%2e%2e/x", "a/%2E%2e/b", "..%2f..%2foutside", "", "./x", "a/./b",
           "%ff", "a%c0%afb", "k" * 1089, ".globalfs/site", ".globalfs", "x/.gfs-obj", "a%zzb", "a%2"]
    for key in bad:
        for method in ("GET", "HEAD", "PUT", "DELETE"):
            r = suite.req(method, "/api/v1/objects/" + key, b"x" if method == "PUT" else None)
            assert r.status == 400, (method, key[:30], r)
            assert method == "HEAD" or r.json()["error"], (method, key[:30], r)
    assert not os.path.exists(outside) and suite.list().json()["objects"] == []
    for good in ("...", "a/..b", "..a/b", "a..b", "k" * 1088):
        assert suite.put(good, b"x").status == 201 and suite.get(good).body == b"x", good[:30]


def test_G25_body_limits(tmp, suites):
    limit = 100000
    suite = suites(tmp, [file_site(f"{tmp}/A", "a")], limits={"max_object_bytes": limit}).start()
    keep(suite, fits=b"x" * limit, kept=b"before")
    for body in (b"x" * (limit + 1), (b"x" * 1000 for _ in range(101))):
        r = suite.req("PUT", suite.url("kept"), body)
        assert r.status == 413 and r.json()["error"] and "json" in r.headers["Content-Type"], r
    announced = suite.raw(f"PUT {suite.url('kept')} HTTP/1.1\r\nHost: x\r\nContent-Length: 999999999999\r\n\r\n".encode())
    status, _, body = read_answer(announced)  # before a byte of it was sent
    assert status == 413 and b'{"error":' in body
    for path in ("/api/v1/sites", "/api/v1/replicate"):
        r = suite.req("POST", path, b" " * ((1 << 20) + 1))
        assert r.status == 413 and r.json()["error"], r
    assert suite.get("kept").body == b"before"
    assert [o["key"] for o in suite.list().json()["objects"]] == ["fits", "kept"]
    assert os.listdir(f"{tmp}/A/.globalfs/tmp") == []


def test_W25_content_type_and_metadata(kind, tmp, suites):
    a, b = kind("a"), kind("b", "backup")
    suite = start(suites, tmp, a, b)
    plain = suite.put("plain", b"x")
    assert plain.status == 201 and suite.get("plain").headers["Content-Type"] == "application/octet-stream"
    headers = {"Content-Type": 'text/plain; charset="utf-8"', "X-GlobalFS-Meta-Run": "42 a=b;c",
               "X-GlobalFS-Meta-long-name.x": "y" * 900}
    assert suite.req("PUT", suite.url("k"), b"v", headers).status == 201

    def check(site):
        for method in ("GET", "HEAD"):
            r = suite.req(method, suite.url("k"))
            assert r.status == 200 and r.headers["X-GlobalFS-Site"] == site, r
            for name, value in headers.items():
                assert r.headers[name] == value, (method, site, name, r.headers[name])
    check("a")
    suite.wait_clean()
    assert suite.req("DELETE", "/api/v1/sites/a").status == 204
    check("b")


def test_W25_metadata_is_replaced_with_the_object_and_refused_when_too_large(tmp, suites):
    suite = suites(tmp, [file_site(f"{tmp}/A", "a")]).start()
    assert suite.put("k", b"v", Content_Type="text/csv", X_GlobalFS_Meta_A="1").status == 201
    assert suite.put("k", b"w", X_GlobalFS_Meta_B="2").status == 201
    h = suite.get("k").headers
    assert (h["Content-Type"], h["X-GlobalFS-Meta-A"], h["X-GlobalFS-Meta-B"]) == ("application/octet-stream", None, "2")
    r = suite.put("k", b"z", X_GlobalFS_Meta_A="y" * 3000)
    assert r.status == 400 and "error" in r.json() and suite.get("k").body == b"w", r


# ---- G26, G30, G38, G39: roles and replication ----

def test_G26_roles(kind, tmp, suites):
    """The primary has it before the answer; backup and burst may even be away, and get it when they are back."""
    a, b, c = kind("a"), kind("b", "backup"), kind("c", "burst")
    suite = start(suites, tmp, a, b, c)
    for p in (b, c):
        p.away()
    data = os.urandom(50000)
    began = time.monotonic()
    keep(suite, k=data)
    assert a.look("k") == data and time.monotonic() - began < 5
    assert b.look("k") is None and c.look("k") is None
    assert suite.get("k").headers["X-GlobalFS-Site"] == "a"
    for p in (b, c):
        p.back()
    suite.wait_clean()
    assert b.look("k") == data and c.look("k") == data


def test_G30_multiple_primaries(kind, tmp, suites):
    """At the moment of the 201 every primary has it; with one of them away there is no 201."""
    a, b, c = kind("a"), kind("b"), kind("c", "burst")
    suite = start(suites, tmp, a, b, c)
    for i in range(5):
        data = os.urandom(1000 + 70000 * i)
        keep(suite, k=data)
        assert a.look("k") == data and b.look("k") == data, i
    b.away()
    for _ in range(2):  # before and after it is known to be down
        r = suite.put("k", b"new")
        assert r.status >= 500 and re.search(r"\bb\b", r.json()["error"]), r
        suite.wait_site("b", "down")
    b.back()
    suite.wait_site("b", "up")
    keep(suite, k=b"newer")
    assert a.look("k") == b.look("k") == b"newer"
    suite.wait_clean()
    assert c.look("k") == b"newer"


def test_G30_the_answer_waits_for_the_last_primary(tmp, suites, fake):
    one, two = fake(), fake()
    suite = suites(tmp, [s3_site(one, "data", "one"), s3_site(two, "data", "two")]).start()
    gate = two.gate("received", "PUT", "k")
    put = suite.slow_put("k", 5)
    put.sendall(b"hello")
    gate.wait()
    wait_for("the first primary", lambda: one.get("data", "k"))
    put.settimeout(0.3)
    with pytest.raises(TimeoutError):
        put.recv(1)
    gate.release()
    put.settimeout(10)
    assert read_answer(put)[0] == 201 and two.get("data", "k")[0] == b"hello"


def test_G38_async_replication(kind, tmp, suites):
    a, b = kind("a"), kind("b", "backup")
    suite = start(suites, tmp, a, b)
    data = {f"dir/{n}": os.urandom(n) for n in SIZES}
    keep(suite, **data)
    wait_for("the copies", lambda: all(b.look(k) == v for k, v in data.items()), 5)
    suite.wait_clean()
    assert suite.metric('globalfs_replication_jobs_total{status="completed"}') >= len(data)


def test_G39_replication_retry(kind, tmp, suites):
    a, b = kind("a"), kind("b", "backup")
    suite = start(suites, tmp, a, b)
    b.away()
    keep(suite, k=b"v", l=b"w")
    rows = wait_for("a failed try", lambda: [r for r in repl_rows(suite) if r["attempts"] >= 1 and r["error"]])
    assert {r["key"] for r in repl_rows(suite)} == {"k", "l"} and all(r["site"] == "b" and not r["parked"] for r in rows), rows
    b.back()
    suite.wait_clean()
    assert b.look("k") == b"v" and b.look("l") == b"w"


def repl_rows(suite, topic="queue"):
    return gfs.json.loads(suite.ctl("--run-dir", suite.run_dir, "--json", "repl", "show", topic).stdout)["rows"]


# ---- G43, W7, W8: what is queued is never lost ----

def kill_everything(suite):
    pids = [suite.proc.pid] + [p for v in suite.pids().values() for p in v]
    for pid in pids:
        try:
            suite.kill9(pid)
        except ProcessLookupError:
            pass  # its supervisor's death took it along
    suite.proc.wait()


def test_G43_durable_jobs(kind, tmp, suites):
    a, b = kind("a"), kind("b", "backup")
    suite = start(suites, tmp, a, b)
    keep(suite, gone=b"x", changed=b"old")
    suite.wait_clean()
    b.away()
    data = {f"k{i}": os.urandom(1000 * i) for i in range(20)}
    keep(suite, **data, changed=b"new")
    assert suite.delete("gone").status == 204
    kill_everything(suite)
    start_without_waiting(suite, "a")
    # A delete whose COMMIT died with its worker is an intent first, which repld settles.
    wait_for("the whole queue", lambda: suite.daemon("repl")["queue_depth"] == 22)
    kill_everything(suite)
    b.back()
    suite.start()
    suite.wait_clean()
    assert all(b.look(k) == v for k, v in data.items())
    assert b.look("changed") == b"new" and b.look("gone") is None


def test_W7_a_job_that_keeps_failing_is_parked_shown_and_kept(tmp, suites, fake):
    store = fake()
    suite = suites(tmp, [file_site(f"{tmp}/A", "a"), s3_site(store, "data", "b", "backup")],
                   replication={"retry_attempts": 3, "retry_initial": "10ms", "retry_max": "20ms"}).start()
    store.fault("503", "PUT", "bad", times=10 ** 6)
    keep(suite, bad=b"precious")
    row = wait_for("the parked row", lambda: repl_rows(suite, "parked"))[0]
    assert (row["key"], row["site"], row["parked"]) == ("bad", "b", True) and row["attempts"] >= 3 and row["error"], row
    tries = store.count("PUT", "bad")
    keep(suite, good=b"x")  # others are not held up
    wait_for("another copy", lambda: store.get("data", "good"))
    site = next(s for s in suite.daemon("repl")["sites"] if s["site"] == "b")
    assert (site["pending"], site["parked"]) == (1, 1) and suite.daemon("repl")["parked"] == 1
    assert b"bad" in suite.ctl("--run-dir", suite.run_dir, "repl", "show", "parked").stdout
    assert suite.stop() == 0
    suite.start()  # and over a restart
    assert suite.daemon("repl")["queue_depth"] == 1
    # By command, while the reason lasts: it fails and is parked once more.
    wait_for("the parked row", lambda: repl_rows(suite, "parked"))
    before = store.count("PUT", "bad")
    suite.ctl("replicate", "--key", "bad", "--from", "a", "--to", "b")
    wait_for("another try", lambda: store.count("PUT", "bad") > before >= tries)
    wait_for("the parked row", lambda: repl_rows(suite, "parked"))
    # And by itself when the site was away and is back.
    store.clear()
    store.pause()
    suite.wait_site("b", "down")
    store.resume()
    suite.wait_clean()
    assert store.get("data", "bad")[0] == b"precious" and repl_rows(suite, "parked") == []


def test_W7_a_site_that_answers_with_errors_is_not_asked_ever_faster(tmp, suites, fake):
    """A 500 leaves open whether it was done. That too is waited out longer each time, and parked."""
    store = fake()
    suite = suites(tmp, [file_site(f"{tmp}/A", "a"), s3_site(store, "data", "b", "backup")],
                   replication={"retry_attempts": 2, "retry_initial": "10ms", "retry_max": "20ms"}).start()
    store.fault("500", "PUT", "bad", times=10 ** 6)
    keep(suite, bad=b"precious")
    row = wait_for("the parked row", lambda: repl_rows(suite, "parked"))[0]
    assert row["key"] == "bad" and row["attempts"] == store.count("PUT", "bad") == 2, row
    store.clear()
    suite.ctl("replicate", "--key", "bad", "--from", "a", "--to", "b")
    wait_for("the copy", lambda: store.get("data", "bad"))


def test_W8_queue_and_run_time_sites_survive_a_restart(kind, tmp, suites):
    a, b = kind("a"), kind("b", "burst")
    suite = start(suites, tmp, a)
    if "file" in b.conf:
        uri, extra = f"file://{b.path}", {}
    else:
        uri, extra = None, {"s3_bucket": b.bucket, "s3_region": "us-east-1", "s3_endpoint": b.conf["objectfs"]["s3_endpoint"]}
        assert suite.stop() == 0  # credentials for sites added by request come from the environment
        suite.env.update(AWS_ACCESS_KEY_ID=b.store.access, AWS_SECRET_ACCESS_KEY=b.store.secret)
        suite.start()
    body = {"name": "b", "role": "burst", **({"uri": uri} if uri else extra)}
    r = suite.req("POST", "/api/v1/sites", gfs.json.dumps(body))
    assert r.status == 201, r
    suite.wait_site("b", "up")
    b.away()
    keep(suite, k=b"v", l=b"w")
    assert suite.stop() == 0
    start_without_waiting(suite, "a")
    assert [s["name"] for s in suite.req("GET", "/api/v1/sites").json()] == ["a", "b"]
    assert suite.req("GET", "/api/v1/info").json()["replication_queue_depth"] == 2
    b.back()
    suite.wait_clean()
    assert b.look("k") == b"v" and b.look("l") == b"w"


# ---- W9, W22: deletes ----

def test_W9_a_deleted_key_never_comes_back(kind, tmp, suites):
    """The replica misses the delete, or the write and the delete; readers look all the time, also while the primary is away."""
    a, b = kind("a"), kind("b", "backup")
    suite = start(suites, tmp, a, b)
    keep(suite, k=b"v")
    suite.wait_clean()
    b.away()
    assert suite.delete("k").status == 204
    keep(suite, brief=b"x")
    assert suite.delete("brief").status == 204
    wrong, stop = [], threading.Event()

    def reader():
        while not stop.is_set():
            for key in ("k", "brief"):
                r = suite.get(key)
                if r.status not in (404, 503):
                    wrong.append((key, r))
            r = suite.list()
            if r.json()["objects"]:
                wrong.append(r)
    thread = threading.Thread(target=reader)
    thread.start()
    try:
        assert b.look("k") == b"v"  # it lies there still
        a.away()
        b.back()  # the only site that answers has the deleted object
        suite.wait_site("a", "down")
        wait_for("the delete at the replica", lambda: b.look("k") is None)
        a.back()
        suite.wait_site("a", "up")
        suite.wait_clean()
    finally:
        stop.set()
        thread.join(30)
    assert not wrong, wrong[:3]
    assert suite.get("k").status == 404 and suite.get("brief").status == 404
    assert a.look("k") is a.look("brief") is b.look("k") is b.look("brief") is None


def test_W9_put_and_delete_in_turn(kind, tmp, suites):
    a, b = kind("a"), kind("b", "burst")
    suite = start(suites, tmp, a, b)
    for i in range(15):
        keep(suite, k=b"%d" % i)
        assert suite.delete("k").status == 204
        for _ in range(3):
            assert suite.get("k").status == 404
            assert suite.list().json()["objects"] == []
    suite.wait_clean()
    assert b.look("k") is None and suite.get("k").status == 404


def test_W22_the_same_bytes_after_a_delete_are_copied_again(kind, tmp, suites):
    a, b = kind("a"), kind("b", "backup")
    suite = start(suites, tmp, a, b)
    data = os.urandom(3000)
    for wait in (True, False):
        keep(suite, k=data)
        if wait:
            suite.wait_clean()
        assert suite.delete("k").status == 204
        if wait:
            suite.wait_clean()
            assert b.look("k") is None
        keep(suite, k=data)
        suite.wait_clean()
        assert a.look("k") == b.look("k") == data


# ---- W15: nothing is cut for taking long ----

SHORT = {"header_timeout": "400ms", "idle_timeout": "400ms", "stall_timeout": "400ms", "min_rate": 20}


def test_W15_slow_clients_are_served_to_the_end(tmp, suites):
    """Several times every timeout, as long as bytes move: those are for silence."""
    suite = suites(tmp, [file_site(f"{tmp}/A", "a"), file_site(f"{tmp}/B", "b")], limits=SHORT).start()
    put = suite.slow_put("k", 400)
    began = time.monotonic()
    for i in range(40):
        put.sendall(b"0123456789")
        time.sleep(0.05)  # what is tested: a client that takes its time
    assert read_answer(put)[0] == 201 and time.monotonic() - began > 4 * 0.4
    assert suite.get("k").body == b"0123456789" * 40


def test_W15_slow_readers_are_served_to_the_end(tmp, suites):
    """Also those that need much longer than limits.stall_timeout for what the kernel buffers at a time."""
    suite = suites(tmp, [file_site(f"{tmp}/A", "a")], limits=SHORT).start()
    big = os.urandom(16 << 20)
    keep(suite, big=big)
    get = gfs.socket.socket()
    get.setsockopt(gfs.socket.SOL_SOCKET, gfs.socket.SO_RCVBUF, 65536)
    get.connect(("127.0.0.1", suite.port))
    get.sendall(f"GET {suite.url('big')} HTTP/1.1\r\nHost: x\r\nConnection: close\r\n\r\n".encode())
    began, got = time.monotonic(), bytearray()
    while piece := get.recv(30000):
        got += piece
        if time.monotonic() - began < 2.2:
            time.sleep(0.1)  # what is tested: 300 kB/s, a second and more for every third of what the kernel holds
    assert len(got) > len(big) and got.endswith(big) and time.monotonic() - began > 5 * 0.4


def test_W15_a_reader_that_stopped_is_given_up(tmp, suites):
    suite = suites(tmp, [file_site(f"{tmp}/A", "a")], limits=SHORT).start()
    keep(suite, big=bytes(32 << 20))
    get = suite.raw(f"GET {suite.url('big')} HTTP/1.1\r\nHost: x\r\n\r\n".encode())
    wait_for("the end of it", lambda: re.search(r"event=request method=GET path=\S*/big .*aborted=true", suite.log_text()), 5)
    get.close()


def test_W15_slow_sites_are_waited_for(tmp, suites, fake):
    """A site that needs longer than any timeout of the client's side, for a read, a write and a registration."""
    store, late = fake(), fake()
    site = dict(s3_site(store, "data", "a"), timeouts={"first_byte": "20s", "stall": "20s"})
    suite = suites(tmp, [site], limits=SHORT, resilience={"probe_timeout": "5s"}).start()
    keep(suite, k=b"slow")
    results = []

    def ask(*request):
        results.append(suite.req(*request))
    body = gfs.json.dumps({"name": "late", "role": "backup", "s3_bucket": "data", "s3_endpoint": late.endpoint})
    suite.env.update(AWS_ACCESS_KEY_ID="x", AWS_SECRET_ACCESS_KEY="y")
    gates = [store.gate("head", "GET", "k"), store.gate("received", "PUT", "w")]
    threads = [threading.Thread(target=ask, args=a) for a in (("GET", suite.url("k")), ("PUT", suite.url("w"), b"x"))]
    for t in threads:
        t.start()
    for g in gates:
        g.wait()
    time.sleep(1.5)  # what is tested: longer than any of SHORT
    assert results == []
    for g in gates:
        g.release()
    for t in threads:
        t.join(10)
    assert sorted(r.status for r in results) == [200, 201], results
    assert suite.get("w").body == b"x" and body


def test_W15_a_silent_client_is_given_up(tmp, suites):
    """The other side of it: silence ends, and leaves nothing behind."""
    suite = suites(tmp, [file_site(f"{tmp}/A", "a")], limits=SHORT).start()
    put = suite.slow_put("k", 1000)
    put.sendall(b"some")
    status, _, _ = read_answer(put)
    assert status == 408 and suite.get("k").status == 404
    wait_for("the write to end", lambda: suite.daemon("repl")["open_writes"] == 0 and os.listdir(f"{tmp}/A/.globalfs/tmp") == [])
