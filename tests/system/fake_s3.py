# SPDX-License-Identifier: Apache-2.0
"""An S3 store in memory whose every step a scenario can hold, fail or cut. For interleavings that a real store does not let one
script; what works here is also shown against radosgw. It does not check signatures.

    gate = store.gate("stored", method="PUT", key="a")     # the next PUT of a is stored, but its answer waits
    gate.wait(); ...; gate.release()
    store.fault("503", method="GET", times=3)               # also: refuse, hang, cut:N, stall:N, wrong-etag, wrong-bytes,
                                                            # lost (done, not answered), late:S (cut, takes effect S seconds later),
                                                            # 503:N (with Retry-After: N)
    store.ignore_if_match = True                            # as some stores do
"""
import datetime
import email.utils
import hashlib
import http.server
import re
import socket
import socketserver
import threading
import time
import urllib.parse
from xml.sax.saxutils import escape


class Gate:
    def __init__(self, step, match):
        self.step, self.match = step, match
        self._reached, self._released = threading.Event(), threading.Event()

    def wait(self, seconds=20):
        assert self._reached.wait(seconds), f"nothing reached the gate {self.step} {self.match}"

    @property
    def reached(self):
        return self._reached.is_set()

    def release(self):
        self._released.set()

    def hold(self):
        self._reached.set()
        self._released.wait(120)


class Fault:
    def __init__(self, kind, match, times):
        self.kind, self.match, self.times = kind, match, times


class FakeS3:
    access, secret = "AKFAKE", "SKFAKE"

    def __init__(self, buckets=("data",)):
        self.lock = threading.Lock()
        self.buckets = {b: {} for b in buckets}
        self.uploads = {}
        self.gates, self.faults, self.log = [], [], []
        self.conns = set()
        self.stopped = False
        self.ignore_if_match = False
        store = self

        class Handler(http.server.BaseHTTPRequestHandler):
            protocol_version = "HTTP/1.1"

            def setup(self):
                super().setup()
                self.request.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
                store.conns.add(self.request)

            def finish(self):
                store.conns.discard(self.request)
                try:
                    super().finish()
                except OSError:
                    pass

            def log_message(self, *a):
                pass

            def handle_one_request(self):
                try:
                    super().handle_one_request()
                except (OSError, ValueError):
                    self.close_connection = True

            def do_GET(self):
                Call(store, self).run()
            do_PUT = do_HEAD = do_DELETE = do_POST = do_GET

        class Server(socketserver.ThreadingMixIn, http.server.HTTPServer):
            daemon_threads = True
            allow_reuse_address = True
            request_queue_size = 128

            def handle_error(self, *a):
                pass

        self._handler, self._server_class = Handler, Server
        self.server = Server(("127.0.0.1", 0), Handler)
        self.port = self.server.server_address[1]
        self._serve()

    def _serve(self):
        self.thread = threading.Thread(target=self.server.serve_forever, kwargs={"poll_interval": 0.02}, daemon=True)
        self.thread.start()

    @property
    def endpoint(self):
        return f"http://127.0.0.1:{self.port}"

    # -- scripting --
    @staticmethod
    def _match(method, key, bucket):
        return (method, re.compile(key) if key else None, bucket)

    def gate(self, step, method=None, key=None, bucket=None):
        """step: head (request seen), body (all bytes of the body but one), received (all bytes, nothing stored), stored (answer pending)"""
        g = Gate(step, self._match(method, key, bucket))
        with self.lock:
            self.gates.append(g)
        return g

    def fault(self, kind, method=None, key=None, bucket=None, times=1):
        f = Fault(kind, self._match(method, key, bucket), times)
        with self.lock:
            self.faults.append(f)
        return f

    def clear(self):
        with self.lock:
            gates, self.gates, self.faults = self.gates, [], []
        for g in gates:
            g.release()

    def pause(self):
        """The store is gone: connections refused, open ones cut."""
        self.server.shutdown()
        self.server.server_close()
        for c in list(self.conns):
            try:
                c.shutdown(socket.SHUT_RDWR)
            except OSError:
                pass

    def resume(self):
        self.server = self._server_class(("127.0.0.1", self.port), self._handler)
        self._serve()

    def stop(self):
        self.clear()
        if not self.stopped:
            self.stopped = True
            self.pause()

    def get(self, bucket, key):
        with self.lock:
            o = self.buckets[bucket].get(key)
            return o and (o["body"], o["headers"])

    def count(self, method, key):
        with self.lock:
            return sum(1 for m, b, k, q in self.log if m == method and k == key)


class Call:
    def __init__(self, store, h):
        self.store, self.h = store, h
        url = urllib.parse.urlsplit(h.path)
        bucket, _, key = url.path.lstrip("/").partition("/")
        self.bucket, self.key = urllib.parse.unquote(bucket), urllib.parse.unquote(key, errors="surrogateescape")
        self.q = {k: v[0] for k, v in urllib.parse.parse_qs(url.query, keep_blank_values=True).items()}
        with store.lock:
            store.log.append((h.command, self.bucket, self.key, dict(self.q)))

    def _fits(self, match):
        method, key, bucket = match
        return ((not method or method == self.h.command) and (not bucket or bucket == self.bucket)
                and (not key or key.fullmatch(self.key)))

    def pass_gate(self, step):
        with self.store.lock:
            g = next((g for g in self.store.gates if g.step == step and self._fits(g.match)), None)
            if g:
                self.store.gates.remove(g)
        if g:
            g.hold()

    def take_fault(self):
        with self.store.lock:
            f = next((f for f in self.store.faults if self._fits(f.match)), None)
            if f:
                f.times -= 1
                if f.times == 0:
                    self.store.faults.remove(f)
            return f.kind if f else None

    def read_body(self):
        n = int(self.h.headers.get("Content-Length", 0))
        body = b""
        if n:
            body = self._read(n - 1)
            self.pass_gate("body")
            body += self._read(1)
        return body

    def _read(self, n):
        out = bytearray()
        while len(out) < n:
            piece = self.h.rfile.read(min(n - len(out), 1 << 20))
            if not piece:
                raise ConnectionError("short body")
            out += piece
        return bytes(out)

    def run(self):
        self.pass_gate("head")
        fault = self.take_fault()
        if fault in ("refuse", "hang"):
            if fault == "hang":
                time.sleep(30)
            self.h.close_connection = True
            self.h.connection.shutdown(socket.SHUT_RDWR)
            return
        body = self.read_body()
        self.fault = ""
        if fault and fault[:3].isdigit():
            status, _, wait = fault.partition(":")
            return self.error(int(status), "SlowDown" if status in ("503", "429") else "NoSuchKey" if status == "404" else "InternalError",
                              {"Retry-After": wait} if wait else {})
        self.fault = fault or ""
        if self.bucket not in self.store.buckets:
            return self.error(404, "NoSuchBucket")
        self.pass_gate("received")
        if self.fault.startswith("late:"):
            self.hang_up()
            time.sleep(float(self.fault[5:]))
        getattr(self, "do_" + self.h.command)(body)

    def hang_up(self):
        self.h.close_connection = True
        try:
            self.h.connection.shutdown(socket.SHUT_RDWR)
        except OSError:
            pass

    # -- answers --
    def answer(self, status, body=b"", headers=None, length=None):
        if self.h.command != "GET":
            self.pass_gate("stored")
        h = self.h
        if self.fault == "lost" or self.fault.startswith("late:"):
            return self.hang_up()
        h.send_response(status)
        for k, v in (headers or {}).items():
            h.send_header(k, v)
        h.send_header("Content-Length", str(len(body) if length is None else length))
        h.end_headers()
        if h.command == "HEAD":
            return
        if self.fault.startswith(("cut:", "stall:")):
            kind, n = self.fault.split(":")
            h.wfile.write(body[:int(n)])
            h.wfile.flush()
            if kind == "stall":
                time.sleep(30)
            h.close_connection = True
            h.connection.shutdown(socket.SHUT_RDWR)
            return
        if self.fault == "wrong-bytes" and body:
            body = bytes([body[0] ^ 1]) + body[1:]
        h.wfile.write(body)

    def error(self, status, code, headers={}):
        self.fault = ""
        body = f"<?xml version='1.0'?><Error><Code>{code}</Code><Message>{code}</Message></Error>".encode()
        self.answer(status, body if self.h.command != "HEAD" else b"", {"Content-Type": "application/xml", **headers})

    def objects(self):
        return self.store.buckets[self.bucket]

    def object_headers(self, o):
        return {"ETag": f'"{o["etag"]}"', "Last-Modified": email.utils.formatdate(o["time"], usegmt=True), **o["headers"]}

    # -- verbs --
    def do_GET(self, _):
        if not self.key:
            return self.list()
        with self.store.lock:
            o = self.objects().get(self.key)
        if not o:
            return self.error(404, "NoSuchKey")
        if (m := self.h.headers.get("If-Match")) and not self.store.ignore_if_match and m.strip('"') != o["etag"]:
            return self.error(412, "PreconditionFailed")
        headers, data = self.object_headers(o), o["body"]
        m = re.fullmatch(r"bytes=(\d*)-(\d*)", self.h.headers.get("Range", ""))
        if not m:
            return self.answer(200, data, headers)
        a, b = m.groups()
        first, last = (int(a), min(int(b or len(data)), len(data) - 1)) if a else (max(len(data) - int(b), 0), len(data) - 1)
        if first > last:
            return self.error(416, "InvalidRange")
        headers["Content-Range"] = f"bytes {first}-{last}/{len(data)}"
        self.answer(206, data[first:last + 1], headers)

    def do_HEAD(self, _):
        with self.store.lock:
            o = self.objects().get(self.key)
        if not o:
            return self.error(404, "NoSuchKey")
        self.answer(200, b"", self.object_headers(o), len(o["body"]))

    def kept_headers(self):
        return {k: v for k, v in self.h.headers.items() if k.lower().startswith("x-amz-meta-") or k.lower() == "content-type"}

    def store_object(self, body, etag, headers):
        if self.fault == "wrong-etag":
            etag = "0" * 32
        with self.store.lock:
            self.objects()[self.key] = {"body": body, "etag": etag, "time": time.time(), "headers": headers}
        return etag

    def do_PUT(self, body):
        if self.h.headers.get("If-None-Match") == "*" and self.key in self.objects():
            return self.error(412, "PreconditionFailed")
        if "uploadId" in self.q:
            up = self.store.uploads.get(self.q["uploadId"])
            if not up:
                return self.error(404, "NoSuchUpload")
            up["parts"][int(self.q["partNumber"])] = body
            return self.answer(200, b"", {"ETag": f'"{hashlib.md5(body).hexdigest()}"'})
        etag = self.store_object(body, hashlib.md5(body).hexdigest(), self.kept_headers())
        self.answer(200, b"", {"ETag": f'"{etag}"'})

    def do_POST(self, body):
        if "uploads" in self.q:
            uid = f"u{len(self.store.uploads) + 1}-{time.time_ns()}"
            self.store.uploads[uid] = {"parts": {}, "headers": self.kept_headers()}
            text = f"<InitiateMultipartUploadResult><UploadId>{uid}</UploadId></InitiateMultipartUploadResult>"
            return self.answer(200, text.encode())
        up = self.store.uploads.get(self.q.get("uploadId"))
        if not up:
            return self.error(404, "NoSuchUpload")
        numbers = [int(n) for n in re.findall(rb"<PartNumber>(\d+)</PartNumber>", body)]
        parts = [up["parts"][n] for n in numbers]
        sums = b"".join(hashlib.md5(p).digest() for p in parts)
        etag = self.store_object(b"".join(parts), f"{hashlib.md5(sums).hexdigest()}-{len(parts)}", up["headers"])
        del self.store.uploads[self.q["uploadId"]]
        self.answer(200, f"<CompleteMultipartUploadResult><ETag>&quot;{etag}&quot;</ETag></CompleteMultipartUploadResult>".encode())

    def do_DELETE(self, _):
        if "uploadId" in self.q:
            self.store.uploads.pop(self.q["uploadId"], None)
        else:
            with self.store.lock:
                self.objects().pop(self.key, None)
        self.answer(204)

    def list(self):
        enc = self.q.get("encoding-type") == "url"
        prefix, after = self.q.get("prefix", ""), self.q.get("continuation-token") or self.q.get("start-after", "")
        limit = int(self.q.get("max-keys", 1000))
        delimiter = self.q.get("delimiter", "")

        def group_of(k):
            i = k.find(delimiter, len(prefix)) if delimiter else -1
            return k[:i + len(delimiter)] if i >= 0 else None

        with self.store.lock:
            items = {}  # key, or common prefix -> object, or None
            for k, o in self.objects().items():
                if k.startswith(prefix) and k > after:
                    group = group_of(k)
                    items[group or k] = None if group else o
        keys = sorted(items, key=lambda k: k.encode(errors="surrogateescape"))
        rows = [(k, items[k]) for k in keys[:limit]]
        show = (lambda k: urllib.parse.quote(k, errors="surrogateescape")) if enc else escape
        out = ["<?xml version='1.0' encoding='UTF-8'?><ListBucketResult>" + ("<EncodingType>url</EncodingType>" if enc else "")]
        for k, o in ((k, o) for k, o in rows if o):
            t = datetime.datetime.utcfromtimestamp(o["time"]).strftime("%Y-%m-%dT%H:%M:%S.000Z")
            out.append(f"<Contents><Key>{show(k)}</Key><Size>{len(o['body'])}</Size><ETag>&quot;{o['etag']}&quot;</ETag>"
                       f"<LastModified>{t}</LastModified></Contents>")
        out += [f"<CommonPrefixes><Prefix>{show(k)}</Prefix></CommonPrefixes>" for k, o in rows if o is None]
        more = len(keys) > limit
        out.append(f"<KeyCount>{len(rows)}</KeyCount><IsTruncated>{str(more).lower()}</IsTruncated>")
        if more:
            out.append(f"<NextContinuationToken>{escape(rows[-1][0])}</NextContinuationToken>")
        self.answer(200, ("".join(out) + "</ListBucketResult>").encode())
