# SPDX-License-Identifier: Apache-2.0
"""The fault proxy itself: that it breaks what it is told to, nothing else, and the same again with the same seed."""
import http.client

import pytest

from faults import FaultProxy
from gfs import wait_for

DATA = bytes(range(256)) * 400


@pytest.fixture
def make(tmp, fake):
    made = []

    def proxy(seed=1):
        store = fake()
        made.append(FaultProxy(store, tmp, seed))
        assert ask(made[-1], "PUT", DATA)[0] == 200
        return made[-1]

    yield proxy
    for p in made:
        p.stop()


def ask(proxy, method="GET", body=None, timeout=0.5):
    """(status, headers, body), or what happened instead."""
    c = http.client.HTTPConnection("127.0.0.1", proxy.port, timeout=timeout)
    try:
        c.request(method, "/data/k", body)
        r = c.getresponse()
        return r.status, r.headers, r.read()
    except (OSError, http.client.HTTPException) as e:
        return e
    finally:
        c.close()


def test_bytes_pass_unchanged_and_are_logged(make):
    p = make()
    c = http.client.HTTPConnection("127.0.0.1", p.port)
    for _ in range(20):
        c.request("GET", "/data/k")
        assert c.getresponse().read() == DATA
        c.request("HEAD", "/data/k")
        assert c.getresponse().read() == b""
        c.request("GET", "/data/none")
        assert c.getresponse().read().startswith(b"<?xml")
    c.close()
    assert [(r.status, r.down, r.end) for r in p.requests("GET", "data", "k")] == [(200, len(DATA), "done")] * 20
    assert p.faults() == [] and p.stats()["requests"] == 61


@pytest.mark.parametrize("kind, error, came", [
    ("reset", ConnectionResetError, None), ("lost", http.client.RemoteDisconnected, None), ("hang", TimeoutError, None),
    ("cut:1000", http.client.IncompleteRead, 1000), ("cut:0", http.client.IncompleteRead, 0), ("stall:1000", TimeoutError, None),
    ("wrong-length:7", http.client.IncompleteRead, len(DATA))])
def test_faults_that_end_an_answer(make, kind, error, came):
    p = make()
    p.fault(kind, method="GET", key="k", times=1)
    e = ask(p)
    assert isinstance(e, error) and (came is None or e.partial == DATA[:came]), e
    assert ask(p)[2] == DATA and len(p.faults(kind)) == 1


def test_faults_that_change_an_answer(make):
    p = make()
    right = ask(p)
    for kind, want in (("503", b"SlowDown"), ("429", b"TooManyRequests"), ("500", b"InternalError")):
        p.fault(kind, times=1, retry_after=3)
        status, headers, body = ask(p)
        assert status == int(kind) and headers["Retry-After"] == "3" and want in body
    p.fault("wrong-etag", times=1)
    status, headers, body = ask(p)
    assert (status, body) == (200, DATA) and len(headers["ETag"]) == len(right[1]["ETag"]) and headers["ETag"] != right[1]["ETag"]
    p.fault("wrong-bytes:70000", times=1)
    body = ask(p)[2]
    assert [i for i in range(len(DATA)) if body[i] != DATA[i]] == [70000] and len(body) == len(DATA)
    p.fault("wrong-length:-7", times=1)
    assert ask(p)[2] == DATA[:-7]
    assert ask(p)[2] == DATA


def test_slow_answers(make):
    p = make()
    p.fault("first-byte:300", times=1)
    p.fault("slow:200000", times=1)
    for least in (300000, 400000):
        assert ask(p, timeout=5)[2] == DATA
        assert p.requests("GET")[-1].us >= least


def test_requests_that_are_cut(make):
    p = make()
    p.fault("cut-up:1000", method="PUT", times=1)
    assert isinstance(ask(p, "PUT", b"x" * 3000000), OSError)
    assert ask(p)[2] == DATA


def test_the_whole_store(make):
    p = make()
    p.pause()
    assert isinstance(ask(p), ConnectionRefusedError)
    p.resume()
    assert ask(p)[2] == DATA
    mute = p.fault("mute")
    assert isinstance(ask(p), http.client.RemoteDisconnected)
    p.off(mute)
    p.fault("freeze", for_ms=300)
    assert ask(p, timeout=5)[2] == DATA
    assert p.requests("GET")[-1].at_ms >= 300 and p.stats()["faults"] == 0


def test_chance_is_seeded(make):
    def draw(seed):
        p = make(seed)
        p.fault("503", method="GET", p=0.5)
        return [ask(p)[0] for _ in range(40)]
    first = draw(7)
    assert set(first) == {200, 503}
    assert draw(7) == first != draw(8)


def test_schedules(make, tmp):
    p = make()
    with open(f"{tmp}/plan", "w") as f:
        f.write("# a burst, then nobody at home, then doubts\nseed 5\n0 300 503 method=GET\n300 300 refuse\n600 0 wrong-etag p=0.5\n")
    p.schedule(f"{tmp}/plan")
    assert ask(p)[0] == 503
    wait_for("nobody at home", lambda: isinstance(ask(p), ConnectionRefusedError))
    wait_for("a wrong ETag", lambda: p.faults("wrong-etag") or not ask(p))
    text = p.log_text()
    assert [line.split()[1:4:2] for line in text.splitlines() if " begin " in line or " end " in line] == [
        ["begin", "503"], ["end", "503"], ["begin", "refuse"], ["end", "refuse"], ["begin", "wrong-etag"]]


@pytest.mark.parametrize("line, why", [
    ("fault foo", "no such fault"), ("fault cut", "needs an argument"), ("fault hang:3", "bad argument"), ("fault 200", "a status is"),
    ("fault refuse p=0.5", "whole store"), ("fault hang for=x", "not a number"), ("fault hang x=1", "no such option"),
    ("fault hang x", "without ="), ("off 77", "no such id"),
    ("schedule /nowhere", "cannot be opened"), ("nonsense", "no such command")])
def test_bad_commands_are_refused(make, line, why):
    with pytest.raises(AssertionError, match=why):
        make().command(line)
