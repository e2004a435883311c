# SPDX-License-Identifier: Apache-2.0
"""A small S3 client of our own for the scenarios: looks into stores behind the suite's back, with a signer that shares no code
with the product."""
import datetime
import hashlib
import hmac
import http.client
import os
import re
import subprocess
import urllib.parse

HELPERS = os.path.join(os.path.dirname(__file__), "..", "helpers")


class Store:
    def __init__(self, endpoint, access, secret):
        self.endpoint, self.access, self.secret = endpoint, access, secret
        self.host = endpoint.split("//")[1]

    def request(self, method, bucket, key="", body=b"", query=None, headers=None):
        path = "/" + bucket + (("/" + urllib.parse.quote(key, safe="/-_.~")) if key else "")
        q = "&".join(f"{urllib.parse.quote(k, safe='-_.~')}={urllib.parse.quote(v, safe='-_.~')}"
                     for k, v in sorted((query or {}).items()))
        now = datetime.datetime.utcnow().strftime("%Y%m%dT%H%M%SZ")
        sha = hashlib.sha256(body).hexdigest()
        h = {"host": self.host, "x-amz-date": now, "x-amz-content-sha256": sha}
        h.update({k.lower(): v for k, v in (headers or {}).items()})
        names = ";".join(sorted(h))
        canon = "\n".join([method, path, q, "".join(f"{k}:{h[k].strip()}\n" for k in sorted(h)), names, sha])
        scope = f"{now[:8]}/us-east-1/s3/aws4_request"
        to_sign = "\n".join(["AWS4-HMAC-SHA256", now, scope, hashlib.sha256(canon.encode()).hexdigest()])
        k = ("AWS4" + self.secret).encode()
        for part in (now[:8], "us-east-1", "s3", "aws4_request"):
            k = hmac.new(k, part.encode(), hashlib.sha256).digest()
        sig = hmac.new(k, to_sign.encode(), hashlib.sha256).hexdigest()
        h["Authorization"] = (f"AWS4-HMAC-SHA256 Credential={self.access}/{scope}, SignedHeaders={names}, Signature={sig}")
        del h["host"]
        c = http.client.HTTPConnection(self.host, timeout=120)
        try:
            c.request(method, path + ("?" + q if q else ""), body=body, headers=h)
            r = c.getresponse()
            return r.status, r.headers, r.read()
        finally:
            c.close()

    def make_bucket(self, bucket):
        status, _, body = self.request("PUT", bucket)
        assert status == 200, (status, body)

    def get(self, bucket, key):
        """(bytes, headers), or None."""
        status, headers, body = self.request("GET", bucket, key)
        if status == 404:
            return None
        assert status == 200, (status, body)
        return body, headers

    def head(self, bucket, key):
        status, headers, _ = self.request("HEAD", bucket, key)
        return headers if status == 200 else None

    def put(self, bucket, key, body):
        status, _, text = self.request("PUT", bucket, key, body)
        assert status == 200, (status, text)

    def delete(self, bucket, key):
        self.request("DELETE", bucket, key)

    def uploads(self, bucket):
        status, _, body = self.request("GET", bucket, query={"uploads": ""})
        assert status == 200, body
        return re.findall(rb"<UploadId>([^<]+)</UploadId>", body)


class Rgw(Store):
    """A real store: a one-node Ceph with radosgw, by helpers/rgw.sh."""

    def __init__(self, top):
        self.top = str(top)
        out = subprocess.run([os.path.join(HELPERS, "rgw.sh"), "start", self.top], check=True, capture_output=True, timeout=180)
        env = dict(re.findall(r"^(?:export )?(\w+)=[\"']?([^\"'\n]*)", out.stdout.decode(), re.M))
        super().__init__(next(v for k, v in env.items() if k.endswith("ENDPOINT")),
                         next(v for k, v in env.items() if "ACCESS" in k), next(v for k, v in env.items() if "SECRET" in k))

    def stop(self):
        subprocess.run([os.path.join(HELPERS, "rgw.sh"), "stop", self.top], capture_output=True, timeout=60)
