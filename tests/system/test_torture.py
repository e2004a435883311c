# SPDX-License-Identifier: Apache-2.0
"""A short run of torture.py with a fixed plan, and one with a plan of its own: see there what is promised and checked."""
import io
import os

import pytest

import torture


@pytest.mark.parametrize("seed", [int(s) for s in os.environ.get("GFS_TORTURE_SEED", "1 2").split()])
def test_the_promise_holds_under_torture(seed):
    out = io.StringIO()
    failures = torture.one(seed, 6, settle=20, out=out)
    assert not failures, f"GFS_TORTURE_SEED={seed}\n{out.getvalue()}"
