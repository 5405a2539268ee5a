"""Log lines about claims of the sidecar API say which trace they belong to, as the gateway's do.

usage: claims_log_test.py BINARY
"""

import json
import pathlib
import sys
import unittest

sys.path.insert(0, str(pathlib.Path(__file__).resolve().parent.parent / "support"))
from served import Served

BINARY = sys.argv[1]
TRACE = "4bf92f3577b34da6a3ce929d0e0e4736"
FIELDS = [f"traceparent: 00-{TRACE}-00f067aa0ba902b7-01"]


class ClaimsLogTest(unittest.TestCase):
    def test_claims_replays_and_releases_carry_the_trace(self):
        with Served(BINARY) as served:
            client = served.control()
            token = json.loads(client.ask("POST", "/v1/claims", b'{"key":"a"}', FIELDS).body)["token"]
            client.ask("POST", f"/v1/claims/{token}/complete", b'{"status":200}', FIELDS)
            self.assertEqual(client.ask("POST", "/v1/claims", b'{"key":"a"}', FIELDS).status, 200)
            token = json.loads(client.ask("POST", "/v1/claims", b'{"key":"b"}').body)["token"]
            self.assertEqual(client.ask("POST", f"/v1/claims/{token}/release", b"", FIELDS).status, 204)
            client.close()
            served.process.terminate()
            served.process.wait()
            lines = (served.folder / "log").read_text().splitlines()
        for event, key, traced in (("key_new", "a", True), ("cache_hit", "a", True), ("key_new", "b", False),
                                   ("released", "b", True)):
            found = [line for line in lines if f" {event} " in line and f"key={key}" in line]
            self.assertEqual(len(found), 1, (event, key, lines))
            self.assertEqual(f"trace={TRACE}" in found[0], traced, found[0])


if __name__ == "__main__":
    unittest.main(argv=sys.argv[:1])
