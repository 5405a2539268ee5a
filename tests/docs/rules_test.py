"""Breaks each rule for documentation and expects it to be found."""

import pathlib
import sys
import tempfile
import unittest

import console
import pages


class RulesTest(unittest.TestCase):
    def setUp(self):
        directory = tempfile.TemporaryDirectory()
        self.addCleanup(directory.cleanup)
        self.root = pathlib.Path(directory.name)
        (self.root / "docs").mkdir()

    def page(self, text, name="docs/a.md"):
        (self.root / name).write_text(text)

    def complaints(self, check):
        return list(pages.CHECKS[check](self.root))

    def test_a_block_is_run_or_says_why_not(self):
        for text, wanted in (
            ("```\nls\n```\n", "neither"),
            ("```sh\nls\n```\n", "neither"),
            ("<!-- not run: no -->\n```sh\nls\n```\n", "nobody knows"),
            ("<!-- note -->\n```console\n$ ls\n```\n", "nobody knows"),
            ("<!-- not run: needs root -->\ntext\n```\nls\n```\n", "neither"),
            ("```console\nls\n```\n", "without a command"),
        ):
            self.page(text)
            self.assertEqual(len(self.complaints("blocks")), 1, text)
            self.assertIn(wanted, self.complaints("blocks")[0], text)
        for text in ("```console\n$ ls\n```\n", "<!-- not run: needs root and a disk -->\n\n```\nls\n```\n",
                     "<!-- file: a.toml -->\n```toml\nttl = 1\n```\n", "<!-- exit 2 -->\n```console\n$ false\n```\n"):
            self.page(text)
            self.assertEqual(self.complaints("blocks"), [], text)

    def test_links_lead_somewhere(self):
        self.page("# One `two`, three\n", "docs/b.md")
        for link, good in (("b.md", True), ("b.md#one-two-three", True), ("#here", True), ("../docs/b.md", True),
                           ("c.md", False), ("b.md#four", False), ("#there", False)):
            self.page(f"# Here\n\n[text]({link}), `[not](a-link.md)`\n\n```\n[nor](this.md)\n```\n")
            self.assertEqual(self.complaints("links") == [], good, link)

    def test_the_index_leads_to_every_page(self):
        self.page("[a](a.md)", "docs/README.md")
        self.page("")
        self.assertEqual(self.complaints("index"), [])
        self.page("", "docs/b.md")
        self.assertIn("b.md", self.complaints("index")[0])

    def test_every_code_has_its_heading(self):
        (self.root / "src/http").mkdir(parents=True)
        (self.root / "src/http/error.cc").write_text('{ErrorCode::kA, "in-flight", 409, true,\n "t"}')
        for text, good in (("## in-flight\n\nStatus 409, retryable.\n", True), ("## in-flight\n\nStatus 400.\n", False),
                           ("", False), ("## in-flight\n\nStatus 409, retryable.\n\n## old\n", False)):
            self.page(text, "docs/errors.md")
            self.assertEqual(self.complaints("errors") == [], good, text)

    def test_output_is_compared_but_for_what_differs_from_run_to_run(self):
        for shown, actual, good in (
            ("a b", "a   b\n", True),
            ("a", "b", False),
            ("a", "a\nb", False),
            ("a\n…", "a\nb\nc", True),
            ("…\nc", "c", True),
            ("a\n…\nc", "a\nb", False),
            ("took 3 ms at 2026-11-24T11:06:27.684Z", "took 12.5 us at 2027-01-01T00:00:00Z", True),
            ("id 0a4a3ead-0136-4bee-8fc8-22aac134f432", "id ffffffff-0136-4bee-8fc8-22aac134f432", True),
            ("orders 1", "orders 2", False),
            ('{"order":"…"}', '{"order":"order-7"}', True),
            ('{"order":"…"}', '{"other":"order-7"}', False),
        ):
            self.assertEqual(console.matches(shown, actual), good, (shown, actual))

    def test_a_page_is_run_as_a_reader_would(self):
        def run(text):
            self.page(text)
            return console.run_page(self.root, "docs/a.md", pages.blocks(self.root, "docs/a.md"),
                                    pathlib.Path("/bin/true"), "/bin/true")

        self.assertEqual(run("<!-- file: f -->\n```\nx\n```\n\n```console\n$ cat \\\n  f\nx\n$ A=1\n$ echo $A\n1\n```\n"), ([], 3))
        self.assertIn("ended with 1, not 0", run("```console\n$ false\n```\n")[0][0])
        self.assertIn("ended with 0, not 2", run("<!-- exit 2 -->\n```console\n$ true\n```\n")[0][0])
        self.assertIn("shows something else", run("```console\n$ echo a\nb\n```\n")[0][0])
        self.assertIn("ended the shell", run("```console\n$ exit\n```\n")[0][0])
        self.assertIn("docs/a.md:2", run("```console\n$ oncegate serve\n```\n")[0][0])


if __name__ == "__main__":
    sys.exit(unittest.main())
