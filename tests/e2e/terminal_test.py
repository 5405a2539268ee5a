"""What commands show at a terminal, and that files and pipes are spared it.

usage: terminal_test.py BINARY
"""

import json
import os
import pathlib
import pty
import select
import subprocess
import sys
import time
import unittest

sys.path.insert(0, str(pathlib.Path(__file__).resolve().parent.parent / "support"))
from served import Served

BINARY = sys.argv[1]
SECONDS_MAX = 30
GREEN, WIPE = b"\x1b[32m", b"\r\x1b[K"


class Terminal:
    """A pseudo terminal: `slave` for the command, what it wrote for the test."""

    def __init__(self):
        self.master, self.slave = pty.openpty()
        self.seen = b""

    def read_until(self, text):
        end = time.monotonic() + SECONDS_MAX
        while text not in self.seen:
            self.read_for(1)
            if time.monotonic() > end:
                raise AssertionError(f"{text!r} did not come: {self.seen!r}")

    def read_for(self, seconds):
        if select.select([self.master], [], [], seconds)[0]:
            self.seen += os.read(self.master, 65536)

    def rest(self):
        """All of it. To be called once the command has ended."""
        while select.select([self.master], [], [], 0)[0]:
            self.seen += os.read(self.master, 65536)
        os.close(self.master)
        os.close(self.slave)
        return self.seen


def row(key):
    expires_at = time.strftime("%Y-%m-%dT%H:%M:%SZ", time.gmtime(time.time() + 86400))
    return json.dumps({"key": key, "status": 200, "expires_at": expires_at}).encode() + b"\n"


def environment(**changes):
    plain = {name: value for name, value in os.environ.items() if name != "NO_COLOR"}
    return {**plain, "TERM": "xterm", **changes}


class TerminalTest(unittest.TestCase):
    @classmethod
    def setUpClass(cls):
        cls.served = Served(BINARY).__enter__()
        cls.control = f"http://127.0.0.1:{cls.served.ports['control']}"
        client = cls.served.gateway()
        client.ask("POST", "/hooks", b"{}", ["X-Idempotency-Key: evt_1"])
        client.close()

    @classmethod
    def tearDownClass(cls):
        cls.served.__exit__()

    def at_terminal(self, *command, **changes):
        terminal = Terminal()
        running = subprocess.Popen([BINARY, *command, "--control", self.control], stdout=terminal.slave,
                                   stdin=subprocess.DEVNULL, env=environment(**changes))
        while running.poll() is None:  # a terminal holds 4 KiB
            terminal.read_for(0.01)
        self.assertEqual(running.returncode, 0)
        return terminal.rest()

    def test_states_have_colours(self):
        coloured = self.at_terminal("list")
        self.assertIn(GREEN + b"completed\x1b[0m  ", coloured)
        plain = coloured.replace(GREEN, b"").replace(b"\x1b[0m", b"")
        self.assertEqual(plain, self.at_terminal("list", NO_COLOR="1"), "colours have no width")
        self.assertIn(GREEN + b"completed\x1b[0m\r\n", self.at_terminal("get", "evt_1"))

    def test_nobody_gets_colours_who_has_no_use_for_them(self):
        for changes in ({"NO_COLOR": "1"}, {"TERM": "dumb"}, {"TERM": ""}):
            for command in (["list"], ["get", "evt_1"], ["stats"]):
                self.assertNotIn(b"\x1b", self.at_terminal(*command, **changes), (changes, command))
        self.assertIn(GREEN, self.at_terminal("list", NO_COLOR=""), "empty is unset")
        self.assertNotIn(b"\x1b", self.at_terminal("list", "--json"))
        piped = subprocess.run([BINARY, "list", "--control", self.control], capture_output=True, check=True,
                               env=environment())
        self.assertNotIn(b"\x1b", piped.stdout + piped.stderr)

    def import_slowly(self, stderr, until_seen, lines):
        command = subprocess.Popen([BINARY, "import", "-", "--control", self.control], stdin=subprocess.PIPE,
                                   stdout=subprocess.PIPE, stderr=stderr, env=environment())
        command.stdin.write(lines)
        command.stdin.flush()
        until_seen()
        out, err = command.communicate(timeout=SECONDS_MAX)
        return out, err

    def test_a_long_import_says_how_far_it_is(self):
        rows = b"".join(row(f"old_{i}") for i in range(1500))
        terminal = Terminal()
        # The first thousand lines are sent once there are more; the rest waits for the end of the input.
        out, _ = self.import_slowly(terminal.slave, lambda: terminal.read_until(b"importing: 1,000 lines, "),
                                    rows + b"nonsense\n")
        seen = terminal.rest()
        self.assertIn(WIPE + b"importing: 1,000 lines, ", seen)
        self.assertIn(WIPE + b"line 1501: ", seen, "what is said beside it has its own line")
        last = seen.rsplit(b"importing", 1)[1]
        self.assertIn(WIPE, last, "nothing of it is left at the end")
        self.assertIn(b"imported 1500, ", out)

    def test_a_file_does_not_get_progress(self):
        terminal = Terminal()
        # How long to wait for what does not come: until another's came.
        rows = row("quiet_1")
        with_terminal = subprocess.Popen([BINARY, "import", "-", "--control", self.control], stdin=subprocess.PIPE,
                                         stdout=subprocess.PIPE, stderr=terminal.slave, env=environment())
        _, err = self.import_slowly(subprocess.PIPE, lambda: terminal.read_until(b"importing: 0 lines, 2 s"), rows)
        with_terminal.communicate(timeout=SECONDS_MAX)
        terminal.rest()
        self.assertEqual(err, b"")


if __name__ == "__main__":
    unittest.main(argv=sys.argv[:1])
