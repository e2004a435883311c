# SPDX-License-Identifier: Apache-2.0
import itertools
import os
import tempfile

import pytest

import gfs
from fake_s3 import FakeS3
from s3 import Rgw

_numbers = itertools.count(1)


@pytest.fixture(scope="session")
def top():
    with tempfile.TemporaryDirectory(prefix="gfs-system-") as d:
        yield d


@pytest.fixture
def tmp(top, request):
    """A short directory (Unix socket paths are short), removed when the test passes."""
    d = tempfile.mkdtemp(dir=top, prefix="t")
    yield d
    gfs.remove_tree(d)


@pytest.fixture
def suites(request):
    """Makes suites and ends them, and shows their logs when the test failed."""
    made = []

    def make(top_dir, sites, **conf):
        s = gfs.Suite(os.path.join(top_dir, f"s{len(made)}"), sites, **conf)
        made.append(s)
        return s

    yield make
    failed = getattr(request.node, "rep_call", None) and request.node.rep_call.failed
    for s in made:
        if failed and os.path.exists(s.log_path):
            print(f"--- {s.log_path}\n{s.log_tail(int(os.environ.get('GFS_LOG_LINES', 120)))}")
        s.end()
    reports = [r for r in (s.reports() for s in made) if r]
    assert not reports, "\n".join(reports)


# A busy machine must not decide over tests that hold the suite to a time: check.sh runs them alone.
TIMED = ("test_start_is_fast", "test_kill_9_of", "test_degraded_modes", "test_timeouts", "test_trouble",
         "test_W15_", "test_heads_that_never_end", "test_twenty_thousand_rows")


def pytest_configure(config):
    config.addinivalue_line("markers", "timed: holds the suite to a time, or is heavy: runs alone")
    config.addinivalue_line("markers", "xdist_group: runs in the same process as the others of its group")


@pytest.hookimpl(tryfirst=True)  # xdist looks at the groups in its own
def pytest_collection_modifyitems(items):
    for item in items:
        if any(t in item.nodeid for t in TIMED):
            item.add_marker(pytest.mark.timed)
        # The stores are started once: whoever uses them shares a process.
        params = getattr(item, "callspec", None) and item.callspec.params
        if {"stores", "two_stores"} & set(item.fixturenames) or (params and params.get("kind") in ("s3", "mixed")):
            item.add_marker(pytest.mark.xdist_group("stores"))


@pytest.hookimpl(hookwrapper=True)
def pytest_runtest_makereport(item, call):
    outcome = yield
    setattr(item, "rep_" + call.when, outcome.get_result())


@pytest.fixture(scope="session")
def stores(top):
    """Two real S3 stores."""
    if os.environ.get("GFS_SKIP_RGW"):
        pytest.skip("GFS_SKIP_RGW is set")
    made = []
    try:
        for i in (1, 2):
            made.append(Rgw(os.path.join(top, f"rgw{i}")))
        yield made
    finally:
        for s in made:
            s.stop()


@pytest.fixture
def fake():
    """Makes scriptable stores."""
    made = []

    def make(**kw):
        made.append(FakeS3(**kw))
        return made[-1]

    yield make
    for s in made:
        s.stop()


@pytest.fixture
def two_stores(request, fake, bucket):
    """Two stores with the bucket in them: real ones if they are to be had."""
    if os.environ.get("GFS_SKIP_RGW"):
        return [fake(buckets=(bucket,)) for _ in range(2)]
    made = request.getfixturevalue("stores")
    for s in made:
        s.make_bucket(bucket)
    return made


@pytest.fixture
def bucket():
    return f"b{os.getpid()}-{next(_numbers)}"
