# SPDX-License-Identifier: Apache-2.0
"""Sites that a scenario can look into and take away: directories, and buckets of a real store behind a relay.

    def test_x(kind): a, b = kind("a"), kind("b", "burst"); suites(tmp, [a.conf, b.conf]); b.away(); b.back(); b.look("key")
"""
import os
import socket
import threading

import pytest

import gfs


class Relay:
    """A TCP relay in front of a store, so that one suite can lose it while others go on."""

    def __init__(self, host, port):
        self.target, self.conns = (host, port), []
        self.lock = threading.Lock()
        self.door = None
        with socket.socket() as s:
            s.bind(("127.0.0.1", 0))
            self.port = s.getsockname()[1]
        self.resume()

    def resume(self):
        self.door = socket.socket()
        self.door.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        self.door.bind(("127.0.0.1", self.port))
        self.door.listen(128)
        threading.Thread(target=self._accept, args=(self.door,), daemon=True).start()

    def pause(self):
        """Connections are refused, open ones cut."""
        door, self.door = self.door, None
        if not door:
            return
        door.shutdown(socket.SHUT_RDWR)
        door.close()
        with self.lock:
            conns, self.conns = self.conns, []
        for c in conns:
            self._cut(c)

    @staticmethod
    def _cut(sock):
        try:
            sock.shutdown(socket.SHUT_RDWR)
        except OSError:
            pass

    def _accept(self, door):
        while True:
            try:
                client, _ = door.accept()
                store = socket.create_connection(self.target)
            except OSError:
                return
            for s in (client, store):
                s.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
            with self.lock:
                gone = self.door is not door
                self.conns += [client, store]
            for pair in ((client, store), (store, client)):
                threading.Thread(target=self._pump, args=pair, daemon=True).start()
            if gone:
                self._cut(client)

    def _pump(self, source, sink):
        try:
            while data := source.recv(65536):
                sink.sendall(data)
        except OSError:
            pass
        self._cut(source)
        self._cut(sink)


class FilePlace:
    def __init__(self, path, name, role):
        self.name, self.path = name, path
        self.conf = gfs.file_site(path, name, role)

    def look(self, key):
        """The object's bytes as they lie there, whether the suite can reach them or not; None when there are none."""
        for path in (self.path, self.path + ".away"):
            if os.path.exists(os.path.join(path, ".globalfs")):
                return gfs.read_site_file(gfs.file_site(path, self.name), key)
        return None

    def plant(self, key, data):
        """Puts an object there behind the suite's back; a key whose segments are plain names."""
        path = os.path.join(self.path, key)
        os.makedirs(os.path.dirname(path), exist_ok=True)
        with open(path, "wb") as f:
            f.write(data)

    def away(self):
        os.rename(self.path, self.path + ".away")

    def back(self):
        os.rename(self.path + ".away", self.path)

    def stop(self):
        pass


class S3Place:
    def __init__(self, store, bucket, name, role):
        self.name, self.store, self.bucket = name, store, bucket
        store.make_bucket(bucket)
        host, port = store.host.split(":")
        self.relay = Relay(host, int(port))
        self.conf = gfs.s3_site(store, bucket, name, role)
        self.conf["objectfs"]["s3_endpoint"] = f"http://127.0.0.1:{self.relay.port}"

    def look(self, key):
        got = self.store.get(self.bucket, key)
        return got and got[0]

    def plant(self, key, data):
        self.store.put(self.bucket, key, data)

    def away(self):
        self.relay.pause()

    def back(self):
        self.relay.resume()

    def stop(self):
        self.relay.pause()


@pytest.fixture(params=["files", "s3"])
def kind(request, tmp, bucket):
    """Makes places of one kind."""
    made = []

    def make(name, role="primary"):
        if request.param == "files":
            made.append(FilePlace(os.path.join(tmp, name), name, role))
        else:
            stores = request.getfixturevalue("stores")
            made.append(S3Place(stores[len(made) % len(stores)], f"{bucket}-{name}", name, role))
        return made[-1]

    yield make
    for p in made:
        p.stop()
