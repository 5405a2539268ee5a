"""--dedupe shadow with the real binary: nothing is changed, everything is counted, and `on` starts with what is known.

usage: shadow_test.py BINARY
"""

import json
import pathlib
import signal
import subprocess
import sys
import time
import unittest

sys.path.insert(0, str(pathlib.Path(__file__).resolve().parent.parent / "support"))
from served import Application, Served

BINARY = sys.argv[1]
PATIENCE_S = 20


class ShadowTest(unittest.TestCase):
    def stats(self, served, *flags):
        return subprocess.run([BINARY, "stats", "--control", f"http://127.0.0.1:{served.ports['control']}", *flags],
                              check=True, capture_output=True, text=True).stdout

    def deliver(self, client, key, body=b"{}", **fields):
        lines = [f"{name.replace('_', '-')}: {value}" for name, value in fields.items()]
        answer = client.ask("POST", "/hook", body, [f"Idempotency-Key: {key}", *lines] if key else lines)
        return f"{answer.status} {answer.fields['oncegate-outcome']}"

    def await_shadow(self, served, **wanted):
        """Outcomes are remembered a moment after the answer."""
        end = time.monotonic() + PATIENCE_S
        while True:
            shadow = json.loads(self.stats(served, "--json"))["shadow"]
            if all(shadow[name] >= count for name, count in wanted.items()) or time.monotonic() > end:
                self.assertEqual({name: shadow[name] for name in wanted}, wanted)
                return

    def await_state(self, served, key, state):
        control = served.control()
        end = time.monotonic() + PATIENCE_S
        said = None
        while said != state and time.monotonic() < end:
            said = json.loads(control.ask("GET", f"/v1/records/default/{key}").body).get("state")
        control.close()
        self.assertEqual(said, state)

    def test_from_shadow_to_on(self):
        with Served(BINARY, "--config", "FOLDER/oncegate.toml", configuration='dedupe = "shadow"\n') as served:
            client = served.gateway()
            self.assertEqual(self.deliver(client, "evt_1"), "200 passed")
            self.await_state(served, "evt_1", "completed")
            self.assertEqual(self.deliver(client, "evt_1"), "200 passed")
            self.assertEqual(self.deliver(client, "evt_1", b"{ }"), "200 passed")
            self.assertEqual(self.deliver(client, ""), "200 passed")
            self.assertEqual(self.deliver(client, "evt_2", X_Status=500), "500 passed")
            self.assertEqual(Application.total(), 5, "every one was forwarded")
            self.await_shadow(served, would_execute=2, would_replay=1, would_reject_mismatch=1, missing_key=1)
            self.assertIn("shadow would_replay", self.stats(served))
            self.assertIn("decision=would_replay", (served.folder / "log").read_text())

            served.configure('dedupe = "on"\n')
            served.process.send_signal(signal.SIGHUP)
            end = time.monotonic() + PATIENCE_S
            while "dedupe=on" not in (served.folder / "log").read_text() and time.monotonic() < end:
                pass
            self.assertEqual(self.deliver(client, "evt_1"), "200 replayed")
            self.assertEqual(self.deliver(client, "evt_1", b"{ }"), "422 key-reused")
            self.assertEqual(self.deliver(client, "evt_2"), "200 executed")
            self.assertEqual(Application.total(), 6)
            client.close()


class WatchTest(unittest.TestCase):
    def test_stats_are_shown_until_ctrl_c(self):
        with Served(BINARY) as served:
            command = [BINARY, "stats", "--watch", "--control", f"http://127.0.0.1:{served.ports['control']}"]
            with subprocess.Popen(command, stdout=subprocess.PIPE, text=True) as watch:
                shown = []
                while not any(line.startswith("replayed/s") for line in shown):
                    shown.append(watch.stdout.readline())
                    self.assertTrue(shown[-1], "it ended")
                self.assertNotIn("\x1b", "".join(shown), "this is no terminal")
                watch.send_signal(signal.SIGINT)
                watch.stdout.read()
                self.assertEqual(watch.wait(), 0)


if __name__ == "__main__":
    unittest.main(argv=sys.argv[:1])
