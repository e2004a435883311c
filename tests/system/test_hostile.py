# SPDX-License-Identifier: Apache-2.0
"""A full disk, damaged state, a shortage of descriptors, nonsense on the sockets: clear errors, nothing lost, and it goes on."""
import os
import socket
import subprocess
import time

import pytest

import gfs
from gfs import file_site, wait_for


@pytest.fixture
def sites(tmp):
    return [file_site(f"{tmp}/A", "a"), file_site(f"{tmp}/B", "b", "backup")]


def test_a_full_site_is_named_and_works_again_after_a_delete(tmp, suites, sites):
    mount = subprocess.run(["mount", "-t", "tmpfs", "-o", "size=16m", "tmpfs", f"{tmp}/A"], capture_output=True)
    if mount.returncode:
        pytest.skip("needs the right to mount")
    try:
        suite = suites(tmp, sites).start()
        assert suite.put("kept", b"x" * 1000000).status == 201
        for body in (b"x" * 30000000, (b"x" * 65536 for _ in range(500))):
            r = suite.req("PUT", suite.url("big"), body)
            assert r.status == 507 and "site a" in r.json()["error"], r
        assert suite.get("big").status == 404 and [o["key"] for o in suite.list().json()["objects"]] == ["kept"]
        assert suite.put("small", b"y").status == 201 and suite.delete("kept").status == 204
        assert os.listdir(f"{tmp}/A/.globalfs/tmp") == []
        suite.end()
    finally:
        subprocess.run(["umount", "-l", f"{tmp}/A"])


def test_a_damaged_journal_is_kept_and_refuses_writes(tmp, suites, sites):
    suite = suites(tmp, sites).start()
    assert suite.put("k", b"v").status == 201
    suite.wait_clean()
    assert suite.stop() == 0
    journal = f"{suite.top}/state/repld.db"
    junk = os.urandom(100000)
    with open(journal, "wb") as f:
        f.write(junk)
    suite.start(wait=False)
    wait_for("the refusal in the log", lambda: "event=journal-refused" in suite.log_text())
    r = wait_for("an answer", lambda: suite.put("k", b"w"))
    assert r.status == 503 and "error" in r.json(), r
    r = suite.get("k")
    assert r.body == b"v" and r.headers["X-GlobalFS-Consistency"] == "unverified", r
    with open(journal, "rb") as f:
        assert f.read() == junk


def test_a_damaged_registry_refuses_the_start_and_is_kept(tmp, suites, sites):
    suite = suites(tmp, sites).start()
    assert suite.stop() == 0
    registry = f"{suite.top}/state/sites"
    with open(registry, "r+b") as f:
        f.truncate(50)
    r = subprocess.run([gfs.ROUTERD, "-f", "-c", suite.conf_path], capture_output=True, timeout=20)
    assert r.returncode == 1 and b"damaged" in r.stderr, r
    assert os.path.getsize(registry) == 50


def cpu_ticks(pids):
    total = 0
    for pid in pids:
        with open(f"/proc/{pid}/stat") as f:
            total += sum(map(int, f.read().rsplit(")", 1)[1].split()[11:13]))
    return total


def test_more_clients_than_descriptors(tmp, suites, sites):
    suite = suites(tmp, sites)
    os.makedirs(suite.top)
    suite.write_conf()
    suite.log = open(suite.log_path, "ab")
    suite.proc = subprocess.Popen(["sh", "-c", f"ulimit -n 80; exec {gfs.ROUTERD} -f -c {suite.conf_path}"], stdout=suite.log,
                                  stderr=suite.log, start_new_session=True)
    suite.wait_ready()
    assert suite.put("k", b"v").status == 201
    clients = [suite.raw(timeout=5) for _ in range(250)]
    before = cpu_ticks(suite.pids()["routerd"])
    time.sleep(1)  # what is measured: a second in which nothing can be accepted must not be spent spinning
    assert cpu_ticks(suite.pids()["routerd"]) - before < 30
    for c in clients:
        c.close()
    assert wait_for("the next client", lambda: suite.get("k").body == b"v") and suite.put("k", b"w").status == 201


def test_nonsense_on_the_sockets(tmp, suites, sites):
    suite = suites(tmp, sites).start()
    before = suite.pids()
    for name in gfs.CHILDREN:
        for frame in (b"", os.urandom(100), b"\x93\x01\x00\x80", os.urandom(60000), b"\xdf\x0f\xff\xff\xff"):
            with socket.socket(socket.AF_UNIX, socket.SOCK_SEQPACKET) as s:
                s.settimeout(5)
                s.connect(f"{suite.run_dir}/{name}.sock")
                try:
                    s.send(frame)
                    while s.recv(70000):
                        pass
                except OSError:
                    pass
    idle = []
    for _ in range(300):
        s = socket.socket(socket.AF_UNIX, socket.SOCK_SEQPACKET)
        idle.append(s)
        s.setblocking(False)
        try:
            s.connect(f"{suite.run_dir}/repld.sock")
        except BlockingIOError:
            break
    assert suite.put("k", b"v").status == 201 and suite.get("k").body == b"v"
    assert suite.pids() == before
    for s in idle:
        s.close()
    assert suite.daemon("repl")["open_writes"] == 0
