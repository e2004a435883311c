# SPDX-License-Identifier: Apache-2.0
"""What people and systems do to directory sites: things that are no objects, names that are no keys, refusals of the disk."""
import contextlib
import os
import socket
import subprocess
import time

import pytest

import gfs
from gfs import file_site, wait_for


@pytest.fixture
def suite(tmp, suites):
    return suites(tmp, [file_site(f"{tmp}/A", "a"), file_site(f"{tmp}/B", "b", "backup")]).start()


def keys(suite, **params):
    r = suite.list(**params)
    assert r.status == 200, r
    return [o["key"] for o in r.json()["objects"]]


def test_what_is_no_regular_file_is_no_object(suite, tmp):
    """Links that lead out, pipes and sockets: never followed, never opened, never hung on, and in nobody's way."""
    a = f"{tmp}/A"
    with open(f"{tmp}/secret", "w") as f:
        f.write("not yours")
    os.mkdir(f"{tmp}/outside")
    with open(f"{tmp}/outside/x", "w") as f:
        f.write("not yours")
    assert suite.put("real", b"v").status == 201
    os.symlink(f"{tmp}/secret", f"{a}/link")
    os.symlink(f"{tmp}/outside", f"{a}/linkdir")
    os.symlink("real", f"{a}/inside")
    os.symlink("nowhere", f"{a}/dangling")
    os.mkfifo(f"{a}/pipe")
    with socket.socket(socket.AF_UNIX) as s:
        s.bind(f"{a}/sock")
    odd = ["link", "linkdir/x", "inside", "dangling", "pipe", "sock"]
    for key in odd:
        began = time.monotonic()
        for method in ("GET", "HEAD"):
            r = suite.req(method, suite.url(key))
            assert r.status in (404, 403, 409, 502, 503) and b"not yours" not in r.body, (method, key, r)
        assert time.monotonic() - began < 3, key
    assert keys(suite) == ["real"]
    for key in odd:
        r = suite.put(key, b"mine")
        assert r.status == 201 or r.json()["error"], (key, r)
        if r.status == 201:
            assert suite.get(key).body == b"mine", key
    with open(f"{tmp}/secret") as f, open(f"{tmp}/outside/x") as g:
        assert f.read() == g.read() == "not yours"
    assert os.listdir(f"{tmp}/outside") == ["x"]
    assert suite.get("real").body == b"v" and suite.put("other", b"w").status == 201


def test_an_object_that_is_also_a_folder(suite, tmp):
    """And a file put there by hand where a folder is needed."""
    with open(f"{tmp}/A/byhand", "w") as f:
        f.write("by hand")
    for key in ("a", "a/b", "a/b/c", "byhand/x", "x/y", "x"):
        assert suite.put(key, key.encode()).status == 201, key
    want = {"a": b"a", "a/b": b"a/b", "a/b/c": b"a/b/c", "byhand": b"by hand", "byhand/x": b"byhand/x", "x": b"x", "x/y": b"x/y"}
    for key, value in want.items():
        assert suite.get(key).body == value, key
    assert keys(suite) == sorted(want)
    assert keys(suite, prefix="a/") == ["a/b", "a/b/c"]
    for key in ("a/b", "byhand", "x/y"):
        assert suite.delete(key).status == 204
        del want[key]
    assert keys(suite) == sorted(want)
    for key, value in want.items():
        assert suite.get(key).body == value, key
    assert suite.get("a/b").status == 404
    suite.wait_clean()


def test_names_that_are_no_keys(suite, tmp):
    """Not UTF-8, longer than a key may be, reserved: not listed, not in the way, not touched."""
    a = f"{tmp}/A".encode()
    long_dir = a + b"/" + b"/".join([b"d" * 250] * 5)
    os.makedirs(long_dir)
    odd = [a + b"/bad\xff\xfe", a + b"/.gfs-people", long_dir + b"/x"]
    os.makedirs(a + b"/caf\xe9")
    odd.append(a + b"/caf\xe9/inside")
    os.makedirs(a + b"/.gfs-dir")
    odd.append(a + b"/.gfs-dir/f")
    for path in odd:
        with open(path, "wb") as f:
            f.write(b"by hand")
    with open(a + b"/line\nbreak \x01", "wb") as f:
        f.write(b"fine")
    assert suite.put("z", b"last").status == 201
    assert keys(suite) == ["line\nbreak \x01", "z"]
    assert suite.get("line\nbreak \x01").body == b"fine"
    for path in (b"bad\xff\xfe", b".gfs-people", b".gfs-dir/f", b"caf\xe9/inside", b"/".join([b"d" * 250] * 5) + b"/x"):
        for method in ("GET", "PUT", "DELETE"):
            r = suite.req(method, suite.url(path), b"x" if method == "PUT" else None)
            assert r.status == 400 and r.json()["error"], (method, path[:20], r)
    for path in odd:
        with open(path, "rb") as f:
            assert f.read() == b"by hand"


def refuses(suite, key="k", site="a"):
    r = suite.put(key, b"new")
    assert r.status >= 500 and f"site {site}" in r.json()["error"], r
    return r


def test_a_site_that_turns_read_only(tmp, suites):
    os.mkdir(f"{tmp}/A")
    if subprocess.run(["mount", "-t", "tmpfs", "-o", "size=16m", "tmpfs", f"{tmp}/A"], capture_output=True).returncode:
        pytest.skip("needs the right to mount")
    try:
        suite = suites(tmp, [file_site(f"{tmp}/A", "a"), file_site(f"{tmp}/B", "b", "backup")]).start()
        assert suite.put("k", b"old").status == 201
        suite.wait_clean()
        subprocess.run(["mount", "-o", "remount,ro", f"{tmp}/A"], check=True)
        refuses(suite)
        assert suite.delete("k").status >= 500
        # A delete is always carried through, a write that reached nobody is not: after the error it is one or the other.
        assert suite.get("k").status in (200, 404, 503)
        assert suite.req("GET", "/readyz").status == 200
        subprocess.run(["mount", "-o", "remount,rw", f"{tmp}/A"], check=True)
        wait_for("writes", lambda: suite.put("k", b"newer").status == 201)
        suite.wait_clean()
        assert suite.get("k").body == b"newer" and gfs.read_site_file(suite.conf["sites"][1], "k") == b"newer"
        suite.end()
    finally:
        subprocess.run(["umount", "-l", f"{tmp}/A"])


def test_a_file_that_may_not_be_changed(suite, tmp):
    assert suite.put("k", b"old").status == 201
    suite.wait_clean()
    if subprocess.run(["chattr", "+i", f"{tmp}/A/k"], capture_output=True).returncode:
        pytest.skip("the file system knows no immutable files")
    try:
        refuses(suite)
        assert suite.put("other", b"x").status == 201
    finally:
        subprocess.run(["chattr", "-i", f"{tmp}/A/k"])
    wait_for("writes", lambda: suite.put("k", b"newer").status == 201)
    suite.wait_clean()
    assert suite.get("k").body == b"newer" and gfs.read_site_file(suite.conf["sites"][1], "k") == b"newer"


def test_a_full_state_directory(tmp, suites):
    """Writes are refused with 503 while the journal cannot be kept; reads go on; nothing is lost; it works again by itself."""
    os.makedirs(f"{tmp}/s0/state")
    if subprocess.run(["mount", "-t", "tmpfs", "-o", "size=1m", "tmpfs", f"{tmp}/s0/state"], capture_output=True).returncode:
        pytest.skip("needs the right to mount")
    try:
        suite = suites(tmp, [file_site(f"{tmp}/A", "a"), file_site(f"{tmp}/B", "b", "backup")]).start()
        assert suite.put("k", b"old").status == 201
        suite.wait_clean()
        with open(f"{suite.top}/state/ballast", "wb", buffering=0) as f, contextlib.suppress(OSError):
            while True:
                f.write(bytes(4096))
        os.mkdir(f"{tmp}/C")
        acked, r = {}, None
        for i in range(400):  # the log of the journal has some room of its own
            r = suite.put(f"k{i}", b"%d" % i)
            if r.status != 201:
                break
            acked[f"k{i}"] = b"%d" % i
        assert r.status == 503 and "Retry-After" in r.headers and r.json()["error"], r
        pids = suite.pids()
        r = suite.req("POST", "/api/v1/sites", b'{"name":"c","role":"backup","uri":"file://%s/C"}' % tmp.encode())
        assert r.status >= 500 and r.json()["error"], r
        assert [s["name"] for s in suite.req("GET", "/api/v1/sites").json()] == ["a", "b"]
        assert suite.get("k").body == b"old" and suite.delete("k").status == 503 and suite.get("k").body == b"old"
        for key, value in acked.items():
            assert suite.get(key).body == value
        assert suite.req("GET", "/healthz").status == 200 and suite.pids() == pids
        os.unlink(f"{suite.top}/state/ballast")
        wait_for("writes", lambda: suite.put("k", b"newer").status == 201)
        suite.wait_clean()
        for key, value in {**acked, "k": b"newer"}.items():
            assert suite.get(key).body == value == gfs.read_site_file(suite.conf["sites"][1], key), key
        assert suite.stop() == 0
        suite.start()  # and what was written meanwhile can be read
        assert suite.get("k").body == b"newer"
        suite.end()
    finally:
        subprocess.run(["umount", "-l", f"{tmp}/s0/state"])
