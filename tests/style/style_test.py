"""Breaks each rule of style.py once, in a small tree, and expects it to be found there and nowhere else."""

import pathlib
import sys
import tempfile
import unittest
from unittest import mock

sys.path.insert(0, str(pathlib.Path(__file__).parent))
import style

CLEAN = {
    "src/main.cc": '#include "cli/cli.h"\n',
    "src/cli/cli.cc": '#include <CLI/CLI.hpp>\n\n#include "cli/cli.h"\n#include "store/store.h"\n',
    "src/cli/cli.h": "#include <string>\n",
    "src/core/key.h": '#include "base/status.h"\n',
    "src/base/status.h": "// a sleep (of the just) is no call\n",
    "src/store/store.h": '#include "core/key.h"\n',
    "src/store/database.h": "#include <rocksdb/db.h>\n",
    "tests/store/store_test.cc": '#include "store/database.h"\n',
}


class StyleTest(unittest.TestCase):
    def check(self, rule, change=None):
        with tempfile.TemporaryDirectory() as folder:
            root = pathlib.Path(folder)
            for path, text in {**CLEAN, **(change or {})}.items():
                (root / path).parent.mkdir(parents=True, exist_ok=True)
                (root / path).write_text(text, encoding="utf-8")
            private = {"src/store/database.h": "a reason"}
            with mock.patch.object(style, "PRIVATE_HEADERS", private), mock.patch.object(style, "SLEEPERS", {}):
                return list(style.RULES[rule](root))

    def finds(self, rule, path, text):
        found = self.check(rule, {path: text})
        self.assertEqual(len(found), 1, found)
        self.assertTrue(found[0].startswith(path + ":"), found)

    def test_a_clean_tree_passes_every_rule(self):
        for rule in style.RULES:
            with self.subTest(rule):
                self.assertEqual(self.check(rule), [])

    def test_arrows(self):
        self.finds("arrows", "src/core/key.h", '#include "store/store.h"\n')
        self.finds("arrows", "src/base/status.h", '  #  include "core/key.h"\n')
        self.finds("arrows", "src/store/store.h", '#include "gateway/gateway.h"\n')
        self.finds("arrows", "src/main.cc", '#include "store/store.h"\n')
        self.finds("arrows", "src/cli/cli.h", '#include "flags.h"\n')
        self.finds("arrows", "src/core/key.h", "#include <store/store.h>\n")
        self.finds("arrows", "src/attic/attic.h", "")

    def test_there_is_no_circle(self):
        for room, allowed in style.ARROWS.items():
            for other in allowed:
                self.assertNotIn(room, style.ARROWS[other], f"{room} and {other} know each other")

    def test_external_headers(self):
        for header in ("rocksdb/db.h", "httplib.h", "simdjson.h", "CLI/CLI.hpp", "openssl/ssl.h", "spdlog/spdlog.h"):
            self.finds("external_headers", "src/cli/cli.h", f"#include <{header}>\n")
        self.finds("external_headers", "src/cli/cli.cc", '#include "store/database.h"\n')

    def test_a_private_header_that_is_gone(self):
        with mock.patch.dict(CLEAN), mock.patch.object(style, "PRIVATE_HEADERS", {}):
            del CLEAN["src/store/database.h"]
            self.assertEqual(len(self.check("external_headers")), 1)

    def test_sizes(self):
        self.finds("sizes", "src/core/key.h", "\n" * (style.HEADER_LINES_MAX + 1))
        self.finds("sizes", "src/core/key.cc", "\n" * (style.SOURCE_LINES_MAX + 1))
        self.assertEqual(self.check("sizes", {"src/core/key.cc": "\n" * style.SOURCE_LINES_MAX}), [])

    def test_marks(self):
        for mark in ("TO" "DO", "FIX" "ME", "XX" "X", "HA" "CK"):
            self.finds("marks", "src/core/key.cc", f"int a;  // {mark}(me): later\n")
            self.finds("marks", "tools/run", f"# {mark}\n")
        self.assertEqual(self.check("marks", {"src/core/key.cc": '"/tmp/a.XXXXXX"; // HACKING.md\n'}), [])

    def test_sleeps(self):
        for call in ("std::this_thread::sleep_for(1ms);", "usleep(1);", "sleep(1);", "::sleep (1);",
                     "std::this_thread::sleep_until(t);", "nanosleep(&t, nullptr);"):
            self.finds("sleeps", "tests/core/key_test.cc", f"  {call}\n")


if __name__ == "__main__":
    unittest.main()
