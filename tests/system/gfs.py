# SPDX-License-Identifier: Apache-2.0
"""A running suite for the scenarios: real daemons in a directory of their own, on ports of their own.

Nothing here sleeps to "let things settle": wait_for() polls for a fact and fails with what it saw.
"""
import hashlib
import http.client
import json
import os
import re
import shutil
import signal
import socket
import subprocess
import time
import urllib.parse

BUILD = os.environ.get("GFS_BUILD", os.path.join(os.path.dirname(__file__), "..", "..", "build"))
ROUTERD = os.path.abspath(os.path.join(BUILD, "routerd", "routerd"))
GFSCTL = os.path.abspath(os.path.join(BUILD, "cli", "gfsctl"))
with open(ROUTERD, "rb") as _program:
    SANITIZED = b"__asan_init" in _program.read()
# What the sanitizers print into a suite's log; any of it fails the test.
REPORTS = re.compile(r"ERROR: AddressSanitizer|LeakSanitizer|runtime error:")
CHILDREN = ("routerd", "healthd", "repld", "cached")


def free_port():
    with socket.socket() as s:
        s.bind(("127.0.0.1", 0))
        return s.getsockname()[1]


def wait_for(what, fact, seconds=15):
    """Calls fact() until it returns something true, and returns that."""
    end = time.monotonic() + seconds
    last = None
    while time.monotonic() < end:
        try:
            last = fact()
            if last:
                return last
        except (OSError, http.client.HTTPException, AssertionError) as e:
            last = e
        time.sleep(0.01)
    raise AssertionError(f"waited {seconds} s in vain for: {what}; last: {last!r}")


class Answer:
    def __init__(self, status, headers, body):
        self.status, self.headers, self.body = status, headers, body

    def __getattr__(self, name):
        raise AttributeError(name)

    def json(self):
        return json.loads(self.body)

    def __repr__(self):
        return f"<{self.status} {dict(self.headers)} {self.body[:300]!r}>"


def file_site(path, name, role="primary"):
    os.makedirs(path, exist_ok=True)
    return {"name": name, "role": role, "file": {"path": str(path)}}


def s3_site(store, bucket, name, role="primary", prefix=""):
    """store has .endpoint, .access, .secret (see s3.py)."""
    site = {
        "name": name,
        "role": role,
        "objectfs": {"s3_bucket": bucket, "s3_region": "us-east-1", "s3_endpoint": store.endpoint},
        "credentials": {"access_key": store.access, "secret_key": store.secret},
    }
    if prefix:
        site["prefix"] = prefix
    return site


class Suite:
    def __init__(self, top, sites, **conf):
        self.top = str(top)
        self.port = free_port()
        self.run_dir = os.path.join(self.top, "run")
        self.log_path = os.path.join(self.top, "suite.log")
        self.conf_path = os.path.join(self.top, "globalfs.yaml")
        self.proc = None
        self.wrap = []  # a program to run the suite under, such as valgrind
        self.args = []  # more arguments for routerd
        self.env = dict(os.environ)
        self.conf = {
            "global": {"cluster_name": "test", "node_name": "node1", "log_level": "DEBUG",
                       "run_dir": self.run_dir, "state_dir": os.path.join(self.top, "state")},
            "coordinator": {"listen_addr": f"127.0.0.1:{self.port}", "workers": 2, "shutdown_timeout": "60s"},
            "resilience": {"health_poll_interval": "1s", "probe_timeout": "800ms"},
            "replication": {"in_doubt": "2s", "retry_initial": "100ms", "retry_max": "1s"},
            "sites": sites,
        }
        for section, values in conf.items():
            self.conf.setdefault(section, {}).update(values)

    # -- life --
    def write_conf(self):
        with open(self.conf_path, "w") as f:
            json.dump(self.conf, f, indent=1)  # JSON is YAML

    def start(self, wait=True):
        os.makedirs(self.top, exist_ok=True)
        self.write_conf()
        self.log = open(self.log_path, "ab")
        self.started = time.monotonic()
        self.proc = subprocess.Popen([*self.wrap, ROUTERD, "-f", "-c", self.conf_path, *self.args], stdout=self.log, stderr=self.log,
                                     env=self.env, start_new_session=True)
        if wait:
            self.wait_ready()
        return self

    def wait_ready(self, seconds=15):
        def ready():
            if self.proc.poll() is not None:
                raise RuntimeError(f"routerd ended with {self.proc.returncode}:\n{self.log_tail()}")
            return self.req("GET", "/readyz").status == 200
        wait_for("/readyz", ready, seconds)
        for s in self.conf["sites"]:
            self.wait_site(s["name"], "up")

    def wait_site(self, name, state, seconds=15):
        def there():
            rows = {r["name"]: r for r in self.req("GET", "/api/v1/sites").json()}
            return rows.get(name, {}).get("state") == state and rows[name]
        return wait_for(f"site {name} {state}", there, seconds)

    def stop(self, seconds=70):
        """SIGTERM; returns the exit code."""
        if self.proc is None:
            return None
        if self.proc.poll() is None:
            self.proc.send_signal(signal.SIGTERM)
        code = self.proc.wait(seconds)
        self.proc = None
        return code

    def end(self):
        """For fixtures: the end, whatever happened."""
        if self.proc is None:
            return
        pids = self.pids()
        if self.proc.poll() is None:
            self.proc.send_signal(signal.SIGTERM)
            try:
                self.proc.wait(20)
            except subprocess.TimeoutExpired:
                pass
        for pid in [self.proc.pid] + [p for v in pids.values() for p in v]:
            try:
                os.kill(pid, signal.SIGKILL)
            except ProcessLookupError:
                pass
        self.proc.wait()
        self.proc = None

    def kill9(self, pid):
        os.kill(pid, signal.SIGKILL)

    def pids(self):
        """{"routerd": [worker pids], "healthd": [..], ...}: the children of the supervisor."""
        out = {c: [] for c in CHILDREN}
        if self.proc is None:
            return out
        for pid in filter(str.isdigit, os.listdir("/proc")):
            try:
                with open(f"/proc/{pid}/stat") as f:
                    stat = f.read()
                name, rest = stat[stat.index("(") + 1:stat.rindex(")")], stat[stat.rindex(")") + 2:].split()
                if int(rest[1]) == self.proc.pid and rest[0] != "Z" and name in out:
                    out[name].append(int(pid))
            except (OSError, ValueError):
                continue
        return out

    def rss_peak_kib(self):
        """Highest resident set (VmHWM) of any process of the suite, KiB, without pages of shared files."""
        worst = 0
        for pid in [self.proc.pid] + [p for v in self.pids().values() for p in v]:
            with open(f"/proc/{pid}/status") as f:
                worst = max(worst, int(re.search(r"VmHWM:\s+(\d+)", f.read()).group(1)))
        return worst

    def log_text(self):
        with open(self.log_path, errors="replace") as f:
            return f.read()

    def reports(self):
        """What the sanitizers had to say, or ""."""
        text = self.log_text() if os.path.exists(self.log_path) else ""
        m = REPORTS.search(text)
        return text[m.start():m.start() + 6000] if m else ""

    def log_tail(self, n=60):
        return "\n".join(self.log_text().splitlines()[-n:])

    # -- requests --
    def connect(self, timeout=120):
        return http.client.HTTPConnection("127.0.0.1", self.port, timeout=timeout)

    def req(self, method, path, body=None, headers=None, timeout=120):
        c = self.connect(timeout)
        try:
            c.request(method, path, body=body, headers=headers or {})
            r = c.getresponse()
            return Answer(r.status, r.headers, r.read())
        finally:
            c.close()

    @staticmethod
    def url(key):
        if isinstance(key, str):
            key = key.encode()
        return "/api/v1/objects/" + urllib.parse.quote(key, safe="/")

    def put(self, key, data, **headers):
        return self.req("PUT", self.url(key), data, {k.replace("_", "-"): v for k, v in headers.items()})

    def get(self, key, **headers):
        return self.req("GET", self.url(key), headers={k.replace("_", "-"): v for k, v in headers.items()})

    def head(self, key, **headers):
        return self.req("HEAD", self.url(key), headers={k.replace("_", "-"): v for k, v in headers.items()})

    def delete(self, key):
        return self.req("DELETE", self.url(key))

    def list(self, prefix="", **params):
        q = urllib.parse.urlencode({"prefix": prefix, **params})
        return self.req("GET", "/api/v1/objects?" + q)

    def raw(self, data=b"", timeout=30):
        """A socket of its own, for scripted requests."""
        s = socket.create_connection(("127.0.0.1", self.port), timeout=timeout)
        if data:
            s.sendall(data)
        return s

    def slow_put(self, key, size):
        """A PUT whose body the caller sends: returns the socket after the head went out."""
        return self.raw(f"PUT {self.url(key)} HTTP/1.1\r\nHost: x\r\nContent-Length: {size}\r\n\r\n".encode())

    # -- the CLI --
    def ctl(self, *args, stdin=None, check=True, **kw):
        env = dict(self.env, GLOBALFS_COORDINATOR=f"http://127.0.0.1:{self.port}")
        r = subprocess.run([GFSCTL, *args], input=stdin, capture_output=True, env=env, timeout=300, **kw)
        if check and r.returncode != 0:
            raise AssertionError(f"gfsctl {args}: exit {r.returncode}: {r.stderr.decode()}")
        return r

    def daemon(self, name):
        return json.loads(self.ctl("--run-dir", self.run_dir, "--json", name, "show").stdout)

    def wait_clean(self, seconds=30):
        """Until repld has nothing left to bring anywhere."""
        def clean():
            show = self.daemon("repl")
            return show["queue_depth"] == 0 and show["open_writes"] == 0 and show["in_doubt"] == 0
        wait_for("an empty replication queue", clean, seconds)

    def metric(self, name):
        text = self.req("GET", "/metrics").body.decode()
        values = [float(m.group(1)) for m in re.finditer(rf"^{re.escape(name)} (\S+)$", text, re.M)]
        assert values, f"no metric {name} in:\n{text}"
        return sum(values)


def read_answer(sock):
    """One response from a raw socket: (status, head, body by Content-Length)."""
    data = b""
    while b"\r\n\r\n" not in data:
        piece = sock.recv(65536)
        if not piece:
            return (0, data, b"") if not data.startswith(b"HTTP/") else (int(data.split()[1]), data, b"")
        data += piece
    head, _, body = data.partition(b"\r\n\r\n")
    m = re.search(rb"(?i)content-length: (\d+)", head)
    want = int(m.group(1)) if m else 0
    while len(body) < want:
        piece = sock.recv(65536)
        if not piece:
            break
        body += piece
    return int(head.split()[1]), head, body


def md5(data):
    return hashlib.md5(data).hexdigest()


def multipart_etag(data, part):
    if len(data) <= part:
        return md5(data)
    sums = [hashlib.md5(data[i:i + part]).digest() for i in range(0, len(data), part)]
    return f"{hashlib.md5(b''.join(sums)).hexdigest()}-{len(sums)}"


def read_site_file(site, key):
    """The bytes of an object as they lie in a directory site (plain keys only), or None."""
    path = os.path.join(site["file"]["path"], key)
    try:
        with open(path, "rb") as f:
            return f.read()
    except (FileNotFoundError, NotADirectoryError):
        return None


def remove_tree(path):
    shutil.rmtree(path, ignore_errors=True)
