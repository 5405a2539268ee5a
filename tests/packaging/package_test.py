"""What is in the Debian package.

usage: package_test.py BUILD_DIR     a build directory in which everything is built

Packs it anew (cpack) and looks inside; tools/test-package installs and runs it.
"""

import gzip
import os
import pathlib
import re
import shutil
import subprocess
import sys
import tempfile
import unittest

BUILD = None
# Path in the package: mode. Owner is root everywhere: what belongs to the service is made at installation.
WANTED = {
    "usr/bin/oncegate": 0o755,
    "usr/lib/systemd/system/oncegate.service": 0o644,
    "etc/oncegate/oncegate.toml": 0o644,
    "usr/share/man/man1/oncegate.1.gz": 0o644,
    "usr/share/bash-completion/completions/oncegate": 0o644,
    "usr/share/zsh/vendor-completions/_oncegate": 0o644,
    "usr/share/fish/vendor_completions.d/oncegate.fish": 0o644,
    "usr/share/doc/oncegate/README.md": 0o644,
    "usr/share/doc/oncegate/docs/deployment.md": 0o644,
    "usr/share/doc/oncegate/copyright": 0o644,
    "usr/share/doc/oncegate/changelog.gz": 0o644,
    "usr/share/doc/oncegate/examples/nginx.conf": 0o644,
    "usr/share/doc/oncegate/examples/oncegate.toml": 0o644,
    "usr/share/doc/oncegate/examples/port-443.conf": 0o644,
    "usr/share/doc/oncegate/examples/prometheus-alerts.yml": 0o644,
    "usr/share/doc/oncegate/examples/grafana-dashboard.json": 0o644,
}


def output(*command):
    return subprocess.run(command, check=True, capture_output=True, text=True).stdout


class PackageTest(unittest.TestCase):
    @classmethod
    def setUpClass(cls):
        cls.directory = pathlib.Path(tempfile.mkdtemp(prefix="oncegate-package."))
        cls.addClassCleanup(shutil.rmtree, cls.directory)
        packed = subprocess.run(["cpack", "--config", BUILD / "CPackConfig.cmake", "-G", "DEB", "-B", cls.directory],
                                capture_output=True, text=True, umask=0o022)
        found = list(cls.directory.glob("oncegate_*.deb"))
        if packed.returncode != 0 or len(found) != 1:
            raise AssertionError(f"cpack failed: {packed.stdout}{packed.stderr}")
        cls.package = found[0]
        cls.root = cls.directory / "root"
        output("dpkg-deb", "--extract", cls.package, cls.root)
        output("dpkg-deb", "--control", cls.package, cls.directory / "control")

    def field(self, name):
        return output("dpkg-deb", "--field", self.package, name).strip()

    def test_holds_what_it_should_with_its_mode(self):
        for path, mode in WANTED.items():
            self.assertTrue((self.root / path).is_file(), path)
            self.assertEqual((self.root / path).stat().st_mode & 0o7777, mode, path)
        for line in output("dpkg-deb", "--contents", self.package).splitlines():
            self.assertEqual(line.split()[1], "root/root", line)
            self.assertNotRegex(line, r"/usr/local|_test|demo|\.a$", line)

    def test_the_program_is_stripped_and_says_its_version(self):
        program = self.root / "usr/bin/oncegate"
        self.assertIn(self.field("Version"), output(program, "version").splitlines()[0])
        self.assertNotIn("with debug_info", output("file", program))
        self.assertIn(", stripped", output("file", program))

    def test_the_manual_page_names_every_command(self):
        page = gzip.decompress((self.root / "usr/share/man/man1/oncegate.1.gz").read_bytes()).decode()
        listed = output(self.root / "usr/bin/oncegate", "--help").split("Commands:")[1]
        commands = re.findall(r"^  (\w+)", listed, re.M)
        self.assertGreater(len(commands), 10, listed)
        for command in commands:
            self.assertRegex(page, rf"(?m)^\.(B|BI|BR) {command}\b", command)

    def test_depends_on_the_libraries_that_it_uses(self):
        depends = self.field("Depends")
        for library in ("liblz4", "libzstd", "libcpp-httplib", "libsimdjson", "libspdlog", "libssl3", "libstdc++6", "adduser"):
            self.assertIn(library, depends)

    def test_the_configuration_is_kept_on_upgrades_and_can_be_used(self):
        self.assertEqual((self.directory / "control/conffiles").read_text(), "/etc/oncegate/oncegate.toml\n")
        config = self.root / "etc/oncegate/oncegate.toml"
        self.assertIn('data-dir = "/var/lib/oncegate"', config.read_text())
        said = output(self.root / "usr/bin/oncegate", "serve", "--config", config, "--check-config")
        self.assertEqual(said, "the configuration can be used\n")
        example = re.search(r"/(usr/share/doc\S+\.toml)", config.read_text())[1]
        self.assertIn("max-in-flight", (self.root / example).read_text())

    def test_maintainer_scripts_are_shell(self):
        for name in ("postinst", "prerm", "postrm"):
            self.assertTrue(os.access(self.directory / "control" / name, os.X_OK), name)
            output("sh", "-n", self.directory / "control" / name)

    def test_the_unit_starts_what_is_installed(self):
        unit = (self.root / "usr/lib/systemd/system/oncegate.service").read_text()
        self.assertNotRegex(unit, r"@[A-Z_]+@")
        start = re.search(r"^ExecStart=(\S+) serve --config (\S+)$", unit, re.M)
        for path in start.groups():
            self.assertTrue((self.root / path[1:]).exists(), path)
        documentation = re.search(r"^Documentation=file:///(\S+)$", unit, re.M)
        self.assertTrue((self.root / documentation[1]).exists(), documentation[1])

    def test_systemd_takes_the_unit_and_finds_little_to_complain_of(self):
        if shutil.which("systemd-analyze") is None:
            self.skipTest("no systemd-analyze here; tools/test-package has one")
        unit = self.root / "usr/lib/systemd/system/oncegate.service"
        score = output("systemd-analyze", "security", "--offline=yes", "--no-pager", unit).split("exposure level for")[1]
        self.assertLess(float(re.search(r": ([0-9.]+) ", score)[1]), 1.5, score)


if __name__ == "__main__":
    BUILD = pathlib.Path(sys.argv.pop(1))
    unittest.main()
