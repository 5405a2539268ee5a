"""Requests made from the description of the API: right ones, and ones that are wrong in one of many ways."""

import json
import random
import urllib.parse

# Values for members and parameters whose schema says less than the server asks for.
GIVEN = {
    "ttl": ["1s", "90s", "24h", "365d"],
    "lease": ["1s", "60s", "24h"],
    "wait": ["0s", "1ms", "3ms"],
    "cursor": [""],
    "label": ["order:42", "a:b:c"],
    "type": ["webhook", "order", "ö", "x" * 100],
}
# As bytes of JSON, so that also what is none can be among them.
NASTY = [b"null", b"true", b"0", b"1", b"-1", b"1.5", b"1e400", b"18446744073709551616", b"-9223372036854775809", b'""',
         b'" "', b'"\\u0000"', b'"a\\nb"', b'"\\ud800"', b'"\\ud83d\\ude00"', b'"\xff\xfe"', b'"\xc3\xa9"', b'"0s"',
         b'"-1s"', b'"1"', b'"99999999999999999999s"', b'"1.5s"', b"[]", b"{}", b"[[]]", b'[["a"]]', b'[["a","b","c"]]',
         b'[["a b","c"]]', b'[["a","b\\r\\nc: d"]]', b'[["Content-Length","7"]]', b'[["Transfer-Encoding","chunked"]]',
         b'{"a":1}', b'{"~x":"y"}', b'{"a:b":"c"}', b'{"":""}', b'"' + b"x" * 300 + b'"', b'"' + b"x" * 5000 + b'"',
         b"[" * 20 + b"]" * 20, b'{"a":' * 15 + b"1" + b"}" * 15, b'"===="', b'"AP8"', b"nul", b"'a'", b"[1,]", b"NaN",
         b'"~signed"', b'"/"', b'"..%2f"', b"100", b"199", b"204", b"304", b"600", b"1" * 400]
BODIES = [b"", b" ", b"null", b"[]", b'"a"', b"7", b"{", b"}", b"{}{}", b'{"a"}', b'{"a":}', b"{,}", b"\xef\xbb\xbf{}",
          b"\xff\xfe{\x00}\x00", b"{}\x00", b'{"key":"a","key":"b"}', b"[" * 5000, b'{"a":' * 2000, b"\x00" * 100,
          b'{"key":"\xff"}', b'{"status":200,"status":201}', b"x" * 70_000, b"<xml/>", b"a=b&c=d"]
SEGMENTS = ["", ".", "..", "%2e%2e", "%00", "%ff", "%2F", "%252F", "%", "%4", "%zz", "a%20b", "a+b", "a%0d%0ab", "~", "*",
            "default~" + "0" * 32, "x" * 64, "x" * 65, "x" * 255, "x" * 256, "x" * 3000, "%C3%A9", "none", "{scope}",
            "0" * 32, "F" * 32, "g" * 32, "0" * 31, ";a=b", "a;b", "a,b", "@", "%7e%7e"]
QUERIES = ["=", "=1", "&&", "a", "%", "%zz=1", "limit=%", "scope", "scope=&scope=", "%00=1", "limit=1&limit=1", "a=b=c",
           "x" * 3000, "limit=0x10", "limit=+5", "limit=1e2", "limit=00000000000000000001", "cursor=%00", "cursor=AAAA",
           "cursor=" + "f" * 2000, "state=Completed", "label=:", "label=a", "force=TRUE", "force", "bodies=1", "prefix=a b"]
HEADS = [b"Host: a\r\nHost: b", b"Host:", b" Host: a", b"Host : a", b"X: \x00", b"X: \x7f", b"X", b": a", b"X: a\r\n b",
         b"Content-Length: -1", b"Content-Length: 1, 1", b"Content-Length: 0\r\nTransfer-Encoding: chunked",
         b"Transfer-Encoding: gzip", b"X: " + b"a" * 17_000, b"\r\n".join([b"X: a"] * 120), b"Origin: http://elsewhere",
         b"Expect: the-unexpected", b"\xff: a"]
WEIGHTS = {"/v1/claims": 14, "/v1/records": 8, "/v1/records/{scope}/{key}": 8, "/v1/claims/{token}/complete": 10,
           "/v1/import": 6, "/v1/cleanup": 0.4, "/v1/verify": 0.4, "/v1/backups": 0.6}
SECRETS = ["", "Authorization: Bearer", "Authorization: Bearer x", "Authorization: Basic Zm9vOmJhcg==",
           "Authorization: Bearer full-token\r\nAuthorization: Bearer full-token", "Authorization: Bearer full-token x",
           "Authorization: Bearer \xff", "authorization: bearer"]


class Request:
    def __init__(self, method, operation, wanted, key=None):
        self.method = method
        self.operation = operation  # nothing: there is none
        self.wanted = wanted  # what is said of the answer, for people
        self.accepts = lambda answer: True
        self.key = key
        self.bytes = b""


class Generator:
    def __init__(self, seed, operations, schemas, folder, full, reading):
        self.random = random.Random(seed)
        self.operations = operations
        self.weights = [WEIGHTS.get(one.path, 2) for one in operations]
        self.schemas = schemas
        self.folder = folder
        self.full = full
        self.reading = reading
        self.tokens = ["0" * 32]
        self.cursors = []
        self.known = {(one.method, one.path) for one in operations}

    def learn(self, request, answer):
        """Tokens and cursors of answers are used in later requests."""
        if answer.status not in (200, 201) or request.method == "HEAD" or not answer.content_type.endswith("json"):
            return
        said = json.loads(answer.body)
        if isinstance(said, dict) and said.get("token"):
            self.tokens = self.tokens[-30:] + [said["token"]]
        if isinstance(said, dict) and said.get("next_cursor"):
            self.cursors = self.cursors[-5:] + [said["next_cursor"]]

    def next(self):
        way = self.random.random()
        if way < 0.03:
            return self.nowhere()
        operation = self.random.choices(self.operations, self.weights)[0]
        if way < 0.06:
            return self.stranger(operation)
        if way < 0.08:
            return self.bad_head(operation)
        return self.request(operation, wrong=way < 0.70)

    # Kinds of requests.

    def nowhere(self):
        paths = ["/", "//", "/v1", "/v1/", "/v2/stats", "/v1/stats/", "/v1/records/a/b/c", "/v1/claims/a/b", "/HEALTHZ", "/%2e",
                 "/v1/records/" + self.pick(SEGMENTS) + "/" + self.pick(SEGMENTS) + "/" + self.pick(SEGMENTS), "*", "/v1/%", "/?a=b"]
        request = Request(self.pick(["GET", "POST", "PUT", "DELETE", "PATCH", "OPTIONS", "HEAD", "TRACE", "BREW", "get"]),
                          None, "400 or 404")
        target = self.pick(paths)
        if ("GET", "/") in self.known and target.split("?")[0] == "/":
            target = "/nothing"
        self.write(request, target, b"", [self.full])
        request.accepts = lambda answer: answer.status in (400, 404)
        return request

    def stranger(self, operation):
        request = Request(operation.method, operation, "401")
        secret = self.reading if operation.method != "GET" and self.random.random() < 0.3 else self.pick(SECRETS)
        self.write(request, self.target(operation), self.right_body(operation), [secret] if secret else [])
        if not operation.open:
            request.accepts = lambda answer: answer.status in (400, 401)
        return request

    def bad_head(self, operation):
        line = self.pick(HEADS)
        request = Request(operation.method, None, "400 or 431")
        body = b"" if operation.method in ("GET", "DELETE") else b"{}"
        lines = [f"{operation.method} {self.target(operation)} HTTP/1.1".encode(), line, self.full.encode()]
        if not line.lower().startswith(b"host"):
            lines.insert(1, b"Host: 127.0.0.1")
        if body and b"Content-Length" not in line and b"Transfer" not in line:
            lines.append(b"Content-Length: 2")
        request.bytes = b"\r\n".join(lines) + b"\r\n\r\n" + body
        refused = not line.startswith((b"Origin", b"Expect", b"Content-Length: 0")) or (line.startswith(b"Origin") and body)
        if refused:
            request.accepts = lambda answer: answer.status in (400, 417, 431)
        else:
            request.operation = operation
        return request

    def request(self, operation, wrong):
        method = "HEAD" if operation.method == "GET" and self.random.random() < 0.1 else operation.method
        request = Request(method, operation, "a described answer")
        places = [self.wrong_path] * ("{" in operation.path) + [self.wrong_query] + [self.wrong_body] * (3 * bool(operation.content))
        if wrong and method not in ("GET", "HEAD", "DELETE") and self.random.random() < 0.01:
            self.write(request, self.target(operation), b" " * ((1 << 20) + 1), [self.full])
            wanted = 200 if operation.name == "POST /v1/import" else 413  # imports may have more
            request.wanted, request.accepts = str(wanted), lambda answer: answer.status == wanted
        elif wrong:
            self.pick(places)(request, operation)
        else:
            self.right(request, operation)
        return request

    def right(self, request, operation):
        body = self.right_body(operation)
        self.write(request, self.target(operation) + self.right_query(operation), body, [self.full])
        # Whether an outcome can be resolved depends on it.
        if not operation.path.endswith("resolve"):
            request.wanted = "not 400"
            request.accepts = lambda answer: answer.status != 400

    def wrong_path(self, request, operation):
        target = operation.target(**{name: self.pick(SEGMENTS) for name in ("scope", "key", "token", "name")})
        self.write(request, target, self.right_body(operation), [self.full])

    def wrong_query(self, request, operation):
        if operation.query and self.random.random() < 0.6:
            name = self.pick(list(operation.query))
            value = self.pick(SEGMENTS + ["true", "5", "unknown"])
            self.write(request, f"{self.target(operation)}?{name}={value}", self.right_body(operation), [self.full])
            return
        query = self.pick(QUERIES)
        self.write(request, f"{self.target(operation)}?{query}", self.right_body(operation), [self.full])
        names = {part.partition("=")[0] for part in query.split("&") if part}
        if not names <= set(operation.query):
            request.wanted, request.accepts = "400", lambda answer: answer.status in (400,)

    def wrong_body(self, request, operation):
        kind, schema = operation.content
        value = self.value(schema)
        body = json.dumps(value).encode()
        way = self.random.random()
        if way < 0.25 or not isinstance(value, dict):
            body = self.pick(BODIES)
        elif way < 0.8:
            members = self.schemas.resolve(schema)["properties"]
            name = self.pick(list(members) or ["any"])
            rest = {key: one for key, one in value.items() if key != name}
            nasty = b'"/dev/null/no"' if name == "dir" and self.random.random() < 0.5 else self.pick(NASTY)
            inner = json.dumps(rest).encode()[1:-1]
            body = b"{" + inner + (b"," if rest else b"") + json.dumps(name).encode() + b":" + nasty + b"}"
        elif way < 0.9:
            body = body[: self.random.randrange(len(body))]
        else:
            body = json.dumps({**value, self.pick(["x", "", "Key", "key ", "\0", "é", "statuſ"]): 1}).encode()
        if operation.path.endswith("backups") and b'"/"' in body:
            body = b"{}"
        self.write(request, self.target(operation), body, [self.full])
        self.expect_refusal(request, operation, kind, schema, body)

    def expect_refusal(self, request, operation, kind, schema, body):
        """What the schema does not take must not be taken, and the other way round where the schema says all."""
        if kind.endswith("ndjson") or not body:
            return
        try:
            valid = self.schemas.valid(schema, json.loads(body.decode("utf-8"), object_pairs_hook=once, parse_constant=fail))
        except (ValueError, RecursionError, KeyError):
            valid = False
        if not valid:
            request.wanted, request.accepts = "a refusal", lambda answer: answer.status >= 400

    # Parts of requests.

    def pick(self, values):
        return values[self.random.randrange(len(values))]

    def key(self):
        return f"key-{self.random.randrange(40)}"

    def target(self, operation):
        scope = self.pick(["default", "default", "side"])
        return operation.target(scope=scope, key=self.key(), token=self.pick(self.tokens), name="app.js")

    def right_query(self, operation):
        query = []
        for name, schema in operation.query.items():
            if self.random.random() < 0.3:
                value = self.pick(self.cursors) if name == "cursor" and self.cursors else self.named(name, schema)
                query.append(f"{name}={urllib.parse.quote(str(value), safe='')}")
        return "?" + "&".join(query) if query else ""

    def right_body(self, operation):
        if operation.content is None or (not operation.request["required"] and self.random.random() < 0.5):
            return b""
        kind, schema = operation.content
        if not kind.endswith("ndjson"):
            return json.dumps(self.value(schema)).encode() if self.schemas.resolve(schema)["properties"] else b"{}"
        return b"\n".join(json.dumps(self.value(schema)).encode() for _ in range(self.random.randrange(3)))

    def named(self, name, schema):
        if name in GIVEN:
            return self.pick(GIVEN[name])
        if name in ("key", "prefix"):
            return self.key()
        if name == "scope":
            return self.pick(["default", "side"])
        if name == "dir":
            return str(self.folder / "backups")
        return self.value(schema)

    def value(self, schema):
        """One that the schema takes."""
        schema = self.schemas.resolve(schema)
        if "allOf" in schema:
            return self.value(schema["allOf"][0])
        if "anyOf" in schema:
            return self.value(self.pick(schema["anyOf"]))
        if "enum" in schema:
            return self.pick(schema["enum"])
        kind = schema.get("type", "string")
        kind = self.pick(kind) if isinstance(kind, list) else kind
        if kind == "object":
            return self.object(schema)
        if kind == "array":
            return [["X-One", "1"], ["X-One", "2"]][: self.random.randrange(3)]
        if kind == "integer":
            return self.random.randint(schema.get("minimum", 0), min(schema.get("maximum", 9), 299))
        if kind == "null":
            return None
        if "A-Za-z0-9+/" in schema.get("pattern", ""):
            return self.pick(["", "AP8=", "Zm9v"])
        if "0-9a-f" in schema.get("pattern", ""):
            return "0123456789abcdef" * 4
        return self.pick(["a", "text", "ö", "x" * 100])

    def object(self, schema):
        members = schema.get("properties")
        if members is None:
            return {"order": "42", "n": "ö"} if self.random.random() < 0.8 else {}
        value = {name: self.named(name, one) for name, one in members.items()
                 if name in schema.get("required", ()) or self.random.random() < 0.3}
        if "body" in value and "body_base64" in value:
            del value["body"]
        if value.get("status") in (204, 205, 304):
            value["status"] = 200
        if value.get("as") == "released":
            value.pop("response", None)
        return value

    def write(self, request, target, body, fields):
        head = [f"{request.method} {target} HTTP/1.1", "Host: 127.0.0.1", *fields]
        if body or request.method in ("POST", "PUT", "PATCH"):
            head.append(f"Content-Length: {len(body)}")
        request.bytes = "\r\n".join(head).encode("latin-1") + b"\r\n\r\n" + body


def once(pairs):
    names = [name for name, _ in pairs]
    if len(set(names)) != len(names):
        raise ValueError("a member is repeated")
    return dict(pairs)


def fail(_):
    raise ValueError("no JSON")
