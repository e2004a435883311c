# SPDX-License-Identifier: Apache-2.0
"""The main path under valgrind: no invalid access and no leak in any process. The sites are stores, because valgrind of Debian 12 does
not know openat2(2), which directory sites stand on; those run under AddressSanitizer instead."""
import glob
import os
import re
import shutil

import pytest

import gfs
from gfs import s3_site, wait_for

MiB = 1 << 20


@pytest.mark.skipif(not shutil.which("valgrind"), reason="valgrind is not installed")
@pytest.mark.skipif(gfs.SANITIZED, reason="built with AddressSanitizer")
def test_put_get_list_delete_and_an_orderly_stop_are_clean(tmp, suites, fake):
    stores = [fake(), fake()]
    suite = suites(tmp, [s3_site(stores[0], "data", "onprem"), s3_site(stores[1], "data", "cloud", "burst")],
                   resilience={"health_poll_interval": "3s", "probe_timeout": "2500ms"})
    suite.wrap = ["valgrind", "-q", "--trace-children=yes", "--leak-check=full", "--show-leak-kinds=definite,indirect",
                  f"--log-file={suite.top}/valgrind.%p"]
    suite.start(wait=False)
    suite.wait_ready(60)
    data = os.urandom(3 * MiB)
    assert suite.put("dir/small", b"v", X_GlobalFS_Meta_Who="me").status == 201
    assert suite.put("dir/large", data).status == 201
    assert suite.req("PUT", suite.url("dir/unknown length"), iter([data[:MiB], data[MiB:]])).status == 201
    for key, want in (("dir/small", b"v"), ("dir/large", data), ("dir/unknown length", data)):
        got = suite.get(key)
        assert got.status == 200 and got.body == want
    assert suite.get("dir/large", Range="bytes=5-9").body == data[5:10]
    assert suite.head("dir/small").status == 200 and suite.get("none").status == 404
    assert suite.list("dir/").json()["count"] == 3
    suite.wait_clean()
    assert suite.delete("dir/large").status == 204 and suite.get("dir/large").status == 404
    suite.wait_clean()
    assert suite.req("GET", "/metrics").status == 200 and suite.req("GET", "/api/v1/info").status == 200
    half = suite.slow_put("cut", 1000)
    half.sendall(b"x")
    half.close()
    assert suite.stop() == 0
    logs = {p: open(p, errors="replace").read() for p in glob.glob(f"{suite.top}/valgrind.*")}
    assert len(logs) >= 6, logs  # the supervisor, two workers, healthd, repld, cached
    bad = {p: text for p, text in logs.items() if re.search(r"^==\d+== ", text, re.M)}
    assert not bad, "\n".join(f"{p}:\n{text[:6000]}" for p, text in bad.items())
