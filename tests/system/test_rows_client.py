# SPDX-License-Identifier: Apache-2.0
"""The command line and the client library: rows G54 to G57 and G59, and weaknesses W19, W24 and W27 as far as they are theirs."""
import http.server
import json
import os
import re
import shutil
import socket
import subprocess
import threading
import time
from email.utils import formatdate

import pytest

import gfs
from gfs import GFSCTL, wait_for
from places import kind  # noqa: F401 (a fixture)

TOP = os.path.abspath(os.path.join(os.path.dirname(__file__), "..", ".."))
ODD_KEYS = ["what?", "a#b", "100%", "%2F", "%41", "x//y", "end//", "a b", "tab\there", "a+b", "+", "ünï/日本/🙂", "q'\"\\", "-x", "--", "a&b=c;d",
            "?a=b#c%d", "~._-!*()", "a\u202eb", "[]{}|^`<>", "line\nbreak", "*", "a:b@c$d,e", "%00", "..a/b..", "?", "#", "x" * 1000]


@pytest.fixture
def suite(tmp, suites):
    s = suites(tmp, [gfs.file_site(f"{tmp}/a", "a"), gfs.file_site(f"{tmp}/b", "b", "backup")])
    return s.start()


def run(*argv, stdin=b"", env=None, **kw):
    return subprocess.run([GFSCTL, *argv], input=stdin, capture_output=True, timeout=60, env=dict(os.environ, **(env or {})), **kw)


# ---- G54 ----

def commands():
    """All of them, as help tells: {"object put": "KEY", ...}"""
    out = {}
    for line in run("--help").stdout.decode().split("\n\n")[1].splitlines():
        m = re.match(r"  ([a-z]+(?: [a-z]+)?)( \[?[A-Z]+\]?)?(  |$)", line)
        if m:
            out[m.group(1)] = (m.group(2) or "").strip()
    return out


def test_G54_cli_json_mode(suite, tmp):
    """Every command that help knows has a row here, and answers with one JSON document of the documented shape."""
    put = f"{tmp}/in"
    with open(put, "wb") as f:
        f.write(b"12345")
    etag = gfs.md5(b"12345")
    conf, new = suite.conf_path, f"{tmp}/new.yaml"
    made = f"{tmp}/c"
    os.mkdir(made)

    def is_site(name, **more):
        return lambda j: j["name"] == name and all(j[k] == v for k, v in more.items())

    def where(j):
        return [s["name"] for s in j["sites"]] == ["a", "b"] and j["read"]["site"] == "a" and j["sites"][0]["copy"]["etag"] == etag

    def head(j):
        return j == {"key": "p/k", "size": 5, "etag": etag, "content_type": "text/x-y", "metadata": {"color": "blue"},
                     "checksum": j["checksum"], "last_modified": j["last_modified"]} and gfs_time(j["last_modified"])

    def gfs_time(text):
        return re.fullmatch(r"\d{4}-\d\d-\d\dT\d\d:\d\d:\d\d(\.\d+)?Z", text)

    def rows(j):
        return len(j) == 1 and (j[0]["key"], j[0]["size"], j[0]["etag"]) == ("p/k", 5, etag) and gfs_time(j[0]["last_modified"])

    def sites(j):
        return [(s["name"], s["role"], s["healthy"], s["circuit_state"]) for s in j] == [
            ("a", "primary", True, "closed"), ("b", "backup", True, "closed")]

    def shown(j):
        return j["global"]["cluster_name"] == "test" and j["coordinator"]["shutdown_timeout"] == 60 * 10**9 and j["sites"][0]["name"] == "a"

    table = [
        ("object put", ["p/k", "-i", put, "-t", "text/x-y", "-m", "color=blue"], lambda j: j == {"key": "p/k", "bytes": 5}),
        ("object get", ["p/k", "-o", f"{tmp}/out"], lambda j: j == {"key": "p/k", "file": f"{tmp}/out", "bytes": 5}),
        ("object head", ["p/k"], head),
        ("object where", ["p/k"], where),
        ("object list", ["--prefix", "p/"], rows),
        ("object list", ["--delimiter", "/"], lambda j: j == [{"prefix": "p/"}]),
        ("object list", ["--prefix", "none"], lambda j: j == []),
        ("replicate", ["--key", "p/k", "--from", "a", "--to", "b"],
         lambda j: j == {"status": "accepted", "key": "p/k", "from": "a", "to": "b"}),
        ("object delete", ["p/k"], lambda j: j == {"key": "p/k", "deleted": True}),
        ("site list", [], sites),
        ("site add", ["--name", "c", "--uri", f"file://{made}", "--role", "burst"], is_site("c", role="burst", healthy=True)),
        ("site drain", ["c"], is_site("c", drained=True)),
        ("site undrain", ["c"], is_site("c", drained=False)),
        ("site remove", ["--name", "c"], None),  # documented to print nothing
        ("status", [], lambda j: j == {"status": "OK"}),
        ("ready", [], lambda j: j == {"status": "READY"}),
        ("info", [], lambda j: j["sites"] == 2 and j["sites_by_role"] == {"primary": 1, "backup": 1} and j["health"]["healthy"] == 2),
        ("config init", ["-o", new], lambda j: j == {"file": new}),
        ("config validate", [conf], lambda j: j == {"valid": True}),
        ("config show", [conf], shown),
        ("router show", ["--run-dir", suite.run_dir], lambda j: isinstance(j, dict) and j),
        ("health show", ["--run-dir", suite.run_dir], lambda j: isinstance(j, dict) and j),
        ("repl show", ["--run-dir", suite.run_dir], lambda j: j["queue_depth"] >= 0),
        ("cache show", ["--run-dir", suite.run_dir], lambda j: isinstance(j, dict) and j),
        ("version", [], lambda j: re.fullmatch(r"\d+\.\d+\.\d+", j["version"])),
    ]
    assert set(commands()) - {"completion"} == {name for name, _, _ in table}
    for name, args, fits in table:
        r = suite.ctl("--json", *name.split(), *args)
        assert r.stderr == b"", (name, r.stderr)
        if fits is None:
            assert r.stdout == b"", name
            continue
        document = json.loads(r.stdout)
        assert fits(document), (name, document)
        assert r.stdout.startswith((b'{\n  "', b"[\n  {", b"[]")) and r.stdout.endswith((b"}\n", b"]\n")), name


def test_G54_a_failing_command_prints_no_half_document(suite):
    for args in (["object", "head", "missing"], ["site", "drain", "nowhere"], ["site", "remove", "nowhere"],
                 ["replicate", "--key", "k", "--from", "a", "--to", "zz"], ["object", "get", "missing"]):
        r = suite.ctl("--json", *args, check=False)
        assert (r.returncode, r.stdout) == (1, b""), args
        assert re.fullmatch(rb"gfsctl: [^\n]+\(status \d+\)\n", r.stderr), r.stderr
    r = run("--json", "config", "validate", "/dev/null")
    assert (r.returncode, json.loads(r.stdout)) == (1, {"valid": False})


# ---- G55 ----

def test_G55_cli_exit_codes(suite, tmp):
    """0 done; 1 refused, failed or bad configuration; 2 usage; 3 unreachable. status tells a sick primary by 1."""
    with open(f"{tmp}/bad.yaml", "w") as f:
        f.write("global: {log_level: LOUD}\n")
    dead = ["--coordinator-addr", f"http://127.0.0.1:{gfs.free_port()}"]
    for code, args in [(0, ["status"]), (0, ["ready"]), (0, ["info"]), (0, ["version"]), (0, ["--help"]), (0, ["object", "list"]),
                       (1, ["object", "get", "missing"]), (1, ["object", "head", "missing"]), (1, ["site", "remove", "nowhere"]),
                       (1, ["site", "add", "--name", "a", "--uri", f"file://{tmp}/x"]), (1, ["object", "put", ".globalfs/x"]),
                       (1, ["config", "validate", f"{tmp}/bad.yaml"]), (1, ["config", "show", f"{tmp}/none.yaml"]),
                       (1, ["object", "put", "k", "-i", f"{tmp}/none"]),
                       (2, []), (2, ["nonsense"]), (2, ["site"]), (2, ["object", "get"]), (2, ["object", "get", "k", "-r", "5"]),
                       (2, ["info", "--nonsense"]), (2, ["site", "add", "--name", "x"]), (2, ["completion", "tcsh"]),
                       (2, ["object", "list", "--limit", "x"]), (2, ["--coordinator-addr", "ftp://x", "info"]),
                       (3, [*dead, "info"]), (3, [*dead, "status"]), (3, [*dead, "object", "get", "k"]), (3, [*dead, "object", "put", "k"]),
                       (3, ["router", "show", "--run-dir", f"{tmp}/nowhere"])]:
        r = suite.ctl(*args, check=False, stdin=b"x")
        assert r.returncode == code, (args, r)
        assert bool(r.stderr) == (code != 0), (args, r)
        assert code != 2 or r.stderr.startswith(b"gfsctl: "), r.stderr
    os.rename(f"{tmp}/a", f"{tmp}/gone")
    suite.wait_site("a", "down")
    r = suite.ctl("status", check=False)
    assert r.returncode == 1 and re.fullmatch(rb"DEGRADED\na: [^\n]+\n", r.stdout), r
    assert suite.ctl("--json", "status", check=False).returncode == 1
    r = suite.ctl("status", "--verbose", check=False)
    assert r.returncode == 1 and re.match(rb"DEGRADED\na: primary, down[^\n]*\nb: backup, up[^\n]*\n", r.stdout), r
    assert suite.ctl("ready", "--site", "a", check=False).returncode == 1
    assert suite.ctl("ready", "--site", "b", "--max-lag", "30s").stdout == b"READY\n"
    assert suite.ctl("ready", "--site", "nowhere", check=False).returncode == 1
    os.rename(f"{tmp}/gone", f"{tmp}/a")
    suite.wait_site("a", "up")
    assert suite.ctl("status").stdout == b"OK\n"
    suite.stop()
    assert suite.ctl("status", check=False).returncode == 3


# ---- G56 ----

def script(shell, tmp):
    path = f"{tmp}/completion.{shell}"
    with open(path, "wb") as f:
        f.write(run("completion", shell).stdout)
    return path


def shell(*argv):
    if not shutil.which(argv[0]):
        pytest.skip(f"{argv[0]} is not installed")
    r = subprocess.run(argv, capture_output=True, timeout=60)
    assert r.returncode == 0, r
    assert r.stderr == b"", r.stderr
    return r.stdout.decode()


FIRST = sorted({c.split()[0] for c in commands()})
OBJECT = sorted(c.split()[1] for c in commands() if c.startswith("object "))


def test_G56_completion_of_bash(tmp):
    path = script("bash", tmp)
    shell("bash", "-n", path)
    ask = 'source "$1"; complete -p gfsctl >/dev/null; shift; COMP_WORDS=("$@"); COMP_CWORD=$(($# - 1)); _gfsctl; printf "%s\\n" "${COMPREPLY[@]}"'

    def complete(*words):
        return sorted(shell("bash", "-ec", ask, "-", path, *words).split())

    assert complete("gfsctl", "") == FIRST
    assert complete("gfsctl", "object", "") == OBJECT
    assert complete("gfsctl", "object", "wh") == ["where"]
    assert {"--delimiter", "--strict", "--json"} <= set(complete("gfsctl", "object", "list", "--"))
    assert complete("gfsctl", "site", "add", "--u") == ["--uri"]
    assert complete("gfsctl", "completion", "p") == ["powershell"]


def test_G56_completion_of_zsh(tmp):
    path = script("zsh", tmp)
    shell("zsh", "-n", path)
    # compadd is what a completion function offers: here it prints it
    ask = ('compdef() { }; compadd() { while [[ $1 != -- ]]; do shift; done; shift; print -l -- "$@" }; _files() { print FILES }; '
           'source "$1"; shift; words=("$@"); CURRENT=$#; PREFIX=${words[-1]}; _gfsctl')

    def complete(*words):
        return sorted(shell("zsh", "-fc", ask, "-", path, *words).split())

    assert complete("gfsctl", "") == FIRST
    assert complete("gfsctl", "object", "") == OBJECT
    assert {"--delimiter", "--strict", "--json"} <= set(complete("gfsctl", "object", "list", "--"))
    assert complete("gfsctl", "object", "put", "x") == ["FILES"]


def test_G56_completion_of_fish(tmp):
    path = script("fish", tmp)
    shell("fish", "--no-execute", path)

    def complete(line):
        out = shell("env", f"HOME={tmp}", f"XDG_DATA_HOME={tmp}", f"XDG_CONFIG_HOME={tmp}", "fish", "--private", "-c",
                    f'source {path}; complete -C "{line}"')
        return sorted(row.split("\t")[0] for row in out.splitlines())

    if not shutil.which("fish"):
        pytest.skip("fish is not installed")
    assert complete("gfsctl ") == FIRST
    assert complete("gfsctl object ") == OBJECT
    assert {"--delimiter", "--strict", "--json"} <= set(complete("gfsctl object list --"))
    assert "--strict" not in complete("gfsctl object put --")


def test_G56_completion_of_powershell(tmp):
    """Loaded by pwsh where there is one; elsewhere quotes, brackets and the words in its lists are checked."""
    path = script("powershell", tmp)
    if shutil.which("pwsh"):
        shell("pwsh", "-NoProfile", "-Command", f". {path}")
        return
    with open(path) as f:
        text = f.read()
    bare = re.sub(r'"[^"\n]*"', '""', re.sub(r"'[^'\n]*'", "''", re.sub(r"(?m)^#.*$", "", text)))
    assert bare.replace("''", "").replace('""', "").count("'") == 0 and '"' not in bare.replace('""', "")
    stack = []
    for c in bare:
        if c in "({[":
            stack.append(c)
        elif c in ")}]":
            assert stack and stack.pop() + c in ("()", "{}", "[]"), text
    assert not stack
    assert text.startswith("#") and "Register-ArgumentCompleter -Native -CommandName gfsctl" in text
    lists = {m.group(1): re.findall(r"'([^']*)'", m.group(2)) for m in re.finditer(r"(?m)^ +'([^']*)' = @\(([^)]*)\)$", text)}
    assert sorted(lists["object"]) == OBJECT
    assert {"--delimiter", "--strict", "--json"} <= set(lists["object list"])
    assert sorted(re.findall(r"'([^']*)'", re.search(r"\$first = @\(([^)]*)\)", text).group(1))) == FIRST


# ---- G57 ----

def test_G57_stdin_stdout_and_file_io(suite, tmp):
    data = os.urandom(2_500_000)
    with open(f"{tmp}/in", "wb") as f:
        f.write(data)
    assert suite.ctl("object", "put", "from file", "-i", f"{tmp}/in").stdout == b'stored "from file" (2500000 bytes)\n'
    pipe = f'cat {tmp}/in | "{GFSCTL}" object put "from pipe"'
    env = dict(os.environ, GLOBALFS_COORDINATOR=f"http://127.0.0.1:{suite.port}")
    assert subprocess.run(["bash", "-c", pipe], env=env, capture_output=True, timeout=60).stdout == b'stored "from pipe" (2500000 bytes)\n'
    assert suite.ctl("object", "put", "dash", "-i", "-", stdin=b"abc").stdout == b'stored "dash" (3 bytes)\n'
    assert suite.ctl("object", "put", "nothing", stdin=b"").stdout == b'stored "nothing" (0 bytes)\n'
    for key, want in (("from file", data), ("from pipe", data), ("dash", b"abc"), ("nothing", b"")):
        assert suite.get(key).body == want
        assert suite.ctl("object", "get", key).stdout == want
        assert suite.ctl("object", "get", key, "-o", "-").stdout == want
        r = suite.ctl("object", "get", key, "-o", f"{tmp}/out")
        assert r.stdout.decode() == f"{tmp}/out: {len(want)} bytes\n"
        with open(f"{tmp}/out", "rb") as f:
            assert f.read() == want
    head = subprocess.run(["bash", "-c", f'"{GFSCTL}" object get "from pipe" | head -c 10'], env=env, capture_output=True, timeout=60)
    assert head.stdout == data[:10] and head.stderr == b""


def test_G57_a_list_longer_than_memory_would_like(suite, tmp):
    """20,000 keys: gfsctl is no larger than for one."""
    n = 20_000
    for i in range(20):
        os.makedirs(f"{tmp}/a/big/{i:02}")
    for i in range(n):
        with open(f"{tmp}/a/big/{i // 1000:02}/{i:06}", "wb"):
            pass

    def peak(*args):
        r = suite_run("/usr/bin/env", "python3", "-c",
                      "import resource,subprocess,sys; r=subprocess.run(sys.argv[1:],stdout=open('%s/list','wb')); "
                      "print(resource.getrusage(resource.RUSAGE_CHILDREN).ru_maxrss, r.returncode)" % tmp, GFSCTL, *args)
        kib, code = map(int, r.stdout.split())
        assert code == 0
        return kib

    def suite_run(*argv):
        return subprocess.run(argv, capture_output=True, timeout=120,
                              env=dict(os.environ, GLOBALFS_COORDINATOR=f"http://127.0.0.1:{suite.port}"))

    one = peak("object", "list", "--limit", "1")
    for args in (["object", "list"], ["object", "list", "--json"]):
        assert peak(*args) < one + 8192 or gfs.SANITIZED
        with open(f"{tmp}/list") as f:
            keys = [o["key"] for o in json.load(f)] if "--json" in args else [line.split()[0] for line in f][1:]
        assert keys == [f"big/{i // 1000:02}/{i:06}" for i in range(n)]


# ---- W19 ----

def test_W19_keys_with_odd_characters(suite, tmp, library):
    """Through curl, gfsctl and the library, and read by another of them each time."""
    def curl(*args):
        return subprocess.run(["curl", "-sS", "--path-as-is", "-g", *args], capture_output=True, timeout=60, check=True).stdout

    def url(key):
        return f"http://127.0.0.1:{suite.port}" + suite.url(key)

    for key in ODD_KEYS:
        data = key.encode()
        suite.ctl("object", "put", "--", key, stdin=data)
        assert curl(url(key)) == data, key
        assert suite.ctl("object", "get", "--", key).stdout == data
    listed = [o["key"] for o in json.loads(suite.ctl("--json", "object", "list").stdout)]
    assert listed == sorted(ODD_KEYS, key=str.encode)
    assert suite.list().json()["count"] == len(ODD_KEYS)
    for key in ODD_KEYS:
        found = json.loads(suite.ctl("--json", "object", "list", f"--prefix={key}").stdout)
        assert key in [o["key"] for o in found], key
        where = json.loads(suite.ctl("--json", "object", "where", "--", key).stdout)
        assert where["key"] == key and where["sites"][0]["copy"]["present"] is True
        suite.ctl("object", "delete", "--", key)
        assert suite.head(key).status == 404
        curl("-X", "PUT", "--data-binary", key, url(key))
        assert json.loads(suite.ctl("--json", "object", "head", "--", key).stdout)["size"] == len(key.encode())
        curl("-X", "DELETE", url(key))
    assert suite.list().json()["count"] == 0
    r = library("keys", f"http://127.0.0.1:{suite.port}", stdin=b"".join(k.encode() + b"\0" for k in ODD_KEYS))
    assert r.stdout == f"{len(ODD_KEYS)} keys\n".encode()
    for bad in ("a/../b", "..", "a/./b", ".globalfs/x"):
        r = suite.ctl("object", "put", bad, stdin=b"x", check=False)
        assert (r.returncode, b"status 400" in r.stderr) == (1, True), r


def test_W19_keys_with_odd_characters_on_every_kind_of_site(kind, tmp, suites, library):
    a, b = kind("a"), kind("b", "backup")
    s = suites(tmp, [a.conf, b.conf]).start()
    r = library("keys", f"http://127.0.0.1:{s.port}", stdin=b"".join(k.encode() + b"\0" for k in ODD_KEYS))
    assert r.stdout == f"{len(ODD_KEYS)} keys\n".encode()
    for key in ODD_KEYS:
        assert s.put(key, key.encode()).status == 201
    s.wait_clean()
    rows = {o["key"]: o["etag"] for o in s.list().json()["objects"]}
    assert rows == {k: gfs.md5(k.encode()) for k in ODD_KEYS}
    for key in ODD_KEYS:  # the copy as well: each site has it under the right name
        where = json.loads(s.ctl("--json", "object", "where", "--", key).stdout)
        assert [(c["copy"]["present"], c["copy"]["etag"]) for c in where["sites"]] == [(True, rows[key])] * 2, where


# ---- W24, as far as the command line goes ----

def test_W24_the_key_comes_from_environment_or_file_and_is_seen_by_nobody(tmp, suites):
    key = "s3cr3t-key-of-the-test"
    s = suites(tmp, [gfs.file_site(f"{tmp}/a", "a")])
    s.env["GLOBALFS_API_KEY"] = key
    s.conf["coordinator"]["listen_addr"] = f"127.0.0.1:{s.port}"
    s.start(wait=False)
    wait_for("/readyz", lambda: s.req("GET", "/readyz").status == 200)
    base = {"GLOBALFS_COORDINATOR": f"http://127.0.0.1:{s.port}", "GLOBALFS_API_KEY": ""}
    with open(f"{tmp}/key", "w") as f:
        f.write(key + "\n")
    assert b"status 401" in run("site", "list", env=base).stderr
    assert run("site", "list", env=dict(base, GLOBALFS_API_KEY="wrong")).returncode == 1
    assert run("site", "list", env=dict(base, GLOBALFS_API_KEY=key)).returncode == 0
    assert run("--api-key-file", f"{tmp}/key", "site", "list", env=base).returncode == 0
    # while a command waits, nothing that it shows to other users has the key, even when it was given as an option
    os.mkfifo(f"{tmp}/fifo")
    for args, env in ((["--api-key-file", f"{tmp}/key"], base), ([], dict(base, GLOBALFS_API_KEY=key)), (["--api-key", key], base),
                      ([f"--api-key={key}"], base)):
        p = subprocess.Popen([GFSCTL, *args, "object", "put", "k", "-i", f"{tmp}/fifo"], env=dict(os.environ, **env),
                             stdout=subprocess.PIPE, stderr=subprocess.PIPE)
        try:
            with open(f"{tmp}/fifo", "wb") as f:  # opens when gfsctl has: its options are long parsed
                with open(f"/proc/{p.pid}/cmdline", "rb") as c:
                    assert key.encode() not in c.read(), args
                f.write(b"x")
            assert p.wait(20) == 0, p.stderr.read()
        finally:
            p.kill()
            p.communicate()
    assert key not in s.log_text()
    assert key not in s.ctl("config", "show", s.conf_path).stdout.decode()


# ---- W27 ----

def test_W27_config_init_keeps_files_and_get_is_atomic_and_info_has_health(suite, tmp):
    mine = f"{tmp}/mine.yaml"
    with open(mine, "w") as f:
        f.write("mine\n")
    r = suite.ctl("config", "init", "-o", mine, check=False)
    assert r.returncode == 1 and b"--force" in r.stderr
    with open(mine) as f:
        assert f.read() == "mine\n"
    os.symlink(mine, f"{tmp}/link")
    assert suite.ctl("config", "init", "-o", f"{tmp}/link", check=False).returncode == 1
    suite.ctl("config", "init", "-o", mine, "--force")
    assert run("config", "validate", mine).returncode == 0

    # a download that ends early leaves the file that was there; the next one goes on
    data = os.urandom(8_000_000)
    suite.put("k", data)
    out = f"{tmp}/out"
    with open(out, "wb") as f:
        f.write(b"old")
    relay = HoldingRelay(suite.port, 3_000_000)
    p = subprocess.Popen([GFSCTL, "object", "get", "k", "-o", out], env=dict(os.environ, GLOBALFS_COORDINATOR=relay.url))
    try:
        wait_for("a part", lambda: os.path.getsize(out + ".gfs-part") > 2_000_000)
        with open(out, "rb") as f:
            assert f.read() == b"old"
    finally:
        p.kill()
        p.wait()
        relay.end()
    with open(out, "rb") as f:
        assert f.read() == b"old"
    assert os.path.getsize(out + ".gfs-part") < len(data)
    suite.ctl("object", "get", "k", "-o", out)
    with open(out, "rb") as f:
        assert f.read() == data
    assert not [n for n in os.listdir(tmp) if "gfs-part" in n]
    assert suite.metric('globalfs_object_operations_total{operation="get",status="ok"}') >= 1
    health = json.loads(suite.ctl("--json", "info").stdout)["health"]
    assert (health["healthy"], health["unhealthy"]) == (2, 0) and health["last_checked_at"].endswith("Z")
    text = dict(line.split() for line in suite.ctl("info").stdout.decode().splitlines())
    assert (text["healthy"], text["unhealthy"]) == ("2", "0")


class HoldingRelay:
    """Passes on so many bytes of the first answer, then nothing more."""

    def __init__(self, port, limit):
        self.door = socket.create_server(("127.0.0.1", 0))
        self.url = f"http://127.0.0.1:{self.door.getsockname()[1]}"
        self.over = threading.Event()

        def serve():
            with self.door, self.door.accept()[0] as client, socket.create_connection(("127.0.0.1", port)) as server:
                server.sendall(client.recv(65536))
                left = limit
                while left > 0:
                    data = server.recv(min(65536, left))
                    left -= len(data)
                    client.sendall(data)
                self.over.wait(60)
        threading.Thread(target=serve, daemon=True).start()

    def end(self):
        self.over.set()


# ---- G59 ----

@pytest.fixture(scope="session")
def installed(top):
    """The library as make install leaves it, and a program compiled against it by pkg-config alone, far from the sources."""
    root, work = f"{top}/library-root", f"{top}/library-user"
    subprocess.run(["make", "-s", "-C", gfs.BUILD, "install-libLTLIBRARIES", "install-includeHEADERS", "install-pkgconfigDATA",
                    f"DESTDIR={root}"], check=True, capture_output=True, timeout=120)
    libdir = subprocess.run(["find", root, "-name", "globalfs.pc", "-printf", "%h"], check=True, capture_output=True).stdout.decode()
    env = dict(os.environ, PKG_CONFIG_PATH=libdir, PKG_CONFIG_SYSROOT_DIR=root)
    os.mkdir(work)

    def flags(*args):
        return subprocess.run(["pkg-config", *args, "globalfs"], check=True, capture_output=True, env=env).stdout.decode().split()

    def compile(source, name, *more):
        sanitizers = ["-fsanitize=address,undefined"] if gfs.SANITIZED else []
        subprocess.run(["cc", "-Wall", "-Wextra", "-Werror", "-pthread", *sanitizers, *more, source, *flags("--cflags", "--libs"), "-o",
                        f"{work}/{name}"], check=True, cwd=work, timeout=120)
        return f"{work}/{name}"

    libs = os.path.dirname(libdir)
    return {"root": root, "lib": libs, "work": work, "flags": flags, "compile": compile,
            "env": dict(os.environ, LD_LIBRARY_PATH=libs), "calls": compile(f"{TOP}/tests/helpers/client_calls.c", "calls", "-std=gnu11")}


@pytest.fixture
def library(installed):
    def run_it(*args, program=installed["calls"], stdin=b"", key="", code=0):
        r = subprocess.run([program, *args], input=stdin, capture_output=True, timeout=120,
                           env=dict(installed["env"], GLOBALFS_API_KEY=key))
        assert r.returncode == code, r
        assert r.stderr == b"", r.stderr  # the library prints nothing
        return r
    return run_it


def test_G59_client_library(tmp, suites, library):
    """Every call against a suite, with what each refuses and says: code, HTTP status, sentence, request id."""
    s = suites(tmp, [gfs.file_site(f"{tmp}/a", "a"), gfs.file_site(f"{tmp}/b", "b", "backup")])
    s.env["GLOBALFS_API_KEY"] = "library-key"
    s.start(wait=False)
    ready = {"GLOBALFS_COORDINATOR": f"http://127.0.0.1:{s.port}", "GLOBALFS_API_KEY": "library-key"}
    wait_for("two healthy sites", lambda: run("--json", "info", env=ready).stdout.count(b'"healthy": 2'))
    wait_for("readiness of every worker", lambda: all(s.req("GET", "/readyz").status == 200 for _ in range(20)))
    os.mkdir(f"{tmp}/c")
    r = library("calls", f"http://127.0.0.1:{s.port}", f"file://{tmp}/c", key="library-key")
    assert r.stdout == b""


def test_G59_threads_with_a_handle_each(suite, library):
    library("threads", f"http://127.0.0.1:{suite.port}", "8")


@pytest.mark.skipif(gfs.SANITIZED, reason="the sanitizer has the allocator")
def test_G59_out_of_memory_is_an_error_code(suite, installed, library):
    for i in range(3):
        suite.put(f"k{i}", b"x")
    program = installed["compile"](f"{TOP}/tests/helpers/client_calls.c", "memory", "-std=gnu11", "-DWITHOUT_MEMORY", "-fno-builtin")
    print(library("memory", f"http://127.0.0.1:{suite.port}", program=program).stdout)


class Scripted(http.server.BaseHTTPRequestHandler):
    protocol_version = "HTTP/1.1"

    def log_message(self, *args):
        pass

    def say(self, status, body=b"", length=None, **headers):
        self.send_response(status)
        self.send_header("Content-Length", str(len(body) if length is None else length))
        for name, value in headers.items():
            self.send_header(name.replace("_", "-"), value)
        self.end_headers()
        self.wfile.write(body)
        self.wfile.flush()
        self.close_connection = length is not None

    def do_GET(self):
        what = self.path.split("/")[-1].split("?")[0]
        etag = {"ETag": '"x"'}
        if what == "busy":
            self.say(503, b'{"error":"two\\nlines"}', Retry_After="7", X_Request_ID="rid-9", Content_Type="application/json")
        elif what == "busy-until":
            self.say(503, b"", Retry_After=formatdate(time.time() + 3600, usegmt=True))
        elif what == "no-json":
            self.say(502, b"<html>", Content_Type="text/html")
        elif what == "html":
            self.say(200, b"<html>")
        elif what == "array":
            self.say(200, b"[1, 2]")
        elif what == "large":
            self.say(200, b"[" + b"[]," * (2 << 20) + b"[]]")
        elif what == "cut":
            self.say(200, b"x" * 10, 5000, **etag)
        elif what == "bad-range":
            self.say(206, b"01234", Content_Range="bytes 0-4/10", **etag)
        elif what == "unasked-range":
            self.say(206, b"01234", Content_Range="bytes 0-4/10", **etag)
        elif what == "objects":
            self.say(200, b'{"objects":[],"truncated":true}')
        elif what == "hang":
            self.server.released.wait(20)
        elif what == "stall":
            self.say(200, b"x" * 10, 5000, **etag)
            self.server.released.wait(20)
        elif what == "slow":
            self.send_response(200)
            self.send_header("Content-Length", "5")
            self.send_header("ETag", '"x"')
            self.end_headers()
            for c in b"12345":
                self.wfile.write(bytes([c]))
                self.wfile.flush()
                time.sleep(0.15)


def test_G59_errors_say_what_went_wrong(library):
    server = http.server.ThreadingHTTPServer(("127.0.0.1", 0), Scripted)
    server.daemon_threads, server.released = True, threading.Event()
    server.handle_error = lambda *args: None
    threading.Thread(target=server.serve_forever, kwargs={"poll_interval": 0.01}, daemon=True).start()
    try:
        library("faults", f"http://127.0.0.1:{server.server_port}")
    finally:
        server.released.set()
        server.shutdown()
        server.server_close()


def test_G59_only_its_own_names_are_exported(installed):
    lib = f"{installed['lib']}/libglobalfs.so"
    names = {line.split()[-1] for line in
             subprocess.run(["nm", "-D", "--defined-only", lib], check=True, capture_output=True).stdout.decode().splitlines()}
    with open(f"{TOP}/client/globalfs.h") as f:
        declared = set(re.findall(r"\b(globalfs_[a-z_]+)\(", f.read().replace("typedef int globalfs_", "").replace("typedef long globalfs_", "")))
    assert {n for n in names if not n.startswith(("__asan", "__odr_asan"))} == declared
    with open(f"{TOP}/man/libglobalfs.3") as f:
        page = f.read()
    for name in declared:
        assert f"\n.Nm {name}" in page and re.search(rf"\n\.F[no] {name}\b", page), f"{name} is not in libglobalfs(3)"
    soname = subprocess.run(["objdump", "-p", lib], check=True, capture_output=True).stdout.decode()
    assert "SONAME               libglobalfs.so.0" in soname


def test_G59_header_for_c89_and_cplusplus_and_static_library(installed, suite, library):
    work, flags = installed["work"], installed["flags"]
    with open(f"{work}/old.c", "w") as f:
        f.write("#include <globalfs.h>\nint main(void) { return globalfs_version()[0] == '\\0'; }\n")
    shutil.copy(f"{work}/old.c", f"{work}/new.cc")
    subprocess.run(["cc", "-std=c89", "-pedantic-errors", "-Wall", "-Wextra", "-Werror", "-Wno-long-long", "-fsyntax-only", *flags("--cflags"),
                    f"{work}/old.c"], check=True)
    if shutil.which("c++"):
        subprocess.run(["c++", "-std=c++17", "-Wall", "-Wextra", "-Werror", "-fsyntax-only", *flags("--cflags"), f"{work}/new.cc"], check=True)
    sanitizers = ["-fsanitize=address,undefined"] if gfs.SANITIZED else []
    subprocess.run(["cc", f"{TOP}/tests/helpers/client_calls.c", *flags("--cflags"), *sanitizers, f"{installed['lib']}/libglobalfs.a", "-lcurl",
                    "-ljansson", "-pthread", "-o", f"{work}/static"], check=True)
    library("threads", f"http://127.0.0.1:{suite.port}", "2", program=f"{work}/static")


def test_G59_the_examples_compile_and_work(installed, suite, library):
    url = f"http://127.0.0.1:{suite.port}"
    program = installed["compile"](f"{TOP}/client/example.c", "example", "-std=c99")
    r = library(url, "notes/today", program=program, stdin=b"a line\n")
    assert r.stdout.startswith(b"stored, ETag " + gfs.md5(b"a line\n").encode() + b"\na line\nread 7 bytes from site a\n")
    assert b"7  notes/today\n" in r.stdout
    assert suite.head("notes/today").headers["X-GlobalFS-Meta-origin"] == "example"
    with open(f"{TOP}/man/libglobalfs.3") as f:
        code = re.search(r"\.Bd -literal\n(.*?)\n\.Ed", f.read(), re.S).group(1).replace("\\e", "\\")
    with open(f"{installed['work']}/page.c", "w") as f:
        f.write(code.replace("http://localhost:8090", url))
    program = installed["compile"](f"{installed['work']}/page.c", "page")
    assert library(program=program).stdout == b"hello"
