# SPDX-License-Identifier: Apache-2.0
"""The orders of events that lose or resurrect data in weaker designs, each scripted."""
import os
import re
import signal
import threading

import pytest

import gfs
from gfs import file_site, read_answer, s3_site, wait_for


class Later(threading.Thread):
    """A request on its own thread."""

    def __init__(self, call, *args, **kw):
        super().__init__(daemon=True)
        self.call, self.args, self.kw = call, args, kw
        self.result = self.failure = None
        self.start()

    def run(self):
        try:
            self.result = self.call(*self.args, **self.kw)
        except Exception as e:
            self.failure = e

    def answer(self, seconds=60):
        self.join(seconds)
        assert not self.is_alive(), "no answer"
        if self.failure:
            raise self.failure
        return self.result


def body_of(store, key, bucket="data"):
    got = store.get(bucket, key)
    return got and got[0]


def test_slow_older_put_finishes_after_a_newer_acknowledged_one(tmp, suites):
    sites = [file_site(f"{tmp}/A", "a"), file_site(f"{tmp}/B", "b"), file_site(f"{tmp}/C", "c", "burst")]
    suite = suites(tmp, sites).start()
    old = suite.slow_put("k", 9)
    old.sendall(b"old ")
    wait_for("the older write to be open", lambda: suite.daemon("repl")["open_writes"] >= 1)
    assert suite.put("k", b"newer").status == 201
    old.sendall(b"bytes")
    status, _, _ = read_answer(old)
    assert status in (200, 201)
    assert suite.get("k").body == b"newer"
    suite.wait_clean()
    for s in sites:
        assert gfs.read_site_file(s, "k") == b"newer", s["name"]


def test_slow_older_put_after_a_newer_one_and_a_restart_of_repld(tmp, suites):
    sites = [file_site(f"{tmp}/A", "a"), file_site(f"{tmp}/B", "b")]
    suite = suites(tmp, sites).start()
    old = suite.slow_put("k", 9)
    old.sendall(b"old ")
    wait_for("the older write to be open", lambda: suite.daemon("repl")["open_writes"] >= 1)
    assert suite.put("k", b"newer").status == 201
    suite.kill9(suite.pids()["repld"][0])
    old.sendall(b"bytes")
    status, _, _ = read_answer(old)
    assert status in (200, 201, 503)
    assert suite.get("k").body == b"newer"
    for s in sites:
        assert gfs.read_site_file(s, "k") == b"newer", s["name"]


def test_repld_killed_between_finalise_and_commit(tmp, suites, fake):
    store = fake()
    burst = file_site(f"{tmp}/B", "burst", "burst")
    suite = suites(tmp, [s3_site(store, "data", "p"), burst]).start()
    gate = store.gate("stored", "PUT", "k")
    put = Later(suite.put, "k", b"hello")
    gate.wait()
    suite.kill9(suite.pids()["repld"][0])
    gate.release()
    assert put.answer().status == 201
    assert suite.get("k").body == b"hello"
    wait_for("the copy at the burst site", lambda: gfs.read_site_file(burst, "k") == b"hello")
    suite.wait_clean()


def test_worker_killed_after_one_of_two_primaries_completed(tmp, suites, fake):
    one, two = fake(), fake()
    suite = suites(tmp, [s3_site(one, "data", "one"), s3_site(two, "data", "two")], coordinator={"workers": 1}).start()
    assert suite.put("k", b"before").status == 201
    gate = two.gate("body", "PUT", "k")  # the completing act never reaches the second primary
    put = Later(suite.put, "k", b"after")
    gate.wait()
    wait_for("the first primary to have it", lambda: body_of(one, "k") == b"after")
    suite.kill9(suite.pids()["routerd"][0])
    gate.release()
    put.join(10)
    wait_for("both primaries to agree", lambda: body_of(one, "k") == body_of(two, "k") == b"after", 30)
    wait_for("a worker", lambda: suite.get("k").body == b"after")
    suite.wait_clean()


def test_worker_killed_before_any_primary_completed(tmp, suites, fake):
    one, two = fake(), fake()
    suite = suites(tmp, [s3_site(one, "data", "one"), s3_site(two, "data", "two")], coordinator={"workers": 1}).start()
    assert suite.put("k", b"before").status == 201
    suite.wait_clean()
    gates = [s.gate("body", "PUT", "k") for s in (one, two)]
    put = Later(suite.put, "k", b"after")
    for g in gates:
        g.wait()
    suite.kill9(suite.pids()["routerd"][0])
    for g in gates:
        g.release()
    put.join(10)
    suite.wait_clean()
    assert body_of(one, "k") == body_of(two, "k")
    wait_for("a worker", lambda: suite.get("k").body == body_of(one, "k"))


@pytest.mark.parametrize("step", ["body", "received", "stored"])
def test_delete_while_the_copy_to_the_burst_site_is_in_flight(tmp, suites, fake, step):
    burst = fake()
    suite = suites(tmp, [file_site(f"{tmp}/A", "a"), s3_site(burst, "data", "burst", "burst")]).start()
    gate = burst.gate(step, "PUT", "k")
    assert suite.put("k", b"data").status == 201
    gate.wait()
    assert suite.delete("k").status == 204
    assert suite.get("k").status == 404
    gate.release()
    suite.wait_clean()
    assert body_of(burst, "k") is None
    assert suite.get("k").status == 404
    assert suite.list().json()["objects"] == []


def test_overwrite_while_the_copy_to_the_burst_site_is_in_flight(tmp, suites, fake):
    burst = fake()
    suite = suites(tmp, [file_site(f"{tmp}/A", "a"), s3_site(burst, "data", "burst", "burst")]).start()
    gate = burst.gate("received", "PUT", "k")
    assert suite.put("k", b"one").status == 201
    gate.wait()
    assert suite.put("k", b"two!").status == 201
    assert suite.get("k").body == b"two!"
    gate.release()
    suite.wait_clean()
    assert body_of(burst, "k") == b"two!"


def test_primary_unmounted_during_writes(tmp, suites):
    a, b = file_site(f"{tmp}/A", "a"), file_site(f"{tmp}/B", "b", "backup")
    suite = suites(tmp, [a, b]).start()
    assert suite.put("kept", b"x").status == 201
    suite.wait_clean()
    slow = suite.slow_put("slow", 10)
    slow.sendall(b"12345")
    wait_for("the write to be open", lambda: suite.daemon("repl")["open_writes"] >= 1)
    os.rename(f"{tmp}/A", f"{tmp}/A.mounted")
    os.mkdir(f"{tmp}/A")
    slow.sendall(b"67890")
    status, _, body = read_answer(slow)
    assert status in (500, 502, 503, 504) and b"a" in body
    r = suite.put("new", b"y")
    assert r.status == 503 and "a" in r.json()["error"], r
    assert os.listdir(f"{tmp}/A") == []
    row = suite.wait_site("a", "down")
    assert "marker" in row["error"], row
    assert suite.put("new", b"y").status == 503
    r = suite.get("kept")
    assert r.status == 200 and r.headers["X-GlobalFS-Site"] == "b"
    r = suite.get("nowhere")
    assert r.status in (503, 504) and "a" in r.json()["error"], r
    assert os.listdir(f"{tmp}/A") == []
    os.rmdir(f"{tmp}/A")
    os.rename(f"{tmp}/A.mounted", f"{tmp}/A")
    suite.wait_site("a", "up")
    assert suite.put("new", b"y").status == 201
    assert suite.get("nowhere").status == 404


def test_a_missing_key_is_404_and_an_unreachable_site_503(tmp, suites, fake):
    store, backup = fake(), fake()
    suite = suites(tmp, [s3_site(store, "data", "main"), s3_site(backup, "data", "spare", "backup")]).start()
    assert suite.get("none").status == 404
    backup.pause()
    suite.wait_site("spare", "down")
    assert suite.get("none").status == 404  # the authoritative site answered
    backup.resume()
    store.pause()
    suite.wait_site("main", "down")
    r = suite.get("none")
    assert r.status in (503, 504) and "main" in r.json()["error"] and "Retry-After" in r.headers, r
    store.resume()
    suite.wait_site("main", "up")
    assert suite.get("none").status == 404


def test_a_write_that_misses_a_primary_is_refused_or_rolled_forward(tmp, suites, fake):
    one, two = fake(), fake()
    suite = suites(tmp, [s3_site(one, "data", "one"), s3_site(two, "data", "two")]).start()
    two.fault("500", "PUT", "k")
    r = suite.put("k", b"data")
    assert r.status in (500, 502, 503) and "two" in r.json()["error"], r
    suite.wait_clean()
    assert body_of(one, "k") == body_of(two, "k")


def test_write_min_lets_a_write_pass_with_a_primary_down(tmp, suites, fake):
    one, two = fake(), fake()
    suite = suites(tmp, [s3_site(one, "data", "one"), s3_site(two, "data", "two")], routing={"write_min": 1}).start()
    two.pause()
    suite.wait_site("two", "down")
    assert suite.put("k", b"data").status == 201
    assert suite.get("k").body == b"data"
    two.resume()
    wait_for("the copy at the second primary", lambda: body_of(two, "k") == b"data", 30)
    suite.wait_clean()


def test_reads_of_a_lagging_site_say_so(tmp, suites, fake):
    burst = fake()
    suite = suites(tmp, [file_site(f"{tmp}/A", "a"), s3_site(burst, "data", "burst", "burst")]).start()
    assert suite.put("k", b"one").status == 201
    suite.wait_clean()
    gate = burst.gate("head", "PUT", "k")
    assert suite.put("k", b"two").status == 201
    gate.wait()
    os.rename(f"{tmp}/A", f"{tmp}/gone")
    r = suite.get("k")
    assert r.status in (200, 503)
    if r.status == 200:
        assert r.body == b"one" and r.headers["X-GlobalFS-Stale"] == "true"
    os.rename(f"{tmp}/gone", f"{tmp}/A")
    gate.release()
    suite.wait_clean()
    assert body_of(burst, "k") == b"two"


def test_32_conditional_creates_have_one_winner(tmp, suites):
    suite = suites(tmp, [file_site(f"{tmp}/A", "a"), file_site(f"{tmp}/B", "b")]).start()
    puts = [Later(suite.put, "k", b"%d" % i, If_None_Match="*") for i in range(32)]
    statuses = [p.answer().status for p in puts]
    assert statuses.count(201) == 1 and statuses.count(412) == 31, statuses
    winner = statuses.index(201)
    assert suite.get("k").body == b"%d" % winner


def test_a_wrong_copy_is_not_called_done(tmp, suites, fake):
    """The source's bytes are damaged in flight once: the copy is refused, tried again, and right at the end."""
    main, burst = fake(), fake()
    suite = suites(tmp, [s3_site(main, "data", "main"), s3_site(burst, "data", "burst", "burst")]).start()
    main.fault("wrong-bytes", "GET", "k")
    assert suite.put("k", b"precious").status == 201
    suite.wait_clean()
    assert body_of(burst, "k") == b"precious"


@pytest.mark.parametrize("deleted", [True, False])
def test_a_lagging_site_is_not_current_because_a_newer_write_is_under_way(tmp, suites, fake, deleted):
    main, burst = fake(), fake()
    suite = suites(tmp, [s3_site(main, "data", "main"), s3_site(burst, "data", "burst", "burst")]).start()
    assert suite.put("k", b"one").status == 201
    suite.wait_clean()
    lagging = burst.gate("received", "DELETE" if deleted else "PUT", "k")
    assert suite.delete("k").status == 204 if deleted else suite.put("k", b"two").status == 201
    lagging.wait()
    gate = main.gate("received", "PUT", "k")
    put = Later(suite.put, "k", b"three")
    gate.wait()
    if deleted:
        assert suite.get("k").status == 404
        assert suite.list().json()["objects"] == []
    else:
        main.fault("500", "GET", "k", times=10)
        r = suite.get("k")
        assert r.status == 503 or r.headers.get("X-GlobalFS-Stale") == "true", r
        main.clear()
    gate.release()
    lagging.release()
    assert put.answer().status == 201
    suite.wait_clean()
    assert body_of(main, "k") == body_of(burst, "k") == suite.get("k").body == b"three"


def test_an_acknowledged_delete_whose_commit_was_lost_with_its_worker(tmp, suites, fake):
    main, burst = fake(), fake()
    suite = suites(tmp, [s3_site(main, "data", "main"), s3_site(burst, "data", "burst", "burst")], coordinator={"workers": 1}).start()
    assert suite.put("k", b"old").status == 201
    suite.wait_clean()
    gate = main.gate("stored", "DELETE", "k")
    delete = Later(suite.delete, "k")
    gate.wait()
    repld, worker = suite.pids()["repld"][0], suite.pids()["routerd"][0]
    os.kill(repld, signal.SIGSTOP)
    asking = main.gate("received", "HEAD", "k")  # repld's question how it ended
    gate.release()
    assert delete.answer().status == 204
    suite.kill9(worker)
    suite.kill9(repld)
    asking.wait()
    wait_for("a worker", lambda: suite.req("GET", "/readyz").status == 200)
    assert suite.get("k").status == 404
    assert suite.list().json()["objects"] == []
    asking.release()
    suite.wait_clean()
    assert body_of(main, "k") is body_of(burst, "k") is None and suite.get("k").status == 404


def test_what_was_sent_twice_does_not_surface_for_good(tmp, suites, fake):
    """A connection that was kept dies under a DELETE, which is sent again; the first one takes effect after a newer PUT."""
    store = fake()
    suite = suites(tmp, [file_site(f"{tmp}/A", "a"), s3_site(store, "data", "b")], coordinator={"workers": 1}).start()
    assert suite.put("k", b"one").status == 201
    store.fault("late:1", "DELETE", "k")
    assert suite.delete("k").status == 204
    assert suite.put("k", b"two").status == 201
    # repld may look and repair within a millisecond of it, so its log is asked, not the store
    wait_for("the first DELETE to take effect", lambda: "event=surfaced key=k" in suite.log_text(), 30)
    assert suite.get("k").body == b"two"
    wait_for("the repair", lambda: body_of(store, "k") == b"two")


def test_what_a_killed_repld_had_sent_is_repaired_when_it_surfaces(tmp, suites, fake):
    burst = fake()
    suite = suites(tmp, [file_site(f"{tmp}/A", "a"), s3_site(burst, "data", "burst", "burst")]).start()
    gate = burst.gate("received", "PUT", "k")
    assert suite.put("k", b"one").status == 201
    gate.wait()
    suite.kill9(suite.pids()["repld"][0])
    wait_for("the newer version", lambda: suite.put("k", b"two").status == 201)
    wait_for("its copy", lambda: body_of(burst, "k") == b"two")
    gate.release()
    wait_for("the older one to surface", lambda: body_of(burst, "k") == b"one")
    assert suite.get("k").body == b"two"
    wait_for("the repair", lambda: body_of(burst, "k") == b"two", 20)


def test_a_write_that_waited_in_vain_for_repld_leaves_nothing_open(tmp, suites):
    suite = suites(tmp, [file_site(f"{tmp}/A", "a")]).start()
    assert suite.put("k", b"one").status == 201
    repld = suite.pids()["repld"][0]
    os.kill(repld, signal.SIGSTOP)
    assert suite.put("k", b"two").status == 503
    os.kill(repld, signal.SIGCONT)
    suite.wait_clean()
    assert suite.get("k").body == b"one"


def uploads_after_a_stop(suite, store):
    """Exactly those that the suite has left in the store."""
    assert suite.stop() == 0
    return list(store.uploads)


def test_a_cut_upload_is_aborted_before_a_stop_ends(tmp, suites, fake):
    """The store fails once to abort it, and nothing but the Abort keeps the worker."""
    store = fake()
    suite = suites(tmp, [s3_site(store, "data", "a")], performance={"transfer_chunk_size": "5MiB"}).start()
    sock = suite.slow_put("k", 12 << 20)
    sock.sendall(bytes(6 << 20))
    wait_for("the first part", lambda: store.count("PUT", "k"))
    store.fault("500", "DELETE", key="k")
    sock.close()
    wait_for("the first Abort", lambda: store.count("DELETE", "k"))
    assert uploads_after_a_stop(suite, store) == []
    assert store.count("DELETE", "k") == 2


def test_the_upload_of_a_copy_is_aborted_before_a_stop_ends(tmp, suites, fake):
    """repld is stopped in the middle of a copy in parts; the store fails once to abort it."""
    store = fake()
    sites = [file_site(f"{tmp}/A", "a"), s3_site(store, "data", "b", "backup")]
    suite = suites(tmp, sites, performance={"transfer_chunk_size": "5MiB"}).start()
    part = store.gate("body", "PUT", key="k")
    assert suite.put("k", bytes(12 << 20)).status == 201
    part.wait()
    store.fault("500", "DELETE", key="k")
    stop = Later(uploads_after_a_stop, suite, store)
    wait_for("repld to stop", lambda: re.search(r"repld\[\d+\] INFO event=stop ", suite.log_text()))
    part.release()
    assert stop.answer(20) == []
    assert store.count("DELETE", "k") == 2
