# SPDX-License-Identifier: Apache-2.0
"""Objects of every size through curl, gfsctl and raw HTTP, on directory sites, on real S3 stores, and on both together."""
import hashlib
import os
import subprocess
import threading
import time

import pytest

import gfs
from gfs import file_site, md5, multipart_etag, s3_site, wait_for

MiB = 1 << 20
CHUNK = 64 * MiB
KEYS = ["plain", "with space", "per%cent", "quest?ion", "ha#sh", "pl+us", "ünïcödé/日本", "a//b", "//lead", "deep/er/est/x", "tail/",
        "amp&er=sand;,", "quo\"te'", "back\\slash", "x" * 300, "d/" + "y" * 300 + "/z", "~tilde*star", "a/b", "a"]


class Kind:
    """Two sites of some kind and a way to look at each copy behind the suite's back."""

    def __init__(self, sites, looks):
        self.sites, self.looks = sites, looks


def file_look(site):
    return lambda key: gfs.read_site_file(site, key)


def s3_look(store, bucket):
    def look(key):
        got = store.get(bucket, key)
        return got and got[0]
    look.etag = lambda key: store.head(bucket, key)["ETag"].strip('"')
    return look


@pytest.fixture(params=["files", "s3", "mixed"])
def kind(request, tmp, bucket):
    a, b = file_site(f"{tmp}/A", "onprem"), file_site(f"{tmp}/B", "cloud", "burst")
    looks = [file_look(a), file_look(b)]
    if request.param == "files":
        return Kind([a, b], looks)
    stores = request.getfixturevalue("stores")
    for s in stores:
        s.make_bucket(bucket)
    s3a, s3b = s3_site(stores[0], bucket, "onprem"), s3_site(stores[1], bucket, "cloud", "burst")
    if request.param == "s3":
        return Kind([s3a, s3b], [s3_look(stores[0], bucket), s3_look(stores[1], bucket)])
    return Kind([a, s3b], [looks[0], s3_look(stores[1], bucket)])


@pytest.fixture
def suite(kind, tmp, suites):
    return suites(tmp, kind.sites).start()


def both_have(suite, kind, key, data, etag):
    suite.wait_clean()
    for look in kind.looks:
        got = look(key)
        assert got is not None and md5(got) == md5(data)
        if hasattr(look, "etag"):
            assert look.etag(key) == etag


@pytest.mark.parametrize("size", [0, 1, MiB])
def test_curl_puts_and_gets(suite, kind, tmp, size):
    data = os.urandom(size)
    with open(f"{tmp}/in", "wb") as f:
        f.write(data)
    base = f"http://127.0.0.1:{suite.port}/api/v1/objects/"
    for key, how in (("known", ["-T", f"{tmp}/in"]), ("unknown", ["-T", "-"])):
        with open(f"{tmp}/in", "rb") as f:
            r = subprocess.run(["curl", "-sS", "-w", "%{http_code}", *how, base + key], stdin=f, capture_output=True)
        assert r.stdout == b"201", (r, suite.log_tail())
        subprocess.run(["curl", "-sSf", "-o", f"{tmp}/out", base + key], check=True)
        with open(f"{tmp}/out", "rb") as f:
            assert f.read() == data
        h = suite.head(key)
        assert h.status == 200 and h.headers["ETag"] == f'"{md5(data)}"' and h.headers["Content-Length"] == str(size)
        both_have(suite, kind, key, data, md5(data))


@pytest.mark.parametrize("size", [0, 1, MiB])
def test_gfsctl_puts_and_gets(suite, kind, tmp, size):
    data = os.urandom(size)
    with open(f"{tmp}/in", "wb") as f:
        f.write(data)
    suite.ctl("object", "put", "known", "-i", f"{tmp}/in")
    suite.ctl("object", "put", "piped", stdin=data)
    for key in ("known", "piped"):
        assert suite.ctl("object", "get", key).stdout == data
        suite.ctl("object", "get", key, "-o", f"{tmp}/out-{key}")
        with open(f"{tmp}/out-{key}", "rb") as f:
            assert f.read() == data
        both_have(suite, kind, key, data, md5(data))
    assert sorted(os.listdir(tmp)) == sorted(set(os.listdir(tmp)) - {f for f in os.listdir(tmp) if "part" in f})


def test_multipart_layout_is_the_same_everywhere(tmp, kind, suites):
    suite = suites(tmp, kind.sites, performance={"transfer_chunk_size": "5MiB"}).start()
    for size in (5 * MiB, 5 * MiB + 1, 12 * MiB + 345):
        data = os.urandom(size)
        etag = multipart_etag(data, 5 * MiB)
        for key, chunked in ((f"known{size}", False), (f"unknown{size}", True)):
            body = (data[i:i + 99999] for i in range(0, size, 99999)) if chunked else data
            r = suite.req("PUT", suite.url(key), body)
            assert r.status == 201 and r.headers["ETag"] == f'"{etag}"', r
            assert md5(suite.get(key).body) == md5(data)
            both_have(suite, kind, key, data, etag)


def test_one_gib_with_flat_memory(suite, kind, tmp):
    """PUT with a known and an unknown length, and GET, 1 GiB each: right bytes, and no process above 64 MiB resident."""
    size = 1 << 30
    block = os.urandom(MiB)
    path = f"{tmp}/big"
    sums = hashlib.md5()
    part_sums = []
    with open(path, "wb") as f:
        part = hashlib.md5()
        for i in range(size // MiB):
            b = i.to_bytes(8, "big") + block[8:]
            f.write(b)
            sums.update(b)
            part.update(b)
            if (i + 1) % 64 == 0:
                part_sums.append(part.digest())
                part = hashlib.md5()
    etag = f"{hashlib.md5(b''.join(part_sums)).hexdigest()}-16"

    def check(key):
        h = suite.head(key)
        assert h.status == 200 and h.headers["ETag"] == f'"{etag}"', h
        p = subprocess.run(["sh", "-c", f"curl -sSf http://127.0.0.1:{suite.port}{suite.url(key)} | md5sum"], capture_output=True)
        assert p.stdout.split()[0].decode() == sums.hexdigest(), p
        suite.wait_clean(120)
        for look in kind.looks:
            if hasattr(look, "etag"):
                assert look.etag(key) == etag

    suite.ctl("object", "put", "big", "-i", path)
    check("big")
    assert suite.delete("big").status == 204
    suite.wait_clean(60)
    r = subprocess.run(["sh", "-c", f"curl -sS -w '%{{http_code}}' -T - http://127.0.0.1:{suite.port}{suite.url('piped')} < {path}"],
                       capture_output=True)
    assert r.stdout == b"201", (r, suite.log_tail())
    check("piped")
    assert suite.rss_peak_kib() < 64 * 1024
    os.unlink(path)
    assert suite.delete("piped").status == 204
    suite.wait_clean(60)


def test_ranges(suite, kind):
    data = os.urandom(300000)
    suite.put("r", data)
    etag = f'"{md5(data)}"'
    for spec, want in (("0-0", data[:1]), ("5-9", data[5:10]), ("299999-", data[-1:]), ("-7", data[-7:]), ("-999999", data),
                       ("100000-400000", data[100000:])):
        r = suite.get("r", Range="bytes=" + spec)
        assert r.status == 206 and r.body == want, (spec, r.status)
        first = len(data) - len(want) if spec.startswith("-") else int(spec.split("-")[0])
        assert r.headers["Content-Range"] == f"bytes {first}-{first + len(want) - 1}/{len(data)}"
    r = suite.get("r", Range="bytes=300000-")
    assert r.status == 416 and r.headers["Content-Range"] == "bytes */300000"
    assert suite.get("r", Range="lines=1-2").status == 200
    assert suite.get("r", Range="bytes=0-4", If_Range=etag).status == 206
    assert suite.get("r", Range="bytes=0-4", If_Range='"other"').status == 200


def test_conditions(suite, kind):
    suite.put("c", b"one")
    h = suite.head("c")
    etag, date = h.headers["ETag"], h.headers["Last-Modified"]
    assert suite.get("c", If_None_Match=etag).status == 304
    assert suite.get("c", If_None_Match='"x", ' + etag).status == 304
    assert suite.get("c", If_None_Match='"x"').status == 200
    assert suite.get("c", If_Match='"x"').status == 412
    assert suite.get("c", If_Match=etag).status == 200
    assert suite.get("c", If_Modified_Since=date).status == 304
    assert suite.head("c", If_None_Match=etag).status == 304
    assert suite.put("c", b"two", If_None_Match="*").status == 412
    assert suite.put("c", b"two", If_Match='"x"').status == 412
    assert suite.put("new", b"two", If_Match='"x"').status == 412
    assert suite.get("c").body == b"one"
    assert suite.put("c", b"two", If_Match=etag).status == 201
    assert suite.put("new", b"n", If_None_Match="*").status == 201
    assert suite.get("c").body == b"two"


def test_type_and_metadata_are_kept_on_every_site(suite, kind):
    suite.put("m", b"x", Content_Type="text/csv; charset=utf-8", X_GlobalFS_Meta_Project="Apollo 11", X_GlobalFS_Meta_a="b")
    suite.wait_clean()
    for state in ("primary", "other"):
        r = suite.get("m")
        assert r.headers["Content-Type"] == "text/csv; charset=utf-8"
        assert r.headers["X-GlobalFS-Meta-Project"] == "Apollo 11" and r.headers["X-GlobalFS-Meta-A"] == "b"
        assert r.headers["X-GlobalFS-Site"] == ("onprem" if state == "primary" else "cloud")
        if state == "primary":
            assert suite.ctl("site", "remove", "--name", "onprem").returncode == 0


def test_all_key_shapes_round_trip(suite, kind):
    for i, key in enumerate(KEYS):
        assert suite.put(key, f"{i}".encode()).status == 201, key
    for i, key in enumerate(KEYS):
        r = suite.get(key)
        assert (r.status, r.body) == (200, f"{i}".encode()), (key, r)
    listed = [o["key"] for o in suite.list().json()["objects"]]
    assert listed == sorted(KEYS, key=lambda k: k.encode())
    assert [o["key"] for o in suite.list(prefix="a", limit=2).json()["objects"]] == sorted(k for k in KEYS if k[0] == "a")[:2]
    text = suite.ctl("object", "list", "--prefix", "per").stdout.decode()
    assert "per%cent" in text
    for key in KEYS[:8]:
        assert suite.ctl("object", "get", key).stdout == f"{KEYS.index(key)}".encode()
    suite.wait_clean()
    assert suite.ctl("site", "remove", "--name", "onprem").returncode == 0
    for i, key in enumerate(KEYS):
        r = suite.get(key)
        assert (r.status, r.body, r.headers["X-GlobalFS-Site"]) == (200, f"{i}".encode(), "cloud"), (key, r)


def test_bad_keys_are_refused(suite, kind):
    for path in ("a/../b", "..", "a%00b", "./x", ".globalfs/site", "x/.gfs-obj", "k" * 1089, "%ff%fe"):
        r = suite.req("PUT", "/api/v1/objects/" + path, b"x")
        assert r.status == 400 and "error" in r.json(), (path, r)
    assert suite.list().json()["objects"] == []


def test_deletes(suite, kind):
    suite.put("d", b"x")
    suite.wait_clean()
    assert suite.delete("d").status == 204
    assert suite.get("d").status == 404 and suite.head("d").status == 404
    assert suite.list().json()["objects"] == []
    wait_for("gone everywhere", lambda: all(look("d") is None for look in kind.looks))
    assert suite.delete("d").status == 204
    assert suite.delete("never").status == 204
    assert suite.get("never").status == 404
    suite.put("d", b"again")
    assert suite.get("d").body == b"again"


def test_64_parallel_clients(suite, kind):
    errors = []

    def client(n):
        try:
            c = suite.connect()
            for i in range(12):
                data = os.urandom(1 + (n * 977 + i * 4099) % 70000)
                c.request("PUT", f"/api/v1/objects/p/{n}/{i % 4}", body=data)
                r = c.getresponse()
                r.read()
                assert r.status == 201, r.status
                c.request("GET", f"/api/v1/objects/p/{n}/{i % 4}")
                r = c.getresponse()
                body = r.read()
                assert r.status == 200 and body == data, (n, i, r.status, len(body), len(data))
        except Exception as e:
            errors.append(repr(e))

    threads = [threading.Thread(target=client, args=(n,)) for n in range(64)]
    for t in threads:
        t.start()
    for t in threads:
        t.join()
    assert not errors, errors[:5]
    assert suite.list(prefix="p/").json()["count"] == 256
    suite.wait_clean(60)


def test_copies_survive_the_loss_of_the_primary(suite, kind):
    data = {f"k{i}": os.urandom(1000 + i) for i in range(20)}
    for k, v in data.items():
        assert suite.put(k, v).status == 201
    suite.wait_clean()
    assert suite.ctl("site", "remove", "--name", "onprem").returncode == 0
    for k, v in data.items():
        r = suite.get(k)
        assert r.body == v and r.headers["X-GlobalFS-Site"] == "cloud"
