# SPDX-License-Identifier: Apache-2.0
"""A store that misbehaves on command: tests/helpers/fault_proxy before a real one (s3.Rgw) or a FakeS3. It looks like the store
behind it, so that it goes wherever a store goes:

    proxy = FaultProxy(store, tmp)
    suite = suites(tmp, [s3_site(proxy, bucket, "a"), ...])
    proxy.fault("cut:1000", method="GET", bucket=bucket, key="k", times=1)
    proxy.fault("refuse", for_ms=2000)          # every kind: tests/helpers/fault_rule.h
    proxy.requests("PUT", bucket, "k")          # what reached it, from its log

Where FakeS3 holds a step until a scenario lets go, this one breaks the connection or the bytes on it, as fast as the store is.
"""
import itertools
import os
import re
import subprocess
import threading
import urllib.parse
from collections import namedtuple

import gfs

PROGRAM = os.path.abspath(os.path.join(gfs.BUILD, "tests", "helpers", "fault_proxy"))
_numbers = itertools.count(1)
Request = namedtuple("Request", "at_ms method target status up down us fault end")
Fault = namedtuple("Fault", "at_ms id kind method target")
_REQ = re.compile(r"(\d+) req (\S+) (\S*) (\d+) up=(\d+) down=(\d+) us=(\d+) fault=(\S+) end=(\w+)")
_FAULT = re.compile(r"(\d+) fault (\d+) (\S+) (\S+) (\S*)")


def target(bucket=None, key=None):
    """What a request's target begins with."""
    return "/" + (bucket or "") + ("/" + urllib.parse.quote(key, safe="/-_.~") if key else "")


class FaultProxy:
    def __init__(self, store, tmp, seed=1):
        self.store, self.access, self.secret = store, store.access, store.secret
        self.log_path = os.path.join(str(tmp), f"proxy{next(_numbers)}.log")
        self.lock = threading.Lock()
        host = store.endpoint.split("//")[1]
        self.proc = subprocess.Popen([PROGRAM, "--seed", str(seed), "--log", self.log_path, host], stdin=subprocess.PIPE,
                                     stdout=subprocess.PIPE, text=True)
        self.port = int(self.proc.stdout.readline().split()[1])
        self.endpoint = f"http://127.0.0.1:{self.port}"

    def __getattr__(self, name):
        """What looks into the store (get, head, put, make_bucket ...) goes past the proxy."""
        return getattr(self.store, name)

    def command(self, line):
        with self.lock:
            self.proc.stdin.write(line + "\n")
            self.proc.stdin.flush()
            word, _, rest = self.proc.stdout.readline().strip().partition(" ")
        assert word == "ok", f"{line}: {word} {rest}"
        return rest

    def fault(self, kind, method=None, key=None, bucket=None, times=0, **options):
        """Options: p, for_ms, at_ms, retry_after. Returns what off() takes."""
        words = ["fault", kind]
        if method:
            words.append(f"method={method}")
        if bucket or key:
            words.append("path=" + target(bucket or "data", key))
        if times:
            words.append(f"times={times}")
        names = {"for_ms": "for", "at_ms": "at", "retry_after": "retry-after", "p": "p"}
        words += [f"{names[k]}={v}" for k, v in options.items() if v is not None]
        return self.command(" ".join(words))

    def off(self, fault):
        self.command(f"off {fault}")

    def clear(self):
        self.command("clear")

    def drop(self):
        self.command("drop")

    def pause(self):
        """The store is gone: connections refused, open ones cut."""
        self._refuse = self.fault("refuse")

    def resume(self):
        self.off(self._refuse)

    def schedule(self, path):
        self.command(f"schedule {path}")

    def stats(self):
        return {k: int(v) for k, v in (w.split("=") for w in self.command("stats").split())}

    def log_text(self):
        self.command("sync")
        with open(self.log_path) as f:
            return f.read()

    def requests(self, method=None, bucket=None, key=None):
        """Those that are over."""
        want = target(bucket, key)
        rows = [Request(int(m[1]), m[2], m[3], int(m[4]), int(m[5]), int(m[6]), int(m[7]), m[8], m[9])
                for m in map(_REQ.fullmatch, self.log_text().splitlines()) if m]
        return [r for r in rows if method in (None, r.method) and r.target.startswith(want)]

    def faults(self, kind=None):
        """The requests that met one, in order; those of refuse and freeze are not seen."""
        rows = [Fault(int(m[1]), int(m[2]), m[3], m[4], m[5]) for m in map(_FAULT.fullmatch, self.log_text().splitlines()) if m]
        return [r for r in rows if kind in (None, r.kind)]

    def stop(self):
        """Only the proxy; the store is another's."""
        if self.proc:
            self.proc.stdin.close()
            try:
                self.proc.wait(10)
            except subprocess.TimeoutExpired:
                self.proc.kill()
                self.proc.wait()
            self.proc.stdout.close()
            self.proc = None
