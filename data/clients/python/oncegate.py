"""oncegate for Python: every request with an idempotency key takes effect once.

WsgiMiddleware and AsgiMiddleware run the first request of a key, have its answer stored by oncegate's sidecar API, and
give that answer to every retry; Client is the API itself. The standard library is all it takes. See README.md.
"""

import asyncio
import base64
import concurrent.futures
import dataclasses
import hashlib
import heapq
import http.client
import io
import itertools
import json
import logging
import os
import re
import ssl
import threading
import time
import urllib.parse
import uuid

__all__ = ["AsgiMiddleware", "Claimed", "Client", "OncegateError", "WsgiMiddleware"]

_ATTEMPTS = 3  # of one call whose connection fails
_RETRY_PAUSE_S = 0.05  # before the second attempt; doubled before the next
_POLL_PAUSE_S = 0.025  # the server lets a few claims wait; the others ask again
_POLL_PAUSE_S_MAX = 0.5
_SERVER_WAIT_MS_MAX = 60_000
_IDLE_CONNECTIONS_MAX = 8
_ANSWER_BYTES_MAX = 64 << 20
_BODY_BYTES_MAX = 700 * 1024  # fits into the control listener's 1 MiB even as base64
_REQUEST_BYTES_MAX = 10 << 20  # of a body that counts in the fingerprint
_PENDING_MAX = 1024  # outcomes that could not be stored yet
_PENDING_BYTES_MAX = 64 << 20
_PENDING_S_MAX = 300
_PENDING_PAUSE_S_MAX = 10
_CLAIMING_THREADS = 16  # of ASGI applications: claims that wait hold one each
_SETTLING_THREADS = 8
_LEASE_MS_MIN = 1000

_REFUSALS = {"in-flight", "outcome-unknown", "key-reused", "invalid-key", "missing-key"}
_KEY = re.compile(r"[A-Za-z0-9._:=+/@~-]{1,255}", re.ASCII)
_UNITS_MS = {"ms": 1, "s": 1000, "m": 60_000, "h": 3_600_000, "d": 86_400_000}
# Of one connection, one answer or one client; and the length, which the body tells.
_NOT_KEPT = {"connection", "keep-alive", "proxy-authenticate", "proxy-authorization", "proxy-connection", "te", "trailer",
             "transfer-encoding", "upgrade", "date", "set-cookie", "content-length", "idempotency-replayed"}

_log = logging.getLogger("oncegate")


def _to_ms(name, value):
    """Milliseconds of '500ms', '30s', '15m', '24h', '7d', or of a number of seconds."""
    if isinstance(value, (int, float)) and not isinstance(value, bool) and value >= 0:
        return round(value * 1000)
    match = re.fullmatch(r"(\d{1,12})(ms|s|m|h|d)", value, re.ASCII) if isinstance(value, str) else None
    if not match:
        raise ValueError(f"oncegate: {name!r} is not a duration such as '30s', nor seconds: {value!r}")
    return int(match[1]) * _UNITS_MS[match[2]]


class OncegateError(Exception):
    """What went wrong. `code` is oncegate's, or 'unreachable' if there was no answer; `sent` says whether the server may
    have acted on the call all the same; `held`: a restored store refuses keys that it does not know."""

    def __init__(self, message, code=None, status=None, sent=True, held=False):
        super().__init__(message)
        self.code, self.status, self.sent, self.held = code, status, sent, held

    @property
    def retryable(self):
        """Whether the same call may succeed later."""
        return self.code == "unreachable" or (self.status or 0) >= 500


@dataclasses.dataclass(frozen=True)
class Response:
    """A stored answer. `body` None: it was not kept."""

    status: int
    headers: list
    body: object


@dataclasses.dataclass(frozen=True)
class Claimed:
    """What became of a claim. `outcome` is 'execute' (do the work, then complete), 'replay' (it was done), or the code of
    a refusal: 'in-flight', 'outcome-unknown', 'key-reused', 'invalid-key'."""

    outcome: str
    token: str = None
    attempt: int = None
    lease_expires_at: str = None
    possible_duplicate: str = None
    response: Response = None
    problem: dict = None
    retry_after: str = None


def _problem_in(status, body):
    try:
        problem = json.loads(body)
        if isinstance(problem["code"], str):
            return problem
    except (ValueError, KeyError, TypeError):
        pass
    return {"code": "bad-answer", "detail": f"an answer of status {status} that is not oncegate's"}


def _error_of(status, headers, body):
    problem = _problem_in(status, body)
    return OncegateError(f"oncegate: {problem['code']}: {problem.get('detail')}", problem["code"], status,
                         held=headers.get("Oncegate-Restored") == "hold")


def _body_member(body):
    """Text where that is what it is and stays shorter than base64."""
    if body is None:
        return {"body": None}
    if isinstance(body, str):
        body = body.encode()
    try:
        text = body.decode()
        if len(json.dumps(text, ensure_ascii=False).encode()) <= len(body) * 1.33 + 4:
            return {"body": text}
    except UnicodeDecodeError:
        pass
    return {"body_base64": base64.b64encode(body).decode()}


class Client:
    """The sidecar API. All calls may be repeated, and are if the connection fails. Thread-safe; survives fork()."""

    def __init__(self, url="http://127.0.0.1:8081", token=None, timeout="2s", ca_file=None):
        parts = urllib.parse.urlsplit(url)
        if parts.scheme not in ("http", "https") or not parts.hostname:
            raise ValueError(f"oncegate: 'url' is not HTTP: {url!r}")
        self._origin = f"{parts.scheme}://{parts.netloc}"
        self._host, self._port = parts.hostname, parts.port
        self._context = ssl.create_default_context(cafile=ca_file) if parts.scheme == "https" else None
        self._headers = {"Content-Type": "application/json"}
        if token is not None:
            self._headers["Authorization"] = f"Bearer {token}"
        self._timeout_s = _to_ms("timeout", timeout) / 1000
        self._lock = threading.Lock()
        self._idle = []  # (process, connection)

    def claim(self, key, *, scope=None, claim_id=None, fingerprint=None, type=None, ttl=None, lease=None, wait=0,
              on_lease_expiry=None, labels=None):
        """Claims a key. For up to `wait` it waits for whoever has it. Raises OncegateError if oncegate cannot say."""
        wish = {
            "scope": scope,
            "key": key,
            "claim_id": claim_id or str(uuid.uuid4()),  # a claim whose answer is lost gets its token with the same id
            "fingerprint": fingerprint,
            "type": type,
            "ttl": None if ttl is None else f"{_to_ms('ttl', ttl)}ms",
            "lease": None if lease is None else f"{_to_ms('lease', lease)}ms",
            "on_lease_expiry": on_lease_expiry,
            "labels": labels,
        }
        wish = {name: value for name, value in wish.items() if value is not None}
        deadline = time.monotonic() + _to_ms("wait", wait) / 1000
        pause = _POLL_PAUSE_S
        while True:
            wait_ms = min(max(0, int((deadline - time.monotonic()) * 1000)), _SERVER_WAIT_MS_MAX)
            claimed = self._claim_once({**wish, "wait": f"{wait_ms}ms"} if wait_ms > 0 else wish, wait_ms)
            left = deadline - time.monotonic()
            if claimed.outcome != "in-flight" or left <= 0:
                return claimed
            time.sleep(min(pause, left))
            pause = min(2 * pause, _POLL_PAUSE_S_MAX)

    def _claim_once(self, wish, wait_ms):
        status, headers, body = self._call("/v1/claims", wish, wait_s=wait_ms / 1000)
        if status == 201:
            said = json.loads(body)
            return Claimed("execute", token=said["token"], attempt=said["attempt"],
                           lease_expires_at=said["lease_expires_at"], possible_duplicate=said.get("possible_duplicate"))
        if status == 200:
            said = json.loads(body)["response"]
            content = said.get("body", "")
            if "body_base64" in said:
                content = base64.b64decode(said["body_base64"])
            elif content is not None:
                content = content.encode()
            return Claimed("replay", response=Response(said["status"], [tuple(pair) for pair in said["headers"]], content))
        problem = _problem_in(status, body)
        if problem["code"] not in _REFUSALS:
            raise _error_of(status, headers, body)
        return Claimed(problem["code"], problem=problem, retry_after=headers.get("Retry-After"))

    def complete(self, token, status, headers=(), body=b""):
        """Stores the outcome. `headers` are pairs of name and value; `body` None says that it is not kept."""
        outcome = {"status": status, "headers": [list(pair) for pair in headers], **_body_member(body)}
        self._expect(204, f"/v1/claims/{token}/complete", outcome)

    def renew(self, token, lease=None):
        """Keeps the claim for another lease."""
        wish = {} if lease is None else {"lease": f"{_to_ms('lease', lease)}ms"}
        return json.loads(self._expect(200, f"/v1/claims/{token}/renew", wish))["lease_expires_at"]

    def release(self, token):
        """Gives the key back: the next claim executes."""
        self._expect(204, f"/v1/claims/{token}/release", {}, repeated_is_lost=True)

    def close(self):
        """Closes idle connections."""
        with self._lock:
            idle, self._idle = self._idle, []
        for _, connection in idle:
            connection.close()

    def _expect(self, wanted, path, wish, **how):
        status, headers, body = self._call(path, wish, again=True, **how)
        if status != wanted:
            raise _error_of(status, headers, body)
        return body

    def _call(self, path, wish, wait_s=0, again=False, repeated_is_lost=False):
        """Claims may be repeated by their id, the others by their token. `again`: also when the server says that it
        cannot now. `repeated_is_lost`: what an earlier attempt has done is answered with claim-lost."""
        content = json.dumps(wish).encode()
        sent = False
        for attempt in range(1, _ATTEMPTS + 1):
            try:
                answer = self._send(path, content, self._timeout_s + wait_s)
                if again and answer[0] >= 500 and attempt < _ATTEMPTS:
                    raise _error_of(*answer)
                if repeated_is_lost and sent and answer[0] == 409:
                    return 204, answer[1], b""
                return answer
            except OncegateError as error:
                sent = sent or error.sent
                error.sent = sent
                if attempt == _ATTEMPTS:
                    raise
            time.sleep(_RETRY_PAUSE_S * 2 ** (attempt - 1))

    def _send(self, path, content, timeout_s):
        sent = False
        connection = None
        try:
            connection = self._take()
            connection.timeout = timeout_s
            if connection.sock is None:
                connection.connect()
            else:
                connection.sock.settimeout(timeout_s)
            sent = True
            connection.request("POST", path, content, self._headers)
            answer = connection.getresponse()
            if answer.length is None or answer.length > _ANSWER_BYTES_MAX:
                raise http.client.HTTPException("the answer is too large, or of unknown length")
            body = answer.read()
        except (OSError, http.client.HTTPException) as error:
            if connection is not None:
                connection.close()
            message = f"oncegate at {self._origin} cannot be reached: {error or type(error).__name__}"
            raise OncegateError(message, "unreachable", sent=sent) from error
        self._put(connection)
        return answer.status, answer.headers, body

    def _take(self):
        with self._lock:
            while self._idle:
                process, connection = self._idle.pop()
                if process == os.getpid():
                    return connection
        if self._context is not None:
            return http.client.HTTPSConnection(self._host, self._port, context=self._context)
        return http.client.HTTPConnection(self._host, self._port)

    def _put(self, connection):
        with self._lock:
            if len(self._idle) < _IDLE_CONNECTIONS_MAX:
                self._idle.append((os.getpid(), connection))
                return
        connection.close()


class _Background:
    """One thread for renewals and for what has to be tried again. It begins with the first work of a process, so that
    servers may fork after loading the application."""

    def __init__(self):
        self._changed = threading.Condition()
        self._work = []
        self._order = itertools.count()
        self._process = None

    def after(self, seconds, action):
        """Runs `action()` once."""
        with self._changed:
            if self._process != os.getpid():
                self._process = os.getpid()
                self._work = []
                threading.Thread(target=self._run, name="oncegate", daemon=True).start()
            heapq.heappush(self._work, (time.monotonic() + seconds, next(self._order), action))
            self._changed.notify()

    def _run(self):
        while True:
            with self._changed:
                while not self._work or self._work[0][0] > time.monotonic():
                    self._changed.wait(self._work[0][0] - time.monotonic() if self._work else None)
                action = heapq.heappop(self._work)[2]
            try:
                action()
            except Exception:  # the thread goes on: others depend on it
                _log.exception("oncegate: error in the background")


class _InvalidKey(Exception):
    pass


def _check_key(key):
    if not isinstance(key, str) or not _KEY.fullmatch(key):
        raise _InvalidKey("A key is 1 to 255 characters of A-Z a-z 0-9 . _ : = + / @ ~ -")
    return key


def _key_from_header(name, value):
    """'' if there is none. The value is the key, bare or as "..." (RFC 8941)."""
    key = value.strip(" \t")
    if key.startswith('"'):
        if len(key) < 2 or not key.endswith('"'):
            raise _InvalidKey(f"{name}: the quotation marks do not match.")
        key = key[1:-1]
    return _check_key(key) if key else ""


def _fingerprint(method, url, body):
    """Each part with its length before it, so that no two requests read the same."""
    digest = hashlib.sha256()
    for part in (method.encode(), url, body):
        digest.update(b"%d:" % len(part) + part)
    return digest.hexdigest()


def _problem(code, status, title, detail, retryable, retry_after=None):
    return _refusal({"type": f"urn:oncegate:error:{code}", "title": title, "status": status, "detail": detail,
                     "code": code, "retryable": retryable}, retry_after=retry_after)


def _refusal(problem, status=None, retry_after=None):
    status = status or problem["status"]
    body = json.dumps({**problem, "status": status}).encode()
    headers = [("Content-Type", "application/problem+json"), ("Content-Length", str(len(body))),
               ("Oncegate-Outcome", problem["code"])]
    if retry_after is not None:
        headers.append(("Retry-After", str(retry_after)))
    return Response(status, headers, body)


def _has_no_body(status):
    return status in (204, 304)


def _replay(stored):
    headers = [*stored.headers, ("Idempotency-Replayed", "true"), ("Oncegate-Outcome", "replayed")]
    body = stored.body or b""
    if not _has_no_body(stored.status):
        headers.append(("Content-Length", str(len(body))))
    return Response(stored.status, headers, body)


def _is_own(name):
    return name.lower().startswith("oncegate-") or name.lower() == "idempotency-replayed"


def _is_final(status):
    return 200 <= status < 300


def _log_error(error, key, scope):
    _log.error("%s (%s %s)", error, scope, key)


def _per_request(value):
    return value if callable(value) else lambda _: value


class _Gate:
    """The rules, the same for both kinds of middleware. Blocks; thread-safe."""

    def __init__(self, *, client=None, url="http://127.0.0.1:8081", token=None, ca_file=None, timeout="2s", scope=None,
                 type=None, labels=None, ttl="24h", lease="60s", max_run="10m", wait="5s", key=None, key_header=None,
                 methods=("POST", "PATCH"), fingerprint=None, is_final=_is_final, on_missing_key="pass",
                 on_unavailable="closed", on_lease_expiry="hold", busy_status=409, max_stored_body=_BODY_BYTES_MAX,
                 on_error=_log_error):
        for name, value, values in (("on_missing_key", on_missing_key, ("pass", "reject")),
                                    ("on_unavailable", on_unavailable, ("closed", "open")),
                                    ("on_lease_expiry", on_lease_expiry, ("hold", "rerun"))):
            if value not in values:
                raise ValueError(f"oncegate: {name!r} is one of {', '.join(values)}: {value!r}")
        if not 400 <= busy_status <= 599:
            raise ValueError(f"oncegate: 'busy_status' is a status from 400 to 599: {busy_status!r}")
        if not 0 <= max_stored_body <= _BODY_BYTES_MAX:
            raise ValueError(f"oncegate: 'max_stored_body' is at most {_BODY_BYTES_MAX} bytes: {max_stored_body!r}")
        self.client = client or Client(url, token, timeout, ca_file)
        self.scope, self.type, self.labels = _per_request(scope), _per_request(type), _per_request(labels)
        self.ttl_s, self.wait_s = _to_ms("ttl", ttl) / 1000, _to_ms("wait", wait) / 1000
        self.lease_s, self.max_run_s = _to_ms("lease", lease) / 1000, _to_ms("max_run", max_run) / 1000
        if self.lease_s * 1000 < _LEASE_MS_MIN:
            raise ValueError(f"oncegate: 'lease' is at least 1s: {lease!r}")
        self.key = key
        names = ("X-Idempotency-Key", "Idempotency-Key") if key_header is None else key_header
        self.key_headers = [names] if isinstance(names, str) else list(names)
        self.methods = {method.upper() for method in methods}
        self.fingerprint = fingerprint
        self.is_final = is_final
        self.on_missing_key, self.on_unavailable = on_missing_key, on_unavailable
        self.on_lease_expiry, self.busy_status = on_lease_expiry, busy_status
        self.max_stored_body = max_stored_body
        self.on_error = on_error
        self.background = _Background()
        self._pending_lock = threading.Lock()
        self._pending = self._pending_bytes = 0

    def find_key(self, request, values_of):
        """The key, '' if there is none. `values_of(name)`: the lines of a header field. Raises _InvalidKey."""
        key = self.key(request) if self.key is not None else None
        if key:
            return _check_key(key)
        for name in self.key_headers:
            values = values_of(name)
            if len(values) > 1:
                raise _InvalidKey(f"The header {name} is repeated.")
            found = _key_from_header(name, values[0]) if values else ""
            if found:
                return found
        return ""

    def wants_key(self, method):
        return method in self.methods

    def without_key(self):
        """The answer to a request without a key; None: it passes."""
        if self.on_missing_key == "pass":
            return None
        return _problem("missing-key", 400, "The request carries no idempotency key", "The request has no idempotency key.",
                        False)

    def admit(self, key, request, method, url, body):
        """An _Execution (the application is to run and to be settled), a Response, or None: it is to run unprotected."""
        if self.fingerprint is None:
            fingerprint = _fingerprint(method, url, body)
        else:
            fingerprint = self.fingerprint(request) if self.fingerprint else None
        scope = self.scope(request)
        wish = {"key": key, "scope": scope, "claim_id": str(uuid.uuid4()), "fingerprint": fingerprint,
                "type": self.type(request), "labels": self.labels(request), "ttl": self.ttl_s, "lease": self.lease_s,
                "on_lease_expiry": self.on_lease_expiry}

        def report(error):
            try:
                self.on_error(error, key, scope or "default")
            except Exception:  # an answer must not be lost to a bad logger
                _log.exception("oncegate: on_error failed")

        try:
            claimed = self.client.claim(**wish, wait=self.wait_s)
        except OncegateError as error:
            return self._unavailable(error, wish, report)
        if claimed.outcome == "execute":
            return _Execution(self, key, claimed, report)
        if claimed.outcome == "replay":
            return _replay(claimed.response)
        busy = claimed.outcome in ("in-flight", "outcome-unknown")
        return _refusal(claimed.problem, self.busy_status if busy else None, claimed.retry_after)

    def _unavailable(self, error, wish, report):
        report(error)
        # An operator's decision about a restored store is not a failure that could be passed by.
        if self.on_unavailable == "open" and not error.held:
            return None
        if error.sent and error.retryable and not error.held:
            # A claim that got no answer may hold the key although nobody will act on it.
            def give_back():
                claimed = self.client.claim(**wish)
                if claimed.outcome == "execute":
                    self.client.release(claimed.token)

            self.later(0, self.lease_s, give_back, report)
        return _problem("store-unavailable", 503, "The store cannot answer",
                        "oncegate cannot answer; nothing was executed.", True, retry_after=5)

    def later(self, size, patience_s, action, report):
        """Tries `action()` after a second and then less and less often."""
        with self._pending_lock:
            if self._pending == _PENDING_MAX or self._pending_bytes + size > _PENDING_BYTES_MAX:
                report(OncegateError("oncegate: too many outcomes wait to be stored; this one is given up"))
                return
            self._pending += 1
            self._pending_bytes += size
        deadline = time.monotonic() + patience_s

        def attempt(pause):
            try:
                action()
            except Exception as error:
                if getattr(error, "retryable", False) and time.monotonic() < deadline:
                    again = min(2 * pause, _PENDING_PAUSE_S_MAX)
                    self.background.after(again, lambda: attempt(again))
                    return
                report(error)
            with self._pending_lock:
                self._pending -= 1
                self._pending_bytes -= size

        self.background.after(1, lambda: attempt(1))


class _Execution:
    """One request that holds its key, from the claim to the outcome."""

    def __init__(self, gate, key, claimed, report):
        self._gate, self._token, self._report = gate, claimed.token, report
        self._started = time.monotonic()
        self._running = True
        self.about = {"key": key, "attempt": claimed.attempt, "possible_duplicate": claimed.possible_duplicate}
        self._renew_later()

    def _renew_later(self):
        self._gate.background.after(min(self._gate.lease_s / 3, self._gate.max_run_s), self._renew)

    def _renew(self):
        if not self._running:
            return
        if time.monotonic() - self._started >= self._gate.max_run_s:
            self._report(OncegateError(f"oncegate: the application has not answered for {self._gate.max_run_s:g} s; "
                                       "its outcome becomes unknown"))
            return
        try:
            self._gate.client.renew(self._token, self._gate.lease_s)
        except OncegateError as error:
            self._report(error)
            if error.code == "claim-lost":
                return
        self._renew_later()

    def settle(self, status, headers, body):
        """Stores the outcome, or gives the key back. Raises nothing: whatever happens, the client gets its answer."""
        client, token = self._gate.client, self._token
        store = not any(name.lower() == "oncegate-store" and value.strip().lower() == "no" for name, value in headers)
        try:
            final = store and self._gate.is_final(status)
        except Exception as error:  # the application's code
            self._report(error)
            final = _is_final(status)
        if not final:
            return self._tell(0, lambda: client.release(token))
        dropped = set(_NOT_KEPT)
        for name, value in headers:
            if name.lower() == "connection":
                dropped.update(part.strip().lower() for part in value.split(","))
        kept = [(name, value) for name, value in headers if name.lower() not in dropped and not _is_own(name)]
        if _has_no_body(status):
            body = b""
        return self._tell(len(body or b""), lambda: client.complete(token, status, kept, body))

    def fail(self):
        """The application raised before its answer began: the server answers 500, and a retry runs."""
        self._tell(0, lambda: self._gate.client.release(self._token))

    def _tell(self, size, action):
        try:
            action()
        except OncegateError as error:
            self._report(error)
            if error.retryable:
                self._gate.later(size, _PENDING_S_MAX, action, self._report)
        finally:
            self._running = False

    def break_off(self):
        """Nobody knows what the application did. Retries should hear that soon."""
        self._running = False
        self._report(OncegateError("oncegate: the application broke its answer off; the outcome becomes unknown"))
        try:
            self._gate.client.renew(self._token, _LEASE_MS_MIN / 1000)
        except OncegateError as error:
            self._report(error)


class _Answer:
    """What an application gives, and what of it the client may have. Up to `bytes_max` it is kept whole; of a larger one
    all but the last piece flows."""

    def __init__(self, bytes_max):
        self._bytes_max = bytes_max
        self._pieces = []
        self._size = 0
        self.flows = False
        self.begun = False  # a byte of the body was given

    def add(self, piece):
        """Takes a piece, and returns what the client may have now."""
        if not piece:
            return []
        self.begun = True
        self._pieces.append(bytes(piece))
        self._size += len(piece)
        self.flows = self.flows or self._size > self._bytes_max
        if not self.flows:
            return []
        ready, self._pieces = self._pieces[:-1], self._pieces[-1:]
        return ready

    @property
    def rest(self):
        return b"".join(self._pieces)

    @property
    def stored(self):
        return None if self.flows else self.rest


def _outgoing(headers):
    return [(name, value) for name, value in headers if not _is_own(name)] + [("Oncegate-Outcome", "executed")]


class WsgiMiddleware:
    """A WSGI application around another one. The options are those of README.md; their functions get the environ. The
    application finds environ["oncegate"]."""

    def __init__(self, app, **options):
        self._app = app
        self._gate = _Gate(**options)

    def __call__(self, environ, start_response):
        gate, method = self._gate, environ["REQUEST_METHOD"]
        if not gate.wants_key(method):
            return self._pass(environ, start_response, "passed")
        try:
            key = gate.find_key(environ, lambda name: self._values(environ, name))
        except _InvalidKey as error:
            return self._give(start_response, _problem("invalid-key", 400, "The idempotency key is malformed", str(error),
                                                       False))
        if not key:
            refusal = gate.without_key()
            return self._give(start_response, refusal) if refusal else self._pass(environ, start_response, "unkeyed")
        body = self._read(environ)
        if body is None:
            return self._give(start_response, _problem("bad-request", 400, "The request is malformed",
                                                       "The body is shorter than its Content-Length.", False))
        path = environ.get("SCRIPT_NAME", "") + environ.get("PATH_INFO", "")
        url = f"{path}?{environ.get('QUERY_STRING', '')}".encode("latin-1", "surrogateescape")
        admitted = gate.admit(key, environ, method, url, body)
        if isinstance(admitted, Response):
            return self._give(start_response, admitted)
        if admitted is None:
            return self._pass(environ, start_response, "unprotected")
        environ["oncegate"] = admitted.about
        return _WsgiRun(self._app, admitted, gate.max_stored_body).start(environ, start_response)

    @staticmethod
    def _values(environ, name):
        # Servers join repeated fields with a comma, which no key has.
        value = environ.get("HTTP_" + name.upper().replace("-", "_"))
        return [] if value is None else [value]

    @staticmethod
    def _read(environ):
        """The body, if its length is known and not too large; None if it is not all there."""
        length = environ.get("CONTENT_LENGTH") or "0"
        if not length.isdigit() or not 0 < int(length) <= _REQUEST_BYTES_MAX:
            return b""
        body = environ["wsgi.input"].read(int(length))
        if len(body) < int(length):
            return None
        environ["wsgi.input"] = io.BytesIO(body)
        return body

    @staticmethod
    def _give(start_response, response):
        start_response(_status_line(response.status), list(response.headers))
        return [response.body]

    def _pass(self, environ, start_response, outcome):
        def marked(status, headers, exc_info=None):
            return start_response(status, [*headers, ("Oncegate-Outcome", outcome)], exc_info)

        return self._app(environ, marked)


def _status_line(status):
    return f"{status} {http.client.responses.get(status, 'Unknown')}"


class _WsgiRun:
    """One call of the application, and the iterable that the server gets if its answer is large."""

    def __init__(self, app, execution, bytes_max):
        self._app, self._execution = app, execution
        self._answer = _Answer(bytes_max)
        self._head = None
        self._result = None
        self._ready = []
        self._pieces = iter(())
        self._over = False

    def start(self, environ, start_response):
        """Runs the application until its answer is whole, or too large to be kept."""
        with self._watch():
            self._result = self._app(environ, self._take_head)
            self._pieces = iter(self._result)
            while not self._answer.flows and self._advance():
                pass
            if self._head is None:
                raise RuntimeError("the application did not call start_response")
        status, headers = self._head
        if not self._over:
            start_response(status, _outgoing(headers))
            return self
        body = self._answer.rest
        start_response(status, _outgoing(headers))
        return [body]

    def _take_head(self, status, headers, exc_info=None):
        if exc_info is not None and self._answer.flows:
            raise exc_info[1].with_traceback(exc_info[2])
        self._head = (status, list(headers))
        return lambda piece: self._ready.extend(self._answer.add(piece))

    def _advance(self):
        """One more piece. False: that was all, and it is settled."""
        try:
            piece = next(self._pieces)
        except StopIteration:
            self._close_result()
            if self._head is not None:
                self._over = True
                status, headers = self._head
                self._execution.settle(int(status[:3]), headers, self._answer.stored)
            return False
        self._ready.extend(self._answer.add(piece))
        return True

    def _watch(self):
        return _Watch(self)

    def _close_result(self):
        result, self._result = self._result, None
        if hasattr(result, "close"):
            result.close()

    # The server's side of a large answer.
    def __iter__(self):
        return self

    def __next__(self):
        while not self._ready:
            if self._over:
                raise StopIteration
            with self._watch():
                if not self._advance():
                    return self._answer.rest
        return self._ready.pop(0)

    def close(self):
        """The server is done, maybe because its client left: the application's answer goes on to its end."""
        with self._watch():
            while not self._over and self._advance():
                self._ready.clear()


class _Watch:
    """What the application raises decides what becomes of the key."""

    def __init__(self, run):
        self._run = run

    def __enter__(self):
        return self

    def __exit__(self, kind, error, _):
        run = self._run
        if kind is None or run._over:
            return
        run._over = True
        if issubclass(kind, Exception) and not run._answer.begun:
            run._execution.fail()
        else:
            run._execution.break_off()
        run._close_result()


class AsgiMiddleware:
    """An ASGI application around another one. The options are those of README.md; their functions get the scope. The
    application finds scope["oncegate"]."""

    def __init__(self, app, **options):
        self._app = app
        self._gate = _Gate(**options)
        self._claiming = concurrent.futures.ThreadPoolExecutor(_CLAIMING_THREADS, "oncegate-claim")
        self._settling = concurrent.futures.ThreadPoolExecutor(_SETTLING_THREADS, "oncegate-settle")
        self._runs = set()

    async def __call__(self, scope, receive, send):
        gate = self._gate
        if scope["type"] != "http":
            return await self._app(scope, receive, send)
        if not gate.wants_key(scope["method"]):
            return await self._pass(scope, receive, send, "passed")
        try:
            key = gate.find_key(scope, lambda name: self._values(scope, name))
        except _InvalidKey as error:
            return await self._give(send, _problem("invalid-key", 400, "The idempotency key is malformed", str(error), False))
        if not key:
            refusal = gate.without_key()
            return await (self._give(send, refusal) if refusal else self._pass(scope, receive, send, "unkeyed"))
        messages, body = await self._read(receive)
        if messages is None:
            return None  # the client left before its request was whole
        url = scope.get("raw_path") or scope["path"].encode()
        url += b"?" + scope.get("query_string", b"")
        loop = asyncio.get_running_loop()
        admitted = await loop.run_in_executor(self._claiming, gate.admit, key, scope, scope["method"], url, body)
        if isinstance(admitted, Response):
            return await self._give(send, admitted)

        async def receive_again():
            return messages.pop(0) if messages else await receive()

        if admitted is None:
            return await self._pass(scope, receive_again, send, "unprotected")
        # A task of its own: a server that cancels this one because its client left does not cancel what was begun.
        run = asyncio.create_task(self._run(scope, receive_again, messages, send, admitted))
        self._runs.add(run)
        run.add_done_callback(self._runs.discard)
        return await asyncio.shield(run)

    async def _run(self, scope, receive, messages, send, execution):
        loop = asyncio.get_running_loop()
        answer = _Answer(self._gate.max_stored_body)
        ended = asyncio.Event()
        state = {"head": None, "sent": False, "gone": False}

        async def forward(message):
            if state["gone"]:
                return
            try:
                await send(message)
            except OSError:  # the client is
                state["gone"] = True

        async def begin():
            if not state["sent"]:
                state["sent"] = True
                status, headers = state["head"]
                await forward({"type": "http.response.start", "status": status, "headers": _to_bytes(_outgoing(headers))})

        async def send_caught(message):
            if message["type"] == "http.response.start":
                headers = [(name.decode("latin-1"), value.decode("latin-1")) for name, value in message.get("headers", ())]
                state["head"] = (message["status"], headers)
                return
            if message["type"] != "http.response.body" or state["head"] is None or ended.is_set():
                raise RuntimeError(f"oncegate: not expected here: {message['type']}")
            for piece in answer.add(message.get("body", b"")):
                await begin()
                await forward({"type": "http.response.body", "body": piece, "more_body": True})
            if message.get("more_body", False):
                return
            ended.set()
            await loop.run_in_executor(self._settling, execution.settle, *state["head"], answer.stored)
            await begin()
            await forward({"type": "http.response.body", "body": answer.rest, "more_body": False})

        async def receive_caught():
            # That the client left is not shown before the answer has ended.
            if not messages:
                await ended.wait()
            return await receive()

        extensions = {name: value for name, value in (scope.get("extensions") or {}).items()
                      if not name.startswith("http.response.")}
        inner = {**scope, "extensions": extensions, "oncegate": execution.about}
        try:
            await self._app(inner, receive_caught, send_caught)
        except BaseException as error:
            if not ended.is_set():
                failed = isinstance(error, Exception) and not answer.begun
                await self._settle_failed(execution, failed)
            raise
        if not ended.is_set():
            await self._settle_failed(execution, not answer.begun)

    async def _settle_failed(self, execution, failed):
        action = execution.fail if failed else execution.break_off
        await asyncio.shield(asyncio.get_running_loop().run_in_executor(self._settling, action))

    @staticmethod
    def _values(scope, name):
        wanted = name.lower().encode("latin-1")
        return [value.decode("latin-1") for header, value in scope["headers"] if header.lower() == wanted]

    @staticmethod
    async def _read(receive):
        """The messages of the body and its bytes; of a body that is too large the first messages, and none."""
        messages, pieces, size = [], [], 0
        while True:
            message = await receive()
            if message["type"] != "http.request":
                return None, None
            messages.append(message)
            pieces.append(message.get("body", b""))
            size += len(pieces[-1])
            if size > _REQUEST_BYTES_MAX:
                return messages, b""
            if not message.get("more_body", False):
                return messages, b"".join(pieces)

    @staticmethod
    async def _give(send, response):
        await send({"type": "http.response.start", "status": response.status, "headers": _to_bytes(response.headers)})
        await send({"type": "http.response.body", "body": response.body, "more_body": False})

    async def _pass(self, scope, receive, send, outcome):
        async def send_marked(message):
            if message["type"] == "http.response.start":
                mark = (b"oncegate-outcome", outcome.encode())
                message = {**message, "headers": [*message.get("headers", ()), mark]}
            await send(message)

        await self._app(scope, receive, send_marked)


def _to_bytes(headers):
    return [(name.lower().encode("latin-1"), value.encode("latin-1")) for name, value in headers]
