#!/usr/bin/env python3
# SPDX-License-Identifier: Apache-2.0
"""gfsctl against a scripted HTTP API: keys, streaming, broken downloads, lists, errors and exit codes. Run by make check with the
build directory's gfsctl as GFSCTL; needs nothing but Python."""
import hashlib
import http.server
import json
import os
import shutil
import subprocess
import sys
import tempfile
import threading
import unittest
import urllib.parse

GFSCTL = os.path.abspath(os.environ.get("GFSCTL", "cli/gfsctl"))


class Api(http.server.BaseHTTPRequestHandler):
    """State hangs on the server object: objects, log of requests, and faults to play."""
    protocol_version = "HTTP/1.1"

    def log_message(self, *args):
        pass

    def answer(self, status, body=b"", headers=()):
        if isinstance(body, (dict, list)):
            body = json.dumps(body).encode()
        self.send_response(status)
        for name, value in headers:
            self.send_header(name, value)
        if not any(name == "Content-Length" for name, _ in headers):
            self.send_header("Content-Length", str(len(body)))
        self.end_headers()
        if self.command != "HEAD":
            self.wfile.write(body)

    def key(self):
        return urllib.parse.unquote(self.path.split("?")[0][len("/api/v1/objects/"):])

    def body(self):
        if self.headers.get("Transfer-Encoding") == "chunked":
            out = b""
            while True:
                n = int(self.rfile.readline(), 16)
                out += self.rfile.read(n)
                self.rfile.readline()
                if n == 0:
                    return out
        return self.rfile.read(int(self.headers.get("Content-Length", 0)))

    def begin(self):
        srv = self.server
        srv.log.append((self.command, self.path, dict(self.headers)))
        if srv.api_key and self.headers.get("X-GlobalFS-API-Key") != srv.api_key:
            self.answer(401, {"error": "unauthorized"})
            return False
        if srv.fail:
            status, body = srv.fail.pop(0)
            if self.command == "PUT":
                self.body()
            self.answer(status, body, [("X-Request-ID", "rid-1")])
            return False
        return True

    def do_PUT(self):
        if self.begin():
            data = self.body()
            self.server.objects[self.key()] = (data, self.headers.get("Content-Type"))
            etag = self.server.wrong_etag or hashlib.md5(data).hexdigest()
            self.answer(201, b"", [("ETag", f'"{etag}"')])

    def do_DELETE(self):
        if self.begin():
            if self.path.startswith("/api/v1/sites/"):
                self.answer(204)
            else:
                self.server.objects.pop(self.key(), None)
                self.answer(204)

    def do_POST(self):
        if self.begin():
            if self.path.endswith("drain"):
                self.answer(200, {"name": "a", "drained": not self.path.endswith("undrain")})
                return
            self.server.posted.append(json.loads(self.body()))
            if self.path == "/api/v1/replicate":
                self.answer(202, dict(self.server.posted[-1], status="accepted"))
            else:
                self.answer(201, {"name": self.server.posted[-1]["name"], "role": self.server.posted[-1]["role"], "healthy": True})

    def do_HEAD(self):
        if not self.begin():
            return
        if self.key() not in self.server.objects:
            self.answer(404)
            return
        data, ctype = self.server.objects[self.key()]
        self.answer(200, b"", [("Content-Length", str(len(data))), ("ETag", '"%s"' % hashlib.md5(data).hexdigest()),
                               ("Last-Modified", "Sat, 21 Nov 2026 10:00:00 GMT"), ("Content-Type", ctype or "application/octet-stream"),
                               ("X-GlobalFS-Meta-Color", "blue"), ("X-GlobalFS-Checksum", "crc64nvme:0011")])

    def do_GET(self):
        if not self.begin():
            return
        if self.path.startswith("/api/v1/objects/"):
            self.get_object()
        elif self.path.startswith("/api/v1/objects"):
            self.list_objects()
        else:
            status, body = self.server.pages[self.path]
            self.answer(status, body, [("Content-Type", "text/plain" if isinstance(body, bytes) else "application/json")])

    def get_object(self):
        srv = self.server
        if self.key() not in srv.objects:
            self.answer(404, {"error": "no such object"})
            return
        data = srv.objects[self.key()][0]
        etag = srv.wrong_etag or hashlib.md5(data).hexdigest()
        if self.headers.get("If-Match", f'"{etag}"') != f'"{etag}"':
            self.answer(412, {"error": "precondition failed"})
            return
        start, end, status = 0, len(data) - 1, 200
        headers = [("ETag", f'"{etag}"')]
        if "Range" in self.headers and not srv.no_ranges:
            a, b = self.headers["Range"][len("bytes="):].split("-")
            start = int(a) if a else max(0, len(data) - int(b))
            end = min(int(b), len(data) - 1) if a and b else len(data) - 1
            if start >= len(data):
                self.answer(416, {"error": "range"}, [("Content-Range", f"bytes */{len(data)}")])
                return
            status = 206
            headers.append(("Content-Range", f"bytes {start}-{end}/{len(data)}"))
        part = data[start:end + 1]
        self.send_response(status)
        for name, value in headers + [("Content-Length", str(len(part)))]:
            self.send_header(name, value)
        self.end_headers()
        if srv.cuts:
            self.wfile.write(part[:srv.cuts.pop(0)])
            self.wfile.flush()
            self.close_connection = True
            if srv.after_cut:
                srv.after_cut()
        else:
            self.wfile.write(part)

    def list_objects(self):
        q = urllib.parse.parse_qs(urllib.parse.urlsplit(self.path).query)
        prefix, after = q.get("prefix", [""])[0], q.get("start_after", [""])[0]
        limit = min(int(q.get("limit", ["1000000000"])[0]), self.server.page)
        keys = sorted(k for k in self.server.objects if k.startswith(prefix) and k > after)
        page = {"prefix": prefix, "count": len(keys[:limit]), "truncated": len(keys) > limit,
                "objects": [{"key": k, "size": len(self.server.objects[k][0]), "last_modified": "2026-11-21T10:00:00Z", "etag": "e"}
                            for k in keys[:limit]]}
        if page["truncated"]:
            page["next_start_after"] = keys[limit - 1]
        if q.get("delimiter"):
            page["common_prefixes"] = sorted({k[:k.index("/", len(prefix)) + 1] for k in keys if "/" in k[len(prefix):]})
            page["objects"] = [o for o in page["objects"] if "/" not in o["key"][len(prefix):]]
        if self.server.partial:
            page["partial"] = self.server.partial
        if self.server.cuts:
            body = json.dumps(page).encode()
            self.send_response(200)
            self.send_header("Content-Length", str(len(body)))
            self.end_headers()
            self.wfile.write(body[:self.server.cuts.pop(0)])
            self.close_connection = True
            return
        self.answer(207 if self.server.partial else 200, page)


class Gfsctl(unittest.TestCase):
    def setUp(self):
        self.srv = http.server.ThreadingHTTPServer(("127.0.0.1", 0), Api)
        self.srv.daemon_threads = True
        self.srv.handle_error = lambda *args: None  # a client that goes away is no news
        s = self.srv
        s.objects, s.log, s.fail, s.cuts, s.posted, s.pages, s.partial = {}, [], [], [], [], {}, []
        s.api_key = s.wrong_etag = s.after_cut = None
        s.no_ranges = False
        s.page = 1000
        threading.Thread(target=s.serve_forever, kwargs={"poll_interval": 0.01}, daemon=True).start()
        self.dir = tempfile.mkdtemp()

    def tearDown(self):
        self.srv.shutdown()
        self.srv.server_close()
        shutil.rmtree(self.dir)

    def ctl(self, *args, stdin=b"", rc=0, env=None):
        env = dict(os.environ, GLOBALFS_COORDINATOR=f"http://127.0.0.1:{self.srv.server_port}", **(env or {}))
        r = subprocess.run([GFSCTL, *args], input=stdin, capture_output=True, env=env, timeout=60)
        self.assertEqual(r.returncode, rc, (args, r.stdout, r.stderr))
        return r

    def file(self, name, data=None):
        path = os.path.join(self.dir, name)
        if data is not None:
            with open(path, "wb") as f:
                f.write(data)
        return path

    def read(self, name):
        with open(self.file(name), "rb") as f:
            return f.read()

    # -- keys --
    def test_keys_of_every_shape_arrive_as_they_are(self):
        for key in ("a b", "100%", "what?", "#1", "a+b", "x//y", "/lead", "end/", "ünïcode/日本", "%41", "a&b=c", "q'\"", "-x"):
            self.ctl("object", "put", "--", key, stdin=key.encode())
            self.assertIn(key, self.srv.objects)
            self.assertEqual(self.ctl("object", "get", "--", key).stdout, key.encode())
            self.ctl("object", "delete", "--", key)
            self.assertNotIn(key, self.srv.objects)

    # -- put --
    def test_put_of_a_file_tells_its_length_and_of_a_pipe_is_chunked(self):
        data = os.urandom(3_000_000)
        r = self.ctl("object", "put", "k", "-i", self.file("in", data))
        self.assertEqual(r.stdout, b'stored "k" (3000000 bytes)\n')
        self.assertEqual(self.srv.log[-1][2]["Content-Length"], "3000000")
        r = self.ctl("--json", "object", "put", "p", stdin=data)
        self.assertEqual(json.loads(r.stdout), {"key": "p", "bytes": 3000000})
        self.assertEqual(self.srv.log[-1][2]["Transfer-Encoding"], "chunked")
        self.assertEqual(self.srv.objects["p"][0], data)
        self.ctl("object", "put", "empty", "-i", self.file("none", b""))
        self.assertEqual(self.srv.objects["empty"][0], b"")

    def test_put_sends_type_metadata_and_conditions(self):
        self.ctl("object", "put", "k", "-t", "text/plain", "--meta", "color=blue", "-m", "note=a=b", "--if-none-match", "*", stdin=b"x")
        h = self.srv.log[-1][2]
        self.assertEqual((h["Content-Type"], h["X-GlobalFS-Meta-color"], h["X-GlobalFS-Meta-note"], h["If-None-Match"]),
                         ("text/plain", "blue", "a=b", "*"))
        self.ctl("object", "put", "k", "-m", "=x", rc=2)
        self.ctl("object", "put", "k", "-m", "a: b=x", rc=2)

    def test_put_that_was_damaged_is_an_error(self):
        self.srv.wrong_etag = "0" * 32
        self.assertIn(b"not what was sent", self.ctl("object", "put", "k", stdin=b"x", rc=1).stderr)

    def test_put_shows_the_apis_error(self):
        self.srv.fail = [(507, {"error": "site a is full"})]
        r = self.ctl("object", "put", "k", "-i", self.file("in", b"x" * 2_000_000), rc=1)
        self.assertEqual(r.stderr, b"gfsctl: object k: site a is full (status 507, request rid-1)\n")
        r = self.ctl("object", "put", "k", "-i", "/nonexistent", rc=1)
        self.assertIn(b"/nonexistent: No such file", r.stderr)
        self.ctl("object", "put", "k", "-i", "/", rc=1)
        self.ctl("object", "put", "", rc=2)

    # -- get --
    def test_get_into_a_file_is_atomic_and_keeps_links_and_modes(self):
        self.srv.objects["k"] = (b"new", None)
        self.file("real", b"old")
        os.chmod(self.file("real"), 0o600)
        os.symlink(self.file("real"), self.file("link"))
        r = self.ctl("object", "get", "k", "-o", self.file("link"))
        self.assertEqual(r.stdout.decode(), f"{self.file('link')}: 3 bytes\n")
        self.assertEqual(self.read("real"), b"new")
        self.assertTrue(os.path.islink(self.file("link")))
        self.assertEqual(os.stat(self.file("real")).st_mode & 0o777, 0o600)
        self.assertEqual(sorted(os.listdir(self.dir)), ["link", "real"])
        self.ctl("object", "get", "k", "-o", "/dev/null")
        self.assertTrue(os.path.exists("/dev/null") and not os.path.isfile("/dev/null"))
        self.ctl("object", "get", "missing", "-o", self.file("real"), rc=1)
        self.assertEqual(self.read("real"), b"new")
        self.assertEqual(sorted(os.listdir(self.dir)), ["link", "real"])

    def test_get_of_an_empty_object(self):
        self.srv.objects["e"] = (b"", None)
        self.ctl("object", "get", "e", "-o", self.file("e"))
        self.assertEqual(self.read("e"), b"")
        self.assertEqual(self.ctl("object", "get", "e").stdout, b"")

    def test_get_goes_on_after_lost_connections(self):
        data = os.urandom(1_000_000)
        self.srv.objects["k"] = (data, None)
        self.srv.cuts = [300_000, 1, 400_000]
        self.ctl("object", "get", "k", "-o", self.file("k"))
        self.assertEqual(self.read("k"), data)
        self.assertEqual([e[2].get("Range") for e in self.srv.log],
                         [None, "bytes=300000-", "bytes=300001-", "bytes=700001-"])
        self.assertEqual(len({e[2]["If-Match"] for e in self.srv.log[1:]}), 1)
        self.srv.cuts = [500_000]
        self.assertEqual(self.ctl("object", "get", "k").stdout, data)

    def test_get_goes_on_in_the_next_run(self):
        data = os.urandom(1_000_000)
        self.srv.objects["k"] = (data, None)
        etag = f'"{hashlib.md5(data).hexdigest()}"'
        self.file("k.gfs-part", data[:600_000])
        self.file("k.gfs-part.etag", etag.encode())
        self.ctl("object", "get", "k", "-o", self.file("k"))
        self.assertEqual(self.read("k"), data)
        self.assertEqual((self.srv.log[0][2]["Range"], self.srv.log[0][2]["If-Match"]), ("bytes=600000-", etag))
        # all of it was there
        self.file("w.gfs-part", data)
        self.file("w.gfs-part.etag", etag.encode())
        self.ctl("object", "get", "k", "-o", self.file("w"))
        self.assertEqual(self.read("w"), data)
        self.assertEqual(sorted(os.listdir(self.dir)), ["k", "w"])

    def test_get_starts_over_when_the_object_changed(self):
        data = os.urandom(100_000)
        self.srv.objects["k"] = (data, None)
        self.file("k.gfs-part", b"old bytes")
        self.file("k.gfs-part.etag", b'"0123"')
        self.ctl("object", "get", "k", "-o", self.file("k"))
        self.assertEqual(self.read("k"), data)

        def change():
            self.srv.objects["k"] = (data[::-1], None)
        self.srv.cuts, self.srv.after_cut = [50_000], change
        self.assertIn(b"was changed while it was read", self.ctl("object", "get", "k", rc=1).stderr)

    def test_get_with_a_server_that_takes_no_ranges(self):
        data = os.urandom(100_000)
        self.srv.objects["k"] = (data, None)
        self.srv.no_ranges = True
        self.srv.cuts = [50_000]
        self.ctl("object", "get", "k", "-o", self.file("k"))
        self.assertEqual(self.read("k"), data)
        self.ctl("object", "get", "k", "--range", "0-5", rc=1)

    def test_get_of_damaged_bytes_leaves_nothing(self):
        self.srv.objects["k"] = (b"abc", None)
        self.srv.wrong_etag = "0" * 32
        self.assertIn(b"damaged", self.ctl("object", "get", "k", "-o", self.file("k"), rc=1).stderr)
        self.assertEqual(os.listdir(self.dir), [])
        self.ctl("object", "get", "k", rc=1)

    def test_get_gives_up_and_keeps_the_part(self):
        data = os.urandom(100_000)
        self.srv.objects["k"] = (data, None)
        self.srv.cuts = [40_000] + [0] * 20
        self.ctl("object", "get", "k", "-o", self.file("k"), rc=1)
        self.assertEqual(sorted(os.listdir(self.dir)), ["k.gfs-part", "k.gfs-part.etag"])
        self.srv.cuts = []
        self.ctl("object", "get", "k", "-o", self.file("k"))
        self.assertEqual(self.read("k"), data)

    def test_ranges(self):
        self.srv.objects["k"] = (bytes(range(256)), None)
        for text, want in (("5-9", bytes(range(5, 10))), ("250-", bytes(range(250, 256))), ("-3", bytes(range(253, 256)))):
            self.assertEqual(self.ctl("object", "get", "k", f"--range={text}").stdout, want)
            self.ctl("object", "get", "k", "-r", text, "-o", self.file("r"))
            self.assertEqual(self.read("r"), want)
        self.assertIn(b"416", self.ctl("object", "get", "k", "-r", "300-", rc=1).stderr)
        self.srv.cuts = [50]
        self.assertEqual(self.ctl("object", "get", "k", "-r", "10-199").stdout, bytes(range(10, 200)))
        self.ctl("object", "get", "k", "-r", "x", rc=2)

    # -- head, list --
    def test_head(self):
        self.srv.objects["k"] = (b"abc", "text/plain")
        text = self.ctl("object", "head", "k").stdout.decode().splitlines()
        self.assertEqual(text[0].split(), ["KEY", "SIZE", "LAST_MODIFIED", "ETAG", "CHECKSUM"])
        self.assertEqual(text[1].split(), ["k", "3", "2026-11-21T10:00:00Z", hashlib.md5(b"abc").hexdigest(), "crc64nvme:0011"])
        self.assertIn("meta color: blue", text)
        head = json.loads(self.ctl("object", "head", "k", "--json").stdout)
        self.assertEqual((head["size"], head["content_type"], head["metadata"]), (3, "text/plain", {"color": "blue"}))
        self.assertIn(b"object missing: not found (status 404)", self.ctl("object", "head", "missing", rc=1).stderr)

    def test_list_pages_through_everything(self):
        for i in range(2500):
            self.srv.objects[f"p/{i:05}"] = (b"x" * (i % 7), None)
        self.srv.objects["q\x1b[2J"] = (b"", None)
        lines = self.ctl("object", "list", "--prefix", "p/").stdout.decode().splitlines()
        self.assertEqual(lines[0].split(), ["KEY", "SIZE", "LAST_MODIFIED"])
        self.assertEqual([line.split()[0] for line in lines[1:]], [f"p/{i:05}" for i in range(2500)])
        self.assertEqual(len(json.loads(self.ctl("--json", "object", "list").stdout)), 2501)
        self.assertEqual(len(json.loads(self.ctl("--json", "object", "list", "--limit", "1500").stdout)), 1500)
        self.assertEqual(len(json.loads(self.ctl("--json", "object", "list", "-n", "3", "--start-after", "p/02498").stdout)), 2)
        self.assertEqual(self.ctl("--json", "object", "list", "--prefix", "none").stdout, b"[]\n")
        self.assertNotIn(b"\x1b", self.ctl("object", "list", "--prefix", "q").stdout)
        self.ctl("object", "list", "--limit", "-1", rc=2)
        self.srv.partial = ["cloud"]
        r = self.ctl("object", "list", "--limit", "1")
        self.assertIn(b"no answer from cloud", r.stderr)

    def test_list_goes_on_after_lost_connections(self):
        for i in range(1000):
            self.srv.objects[f"p/{i:05}"] = (b"", None)
        self.srv.cuts = [5000, 100 + 200, 40_000]
        keys = [o["key"] for o in json.loads(self.ctl("--json", "object", "list").stdout)]
        self.assertEqual(keys, [f"p/{i:05}" for i in range(1000)])
        self.assertEqual(len(self.srv.log), 4)
        self.srv.cuts = [5000, 0]  # an attempt that brings nothing is the last
        r = self.ctl("--json", "object", "list", rc=1)
        self.assertGreater(len(json.loads(r.stdout)), 10)  # what came is valid JSON still
        self.srv.cuts = [5000]
        self.ctl("object", "list", "--delimiter", "/", "--prefix", "p/", rc=1)

    def test_list_by_delimiter(self):
        for k in ("a", "b/1", "b/2", "c/d/e", "z"):
            self.srv.objects[k] = (b"xx", None)
        lines = [line.split() for line in self.ctl("object", "list", "--delimiter", "/", "--strict").stdout.decode().splitlines()]
        self.assertIn("delimiter=/", self.srv.log[-1][1])
        self.assertIn("strict=1", self.srv.log[-1][1])
        self.assertEqual(sorted(lines[1:]), [["a", "2", "2026-11-21T10:00:00Z"], ["b/", "PRE"], ["c/", "PRE"],
                                             ["z", "2", "2026-11-21T10:00:00Z"]])
        rows = json.loads(self.ctl("--json", "object", "list", "-d", "/").stdout)
        self.assertEqual([r["prefix"] for r in rows if "prefix" in r], ["b/", "c/"])

    def test_list_of_nonsense_is_refused(self):
        for body in (b"[]", b"{}", b'{"objects":[{"key":1}],"count":1}', b'{"objects":[{"key":"a"},]}', b'{"objects":[',
                     b'{"objects":[{"key":"a"}],"truncated":true}', b'{"objects":[],"truncated":true,"next_start_after":"x"}',
                     b'{"objects":["' + b"x" * 100_000):
            self.srv.fail = [(200, body)]
            self.assertIn(b"gfsctl: list: ", self.ctl("object", "list", rc=1).stderr, body[:40])

    def test_where(self):
        doc = {"key": "a b", "known": True, "deleted": False, "decided": True, "generation": "g2", "etag": "e2", "size": 5, "rule": None,
               "read": {"site": "one", "why": "primary, current"}, "sites": [
                   {"name": "one", "id": 1, "role": "primary", "state": "up", "circuit_state": "closed", "drained": False,
                    "routed": True, "place": 1, "why": "first by role", "current": True,
                    "copy": {"present": True, "size": 5, "etag": "e2", "generation": "g2", "last_modified": "2026-11-21T10:00:00Z"}},
                   {"name": "two", "id": 2, "role": "backup", "state": "down", "circuit_state": "open", "drained": True,
                    "routed": False, "place": None, "why": "drained", "current": None,
                    "copy": {"present": None, "error": "timed out"}}]}
        self.srv.pages["/api/v1/where/a%20b"] = (200, doc)
        self.assertEqual(self.ctl("object", "where", "a b").stdout.decode(), (
            "SITE  ROLE     STATE                        COPY     SIZE  ETAG  GENERATION  CURRENT  PLACE  WHY\n"
            "one   primary  up                           yes      5     e2    g2          yes      1      first by role\n"
            "two   backup   down, circuit open, drained  unknown  -     -     -           unknown  -      drained; timed out\n"
            "A read would use one: primary, current\n"))
        self.assertEqual(json.loads(self.ctl("--json", "object", "where", "a b").stdout), doc)

    # -- sites, replicate, status, info --
    def test_sites(self):
        self.srv.pages["/api/v1/sites"] = (200, [{"name": "a", "role": "primary", "healthy": True, "circuit_state": "closed"},
                                                 {"name": "b", "role": "burst", "healthy": False, "error": "timed out"}])
        text = self.ctl("site", "list").stdout.decode()
        self.assertEqual(text, "NAME  ROLE     STATUS               CIRCUIT\na     primary  healthy              closed\n"
                               "b     burst    degraded: timed out\n")
        self.assertEqual(json.loads(self.ctl("site", "list", "--json").stdout)[1]["error"], "timed out")
        r = self.ctl("site", "add", "--name", "c", "--uri", "s3://bucket?region=r&endpoint=http://h:1", "--role", "backup")
        self.assertEqual(r.stdout, b'Site "c" (backup) registered successfully.\n')
        self.assertEqual(self.srv.posted[-1], {"name": "c", "role": "backup", "s3_bucket": "bucket", "s3_region": "r",
                                               "s3_endpoint": "http://h:1"})
        self.ctl("site", "add", "--name", "d", "--uri", "file:///srv/d")
        self.assertEqual(self.srv.posted[-1], {"name": "d", "role": "primary", "uri": "file:///srv/d"})
        for bad in (["--uri", "ftp://x", "--name", "x"], ["--name", "x"], ["--uri", "s3://b", "--name", "x", "--role", "boss"]):
            self.ctl("site", "add", *bad, rc=2)
        self.assertEqual(self.ctl("site", "remove", "--name", "a/b").stdout, b'Site "a/b" deregistered.\n')
        self.assertEqual(self.srv.log[-1][1], "/api/v1/sites/a%2Fb")

    def test_drain_and_undrain(self):
        self.assertEqual(self.ctl("site", "drain", "a b").stdout, b'Site "a b" drained.\n')
        self.assertEqual(self.srv.log[-1][:2], ("POST", "/api/v1/sites/a%20b/drain"))
        self.assertIs(json.loads(self.ctl("--json", "site", "undrain", "--name", "a").stdout)["drained"], False)
        self.ctl("site", "drain", rc=2)

    def test_ready(self):
        self.srv.pages["/readyz"] = (200, b"OK\n")
        self.srv.pages["/readyz?site=a&max_lag=30s"] = (503, b"site a lags by 40 s\n")
        self.assertEqual(self.ctl("ready").stdout, b"READY\n")
        r = self.ctl("ready", "--site", "a", "--max-lag", "30s", rc=1)
        self.assertEqual(r.stdout, b"NOT READY\nsite a lags by 40 s\n")
        self.ctl("ready", "--max-lag", "30s", rc=2)

    def test_replicate(self):
        r = self.ctl("replicate", "--key", "a b", "--from", "x", "--to", "y")
        self.assertEqual(r.stdout, b'Replication accepted: key="a b" from=x to=y\n')
        self.assertEqual(self.srv.posted[-1], {"key": "a b", "from": "x", "to": "y"})
        self.ctl("replicate", "--key", "a", rc=2)

    def test_status_and_info(self):
        self.srv.pages["/healthz"] = (200, b"OK\n")
        self.assertEqual(self.ctl("status").stdout, b"OK\n")
        self.srv.pages["/healthz"] = (503, b"DEGRADED\na: down\n")
        self.assertEqual(self.ctl("status", rc=1).stdout, b"DEGRADED\na: down\n")
        self.assertEqual(json.loads(self.ctl("--json", "status", rc=1).stdout), {"status": "DEGRADED", "details": "a: down\n"})
        info = {"version": "1", "uptime_seconds": 3723.5, "sites": 2, "sites_by_role": {"primary": 1, "burst": 1},
                "replication_queue_depth": 7, "is_leader": True, "health": {"healthy": 2, "unhealthy": 0}}
        self.srv.pages["/api/v1/info"] = (200, info)
        lines = self.ctl("info").stdout.decode().splitlines()
        self.assertIn("uptime             1h2m3s", lines)
        self.assertIn("  burst            1", lines)
        self.assertEqual(json.loads(self.ctl("--json", "info").stdout), info)

    # -- keys to the API, errors --
    def test_api_key(self):
        self.srv.api_key = "secret"
        self.srv.pages["/api/v1/info"] = (200, {})
        self.ctl("info", rc=1)
        self.ctl("info", "--api-key", "secret")
        self.ctl("info", env={"GLOBALFS_API_KEY": "secret"})
        self.ctl("info", "--api-key-file", self.file("key", b"secret\nmore\n"))
        self.ctl("info", "--api-key-file", self.file("nokey"), rc=2)

    def test_exit_codes(self):
        r = subprocess.run([GFSCTL, "--coordinator-addr", "127.0.0.1:1", "info"], capture_output=True)
        self.assertEqual(r.returncode, 3)
        self.assertTrue(r.stderr.startswith(b"gfsctl: info: http://127.0.0.1:1: "), r.stderr)
        self.ctl("nonsense", rc=2)
        self.ctl("info", "--nonsense", rc=2)
        self.ctl("object", "get", "a", "b", rc=2)
        self.ctl("--coordinator-addr", "ftp://x", "info", rc=2)
        self.ctl("router", "show", "--run-dir", self.dir, rc=3)
        self.srv.pages["/api/v1/info"] = (200, b"<html>")
        self.assertIn(b"does not answer like a GlobalFS", self.ctl("info", rc=1).stderr)

    def test_config(self):
        path = self.file("c.yaml")
        self.ctl("config", "init", "-o", path)
        self.assertEqual(self.ctl("config", "validate", path).stdout, b"Configuration is valid.\n")
        self.assertIn(b"--force", self.ctl("config", "init", "-o", path, rc=1).stderr)
        self.ctl("config", "init", "-o", path, "--force")
        self.assertIn(b"c.yaml:", self.ctl("config", "show", path).stdout)
        self.assertEqual(json.loads(self.ctl("--json", "config", "show", path).stdout)["coordinator"]["listen_addr"], ":8090")
        self.ctl("config", "show", env={"GLOBALFS_CONFIG": path})
        self.file("bad.yaml", b"glibal: {}\n")
        r = self.ctl("config", "validate", self.file("bad.yaml"), rc=1)
        self.assertIn(b"bad.yaml:1: glibal: unknown key, did you mean", r.stderr)
        self.assertIn(b"default", self.ctl("config", "show", self.file("empty.yaml", b"")).stdout)
        self.ctl("config", "validate", self.file("empty.yaml", b""), rc=1)

    def test_config_show_tells_what_the_registry_overrides(self):
        os.mkdir(self.file("state"))
        self.file("state/sites", json.dumps({
            "epoch": 4, "namespace_id": "9c764eba-3989-4632-8828-6b4e936b7ff5", "next_id": 3, "removed": ["gone"],
            "sites": [{"id": 1, "name": "a", "role": "primary", "kind": "file", "file_path": "/srv/a"},
                      {"id": 2, "name": "new", "role": "backup", "kind": "file", "file_path": "/srv/n", "runtime": True}]}).encode())
        conf = self.file("c.yaml", f"""global: {{state_dir: {self.dir}/state}}
sites:
  - {{name: a, role: primary, uri: "file:///srv/a"}}
  - {{name: gone, role: backup, uri: "file:///srv/g"}}
""".encode())
        text = self.ctl("config", "show", conf).stdout.decode()
        self.assertIn("site new (backup, file:///srv/n) was added at run time\n", text)
        self.assertIn("site gone of the configuration was removed at run time\n", text)
        registry = json.loads(self.ctl("--json", "config", "show", conf).stdout)["registry"]
        self.assertEqual((registry["added"][0]["name"], registry["removed"]), ("new", ["gone"]))

    def test_completion_loads_in_bash(self):
        script = self.ctl("completion", "bash").stdout
        r = subprocess.run(["bash", "-c", "eval \"$1\"; COMP_WORDS=(gfsctl object pu); COMP_CWORD=2; _gfsctl; echo ${COMPREPLY[@]}; "
                            "COMP_WORDS=(gfsctl site add --u); COMP_CWORD=3; _gfsctl; echo ${COMPREPLY[@]}", "-", script],
                           capture_output=True)
        self.assertEqual(r.stdout, b"put\n--uri\n", r)
        self.ctl("completion", "tcsh", rc=2)


if __name__ == "__main__":
    unittest.main(argv=[sys.argv[0], "-q"] if len(sys.argv) == 1 else sys.argv)
