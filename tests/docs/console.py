"""Runs the ```console blocks of one page as a reader would, and compares what they show.

A line that begins with '$ ' is a command; it goes on while a line ends with a backslash or the next one begins with
'> '. What follows is the output, standard error included. `…` stands for anything in a line, and alone on a line for any
lines; times, ids, byte counts, decimal numbers and runs of blanks are not compared.

All blocks of a page share one shell in one new directory. `oncegate serve` is started in the background, and its first
lines are its output; one on the same control port ends the one before. Ports and system directories that the page names
are replaced by free ones, in files and commands on the way in, in output on the way back.
"""

import contextlib
import pathlib
import random
import re
import shutil
import socket
import subprocess
import tempfile
import threading
import time

APPLICATION_PORT = 3000
GATEWAY_PORT = 8080
CONTROL_PORT = 8081
PORTS = (APPLICATION_PORT, GATEWAY_PORT, CONTROL_PORT, 3001, 8443, 18080, 18081)
DIRECTORIES = ("/var/lib/oncegate", "/var/backups/oncegate", "/etc/oncegate", "/tmp/drill")
COMMAND_SECONDS_MAX = 30
START_SECONDS_MAX = 20

END_OF_OUTPUT = "\x01"
NORMAL_FORMS = (
    (re.compile(r"\r"), ""),
    (re.compile(r"^(date|last-modified): .*$", re.M | re.I), r"\1: <time>"),
    (re.compile(r"\d{4}-\d\d-\d\d[T ]\d\d:\d\d:\d\d(\.\d+)?(Z|[+-]\d\d:?\d\d)?"), "<time>"),
    (re.compile(r"\b[0-9a-f]{8}(-[0-9a-f]{4}){3}-[0-9a-f]{12}\b"), "<id>"),
    (re.compile(r"\b[0-9a-f]{32,64}\b"), "<hex>"),
    (re.compile(r'("\w*(?:bytes|seconds)\w*": ?)\d+(\.\d+)?'), r"\1<n>"),
    (re.compile(r"\b\d+(\.\d+)? ?(ns|us|ms|s|min|h|B|KiB|MiB|GiB|MB|kB)\b"), "<quantity>"),
    (re.compile(r"\b\d+\.\d+\b"), "<n>"),
    (re.compile(r"[ \t]+"), " "),
    (re.compile(r" $", re.M), ""),
)


class Failure(Exception):
    pass


def free_port():
    """Below those that the system gives to connections, so that no other test's takes it before it is used."""
    for port in random.sample(range(10240, 32768), 100):
        with contextlib.suppress(OSError), socket.socket() as sock:
            sock.bind(("127.0.0.1", port))
            return port
    raise Failure("no port is free")


def normal(text):
    for pattern, form in NORMAL_FORMS:
        text = pattern.sub(form, text)
    return text.strip("\n")


def matches(shown, actual):
    """Whether `actual` is what a page shows, both as text."""
    lines = []
    for line in normal(shown).split("\n"):
        if line.strip() == "…":
            lines.append(r"(?:[^\n]*\n)*?")
        else:
            lines.append("[^\n]*".join(re.escape(part) for part in line.split("…")) + r"\n")
    return re.fullmatch("".join(lines), normal(actual) + "\n") is not None


def commands(block):
    """(line number, command, output shown) of a console."""
    found = []
    goes_on = False
    for number, line in enumerate(block.lines, start=block.line + 1):
        if line.startswith("$ "):
            found.append([number, line[2:], []])
        elif not found:
            raise Failure(f"{block.page}:{number}: output before the first command")
        elif goes_on:
            found[-1][1] += "\n" + line
        elif line.startswith("> ") and not found[-1][2]:
            found[-1][1] += "\n" + line[2:]
        else:
            found[-1][2].append(line)
        goes_on = line.endswith("\\") and not found[-1][2]
    return found


class Console:
    """One reader at one terminal. Use it in a `with`, which ends all that was started."""

    def __init__(self, root, oncegate, application):
        self.directory = pathlib.Path(tempfile.mkdtemp(prefix="oncegate-docs."))
        self.ports = {port: free_port() for port in PORTS}
        self.servers = {}  # control port -> (pid, log)
        self.application = None
        self.application_binary = application
        for name in ("data", "docs", "tools"):
            (self.directory / name).symlink_to((root / name).resolve())
        for name in DIRECTORIES:
            (self.directory / name[1:]).parent.mkdir(parents=True, exist_ok=True)
        (self.directory / "etc/oncegate").mkdir()
        (self.directory / ".curlrc").write_text("silent\nshow-error\nmax-time = 20\n")
        environment = {
            "PATH": f"{oncegate.parent}:/usr/local/bin:/usr/bin:/bin:/usr/local/sbin:/usr/sbin:/sbin",
            "HOME": str(self.directory), "CURL_HOME": str(self.directory), "LC_ALL": "C.UTF-8",
            "TWILIO_AUTH_TOKEN": "12345", "APP_SECRET": "app_secret",  # what a reader has
            "ONCEGATE_CONTROL": f"http://127.0.0.1:{self.ports[CONTROL_PORT]}",
        }
        self.shell = subprocess.Popen(["bash", "--norc"], cwd=self.directory, env=environment, text=True,
                                      stdin=subprocess.PIPE, stdout=subprocess.PIPE, stderr=subprocess.STDOUT)

    def __enter__(self):
        return self

    def __exit__(self, *_):
        for port in list(self.servers):
            self.stop(port)
        self.shell.stdin.close()
        self.shell.stdout.close()
        self.shell.wait()
        if self.application is not None:
            self.application.kill()
            self.application.wait()
        shutil.rmtree(self.directory)

    def inward(self, text):
        for port, free in self.ports.items():
            text = re.sub(rf"(?<=:){port}\b", str(free), text)
        for directory in DIRECTORIES:
            text = re.sub(rf"(?<![\w.-]){directory}(?![\w])", f"{self.directory}{directory}", text)
        return text

    def outward(self, text):
        for port, free in self.ports.items():
            text = re.sub(rf"(?<=:){free}\b", str(port), text)
        return text.replace(str(self.directory) + "/var", "/var").replace(str(self.directory) + "/etc", "/etc").replace(
            str(self.directory) + "/tmp", "/tmp").replace(str(self.directory), ".")

    def write(self, name, lines):
        path = pathlib.Path(self.inward(name)) if name.startswith("/") else self.directory / name
        path.parent.mkdir(parents=True, exist_ok=True)
        text = "\n".join(lines) + "\n"
        path.write_text(self.inward(text))
        self.start_application(text)

    def start_application(self, text):
        """Starts it when `text` is the first to need it."""
        if f":{APPLICATION_PORT}" not in text or self.application is not None:
            return
        self.application = subprocess.Popen(
            [self.application_binary, "--listen", f"127.0.0.1:{self.ports[APPLICATION_PORT]}", "--delay-ms", "200"],
            stdout=subprocess.PIPE, text=True)
        if "listening" not in self.application.stdout.readline():
            raise Failure("the demo application did not start")

    def run(self, command):
        """(exit code, output) of a command."""
        inward = self.inward(command)
        self.start_application(command)
        if re.match(r"^(\w+=\S+ +)*oncegate serve\b(?!.*--(help|check-config))", inward, re.S):
            return self.serve(inward)
        return self.shell_run(inward)

    def shell_run(self, command):
        self.shell.stdin.write(f"{{\n{command}\n}} </dev/null 2>&1\nprintf '\\n{END_OF_OUTPUT}%s\\n' $?\n")
        self.shell.stdin.flush()
        overtime = threading.Timer(COMMAND_SECONDS_MAX, self.shell.kill)
        overtime.start()
        output = []
        try:
            for line in self.shell.stdout:
                if line.startswith(END_OF_OUTPUT):
                    text = "".join(output)
                    return int(line[1:]), self.outward(text[:-1] if text.endswith("\n") else text)
                output.append(line)
        finally:
            overtime.cancel()
        raise Failure(f"ended the shell, or was not done after {COMMAND_SECONDS_MAX} s")

    def serve(self, command):
        command = re.sub(r"\s*&\s*$", "", command)
        own = {"--listen": GATEWAY_PORT, "--control-listen": CONTROL_PORT}
        if "--config" not in command:
            for flag, port in own.items():
                if not re.search(rf"(?<!\S){flag}\b", command):
                    command += f" {flag} 127.0.0.1:{self.ports[port]}"
        control = re.search(r"--control-listen[ =]\S+:(\d+)", command)
        control = int(control[1]) if control else self.ports[CONTROL_PORT]
        self.stop(control)
        log = self.directory / f"serve.{control}.log"
        errors = self.directory / f"serve.{control}.err"
        log.write_text("")  # the one before may have had the same
        code, out = self.shell_run(f"{command} >{log} 2>{errors} &\necho $!")
        pid = int(out.split()[-1])
        self.servers[control] = pid
        deadline = time.monotonic() + START_SECONDS_MAX
        while "listening control" not in log.read_text():
            code, _ = self.shell_run(f"kill -0 {pid}")
            if code != 0 or time.monotonic() > deadline:
                del self.servers[control]
                code, _ = self.shell_run(f"wait {pid}")
                return code, self.outward(log.read_text() + errors.read_text())
            time.sleep(0.01)
        return 0, self.outward(log.read_text())

    def stop(self, control):
        """Ends a server, if there is one, in good order."""
        pid = self.servers.pop(control, None)
        if pid is None:
            return
        code, out = self.shell_run(f"kill -TERM {pid}; wait {pid}")
        if code != 0:
            raise Failure(f"a server ended with {code}: {out}")


def run_page(root, page, page_blocks, oncegate, application, show=None):
    """Complaints about a page, and how many commands were run. `show` is told each command and its output."""
    complaints = []
    count = 0
    with Console(root, oncegate, application) as console:
        for block in page_blocks:
            if block.file_name:
                console.write(block.file_name, block.lines)
            if not block.runs:
                continue
            steps = commands(block)
            for number, command, shown in steps:
                count += 1
                wanted = block.exit_code if number == steps[-1][0] else 0
                try:
                    code, actual = console.run(command)
                except Failure as failure:
                    return [*complaints, f"{page}:{number}: $ {command}\n  {failure}"], count
                if show is not None:
                    show(f"$ {command}\n{actual}")
                if code != wanted:
                    complaints.append(f"{page}:{number}: $ {command}\n  ended with {code}, not {wanted}, and said:\n{actual}")
                elif shown and not matches("\n".join(shown), actual):
                    complaints.append(f"{page}:{number}: $ {command}\n  shows something else:\n{actual}")
    return complaints, count
