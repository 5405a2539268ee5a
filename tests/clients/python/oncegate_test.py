"""Tests data/clients/python/oncegate.py with the real oncegate.

usage: oncegate_test.py ONCEGATE [unittest's arguments]
"""

import asyncio
import http.client
import io
import json
import os
import pathlib
import shutil
import signal
import socket
import socketserver
import subprocess
import sys
import tempfile
import threading
import unittest
import wsgiref.simple_server

sys.path.insert(0, str(pathlib.Path(__file__).resolve().parents[3] / "data" / "clients" / "python"))
import oncegate  # noqa: E402

BINARY = os.environ.get("ONCEGATE_BINARY")
WAIT_S = 10


class Server:
    """The real oncegate, on the same port each time it is started."""

    def __init__(self):
        self.folder = tempfile.mkdtemp(prefix="oncegate-python-")
        self.listen = "127.0.0.1:0"

    def start(self, *flags):
        self.process = subprocess.Popen([BINARY, "serve", "--control-listen", self.listen, "--data-dir",
                                         f"{self.folder}/store", "--log-level", "error", *flags],
                                        stdout=subprocess.PIPE, text=True)
        for line in self.process.stdout:
            if line.startswith("listening control "):
                self.url = line.split()[2]
                self.listen = self.url.removeprefix("http://")
                return self
        raise RuntimeError("oncegate ended at its start")

    def stop(self, how=signal.SIGTERM):
        self.process.send_signal(how)
        self.process.wait()
        self.process.stdout.close()

    def remove(self):
        self.stop()
        shutil.rmtree(self.folder)

    def call(self, method, path):
        connection = http.client.HTTPConnection(self.listen)
        connection.request(method, path)
        body = connection.getresponse().read()
        connection.close()
        return json.loads(body) if body else None


class LossyProxy:
    """Passes calls on; drops the next `lose` answers of those whose path ends with `losing`."""

    def __init__(self, url):
        self.lose = self.lost = 0
        self.losing = ""
        target = url.removeprefix("http://").split(":")
        proxy = self

        class Handler(socketserver.BaseRequestHandler):
            def handle(self):
                with socket.create_connection((target[0], int(target[1]))) as server:
                    while True:
                        request = self.request.recv(1 << 20)
                        if not request:
                            return
                        head, _, body = request.partition(b"\r\n\r\n")
                        length = int(head.lower().split(b"content-length: ")[1].split(b"\r\n")[0])
                        while len(body) < length:
                            body += self.request.recv(1 << 20)
                        server.sendall(head + b"\r\n\r\n" + body)
                        answer = server.recv(1 << 20)
                        if proxy.lose > 0 and head.split()[1].decode().endswith(proxy.losing):
                            proxy.lose -= 1
                            proxy.lost += 1
                            return
                        self.request.sendall(answer)

        self.server = socketserver.ThreadingTCPServer(("127.0.0.1", 0), Handler)
        self.server.daemon_threads = True
        self.url = f"http://127.0.0.1:{self.server.server_address[1]}"
        threading.Thread(target=self.server.serve_forever, args=(0.01,), daemon=True).start()

    def stop(self):
        self.server.shutdown()
        self.server.server_close()


class Answer:
    def __init__(self, status, headers, body):
        self.status, self.headers, self.body = status, list(headers), body

    def __getitem__(self, name):
        values = [value for header, value in self.headers if header.lower() == name.lower()]
        return values[0] if values else None

    @property
    def outcome(self):
        return self["Oncegate-Outcome"]

    @property
    def code(self):
        return json.loads(self.body)["code"]

    def comparable(self):
        own = {"date", "server", "connection", "content-length", "set-cookie", "oncegate-outcome", "idempotency-replayed"}
        return self.status, [pair for pair in self.headers if pair[0].lower() not in own], self.body


class QuietHandler(wsgiref.simple_server.WSGIRequestHandler):
    def log_message(self, *_):
        pass

    def get_stderr(self):
        return io.StringIO()


class QuietServer(socketserver.ThreadingMixIn, wsgiref.simple_server.WSGIServer):
    daemon_threads = True
    request_queue_size = 128


class WsgiSite:
    """An application behind wsgiref; `handler(environ, start_response)`."""

    def __init__(self, handler, **options):
        self.runs, self.errors = 0, []
        self.started = threading.Event()

        def app(environ, start_response):
            self.runs += 1
            self.started.set()
            return handler(environ, start_response)

        options.setdefault("on_error", lambda error, key, scope: self.errors.append(error))
        middleware = oncegate.WsgiMiddleware(app, **options)
        self.server = wsgiref.simple_server.make_server("127.0.0.1", 0, middleware, QuietServer, QuietHandler)
        threading.Thread(target=self.server.serve_forever, args=(0.01,), daemon=True).start()

    def ask(self, key=None, body=b"body", method="POST", path="/", headers=()):
        connection = http.client.HTTPConnection("127.0.0.1", self.server.server_port)
        connection.putrequest(method, path)
        for name, value in [*([("Idempotency-Key", key)] if key is not None else []), *headers]:
            connection.putheader(name, value)
        connection.putheader("Content-Length", str(len(body)))
        connection.endheaders(body)
        answer = connection.getresponse()
        result = Answer(answer.status, answer.getheaders(), answer.read())
        connection.close()
        return result

    def close(self):
        self.server.shutdown()
        self.server.server_close()


class AsgiSite:
    """An application that is called as a server would; `handler(scope, receive, send)`."""

    def __init__(self, handler, **options):
        self.runs, self.errors = 0, []

        async def app(scope, receive, send):
            self.runs += 1
            await handler(scope, receive, send)

        options.setdefault("on_error", lambda error, key, scope: self.errors.append(error))
        self.app = oncegate.AsgiMiddleware(app, **options)

    async def ask(self, key=None, body=b"body", method="POST", headers=(), on_sent=None, left=None):
        """`left`: an event that says that the client is gone; sending then fails, as servers may have it."""
        fields = [(b"idempotency-key", key.encode())] if key is not None else []
        scope = {"type": "http", "method": method, "path": "/", "raw_path": b"/", "query_string": b"",
                 "headers": [*fields, *headers], "extensions": {"http.response.pathsend": {}}}
        left = left or asyncio.Event()
        requests = [{"type": "http.request", "body": body[:2], "more_body": True}, {"type": "http.request", "body": body[2:]}]
        sent = []

        async def receive():
            if requests:
                return requests.pop(0)
            await left.wait()
            return {"type": "http.disconnect"}

        async def send(message):
            if left.is_set():
                raise OSError("the client is gone")
            sent.append(message)
            if on_sent:
                on_sent(message)

        await self.app(scope, receive, send)
        if left.is_set():
            return None
        assert sent[0]["type"] == "http.response.start", sent
        assert [message.get("more_body", False) for message in sent[1:]] == [True] * (len(sent) - 2) + [False], sent
        pairs = [(name.decode(), value.decode()) for name, value in sent[0]["headers"]]
        return Answer(sent[0]["status"], pairs, b"".join(message.get("body", b"") for message in sent[1:]))


def text(status, body, *headers):
    def app(environ, start_response):
        start_response(status, [("Content-Type", "text/plain"), *headers])
        return [body]
    return app


class Case(unittest.TestCase):
    keys = 0

    @classmethod
    def setUpClass(cls):
        cls.gate = Server().start()

    @classmethod
    def tearDownClass(cls):
        cls.gate.remove()

    def new_key(self):
        Case.keys += 1
        return f"key_{Case.keys}"

    def proxy(self):
        proxy = LossyProxy(self.gate.url)
        self.addCleanup(proxy.stop)
        return proxy


class WsgiTest(Case):
    def site(self, handler, **options):
        site = WsgiSite(handler, **{"url": self.gate.url, "wait": 0, **options})
        self.addCleanup(site.close)
        return site

    def test_the_replay_is_the_answer(self):
        def written(environ, start_response):
            write = start_response("200 OK", [("X-A", "1")])
            write(b"one ")
            write(b"two ")
            return [b"three"]

        def generated(environ, start_response):
            start_response("201 Created", [("X-A", "1"), ("X-B", "2"), ("X-A", "3"), ("Set-Cookie", "a=b")])
            yield b"piece "
            yield b""
            yield environ["wsgi.input"].read()

        def file(environ, start_response):
            start_response("200 OK", [("Content-Type", "application/x-thing")])
            return environ["wsgi.file_wrapper"](open(__file__, "rb"))

        handlers = [text("200 OK", "Zoë".encode()), text("202 Accepted", bytes(range(256))), text("204 No Content", b""),
                    text("200 OK", b'"' * 1000), written, generated, file]
        for number, handler in enumerate(handlers):
            with self.subTest(number):
                site, key = self.site(handler), self.new_key()
                first, again = site.ask(key), site.ask(key)
                self.assertEqual((first.outcome, again.outcome), ("executed", "replayed"), again.body)
                self.assertEqual((first["Idempotency-Replayed"], again["Idempotency-Replayed"]), (None, "true"))
                self.assertIsNone(again["Set-Cookie"])
                self.assertEqual(again.comparable(), first.comparable())
                self.assertEqual((site.runs, site.errors), (1, []))

    def test_what_is_not_final_is_executed_again(self):
        def raises(environ, start_response):
            raise ValueError("raised")

        def raises_after_its_head(environ, start_response):
            start_response("200 OK", [])
            raise ValueError("raised")
            yield b""

        left = [text("500 Oops", b"no"), text("404 Not Found", b"no"), raises, raises_after_its_head,
                text("200 OK", b"no", ("Oncegate-Store", "no"))]
        site, key = self.site(lambda *args: (left.pop(0) if left else text("200 OK", b"at last"))(*args)), self.new_key()
        statuses = [site.ask(key).status for _ in range(len(left))]
        self.assertEqual(statuses, [500, 404, 500, 500, 200])
        self.assertEqual(site.ask(key).body, b"at last")
        self.assertEqual(site.ask(key).outcome, "replayed")
        self.assertEqual((site.runs, site.errors), (6, []))

    def test_copies_at_once_wait_for_the_first(self):
        site, key, answers = self.site(text("200 OK", b"once"), wait="10s"), self.new_key(), []
        threads = [threading.Thread(target=lambda: answers.append(site.ask(key))) for _ in range(20)]
        for thread in threads:
            thread.start()
        for thread in threads:
            thread.join()
        self.assertEqual({(answer.status, answer.body) for answer in answers}, {(200, b"once")}, site.errors)
        self.assertEqual(sorted(answer.outcome for answer in answers), ["executed"] + ["replayed"] * 19)
        self.assertEqual(site.runs, 1)

    def test_keys(self):
        site = self.site(text("200 OK", b"ran"))
        self.assertEqual(site.ask().outcome, "unkeyed")
        self.assertEqual(site.ask('""').outcome, "unkeyed")
        self.assertEqual(site.ask("a", method="PUT").outcome, "passed")
        for bad in ("a b", '"a', "x" * 256, "a,b"):
            answer = site.ask(bad)
            self.assertEqual((answer.status, answer.code, answer["Content-Type"]),
                             (400, "invalid-key", "application/problem+json"), bad)
        self.assertEqual(site.ask("a", headers=[("Idempotency-Key", "a")]).code, "invalid-key")
        self.assertEqual(site.runs, 3)
        key = self.new_key()
        site.ask(f'"{key}"')
        self.assertEqual(site.ask("other", headers=[("X-Idempotency-Key", key)]).outcome, "replayed")
        strict = self.site(text("200 OK", b"ran"), on_missing_key="reject", key_header="X-Event",
                           key=lambda environ: environ["QUERY_STRING"])
        self.assertEqual(strict.ask("a").code, "missing-key")
        self.assertEqual(strict.ask(headers=[("X-Event", self.new_key())]).outcome, "executed")
        self.assertEqual(strict.ask(path="/?" + key).outcome, "key-reused")

    def test_another_request_with_the_key_is_refused(self):
        site, key = self.site(text("200 OK", b"ran")), self.new_key()
        site.ask(key, b"one")
        self.assertEqual((site.ask(key, b"two").status, site.ask(key, b"one", path="/2").code), (422, "key-reused"))
        self.assertEqual(site.ask(key, b"one").outcome, "replayed")

    def test_the_record_says_what_was_asked(self):
        key = self.new_key()
        self.site(text("200 OK", b"ran"), scope="orders", type=lambda environ: environ["PATH_INFO"][1:],
                  labels={"shop": "s1"}, ttl="1h").ask(key, path="/payment")
        record = self.gate.call("GET", f"/v1/records/orders/{key}")
        self.assertEqual((record["type"], record["labels"]), ("payment", {"shop": "s1"}))

    def test_large_answers_flow_and_are_remembered_without_their_body(self):
        def large(environ, start_response):
            start_response("200 OK", [("X-Kept", "yes"), ("ETag", '"1"'), ("Content-Length", "2000000")])
            for number in range(50):
                yield bytes([number]) * 40_000

        for bytes_max in (0, 700 * 1024):
            site, key = self.site(large, max_stored_body=bytes_max), self.new_key()
            first, again = site.ask(key), site.ask(key)
            self.assertEqual(first.body, b"".join(bytes([number]) * 40_000 for number in range(50)))
            self.assertEqual((again.outcome, again.body, again["Oncegate-Body"]), ("replayed", b"", "omitted"))
            self.assertEqual((again["X-Kept"], again["ETag"]), ("yes", None))
            self.assertEqual((site.runs, site.errors), (1, []))

    def test_a_client_that_leaves_does_not_cancel_a_large_answer(self):
        go = threading.Event()

        def large(environ, start_response):
            start_response("200 OK", [])
            yield b"x" * 1000
            yield b"y" * 1000
            go.wait(WAIT_S)
            for _ in range(50):
                yield b"z" * 100_000

        site, key = self.site(large, max_stored_body=10, wait="10s"), self.new_key()
        with socket.create_connection(("127.0.0.1", site.server.server_port)) as client:
            client.sendall(f"POST / HTTP/1.1\r\nHost: a\r\nIdempotency-Key: {key}\r\nContent-Length: 4\r\n\r\nbody".encode())
            self.assertTrue(client.recv(100))
        go.set()
        self.assertEqual(site.ask(key).outcome, "replayed")
        self.assertEqual((site.runs, site.errors), (1, []))

    def test_an_answer_that_is_broken_off_has_an_unknown_outcome(self):
        def breaks(environ, start_response):
            start_response("200 OK", [])
            yield b"half"
            raise ValueError("raised")

        sites = [(self.site(breaks, wait="10s", max_stored_body=bytes_max), self.new_key()) for bytes_max in (0, 1000)]
        for site, key in sites:
            try:
                site.ask(key)
            except http.client.HTTPException:
                pass  # the head was sent already
        for site, key in sites:
            self.assertEqual((site.ask(key).outcome, site.runs), ("outcome-unknown", 1))
            self.assertIn("broke its answer off", str(site.errors[0]))

    def test_a_lease_is_renewed_but_not_for_ever(self):
        go = threading.Event()

        def slow(environ, start_response):
            go.wait(WAIT_S)
            return text("200 OK", b"late")(environ, start_response)

        site, key, answers = self.site(slow, lease="1s", max_run="2s", busy_status=503), self.new_key(), []
        first = threading.Thread(target=lambda: answers.append(site.ask(key)))
        first.start()
        site.started.wait(WAIT_S)
        client = oncegate.Client(self.gate.url)
        self.assertEqual(client.claim(key, wait="1500ms").outcome, "in-flight")  # the lease was 1 s
        busy = site.ask(key)
        self.assertEqual((busy.status, busy.code, busy["Retry-After"]), (503, "in-flight", "1"))
        self.assertEqual(client.claim(key, wait="5s").outcome, "outcome-unknown")
        self.assertIn("has not answered for 2 s", str(site.errors[0]))
        go.set()
        first.join()
        self.assertEqual((answers[0].body, site.ask(key).outcome, site.runs), (b"late", "replayed", 1))
        client.close()

    def test_a_claim_that_was_lost_takes_nothing_from_the_client(self):
        def robbed(environ, start_response):
            self.gate.call("DELETE", f"/v1/records/default/{environ['oncegate']['key']}?force=true")
            return text("200 OK", b"mine")(environ, start_response)

        site = self.site(robbed)
        self.assertEqual(site.ask(self.new_key()).body, b"mine")
        self.assertEqual([error.code for error in site.errors], ["claim-lost"])

    def test_calls_whose_answers_are_lost_do_nothing_twice(self):
        for losing, status in (("/v1/claims", 200), ("/complete", 200), ("/release", 500)):
            with self.subTest(losing):
                proxy = self.proxy()
                site, key = self.site(text(f"{status} Said", b"once"), url=proxy.url), self.new_key()
                proxy.lose, proxy.losing = 2, losing
                self.assertEqual((site.ask(key).status, proxy.lost), (status, 2))
                self.assertEqual(site.ask(key).outcome, "replayed" if status == 200 else "executed")
                self.assertEqual(site.errors, [])

    def test_a_claim_without_an_answer_is_refused_and_given_back(self):
        proxy = self.proxy()
        site, key = self.site(text("200 OK", b"ran"), url=proxy.url, wait="10s"), self.new_key()
        proxy.lose, proxy.losing = 3, "/v1/claims"
        refused = site.ask(key)
        self.assertEqual((refused.status, refused.code, refused["Retry-After"], site.runs),
                         (503, "store-unavailable", "5", 0))
        self.assertEqual(site.ask(key).outcome, "executed")

    def test_without_oncegate_nothing_runs_or_everything(self):
        closed = self.site(text("200 OK", b"ran"), url="http://127.0.0.1:1")
        self.assertEqual((closed.ask("a").status, closed.runs, closed.errors[0].code), (503, 0, "unreachable"))
        opened = self.site(text("200 OK", b"ran"), url="http://127.0.0.1:1", on_unavailable="open")
        self.assertEqual((opened.ask("a").outcome, opened.runs), ("unprotected", 1))

    def test_an_outcome_is_stored_when_oncegate_is_back(self):
        own = Server().start()

        def kills(environ, start_response):
            own.stop(signal.SIGKILL)
            return text("200 OK", b"done")(environ, start_response)

        site = self.site(kills, url=own.url)
        self.assertEqual(site.ask("a").body, b"done")
        self.assertEqual(site.errors[0].code, "unreachable")
        own.start()
        client = oncegate.Client(own.url)
        claimed = client.claim("a", wait="20s")
        self.assertEqual((claimed.outcome, claimed.response.body), ("replay", b"done"))
        client.close()
        own.remove()

    def test_options_that_make_no_sense_are_refused(self):
        for options, named in (({"ttl": "a day"}, "'ttl'"), ({"lease": 0.5}, "'lease'"), ({"url": "ftp://a"}, "'url'"),
                               ({"on_unavailable": "maybe"}, "'on_unavailable'"), ({"busy_status": 200}, "'busy_status'"),
                               ({"max_stored_body": 1 << 20}, "'max_stored_body'")):
            with self.assertRaisesRegex(ValueError, named):
                oncegate.WsgiMiddleware(None, **options)
        with self.assertRaises(TypeError):
            oncegate.WsgiMiddleware(None, tll="24h")


class ClientTest(Case):
    def test_claims_completes_renews_and_releases(self):
        client, key = oncegate.Client(self.gate.url), self.new_key()
        self.addCleanup(client.close)
        claimed = client.claim(key, claim_id="w1", lease="90s")
        self.assertEqual((claimed.outcome, claimed.attempt, len(claimed.token)), ("execute", 1, 32))
        self.assertEqual(client.claim(key, claim_id="w1").token, claimed.token)
        self.assertGreater(client.renew(claimed.token, "2h"), claimed.lease_expires_at)
        self.assertEqual(client.claim(key).outcome, "in-flight")
        client.release(claimed.token)
        with self.assertRaises(oncegate.OncegateError) as lost:
            client.complete(claimed.token, 200)
        self.assertEqual((lost.exception.code, lost.exception.status, lost.exception.retryable), ("claim-lost", 409, False))
        client.complete(client.claim(key).token, 201, [("X-A", "1")], b"\0\xff")
        stored = client.claim(key).response
        self.assertEqual((stored.status, stored.headers, stored.body), (201, [("X-A", "1")], b"\0\xff"))
        self.assertEqual(client.claim("a b").outcome, "invalid-key")
        with self.assertRaises(oncegate.OncegateError):
            client.claim(key, scope="a/b")

    def test_a_token_is_sent(self):
        own = Server()
        tokens = pathlib.Path(own.folder, "tokens")
        tokens.write_text("app:a-good-token\n")
        own.start("--control-token-file", str(tokens))
        self.addCleanup(own.remove)
        good, bad = oncegate.Client(own.url, "a-good-token"), oncegate.Client(own.url, "a-bad-token")
        self.assertEqual(good.claim("a").outcome, "execute")
        with self.assertRaises(oncegate.OncegateError) as refused:
            bad.claim("a")
        self.assertEqual(refused.exception.code, "unauthorized")
        good.close()
        bad.close()

    def test_connections_are_used_again_but_not_across_a_fork(self):
        client = oncegate.Client(self.gate.url)
        self.addCleanup(client.close)
        client.claim(self.new_key())
        connection = client._idle[0][1]
        client.claim(self.new_key())
        self.assertIs(client._idle[0][1], connection)
        client._idle[0] = (os.getpid() + 1, connection)
        client.claim(self.new_key())
        self.assertIsNot(client._idle[0][1], connection)
        connection.close()


class AsgiTest(Case):
    def site(self, handler, **options):
        return AsgiSite(handler, **{"url": self.gate.url, "wait": 0, **options})

    @staticmethod
    def pieces(*bodies, status=200, headers=((b"x-a", b"1"),)):
        async def app(scope, receive, send):
            await send({"type": "http.response.start", "status": status, "headers": list(headers)})
            for body in bodies:
                await send({"type": "http.response.body", "body": body, "more_body": True})
            await send({"type": "http.response.body"})
        return app

    def test_the_replay_is_the_answer(self):
        async def echo(scope, receive, send):
            body, more = b"", True
            while more:
                message = await receive()
                body += message["body"]
                more = message.get("more_body", False)
            await self.pieces(scope["oncegate"]["key"].encode(), body, status=201)(scope, receive, send)

        repeated = ((b"x-a", b"1"), (b"x-b", b"2"), (b"x-a", b"3"), (b"set-cookie", b"a=b"))
        for handler in (echo, self.pieces(), self.pieces(bytes(range(256)), headers=repeated), self.pieces(status=204)):
            site, key = self.site(handler), self.new_key()

            async def both():
                return await site.ask(key), await site.ask(key)

            first, again = asyncio.run(both())
            self.assertEqual((first.outcome, again.outcome), ("executed", "replayed"))
            self.assertEqual(again.comparable(), first.comparable())
            self.assertEqual((site.runs, site.errors), (1, []))

    def test_what_is_not_final_is_executed_again(self):
        async def raises(scope, receive, send):
            raise ValueError("raised")

        async def returns(scope, receive, send):
            pass

        left = [self.pieces(b"no", status=500), raises, returns, self.pieces(headers=[(b"oncegate-store", b"No")])]
        site, key = self.site(lambda *args: (left.pop(0) if left else self.pieces(b"at last"))(*args)), self.new_key()

        async def tries():
            self.assertEqual((await site.ask(key)).status, 500)
            with self.assertRaises(ValueError):
                await site.ask(key)
            with self.assertRaises(IndexError):
                await site.ask(key)  # nothing was sent
            self.assertIsNone((await site.ask(key))["Oncegate-Store"])
            return await site.ask(key), await site.ask(key)

        first, again = asyncio.run(tries())
        self.assertEqual((first.body, first.outcome, again.outcome, site.errors), (b"at last", "executed", "replayed", []))

    def test_copies_at_once_wait_for_the_first(self):
        site, key = self.site(self.pieces(b"once"), wait="10s"), self.new_key()

        async def copies():
            return await asyncio.gather(*(site.ask(key) for _ in range(20)))

        answers = asyncio.run(copies())
        self.assertEqual({(answer.status, answer.body) for answer in answers}, {(200, b"once")})
        self.assertEqual(site.runs, 1)

    def test_keys(self):
        site = self.site(self.pieces(b"ran"))

        async def asks():
            self.assertEqual((await site.ask()).outcome, "unkeyed")
            self.assertEqual((await site.ask("a", method="GET")).outcome, "passed")
            self.assertEqual((await site.ask("a b")).code, "invalid-key")
            self.assertEqual((await site.ask("a", headers=[(b"idempotency-key", b"a")])).code, "invalid-key")
            key = self.new_key()
            await site.ask(key, b"one")
            self.assertEqual((await site.ask(key, b"two")).code, "key-reused")
            strict = self.site(self.pieces(), on_missing_key="reject")
            self.assertEqual((await strict.ask()).code, "missing-key")

        asyncio.run(asks())
        self.assertEqual(site.runs, 3)

    def test_large_answers_flow_all_but_their_last_piece(self):
        states, site = [], None

        async def large(scope, receive, send):
            await send({"type": "http.response.start", "status": 200, "headers": [(b"etag", b"1")]})
            for number in range(20):
                await send({"type": "http.response.body", "body": bytes([number]) * 100_000, "more_body": True})
            states.append(len(seen))
            await send({"type": "http.response.body", "body": b"", "more_body": False})

        seen = []
        site, key = self.site(large), self.new_key()

        async def both():
            return await site.ask(key, on_sent=seen.append), await site.ask(key)

        first, again = asyncio.run(both())
        self.assertEqual((len(first.body), states), (2_000_000, [20]))  # the head and 19 pieces were there before its end
        self.assertEqual((again.outcome, again.body, again["Oncegate-Body"], again["ETag"]), ("replayed", b"", "omitted", None))

    def test_a_client_that_leaves_cancels_nothing(self):
        async def slow(scope, receive, send):
            while (await receive()).get("more_body", False):
                pass
            watcher = asyncio.ensure_future(receive())
            await asyncio.sleep(0)
            begun.set()
            await go.wait()
            self.assertFalse(watcher.done(), "the application saw it go")
            await self.pieces(b"done", b"x" * size)(scope, receive, send)
            watcher.cancel()

        async def leave(cancelled):
            left = asyncio.Event()
            asked = asyncio.ensure_future(site.ask(key, left=left))
            await begun.wait()
            left.set()
            if cancelled:
                asked.cancel()
                with self.assertRaises(asyncio.CancelledError):
                    await asked
            go.set()
            if not cancelled:
                await asked
            return await site.ask(key)

        for size in (0, 2_000_000):
            for cancelled in (False, True):
                begun, go = asyncio.Event(), asyncio.Event()
                site, key = self.site(slow, wait="10s"), self.new_key()
                again = asyncio.run(leave(cancelled))
                self.assertEqual((again.outcome, again.body), ("replayed", b"" if size else b"done"))
                self.assertEqual((site.runs, site.errors), (1, []))

    def test_an_answer_that_is_broken_off_has_an_unknown_outcome(self):
        async def breaks(scope, receive, send):
            await send({"type": "http.response.start", "status": 200})
            await send({"type": "http.response.body", "body": b"half", "more_body": True})
            raise ValueError("raised")

        site, key = self.site(breaks, wait="10s"), self.new_key()

        async def both():
            with self.assertRaises(ValueError):
                await site.ask(key)
            return await site.ask(key)

        self.assertEqual(asyncio.run(both()).outcome, "outcome-unknown")
        self.assertEqual(site.runs, 1)

    def test_other_protocols_pass(self):
        seen = []

        async def app(scope, receive, send):
            seen.append(scope["type"])

        asyncio.run(oncegate.AsgiMiddleware(app, url="http://127.0.0.1:1")({"type": "lifespan"}, None, None))
        self.assertEqual(seen, ["lifespan"])


if __name__ == "__main__":
    if len(sys.argv) > 1 and not sys.argv[1].startswith("-"):
        BINARY = sys.argv.pop(1)
    if not BINARY:
        sys.exit(__doc__)
    unittest.main()
