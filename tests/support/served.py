"""The real binary as a server in front of a small application, and a client that sends exactly the bytes it is told."""

import http.server
import pathlib
import re
import shutil
import socket
import subprocess
import tempfile
import threading


class Application(http.server.BaseHTTPRequestHandler):
    """Answers 200, or what X-Status says; hangs up without an answer for X-Status: 0. Counts executions by key."""

    protocol_version = "HTTP/1.1"
    executions = {}
    lock = threading.Lock()

    @staticmethod
    def total():
        with Application.lock:
            return sum(Application.executions.values())

    def do_POST(self):
        body = self.rfile.read(int(self.headers.get("Content-Length", 0)))
        key = self.headers.get("Oncegate-Key", "")
        with Application.lock:
            Application.executions[key] = Application.executions.get(key, 0) + 1
        status = int(self.headers.get("X-Status", 200))
        if status == 0:
            self.close_connection = True
            return
        self.send_response(status)
        self.send_header("Content-Type", "application/octet-stream")
        self.send_header("Content-Length", str(len(body)))
        self.end_headers()
        self.wfile.write(body)

    def log_message(self, *_):
        pass


class Answer:
    def __init__(self, status, fields, body):
        self.status = status
        self.fields = fields  # names in lower case
        self.body = body

    @property
    def content_type(self):
        return self.fields.get("content-type", "").split(";")[0]


class Client:
    """One kept-alive connection; a new one where the server closed it."""

    def __init__(self, port):
        self.port = port
        self.file = None
        self.socket = None

    def close(self):
        if self.socket is not None:
            self.file.close()
            self.socket.close()
        self.socket = None

    def send(self, data, method="GET"):
        """Sends the bytes of one request; None if the server closes without an answer."""
        for fresh in (self.socket is None, True):
            if self.socket is None:
                self.socket = socket.create_connection(("127.0.0.1", self.port), timeout=30)
                self.socket.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
                self.file = self.socket.makefile("rb")
            try:
                self.socket.sendall(data)
            except (BrokenPipeError, ConnectionResetError):
                pass  # it may have answered all the same
            try:
                answer = self._receive(method)
            except ConnectionResetError:
                answer = None
            if answer is not None:
                if answer.fields.get("connection", "").lower() == "close":
                    self.close()
                return answer
            self.close()
            if fresh:
                return None
        return None

    def ask(self, method, target, body=b"", fields=()):
        head = [f"{method} {target} HTTP/1.1", "Host: 127.0.0.1", *fields]
        if body or method in ("POST", "PUT", "PATCH"):
            head.append(f"Content-Length: {len(body)}")
        return self.send("\r\n".join(head).encode("latin-1") + b"\r\n\r\n" + body, method)

    def _receive(self, method):
        line = self.file.readline()
        if not line:
            return None
        status = int(line.split()[1])
        fields = {}
        while (line := self.file.readline()) not in (b"\r\n", b""):
            name, _, value = line.decode("latin-1").partition(":")
            fields[name.lower()] = value.strip()
        size = 0 if method == "HEAD" or status in (204, 304) else int(fields.get("content-length", 0))
        return Answer(status, fields, self.file.read(size))


class Served:
    """`oncegate serve` on free ports with a store of its own; ended when the block is left."""

    def __init__(self, binary, *flags, configuration=""):
        self.binary = binary
        self.flags = flags  # FOLDER in them becomes the server's own folder, which also holds oncegate.toml
        self.configuration = configuration

    def configure(self, text):
        (self.folder / "oncegate.toml").write_text(text, encoding="utf-8")

    def __enter__(self):
        self.folder = pathlib.Path(tempfile.mkdtemp(prefix="oncegate-test-"))
        self.configure(self.configuration)
        Application.executions = {}
        self.application = http.server.ThreadingHTTPServer(("127.0.0.1", 0), Application)
        self.application.daemon_threads = True
        threading.Thread(target=self.application.serve_forever, daemon=True).start()
        self.log = open(self.folder / "log", "wb")
        self.process = subprocess.Popen(
            [self.binary, "serve", "--listen", "127.0.0.1:0", "--control-listen", "127.0.0.1:0", "--data-dir",
             str(self.folder / "data"), "--upstream", f"http://127.0.0.1:{self.application.server_port}",
             *(flag.replace("FOLDER", str(self.folder)) for flag in self.flags)],
            stdout=subprocess.PIPE, stderr=self.log, text=True)
        self.ports = {}
        while len(self.ports) < 2:
            line = self.process.stdout.readline()
            if not line:
                raise RuntimeError("the server ended: " + (self.folder / "log").read_text())
            found = re.match(r"listening (gateway|control) http://127\.0\.0\.1:(\d+)", line)
            self.ports[found[1]] = int(found[2])
        return self

    def __exit__(self, *_):
        self.process.terminate()
        self.exit_code = self.process.wait(timeout=60)
        self.process.stdout.close()
        self.log.close()
        self.application.shutdown()
        self.application.server_close()
        shutil.rmtree(self.folder)

    def control(self):
        return Client(self.ports["control"])

    def gateway(self):
        return Client(self.ports["gateway"])
