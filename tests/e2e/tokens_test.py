"""SIGHUP makes the server read its token file again; one that cannot be used leaves the tokens as they are.

usage: tokens_test.py BINARY
"""

import pathlib
import signal
import sys
import time
import unittest

sys.path.insert(0, str(pathlib.Path(__file__).resolve().parent.parent / "support"))
from served import Served

BINARY = sys.argv[1]
SECONDS_MAX = 30
OLD = "old-token-of-32-characters-xxxxxx"
NEW = "new-token-of-32-characters-yyyyyy"


def until(what, holds):
    end = time.monotonic() + SECONDS_MAX
    while not holds():
        if time.monotonic() > end:
            raise AssertionError(f"not in {SECONDS_MAX} s: {what}")


class ServedWithTokens(Served):
    def configure(self, text):
        super().configure(text)
        self.tokens = self.folder / "tokens"
        self.write_tokens(f"ops:{OLD}\n")

    def write_tokens(self, text):
        self.tokens.write_text(text)
        self.tokens.chmod(0o600)


class TokensTest(unittest.TestCase):
    def status(self, token, method="GET", target="/v1/stats"):
        client = self.served.control()
        status = client.ask(method, target, b"", [f"Authorization: Bearer {token}"]).status
        client.close()
        return status

    def test_a_changed_file_is_read_on_sighup(self):
        with ServedWithTokens(BINARY, "--control-token-file", "FOLDER/tokens") as served:
            self.served = served
            log = served.folder / "log"
            self.assertEqual((self.status(OLD), self.status(NEW)), (200, 401))

            served.write_tokens(f"ops:read-only:{NEW}\n")
            self.assertEqual((self.status(OLD), self.status(NEW)), (200, 401), "not before it is asked to")
            served.process.send_signal(signal.SIGHUP)
            until("the new token is known", lambda: self.status(NEW) == 200)
            self.assertEqual(self.status(OLD), 401)
            self.assertEqual(self.status(NEW, "POST", "/v1/cleanup"), 401, "it may only read")

            served.write_tokens("\n")
            before = len(log.read_text())
            served.process.send_signal(signal.SIGHUP)
            until("the log says what is wrong", lambda: str(served.tokens) in log.read_text()[before:])
            self.assertEqual((self.status(NEW), self.status(OLD)), (200, 401))

            served.tokens.unlink()
            before = len(log.read_text())
            served.process.send_signal(signal.SIGHUP)
            until("the log says what is wrong", lambda: str(served.tokens) in log.read_text()[before:])
            self.assertEqual((self.status(NEW), self.status(OLD)), (200, 401))


if __name__ == "__main__":
    unittest.main(argv=sys.argv[:1])
