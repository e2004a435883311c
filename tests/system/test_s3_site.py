# SPDX-License-Identifier: Apache-2.0
"""The S3 site alone against a real store: the C program tests/s3/test_s3 and its hundreds of checks, one group a test."""
import os
import subprocess

import pytest

import gfs

PROGRAM = os.path.abspath(os.path.join(gfs.BUILD, "tests", "s3", "test_s3"))


@pytest.mark.parametrize("group", ["objects", "lists", "faults", "stream"])
def test_the_contract_of_a_site_holds(tmp, stores, group):
    store = stores[0]
    env = dict(os.environ, GFS_TEST_S3_ENDPOINT=store.endpoint, GFS_TEST_S3_ACCESS_KEY=store.access,
               GFS_TEST_S3_SECRET_KEY=store.secret)
    r = subprocess.run([PROGRAM, group], env=env, cwd=tmp, capture_output=True, timeout=300)
    text = (r.stdout + r.stderr).decode(errors="replace")
    assert r.returncode == 0 and " checks, 0 failed" in text, text[-4000:]
