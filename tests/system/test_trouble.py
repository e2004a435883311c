# SPDX-License-Identifier: Apache-2.0
"""Ten minutes of trouble in half a minute: three sites that fail in every way, one after another and two at a time, under 32 readers
and writers who must not notice. What is compressed are the suite's own times (probes, cooldown, timeouts, back-off: about 1 in 60).

At every moment one site is healthy and has the current version of everything: a site is left alone until the suite itself says that
nothing is left to bring to it. tests/helpers/trouble_client.c knows what each answer must be, byte by byte; the plan comes from
GFS_TROUBLE_SEED. GFS_TROUBLE_ROUNDS=10 goes on for longer.
"""
import json
import os
import random
import re
import subprocess
import time

import pytest

import gfs
from faults import FaultProxy
from gfs import file_site, md5, s3_site

CLIENT = os.path.abspath(os.path.join(gfs.BUILD, "tests", "helpers", "trouble_client"))
SEED = int(os.environ.get("GFS_TROUBLE_SEED", "1"))
ROUNDS = int(os.environ.get("GFS_TROUBLE_ROUNDS", "1"))
KEYS = 240
TIMEOUTS = {"connect": "500ms", "first_byte": "1s", "stall": "1s"}
CAUGHT_S = 1.2
# Every kind once a round. Not here: wrong bytes and a wrong length of an object, which only who has read it all can see
# (test_rows_faults.py).
KINDS = [("refuse", {}), ("freeze", {}), ("hang", {}), ("hang", {"p": 0.3}), ("reset", {"p": 0.5}), ("reset:2000", {}), ("lost", {"p": 0.5}),
         ("first-byte:400", {}), ("slow:20000", {}), ("cut:0", {"method": "GET"}), ("cut:3000", {"method": "GET"}),
         ("stall:3000", {"method": "GET"}), ("cut-up:1000", {}), ("503", {"p": 0.5}), ("503", {"retry_after": 1}), ("429", {}),
         ("500", {"p": 0.3}), ("wrong-length:7", {"method": "PUT"}), ("wrong-etag", {})]


class Client:
    """trouble_client, told what is going on."""

    def __init__(self, suite, readers, writers, think_ms):
        self.proc = subprocess.Popen([CLIENT, *map(str, (suite.port, readers, writers, KEYS, think_ms, SEED))], stdin=subprocess.PIPE,
                                     stdout=subprocess.PIPE, text=True)
        assert self.proc.stdout.readline() == "ready\n"

    def phase(self, name):
        self.proc.stdin.write(f"phase {name}\n")
        self.proc.stdin.flush()

    def tell(self):
        self.proc.stdin.write("tell\n")
        self.proc.stdin.flush()
        return json.loads(self.proc.stdout.readline())

    def stop(self):
        out, _ = self.proc.communicate("stop\n", 60)
        assert self.proc.returncode == 0
        return json.loads(out)

    def end(self):
        if self.proc.poll() is None:
            self.proc.kill()
            self.proc.communicate()


class Directory:
    """A directory site that can be unplugged."""

    def __init__(self, path):
        self.site = file_site(path, "dir")
        self.path = path
        self.healed = 0

    def harm(self, kinds):
        os.rename(self.path, self.path + ".away")
        return "away"

    def heal(self):
        if os.path.exists(self.path + ".away"):
            os.rename(self.path + ".away", self.path)

    def objects(self):
        out = {}
        for where, _, files in os.walk(os.path.join(self.path, "t")):
            for name in files:
                with open(os.path.join(where, name), "rb") as f:
                    out[f"t/{name}"] = md5(f.read())
        return out


class Bucket:
    """An S3 site behind a proxy that breaks it."""

    def __init__(self, store, tmp, name, bucket):
        self.proxy, self.bucket, self.prefix = FaultProxy(store, tmp, seed=SEED), bucket, name + "/"
        self.site = s3_site(self.proxy, bucket, name, prefix=name)
        self.site["timeouts"] = TIMEOUTS
        self.healed = 0

    def harm(self, kinds):
        kind, options = kinds.pop() if kinds else KINDS[0]
        self.proxy.fault(kind, **options)
        return " ".join([kind, *(f"{k}={v}" for k, v in options.items())])

    def heal(self):
        self.proxy.clear()

    def objects(self):
        start = self.prefix + "t/"
        if hasattr(self.proxy.store, "buckets"):
            rows = {k: o["etag"] for k, o in self.proxy.store.buckets[self.bucket].items() if k.startswith(start)}
        else:
            status, _, body = self.proxy.store.request("GET", self.bucket, query={"list-type": "2", "prefix": start})
            assert status == 200, body
            rows = dict(re.findall(r"<Key>([^<]+)</Key>.*?<ETag>&quot;([^&]+)&quot;</ETag>", body.decode(), re.S))
        return {k[len(self.prefix):]: etag for k, etag in rows.items()}


class Trouble:
    def __init__(self, places, suite):
        self.rng = random.Random(SEED)
        self.places, self.suite = places, suite
        self.plan = []
        self.began = time.monotonic()
        self.client = Client(suite, 20, 12, 25)

    def note(self, text):
        self.plan.append(f"{time.strftime('%H:%M:%S', time.gmtime())}.{int(time.time() * 1000) % 1000:03d} {text}")

    def heal(self, places):
        for p in places:
            p.heal()
            p.healed = time.monotonic()
        self.note("healed")

    def well(self, p):
        """The suite itself calls it healthy, and nothing is under way to it that was caught by a fault."""
        row = next(r for r in self.suite.req("GET", "/api/v1/sites").json() if r["name"] == p.site["name"])
        return time.monotonic() > p.healed + CAUGHT_S and row["state"] != "down" and row.get("circuit_state", "closed") == "closed"

    def good(self):
        """Sites that are well and lack nothing."""
        lacks = {r["site"]: r["pending"] for r in self.suite.daemon("repl")["sites"]}
        return [p for p in self.places if not lacks[p.site["name"]] and self.well(p)]

    def served(self):
        """Which site most of a few reads come from."""
        sites = [self.suite.get(f"t/{i}").headers.get("X-GlobalFS-Site") for i in range(20)]
        return max(set(sites), key=sites.count)

    def healthy_and_hung(self, victim):
        """A busy machine may spoil the figures of one try, not of three."""
        said = []
        for n in ("", " 2", " 3"):
            self.client.phase("healthy" + n)
            time.sleep(3)
            self.client.phase("hung" + n)
            victim.proxy.fault("hang")
            self.note(f"hang {victim.site['name']}")
            time.sleep(6)
            told = self.client.tell()
            self.client.phase("between")
            self.heal([victim])
            healthy, hung = (told["phases"][p + n]["reads"]["p99_us"] / 1000 for p in ("healthy", "hung"))
            said.append(f"p99 of reads: {healthy:.1f} ms healthy, {hung:.1f} ms with one site hung")
            print(said[-1])
            if hung < 3 * healthy:
                return
            gfs.wait_for("the site to be well again", lambda: self.well(victim), 30)
        raise AssertionError(said)

    def next_healthy(self, seen, patience):
        """One that was not the healthy one before, if there is one soon."""
        def fresh():
            good = self.good()
            return [p for p in good if p not in seen] or (good if time.monotonic() > soon or len(seen) == len(self.places) else None)
        soon = time.monotonic() + patience
        return self.rng.choice(gfs.wait_for("a healthy site that has everything", fresh, patience + 30))

    def rounds(self, spared=None):
        """Slots of trouble at one or two of the three, until there was every kind. The one that is left alone (the spared, or any
        that may be) has everything."""
        seen = set()
        self.client.phase("trouble")
        for _ in range(ROUNDS):
            kinds = self.rng.sample(KINDS, len(KINDS))
            while kinds:
                healthy = spared or self.next_healthy(seen, 15 if len(seen) == 1 and len(kinds) < 8 else 1.7)
                seen.add(healthy)
                at_once = self.rng.sample([p for p in self.places if p is not healthy], self.rng.choice([1, 2, 2, 2]))
                for _ in range(2):
                    self.note("; ".join(f"{p.site['name']}: {p.harm(kinds)}" for p in at_once))
                    time.sleep(self.rng.uniform(0.3, 0.7))
                    self.heal(at_once)
        return seen

    def finish(self):
        self.client.phase("after")
        time.sleep(0.5)
        told = self.client.stop()
        told["hedges"] = [int(self.suite.metric(f"globalfs_hedges_{what}_total")) for what in ("sent", "won")]
        self.suite.wait_clean()
        self.report(told)
        assert told["wrong"] == 0
        for name in ("healthy", "hung", "trouble"):
            assert told["phases"][name]["reads"]["n"] > 200 and told["phases"][name]["writes"]["n"] > 50
        copies = [p.objects() for p in self.places]
        assert copies[0] and copies[0] == copies[1] == copies[2]

    def report(self, told):
        print(f"GFS_TROUBLE_SEED={SEED}; {time.monotonic() - self.began:.1f} s; wrong: {told['wrong']}, outrun: {told['outrun']}; "
              f"hedges sent and won: {told['hedges']}")
        for name, row in told["phases"].items():
            print(f"{name:8}", *(f"{what}: {row[what]['n']} p50 {row[what]['p50_us'] / 1000:.1f} p99 {row[what]['p99_us'] / 1000:.1f} max "
                                 f"{row[what]['max_us'] / 1000:.1f} ms" for what in ("reads", "writes")), "slowest:", row["slowest"])
        if told["wrong"]:
            print(*told["notes"], "--- the plan", *self.plan, sep="\n")

    def end(self):
        self.client.end()
        for p in self.places:
            p.heal()


@pytest.fixture
def trouble(tmp, suites, two_stores, bucket):
    made = []

    def make(places, roles, order, **routing):
        for p, role in zip(places, roles):
            p.site["role"] = role
        suite = suites(
            tmp, [p.site for p in places], routing={"order": order, "hedge": True, "hedge_share": 0.2, "read_deadline": "10s", **routing},
            resilience={"health_poll_interval": "500ms", "probe_timeout": "400ms",
                        "circuit_breaker": {"enabled": True, "threshold": 3, "cooldown": "200ms"},
                        "retry": {"enabled": True, "max_attempts": 2, "initial_delay": "20ms", "max_delay": "200ms"}},
            replication={"in_doubt": "1s", "retry_initial": "50ms", "retry_max": "500ms", "retry_attempts": 1000})
        suite.conf["global"]["log_level"] = os.environ.get("GFS_TROUBLE_LOG", "INFO")
        suite.start()
        made.append(Trouble(places, suite))
        return made[-1]

    make.buckets = lambda *names: [Bucket(store, tmp, name, bucket) for store, name in zip(two_stores + two_stores, names)]
    yield make
    for t in made:
        t.end()
        for p in t.places:
            if isinstance(p, Bucket):
                p.proxy.stop()


def test_three_primaries_of_which_one_is_healthy(trouble, tmp):
    places = [*trouble.buckets("one", "two"), Directory(f"{tmp}/dir")]
    t = trouble(places, ["primary", "primary", "primary"], "role", write_min=1)
    t.healthy_and_hung(places[0])
    assert len(t.rounds()) > 1
    t.finish()


def test_two_near_backups_and_a_far_primary(trouble):
    """By latency: the primary alone is healthy all the time, but reads go to the backups as long as these are well."""
    places = trouble.buckets("far", "two", "three")
    places[0].proxy.fault("first-byte:10", method="GET")
    t = trouble(places, ["primary", "backup", "backup"], "latency")
    nearest = gfs.wait_for("a near site to be found", lambda: next((p for p in places[1:] if t.served() == p.site["name"]), None))
    t.healthy_and_hung(nearest)
    t.rounds(spared=places[0])
    t.finish()
