#!/usr/bin/env python3
# SPDX-License-Identifier: Apache-2.0
"""Random traffic over two primaries and a burst site while everything fails, and then the question whether the promise held:
nothing acknowledged is lost, nothing deleted comes back, nothing stale is called current.

    GFS_BUILD=build tests/system/torture.py [--seed N] [--seconds S] [--runs N] [--keep] [--without KIND ...]

Everything random comes from the seed: what each client does, when what is killed, stopped, unplugged or made to fail. Threads and
processes interleave as they like, so a seed gives the same plan, not the same run; a failing seed fails again soon.

What is checked, per key, from the times at which requests were sent and answered (x is certainly older than y when x was answered
before y was sent; a request without an answer may take effect at any later time):
  - a read that says nothing of staleness returns no version that is certainly older than one acknowledged before the read was sent
  - 404 counts as the version that a DELETE leaves; bytes that nobody wrote are never returned
  - a conditional write never succeeds over a version that is certainly not the current one, and one version is replaced once
At the end: every site has the same bytes, the list agrees, and nothing is left over (uploads, temporary files, sidecars, descriptors).
"""
import argparse
import hashlib
import http.client
import json
import os
import random
import re
import shutil
import signal
import sys
import tempfile
import threading
import time

sys.path.insert(0, os.path.dirname(os.path.abspath(__file__)))
import gfs  # noqa: E402
from fake_s3 import FakeS3  # noqa: E402
from faults import FaultProxy  # noqa: E402

FOREVER = float("inf")
CHAOS = ("worker", "repld", "healthd", "cached", "supervisor", "restart", "stop", "unplug", "fault", "late", "wire", "drain")
TIMEOUTS = {"connect": "1s", "first_byte": "2s", "stall": "2s"}


def content(tag, size):
    """The bytes of a version: they name it, and every part of them differs from every other version's."""
    head = tag.encode() + b"\n"
    block = hashlib.sha256(head).digest() * 32
    return (head + block * (size // len(block) + 1))[:max(size, len(head))]


class Op:
    __slots__ = ("kind", "tag", "size", "sent", "answered", "acked", "base", "etag", "status")

    def __init__(self, kind, tag, size, base=None):
        self.kind, self.tag, self.size, self.base = kind, tag, size, base
        self.sent, self.answered, self.acked, self.etag, self.status = time.monotonic(), FOREVER, False, None, None

    def __repr__(self):
        return (f"{self.kind} {self.tag} {self.size} B sent {self.sent:.3f} answered {self.answered:.3f} "
                f"status {self.status}" + (f" base {self.base}" if self.base else ""))


class Read:
    __slots__ = ("tag", "sent", "answered", "how")

    def __init__(self, tag, sent, how):
        self.tag, self.sent, self.answered, self.how = tag, sent, time.monotonic(), how

    def __repr__(self):
        return f"{self.how} -> {self.tag} sent {self.sent:.3f} answered {self.answered:.3f}"


class Key:
    """The history of one key and its judge."""

    def __init__(self, name):
        self.name, self.ops, self.reads, self.lock = name, [], [], threading.Lock()
        self.versions = {}

    def begin(self, op):
        with self.lock:
            self.ops.append(op)
            self.versions[op.tag] = op
        return op

    def forget(self, op):
        with self.lock:
            self.ops.remove(op)

    def newer(self, op, before):
        """A version acknowledged before the time, and certainly newer than the op."""
        return next((y for y in self.ops if y.acked and y.answered < before and y.sent > op.answered), None)

    def wrong_read(self, read):
        if read.tag is None:
            if not any(y.acked and y.kind == "put" and y.answered < read.sent for y in self.ops):
                return None
            deletes = [d for d in self.ops if d.kind == "delete" and d.sent < read.answered]
            if any(not self.newer(d, read.sent) for d in deletes):
                return None
            return "absent although written"
        op = self.versions.get(read.tag)
        if not op or op not in self.ops:
            return "a version that nobody wrote, or that was refused"
        y = self.newer(op, read.sent)
        return y and f"older than {y}"

    def wrong(self):
        out = []
        for r in self.reads:
            why = self.wrong_read(r)
            if why:
                out.append((self.name, r, why))
        replaced = {}
        for c in self.ops:
            if not c.base or not c.acked:
                continue
            if c.base in replaced:
                out.append((self.name, c, f"replaces the same version as {replaced[c.base]}"))
            replaced[c.base] = c
            base = self.versions[c.base]
            y = self.newer(base, c.sent)
            if y and y is not c:
                out.append((self.name, c, f"condition passed although {y}"))
        return out


class Torture:
    def __init__(self, top, seed, seconds, without=()):
        self.top, self.seed, self.seconds, self.without = top, seed, seconds, set(without)
        self.stopping = threading.Event()
        self.plan = []
        self.counts = {}
        self.failures = []
        self.kills = 0
        self.life = threading.RLock()  # the suite's life: kills and restarts
        rng = random.Random(f"{seed}-sites")
        self.stores = [FakeS3(), FakeS3()]
        self.proxies = [FaultProxy(s, top, seed) for s in self.stores]
        second = gfs.s3_site(self.proxies[0], "data", "two")
        kinds = [gfs.file_site(f"{top}/one", "one"), second]
        rng.shuffle(kinds)
        burst = rng.choice([gfs.file_site(f"{top}/three", "three", "burst"), gfs.s3_site(self.proxies[1], "data", "three", "burst")])
        self.sites = kinds + [burst]
        for s in self.sites:
            if "file" not in s:
                s["timeouts"] = TIMEOUTS
        self.suite = gfs.Suite(
            os.path.join(top, "s"), self.sites,
            performance={"transfer_chunk_size": "5MiB"},
            limits={"stall_timeout": "3s", "header_timeout": "5s"},
            routing={"write_min": rng.choice(["all", "all", 1]), "read_deadline": "5s", **self.ways_to_read()},
            replication={"in_doubt": "2s", "retry_initial": "50ms", "retry_max": "500ms", "retry_attempts": 1000},
            resilience={"health_poll_interval": "500ms", "probe_timeout": "800ms", **self.breaker()})
        self.keys = {}

    # (each of these has a generator of its own, so that it changes nothing else of a seed's plan)
    def ways_to_read(self):
        rng = random.Random(f"{self.seed}-reads")
        return {"order": rng.choice(["role", "latency"]), "hedge": rng.random() < 0.6, "hedge_share": rng.choice([0.05, 1])}

    def breaker(self):
        rng = random.Random(f"{self.seed}-breaker")
        return {"circuit_breaker": {"enabled": True, "threshold": 3, "cooldown": "500ms"}} if rng.random() < 0.6 else {}

    def count(self, what):
        self.counts[what] = self.counts.get(what, 0) + 1

    # -- traffic --
    def key(self, name):
        return self.keys.setdefault(name, Key(name))

    def request(self, method, path, body=None, headers=None, chunked=False):
        c = self.suite.connect(25)
        try:
            c.request(method, path, body=body, headers=headers or {}, encode_chunked=chunked)
            r = c.getresponse()
            return gfs.Answer(r.status, r.headers, r.read())
        finally:
            c.close()

    def write(self, rng, key, op, data, headers):
        chunked = rng.random() < 0.3 and op.kind == "put"
        body = data
        if chunked:
            headers = dict(headers, **{"Transfer-Encoding": "chunked"})
            body = (data[i:i + 65536] for i in range(0, len(data), 65536))
        try:
            r = self.request("DELETE" if op.kind == "delete" else "PUT", self.suite.url(key.name), body, headers, chunked)
        except (OSError, http.client.HTTPException):
            self.count("write:none")
            time.sleep(0.02)
            return
        now = time.monotonic()
        self.count(f"{op.kind}:{r.status}")
        op.status = r.status
        op.etag = r.headers.get("ETag")
        if r.status in (201, 200, 204):
            op.answered, op.acked = now, True
        elif r.status in (412, 400, 411, 409, 429):
            op.answered = now
            key.forget(op)
            if r.status != 412:
                self.failures.append((key.name, op, f"status {r.status} {r.body[:200]}"))
        else:
            op.answered = now
            time.sleep(0.01)

    def read(self, key, method):
        sent = time.monotonic()
        try:
            r = self.request(method, self.suite.url(key.name))
        except (OSError, http.client.HTTPException):
            self.count("read:none")
            return None
        self.count(f"{method}:{r.status}")
        if r.status not in (200, 404):
            return None
        if "X-GlobalFS-Stale" in r.headers or r.headers.get("X-GlobalFS-Consistency") == "unverified":
            self.count("read:stale-or-unverified")
            return None
        tag = None
        if r.status == 200 and method == "GET":
            tag = r.body.split(b"\n", 1)[0].decode(errors="replace")
            op = key.versions.get(tag)
            if not op or content(tag, op.size) != r.body:
                self.failures.append((key.name, f"{method} sent {sent:.3f}", f"bytes that nobody wrote: {r.body[:60]!r}"))
                return None
        elif r.status == 200:
            tag = r.headers.get("X-GlobalFS-Meta-Tag")
        with key.lock:
            key.reads.append(Read(tag, sent, f"{method} from {r.headers.get('X-GlobalFS-Site')} id {r.headers.get('X-Request-ID')}"))
        return r

    def client(self, n):
        rng = random.Random(f"{self.seed}-client-{n}")
        i = 0
        while not self.stopping.is_set():
            i += 1
            name = f"shared/{rng.randrange(4)}" if rng.random() < 0.4 else f"own{n}/{rng.randrange(5)}"
            key = self.key(name)
            what = rng.random()
            size = rng.choice([0, 10, 300, 4000, 4000, 30000, 30000, 200000] + [rng.randrange(1 << 20, 12 << 20)] * (rng.random() < 0.2))
            tag = f"{name}#{n}.{i}"
            headers = {"X-GlobalFS-Meta-Tag": tag}
            data = content(tag, size)
            if what < 0.35:
                self.write(rng, key, key.begin(Op("put", tag, size)), data, headers)
            elif what < 0.5:
                self.write(rng, key, key.begin(Op("delete", tag, 0)), None, {})
            elif what < 0.6:
                self.conditional(rng, key, tag, size, data, headers)
            elif what < 0.88:
                self.read(key, "GET")
            elif what < 0.97:
                self.read(key, "HEAD")
            else:
                self.list(f"own{n}/")

    def conditional(self, rng, key, tag, size, data, headers):
        if rng.random() < 0.3:
            self.write(rng, key, key.begin(Op("put", tag, size)), data, dict(headers, **{"If-None-Match": "*"}))
            return
        r = self.read(key, "GET")
        if r and r.status == 200:
            base = r.body.split(b"\n", 1)[0].decode()
            self.write(rng, key, key.begin(Op("put", tag, size, base)), data, dict(headers, **{"If-Match": r.headers["ETag"]}))

    def list(self, prefix):
        """Of the client's own keys, which nobody else writes meanwhile."""
        sent = time.monotonic()
        try:
            r = self.suite.list(prefix)
            rows = r.json() if r.status == 200 else {}
        except (OSError, ValueError, http.client.HTTPException):
            return
        self.count(f"LIST:{r.status}")
        if r.status != 200 or rows.get("partial") or rows.get("unverified") or "X-GlobalFS-Stale" in r.headers or "X-GlobalFS-Partial" in r.headers \
                or r.headers.get("X-GlobalFS-Consistency") == "unverified":
            return
        there = {o["key"] for o in rows["objects"]}
        for key in [k for name, k in list(self.keys.items()) if name.startswith(prefix)]:
            if not key.ops or key.ops[-1].answered == FOREVER or not key.ops[-1].acked:
                continue
            if any(o.answered == FOREVER for o in key.ops):
                continue
            last = key.ops[-1]
            if (last.kind == "put") != (key.name in there):
                self.failures.append((key.name, f"LIST sent {sent:.3f}", f"{'lacks' if last.kind == 'put' else 'shows'} it after {last}"))

    # -- chaos --
    def note(self, text):
        self.plan.append((time.monotonic(), text))

    def kill(self, name):
        with self.life:
            pids = self.suite.pids()["routerd" if name == "worker" else name]
            if pids:
                self.note(f"kill -9 {name} {pids[0]}")
                self.kills += 5 * (name in ("worker", "repld"))
                self.suite.kill9(pids[0])

    def kill_supervisor(self):
        with self.life:
            self.note("kill -9 supervisor")
            self.kills += 10
            self.suite.proc.kill()
            self.suite.proc.wait()
            deadline = time.monotonic() + 20
            while True:
                self.suite.start(wait=False)
                time.sleep(0.3)
                if self.suite.proc.poll() is None or time.monotonic() > deadline:
                    break
                self.note(f"the start ended with {self.suite.proc.returncode}")

    def restart(self):
        with self.life:
            self.note("SIGTERM supervisor, and a new one")
            self.kills += 5  # a store that is away takes no Abort, and a process waits 2 s for it when it stops
            code = self.suite.stop()
            if code != 0:
                self.failures.append(("suite", "SIGTERM", f"ended with {code}"))
            self.suite.start(wait=False)

    def pause_process(self, name, seconds):
        with self.life:
            pids = self.suite.pids()["routerd" if name == "worker" else name]
            if not pids:
                return
            pid = pids[0]
            self.note(f"SIGSTOP {name} {pid} for {seconds:.2f} s")
            try:
                os.kill(pid, signal.SIGSTOP)
                self.stopping.wait(seconds)
                os.kill(pid, signal.SIGCONT)
            except ProcessLookupError:
                pass

    def unplug(self, site, seconds, how):
        self.note(f"site {site['name']} away for {seconds:.2f} s ({how})")
        if "file" in site:
            path = site["file"]["path"]
            os.rename(path, path + ".away")
            self.stopping.wait(seconds)
            os.rename(path + ".away", path)
        else:
            proxy = self.store_of(site)
            fault = proxy.fault(how)
            self.stopping.wait(seconds)
            proxy.off(fault)

    def store_of(self, site):
        return next(s for s in self.proxies if s.endpoint == site["objectfs"]["s3_endpoint"])

    def chaos(self):
        rng = random.Random(f"{self.seed}-chaos")
        weights = {"worker": 3, "repld": 3, "healthd": 1, "cached": 0.5, "supervisor": 0.7, "restart": 0.7, "stop": 2, "unplug": 2}
        kinds = [k for k in weights if k not in self.without]
        while kinds and not self.stopping.wait(rng.uniform(0.2, 2.0)):
            what = rng.choices(kinds, [weights[k] for k in kinds])[0]
            victim = rng.choice(["worker", "worker", "repld", "repld", "healthd", "cached"])
            seconds = rng.choice([0.2, 0.5, 1.0, rng.uniform(1, 7)])
            site = rng.choice(self.sites)
            if what == "supervisor":
                self.kill_supervisor()
            elif what == "restart":
                self.restart()
            elif what == "stop":
                self.pause_process(victim, seconds)
            elif what == "unplug":
                self.unplug(site, seconds, rng.choice(["refuse", "refuse", "freeze"]))
            else:
                self.kill(what)

    def drains(self):
        """One site at a time is drained for a while. The request may fail while things are killed."""
        rng = random.Random(f"{self.seed}-drains")
        while "drain" not in self.without and not self.stopping.wait(rng.uniform(0.2, 2.5)):
            site = rng.choice(self.sites)["name"]
            self.drain(site, "drain")
            self.stopping.wait(rng.choice([0.05, 0.5, rng.uniform(0.5, 4)]))
            self.drain(site, "undrain")

    def drain(self, site, what):
        try:
            status = self.suite.req("POST", f"/api/v1/sites/{site}/{what}", timeout=10).status
        except (OSError, http.client.HTTPException):
            status = None
        self.note(f"{what} {site}: {status}")
        self.count(f"{what}:{status}")

    def faults(self):
        rng = random.Random(f"{self.seed}-faults")
        while "fault" not in self.without and not self.stopping.wait(rng.uniform(0.02, 0.4)):
            which = rng.randrange(len(self.stores))
            if "wire" not in self.without and rng.random() < 0.4:
                self.wire_fault(rng, self.proxies[which])
                continue
            store = self.stores[which]
            kinds = ["500", "503", "refuse", "lost", "lost", f"cut:{rng.choice([0, 1, 500])}"]
            if "late" not in self.without:
                kinds.append(f"late:{rng.uniform(0.05, 0.8):.2f}")
            kind, method = rng.choice(kinds), rng.choice([None, "PUT", "PUT", "GET", "HEAD", "POST", "DELETE"])
            self.note(f"fault {kind} {method} port {store.port}")
            store.fault(kind, method, key="(own|shared).*", times=rng.choice([1, 1, 1, 3]))

    def wire_fault(self, rng, proxy):
        """What happens to the bytes between the suite and a store."""
        kind = rng.choice(["reset", "reset:2000", "hang", "first-byte:700", "slow:300000", f"cut:{rng.choice([0, 1, 9000])}", "stall:3000",
                           f"cut-up:{rng.choice([1, 20000, 2000000])}", "429", "503", "wrong-length:7", "wrong-etag"])
        method = "PUT" if kind.startswith("wrong") else rng.choice([None, "PUT", "GET"])
        key, times = rng.choice(["own", "shared"]), rng.choice([1, 1, 1, 3])
        self.note(f"wire {kind} {method} {key} {times} before port {proxy.store.port}")
        proxy.fault(kind, method, bucket="data", key=key, times=times)

    # -- the end --
    def fds(self):
        out = {}
        for name, pids in self.suite.pids().items():
            for pid in pids:
                out[(name, pid)] = len(os.listdir(f"/proc/{pid}/fd"))
        return out

    def at_site(self, site, name):
        if "file" in site:
            return gfs.read_site_file(site, name)
        got = self.store_of(site).get("data", name)
        return got and got[0]

    def settled(self):
        show = self.suite.daemon("repl")
        return show["queue_depth"] == 0 and show["open_writes"] == 0 and show["in_doubt"] == 0

    def check_end(self):
        for key in list(self.keys.values()):
            sent = time.monotonic()
            r = self.suite.get(key.name)
            if r.status not in (200, 404):
                self.failures.append((key.name, "GET at the end", r))
                continue
            body = r.body if r.status == 200 else None
            tag = body.split(b"\n", 1)[0].decode(errors="replace") if body is not None else None
            key.reads.append(Read(tag, sent, "GET at the end"))
            if body is not None and (tag not in key.versions or content(tag, key.versions[tag].size) != body):
                self.failures.append((key.name, "GET at the end", f"bytes that nobody wrote: {body[:60]!r}"))
            for site in self.sites:
                got = self.at_site(site, key.name)
                if got != body:
                    self.failures.append((key.name, f"at site {site['name']} at the end",
                                          f"has {got and got[:40]!r}, GET gave {body and body[:40]!r}"))
        rows = self.suite.list().json()
        listed = {o["key"]: o for o in rows["objects"]}
        there = {k.name for k in self.keys.values() if k.reads and k.reads[-1].tag is not None}
        if set(listed) != there:
            self.failures.append(("list", "at the end", f"only in the list {set(listed) - there}, only by GET {there - set(listed)}"))
        self.check_left_over(len(there))

    def check_uploads(self, proxy):
        """What may be left ends by the store's own rule: uploads of a process that was killed, uploads whose Create was not
        answered (nobody knows them), and those whose Complete was not answered well (nobody knows whether it still takes effect,
        so nobody may abort them). An Abort that fails is sent again for 7 s and then told in the log."""
        uploads = proxy.store.uploads
        posts = [r for r in proxy.requests("POST") if r.end != "done" or r.status == 0 or r.status >= 500]
        nameless = sum("uploads=" in r.target for r in posts)
        in_doubt = {r.target.split("uploadId=")[1] for r in posts if "uploadId=" in r.target}
        told = set(re.findall(r"event=upload_left .*upload_id=(\S+)", self.suite.log_text()))
        with proxy.store.lock:
            known = {u["uploadId"] for _, _, _, u in proxy.store.log if "uploadId" in u}

        def wrong():
            left = set(uploads)
            leaked = (left & known) - in_doubt - told
            if len(leaked) <= self.kills and len(left - known) <= nameless + self.kills:
                return None
            return (f"{len(leaked)} of known and {len(left - known)} of unknown name left in a store after {self.kills} kills "
                    f"and {nameless} Creates without an answer", sorted(left)[:9])
        try:
            gfs.wait_for("the Aborts", lambda: not wrong(), 10)
        except AssertionError:
            self.failures.append(("uploads", wrong()))
        self.counts[f"uploads-left:{proxy.store.port}"] = len(uploads)

    def check_left_over(self, objects):
        for proxy in self.proxies:
            self.check_uploads(proxy)
        for site in self.sites:
            if "file" not in site:
                continue
            own = os.path.join(site["file"]["path"], ".globalfs")
            tmp = os.listdir(os.path.join(own, "tmp")) if os.path.isdir(os.path.join(own, "tmp")) else []
            metas = [f for _, _, files in os.walk(os.path.join(own, "meta")) for f in files]
            self.counts[f"sidecars:{site['name']}"] = len(metas)
            if len(tmp) > 20:
                self.failures.append((site["name"], "temporary files", tmp[:5]))
            if len(metas) > 2 * objects + 100:
                self.failures.append((site["name"], "sidecars", f"{len(metas)} for {objects} objects"))
        for (name, pid), n in self.fds().items():
            if n > 120:
                links = {}
                for fd in os.listdir(f"/proc/{pid}/fd"):
                    try:
                        to = os.readlink(f"/proc/{pid}/fd/{fd}")
                    except OSError:
                        continue
                    links[to.split(":")[0]] = links.get(to.split(":")[0], 0) + 1
                self.failures.append((name, f"{n} descriptors", sorted(links.items(), key=lambda x: -x[1])[:6]))

    def run(self, settle=60):
        self.suite.start()
        clients = [threading.Thread(target=self.client, args=(n,), daemon=True) for n in range(5)]
        for t in clients:
            t.start()
        makers = [threading.Thread(target=t, daemon=True) for t in (self.chaos, self.faults, self.drains)]
        for t in makers:
            t.start()
        time.sleep(self.seconds)
        self.stopping.set()
        for t in makers + clients:
            t.join(40)
        for s in self.proxies + self.stores:
            s.clear()
        self.note("the end of all faults")
        try:
            gfs.wait_for("/readyz", lambda: self.suite.req("GET", "/readyz").status == 200, 30)
            for s in self.sites:
                gfs.wait_for("the undrain", lambda: self.suite.req("POST", f"/api/v1/sites/{s['name']}/undrain").status == 200, 10)
                self.suite.wait_site(s["name"], "up", 20)
            if "late" not in self.without:
                time.sleep(3)  # what was cut takes effect within 0.8 s, and repld looks again 1 s after the cut
            gfs.wait_for("an empty replication queue", self.settled, settle)
            self.note("settled")
            self.check_end()
        except (AssertionError, OSError) as e:
            try:
                e = f"{e} repl show: {json.dumps(self.suite.daemon('repl'))}"
            except (AssertionError, OSError):
                pass
            self.failures.append(("suite", "at the end", e))
        for key in self.keys.values():
            self.failures.extend(key.wrong())
        log = self.suite.log_text()
        for word in ("panic", "assert", "AddressSanitizer", "runtime error", "LeakSanitizer"):
            if word in log:
                at = log.index(word)
                self.failures.append(("log", word, log[max(0, at - 300):at + 1500]))
        return self.failures

    def close(self):
        self.stopping.set()
        self.suite.end()
        for s in self.proxies + self.stores:
            s.stop()

    def report(self, out):
        print(f"seed {self.seed}: {len(self.failures)} failures; "
              + " ".join(f"{k}={v}" for k, v in sorted(self.counts.items())), file=out)
        for f in self.failures[:12]:
            print("  ", *f, file=out)
        shown = {f[0] for f in self.failures[:12]}
        for name in sorted(n for n in shown if n in self.keys)[:3]:
            key = self.keys[name]
            print(f"--- the last of {name}", file=out)
            events = [(o.sent, repr(o)) for o in key.ops] + [(r.sent, repr(r)) for r in key.reads]
            for _, text in sorted(events)[-40:]:
                print("    ", text, file=out)
        if self.failures:
            print("--- chaos", file=out)
            for t, text in self.plan[-60:]:
                print(f"     {t:.3f} {text}", file=out)
        out.flush()


def one(seed, seconds, without=(), keep=False, settle=60, out=sys.stdout):
    top = tempfile.mkdtemp(prefix="gfs-torture-")
    t = Torture(top, seed, seconds, without)
    try:
        t.run(settle)
    finally:
        t.close()
    t.report(out)
    if keep and t.failures:
        print(f"kept: {top}", file=out, flush=True)
    else:
        shutil.rmtree(top, ignore_errors=True)
    return t.failures


def main():
    p = argparse.ArgumentParser(description=__doc__.split("\n\n")[0])
    p.add_argument("--seed", type=int)
    p.add_argument("--seconds", type=float, default=20)
    p.add_argument("--runs", type=int, default=1)
    p.add_argument("--settle", type=float, default=60)
    p.add_argument("--keep", action="store_true", help="keep the directory of a run that failed")
    p.add_argument("--without", action="append", default=[], choices=CHAOS)
    a = p.parse_args()
    seed = a.seed if a.seed is not None else random.SystemRandom().randrange(1 << 30)
    bad = 0
    for i in range(a.runs):
        print(f"seed {seed + i}", flush=True)
        bad += bool(one(seed + i, a.seconds, a.without, a.keep, a.settle))
    print(f"{bad} of {a.runs} runs failed")
    return 1 if bad else 0


if __name__ == "__main__":
    sys.exit(main())
