# SPDX-License-Identifier: Apache-2.0
"""What a client sees of each way in which a site can fail: two sites behind fault proxies (faults.py), the first of which is harmed.

What cannot be seen by who passes bytes on, and is not: a store whose answer has other bytes, or a shorter Content-Length, or another
ETag than what it was given. Who copies (repld) compares the ETag at the end and sees all of it; a client can, too.
"""
import http.client
import signal
import time

import pytest

from faults import FaultProxy
from gfs import md5, read_answer, s3_site, wait_for
from test_interleavings import Later

TIMEOUTS = {"connect": "400ms", "first_byte": "600ms", "stall": "600ms"}
DATA = bytes(i * 7 % 251 for i in range(300000))


class Pair:
    def __init__(self, tmp, suites, stores, bucket):
        self.tmp, self.suites, self.bucket = tmp, suites, bucket
        self.a, self.b = (FaultProxy(s, tmp) for s in stores)
        self.suite = None

    def start(self, roles=("primary", "backup"), **conf):
        v = [s3_site(p, self.bucket, name, role) for p, name, role in zip((self.a, self.b), "ab", roles)]
        for s in v:
            s["timeouts"] = TIMEOUTS
        conf.setdefault("resilience", {"health_poll_interval": "60s"})  # what is seen is what requests do, not what probes find
        self.suite = self.suites(self.tmp, v, **conf).start()
        return self.suite

    def harm(self, proxy, kind, method="GET", key="k", **options):
        return proxy.fault(kind, method=method, bucket=self.bucket, key=key, **options)

    def have(self, key="k"):
        return [(got := p.store.get(self.bucket, key)) and got[0] for p in (self.a, self.b)]

    def gets(self, proxy):
        """Of the object's bytes, which are over."""
        return [r for r in proxy.requests("GET", self.bucket, "k") if r.target == f"/{self.bucket}/k" and r.status in (200, 206)]


@pytest.fixture
def pair(tmp, suites, two_stores, bucket):
    p = Pair(tmp, suites, two_stores, bucket)
    yield p
    for proxy in (p.a, p.b):
        proxy.clear()
    if p.suite:
        p.suite.end()
    for proxy in (p.a, p.b):
        proxy.stop()


@pytest.fixture
def stored(pair):
    """The object is on both."""
    suite = pair.start()
    assert suite.put("k", DATA).status == 201
    suite.wait_clean()
    assert pair.have() == [DATA, DATA]
    return suite


def served(suite, site, seconds=30):
    began = time.monotonic()
    r = suite.get("k")
    took = time.monotonic() - began
    assert (r.status, r.headers["X-GlobalFS-Site"]) == (200, site), r
    assert r.body == DATA and r.headers["ETag"] == f'"{md5(DATA)}"' and r.headers["Content-Length"] == str(len(DATA))
    assert took < seconds, f"{took:.2f} s"
    return took


# -- before the first byte --
def test_refuse(stored, pair):
    pair.a.pause()
    served(stored, "b", 0.5)
    pair.a.resume()
    served(stored, "a")


@pytest.mark.parametrize("kind", ["reset", "lost", "500", "503", "429"])
def test_faults_at_once(stored, pair, kind):
    pair.harm(pair.a, kind)
    served(stored, "b", 0.5)
    assert 1 <= len(pair.a.faults(kind)) <= 2  # a connection that was used before and ends without a byte is no site's fault yet
    pair.a.clear()
    served(stored, "a")


@pytest.mark.parametrize("kind", ["hang", "freeze", "first-byte:3000"])
def test_silence_ends_with_the_time_for_the_first_byte(stored, pair, kind):
    if kind == "freeze":
        pair.a.fault("freeze", for_ms=3000)
    else:
        pair.harm(pair.a, kind)
    took = served(stored, "b", 2)
    assert took >= 0.5


def test_slow_first_byte_within_the_time_is_no_fault(stored, pair):
    pair.harm(pair.a, "first-byte:350")
    assert served(stored, "a") >= 0.34
    assert pair.gets(pair.b) == []


def test_a_burst_of_503_is_outlasted_by_retries(pair):
    suite = pair.start(resilience={"health_poll_interval": "60s", "retry": {"enabled": True, "max_attempts": 4, "initial_delay": "20ms",
                                                                            "max_delay": "100ms"}})
    suite.put("k", DATA)
    suite.wait_clean()
    pair.b.pause()
    for kind in ("503", "429", "500", "reset"):
        pair.harm(pair.a, kind, times=3)
        served(suite, "a", 2)
    assert len(pair.a.faults()) == 12


def test_retry_after_of_the_last_site_is_told_and_kept(pair):
    suite = pair.start()
    suite.put("k", DATA)
    suite.wait_clean()
    pair.b.pause()
    pair.harm(pair.a, "503", retry_after=7)
    r = suite.get("k")
    assert r.status == 503 and int(r.headers["Retry-After"]) >= 7 and "a" in r.json()["error"], r


# -- in mid-body --
@pytest.mark.parametrize("kind", ["cut:100000", "cut:0", "cut:299999", "reset:100000", "stall:100000"])
def test_a_site_that_dies_in_mid_body_is_replaced(stored, pair, kind):
    pair.harm(pair.a, kind, times=1)
    served(stored, "a", 3)  # which sent the head
    assert pair.a.faults()
    took = pair.gets(pair.b)
    # It is asked for what is missing, once. What a reset leaves unread is lost on the way.
    assert len(took) == 1 and took[0].down == len(DATA) - (0 if kind.startswith("reset") else int(kind.split(":")[1])) \
        or kind.startswith("reset") and len(DATA) - 100000 <= took[0].down <= len(DATA)
    served(stored, "a")


def test_a_range_is_taken_over_too(stored, pair):
    pair.harm(pair.a, "cut:1000", times=1)
    r = stored.get("k", Range="bytes=50000-149999")
    assert r.status == 206 and r.body == DATA[50000:150000]
    assert [q.down for q in pair.gets(pair.b)] == [99000]


def test_without_another_site_the_connection_is_cut_and_never_padded(stored, pair):
    pair.b.pause()
    pair.harm(pair.a, "cut:100000", times=1)
    pair.harm(pair.a, "503")
    with pytest.raises(http.client.IncompleteRead) as e:
        stored.get("k")
    assert DATA.startswith(e.value.partial) and len(e.value.partial) <= 100000


def test_versions_are_never_mixed(pair):
    """The other site has an older version: what was begun cannot be ended from there."""
    suite = pair.start()
    older = bytes(reversed(DATA))
    suite.put("k", older)
    suite.wait_clean()
    pair.b.pause()
    suite.put("k", DATA)
    pair.b.resume()
    hold = pair.harm(pair.b, "503", method="PUT")
    pair.harm(pair.a, "cut:100000", times=1)
    pair.harm(pair.a, "503")
    assert pair.have() == [DATA, older]
    with pytest.raises(http.client.IncompleteRead) as e:
        suite.get("k")
    assert DATA.startswith(e.value.partial)
    pair.a.clear()
    pair.b.off(hold)
    suite.wait_clean()
    assert pair.have() == [DATA, DATA]


def test_slow_body_that_moves_is_no_fault(stored, pair):
    pair.harm(pair.a, "slow:250000")
    assert served(stored, "a", 5) > 0.9
    assert pair.gets(pair.b) == []


# -- lies --
def test_wrong_length_is_never_made_up_for(stored, pair):
    """Longer than what comes: the client was told that length, so all it can get is a cut connection."""
    pair.harm(pair.a, "wrong-length:7", times=1)
    with pytest.raises(http.client.IncompleteRead) as e:
        stored.get("k")
    assert e.value.partial == DATA and e.value.expected == 7
    served(stored, "a")


def test_wrong_length_of_a_range_is_refused_before_its_head(stored, pair):
    """A range's length stands in its head twice."""
    for lie in ("wrong-length:7", "wrong-length:-7"):
        pair.harm(pair.a, lie, times=1)
        r = stored.get("k", Range="bytes=1000-1999")
        assert (r.status, r.body, r.headers["X-GlobalFS-Site"]) == (206, DATA[1000:2000], "b"), r


def test_wrong_etag_of_a_write_is_told(pair):
    suite = pair.start()
    pair.harm(pair.a, "wrong-etag", method="PUT", times=1)
    r = suite.put("k", DATA)
    assert r.status >= 500 and "a" in r.json()["error"], r
    suite.wait_clean()
    assert pair.have() == [DATA, DATA]  # it was stored after all: unknown rolls forward
    served(suite, "a")


@pytest.mark.parametrize("kind", ["wrong-bytes:1234", "wrong-length:-7", "cut:1000", "reset:1000", "stall:1000", "lost", "500"])
def test_no_fault_gets_into_a_copy(pair, kind):
    suite = pair.start()
    hold = pair.harm(pair.b, "503", method="PUT")
    assert suite.put("k", DATA).status == 201
    pair.harm(pair.a, kind, times=2)
    pair.b.off(hold)
    suite.wait_clean()
    assert len(pair.a.faults(kind)) == 2
    assert pair.have() == [DATA, DATA]


# -- writes --
@pytest.mark.parametrize("kind", ["lost", "503", "reset", "cut-up:1000", "hang"])
def test_G49_writes_end_with_an_error_or_with_all_copies(pair, kind):
    suite = pair.start(roles=("primary", "primary"))
    suite.put("k", b"before")
    suite.wait_clean()
    pair.harm(pair.b, kind, method="PUT", times=1)
    began = time.monotonic()
    r = suite.put("k", DATA)
    assert time.monotonic() - began < 5
    assert r.status == 201 or (r.status >= 500 and "b" in r.json()["error"]), r
    suite.wait_clean()
    a, b = pair.have()
    assert a == b and a in (b"before", DATA) and suite.get("k").body == a
    assert r.status != 201 or a == DATA


def test_W12_aborted_put_leaves_no_stale_cache(pair):
    """The write fails at the second of two primaries after the first took it: what is read is what the sites end up with."""
    suite = pair.start(roles=("primary", "primary"), cache={"enabled": True})
    suite.put("k", b"before")
    suite.wait_clean()
    assert suite.get("k").body == b"before"  # whoever caches has it now
    pair.harm(pair.b, "503", method="PUT", times=1)
    r = suite.put("k", DATA)
    assert r.status >= 500 and "b" in r.json()["error"], r
    first = suite.get("k").body
    assert first in (b"before", DATA)
    suite.wait_clean()
    a, b = pair.have()
    assert a == b and suite.get("k").body == a
    assert first == b"before" or a == DATA  # never back

    hold = pair.harm(pair.b, "503", method="DELETE")
    r = suite.delete("k")
    assert r.status >= 500 and "b" in r.json()["error"], r
    assert suite.get("k").status == 404  # a delete rolls forward
    pair.b.off(hold)
    suite.wait_clean()
    assert pair.have() == [None, None] and suite.get("k").status == 404


def test_W21_short_checksums(tmp, suites, fake):
    """ETags of three characters on both sides, as some stores give, end no process."""
    one, two = fake(), fake()
    for store in (one, two):
        store.buckets["data"]["k"] = {"body": DATA, "etag": "abc", "time": time.time() - 60, "headers": {}}
    store.buckets["data"]["l"] = {"body": DATA, "etag": "x", "time": time.time() - 60, "headers": {}}
    suite = suites(tmp, [s3_site(one, "data", "a"), s3_site(two, "data", "b", "backup")]).start()
    before = suite.pids()
    for key, source, to in (("k", "a", "b"), ("l", "b", "a")):
        r = suite.ctl("replicate", "--key", key, "--from", source, "--to", to, check=False)
        assert r.returncode in (0, 1), r
        suite.wait_clean()
        assert suite.get(key).body == DATA
    assert two.get("data", "k")[0] == one.get("data", "k")[0] == DATA
    assert suite.pids() == before


# -- the end --
def test_G58_graceful_shutdown(pair):
    """SIGTERM while a GET waits for its site, another streams slowly and a PUT is half sent: all three end well, and then all is 0."""
    suite = pair.start()
    suite.put("k", DATA)
    suite.put("l", DATA)
    suite.wait_clean()
    pair.harm(pair.a, "first-byte:500", times=1)
    pair.harm(pair.a, "slow:400000", key="l", times=1)
    waiting = Later(suite.get, "k")
    slow = suite.raw(f"GET {suite.url('l')} HTTP/1.1\r\nHost: x\r\n\r\n".encode())
    put = suite.slow_put("m", 10)
    put.sendall(b"half ")
    wait_for("both reads at the site", lambda: len(pair.a.faults()) == 2)
    wait_for("the open write", lambda: suite.daemon("repl")["open_writes"] == 1)
    suite.proc.send_signal(signal.SIGTERM)
    wait_for("the doors to be closed", lambda: refused(suite))
    put.sendall(b"and ")
    put.sendall(b"x")
    assert read_answer(put)[0] == 201
    assert waiting.answer().body == DATA
    status, _, body = read_answer(slow)
    assert status == 200 and body == DATA
    assert suite.stop() == 0
    assert pair.a.store.get(pair.bucket, "m")[0] == b"half and x"


def refused(suite):
    try:
        suite.raw().close()
    except ConnectionRefusedError:
        return True
    return False
