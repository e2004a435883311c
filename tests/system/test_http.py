# SPDX-License-Identifier: Apache-2.0
"""The HTTP front door as hostile and sloppy clients see it, and the REST contract."""
import socket

import pytest

from gfs import file_site, md5, read_answer, wait_for


@pytest.fixture
def suite(tmp, suites):
    return suites(tmp, [file_site(f"{tmp}/A", "a"), file_site(f"{tmp}/B", "b", "backup")],
                  limits={"header_timeout": "300ms", "idle_timeout": "1s", "max_object_bytes": "1MiB"}).start()


PUT = b"PUT /api/v1/objects/k HTTP/1.1\r\nHost: x\r\n"


@pytest.mark.parametrize("head", [
    PUT + b"Content-Length: 1\r\nContent-Length: 2\r\n\r\nab",
    PUT + b"Content-Length: 1\r\nContent-Length: 1\r\n\r\na",
    PUT + b"Content-Length: 5\r\nTransfer-Encoding: chunked\r\n\r\n0\r\n\r\n",
    PUT + b"Transfer-Encoding: chunked, chunked\r\n\r\n0\r\n\r\n",
    PUT + b"Transfer-Encoding: xchunked\r\n\r\n0\r\n\r\n",
    PUT + b"Transfer-Encoding: identity\r\n\r\n",
    PUT + b"Content-Length: +1\r\n\r\na",
    PUT + b"Content-Length: 0x1\r\n\r\na",
    PUT + b"Content-Length: 99999999999999999999\r\n\r\na",
    PUT + b"Content-Length : 1\r\n\r\na",
    PUT + b"X: a\rb\r\nContent-Length: 0\r\n\r\n",
    PUT + b"X: a\x00b\r\nContent-Length: 0\r\n\r\n",
    PUT + b"X: a\r\n folded\r\nContent-Length: 0\r\n\r\n",
    PUT + b": empty\r\n\r\n",
    b"GET /api/v1/info HTTP/1.1\r\n\r\n",
    b"GET /api/v1/info HTTP/1.1\r\nHost: a\r\nHost: b\r\n\r\n",
    b"GET http://x/api/v1/info HTTP/1.1\r\nHost: x\r\n\r\n"[:0] + b"GET api HTTP/1.1\r\nHost: x\r\n\r\n",
    b"\x16\x03\x01\x02\x00\x01\x00\x01\xfc\x03\x03\r\n\r\n",
])
def test_smuggling_shapes_get_400_and_a_closed_connection(suite, head):
    s = suite.raw(head + b"GET /healthz HTTP/1.1\r\nHost: x\r\n\r\n")
    status, text, _ = read_answer(s)
    assert status in (400, 501), text
    while True:
        more = s.recv(4096)
        if not more:
            break
        assert b"HTTP/1.1" not in more
    assert suite.get("k").status == 404


def test_pipelining_and_keep_alive(suite):
    suite.put("k", b"value")
    s = suite.raw(b"GET /api/v1/objects/k HTTP/1.1\r\nHost: x\r\n\r\n" * 5)
    data = b""
    while data.count(b"value") < 5:
        data += s.recv(65536)
    assert data.count(b"HTTP/1.1 200") == 5


def test_expect_100_continue(suite):
    s = suite.raw(PUT + b"Expect: 100-continue\r\nContent-Length: 5\r\n\r\n")
    assert s.recv(4096).startswith(b"HTTP/1.1 100")
    s.sendall(b"hello")
    assert read_answer(s)[0] == 201
    s = suite.raw(PUT + b"Expect: 100-continue\r\nContent-Length: 5000000\r\n\r\n")
    assert read_answer(s)[0] == 413


def test_chunked_bodies(suite):
    s = suite.raw(PUT + b"Transfer-Encoding: chunked\r\n\r\n")
    for piece in (b"3;ext=1\r\nabc\r\n", b"1", b"0\r\n", b"0123456789abcdef\r", b"\n0\r\nTrailer: x\r\n\r\n"):
        s.sendall(piece)
    assert read_answer(s)[0] == 201
    assert suite.get("k").body == b"abc0123456789abcdef"
    s = suite.raw(PUT + b"Transfer-Encoding: chunked\r\n\r\nzz\r\n")
    assert read_answer(s)[0] == 400
    assert suite.get("k").body == b"abc0123456789abcdef"


def test_a_body_cut_short_changes_nothing(suite, tmp):
    suite.put("k", b"whole")
    for head in (b"Content-Length: 100\r\n\r\nabc", b"Transfer-Encoding: chunked\r\n\r\n5\r\nabc"):
        suite.raw(PUT + head).close()
    wait_for("no open write", lambda: suite.daemon("repl")["open_writes"] == 0)
    assert suite.get("k").body == b"whole"


def test_limits(suite):
    assert suite.put("k", b"x" * (1 << 20)).status == 201
    r = suite.put("k", b"x" * ((1 << 20) + 1))
    assert r.status == 413 and "error" in r.json()
    r = suite.req("PUT", suite.url("k2"), (b"x" * 65536 for _ in range(17)))
    assert r.status == 413
    assert suite.get("k2").status == 404
    s = suite.raw(b"GET / HTTP/1.1\r\nHost: x\r\n" + b"".join(b"H%d: x\r\n" % i for i in range(200)) + b"\r\n")
    assert read_answer(s)[0] == 431
    s = suite.raw(b"GET / HTTP/1.1\r\nHost: x\r\nX: " + b"x" * 70000 + b"\r\n\r\n")
    assert read_answer(s)[0] == 431


def test_timeouts(suite):
    s = suite.raw(b"GET / HT", timeout=5)
    status, _, _ = read_answer(s)
    assert status in (0, 408) and s.recv(1) == b""
    s = suite.raw(b"GET /healthz HTTP/1.1\r\nHost: x\r\n\r\n", timeout=5)
    assert read_answer(s)[0] == 200
    assert s.recv(1) == b""


def test_rest_contract(suite):
    r = suite.req("GET", "/api/v1/info").json()
    assert r["sites"] == 2 and r["sites_by_role"] == {"primary": 1, "backup": 1} and r["is_leader"] is True
    assert r["uptime_seconds"] >= 0 and r["version"]
    rows = suite.req("GET", "/api/v1/sites").json()
    assert [(x["name"], x["role"], x["healthy"]) for x in rows] == [("a", "primary", True), ("b", "backup", True)]
    assert suite.req("GET", "/healthz").body == b"OK\n"
    assert suite.req("GET", "/nope").status == 404 and suite.req("PATCH", "/api/v1/info").status == 405
    assert suite.list(limit="-1").status == 400 and suite.list(limit="x").status == 400
    assert suite.req("POST", "/api/v1/replicate", b'{"key":"k","from":"a"}').status == 400
    assert suite.req("POST", "/api/v1/replicate", b'{"key":"k","from":"a","to":"zz"}').status == 400
    suite.put("k", b"v")
    assert suite.req("POST", "/api/v1/replicate", b'{"key":"k","from":"a","to":"b"}').status == 202
    assert suite.req("POST", "/api/v1/sites", b"x" * (1 << 20) + b"xx").status == 413
    assert suite.req("POST", "/api/v1/sites", b'{"name":"n","role":"boss","s3_bucket":"b"}').status == 400
    assert suite.req("POST", "/api/v1/sites", b'{"name":"a","role":"backup","uri":"file:///tmp"}').status == 409
    assert suite.req("POST", "/api/v1/sites",
                     b'{"name":"n","s3_bucket":"bucket","s3_endpoint":"http://127.0.0.1:1"}').status == 502


def test_request_ids(suite):
    r = suite.req("GET", "/healthz", headers={"X-Request-ID": "abc-1.2_3"})
    assert r.headers["X-Request-ID"] == "abc-1.2_3"
    a, b = (suite.req("GET", "/healthz", headers={"X-Request-ID": "bad id!"}).headers["X-Request-ID"] for _ in range(2))
    assert len(a) == 16 and a != b
    suite.req("PUT", suite.url("traced"), b"x", {"X-Request-ID": "trace-me-77"})
    wait_for("the request in the logs", lambda: "trace-me-77" in suite.log_text())


def test_api_key(tmp, suites):
    suite = suites(tmp, [file_site(f"{tmp}/A", "a")])
    suite.env["GLOBALFS_API_KEY"] = "sesame"
    suite.start(wait=False)
    wait_for("/readyz", lambda: suite.req("GET", "/readyz").status == 200)
    assert suite.req("GET", "/healthz").status == 200
    for path in ("/api/v1/info", "/metrics", "/api/v1/objects"):
        r = suite.req("GET", path)
        assert r.status == 401 and r.json() == {"error": "unauthorized"}
        assert suite.req("GET", path, headers={"X-GlobalFS-API-Key": "sesame"}).status == 200
    assert suite.ctl("info").returncode == 0
    with open("/proc/%d/cmdline" % suite.pids()["routerd"][0], "rb") as f:
        assert b"sesame" not in f.read()


def test_metrics(suite):
    suite.put("k", b"v")
    suite.get("k")
    suite.get("none")
    text = suite.req("GET", "/metrics").body.decode()
    for family in ("globalfs_object_operations_total", "globalfs_object_operation_duration_seconds", "globalfs_sites_current",
                   "globalfs_replication_jobs_total", "globalfs_replication_queue_depth", "globalfs_cache_hits_total",
                   "globalfs_cache_misses_total", "globalfs_cache_evictions_total", "globalfs_cache_bytes"):
        assert f"# TYPE {family} " in text and f"# HELP {family} " in text, family
    assert suite.metric('globalfs_object_operations_total{operation="put",status="ok"}') == 1
    assert suite.metric('globalfs_object_operations_total{operation="get",status="error"}') == 1
    assert suite.metric("globalfs_sites_current") == 2
