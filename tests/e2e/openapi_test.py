"""data/openapi.json and the real binary: what the one says the other knows, and the other way round. Then 10,000
requests made from the description, most of them wrong in some way, of which none may get an answer that is not in it.

usage: openapi_test.py BINARY OPENAPI_JSON [SEED]
"""

import json
import pathlib
import re
import sys
import unittest

sys.path.insert(0, str(pathlib.Path(__file__).resolve().parent.parent / "support"))
sys.path.insert(0, str(pathlib.Path(__file__).resolve().parent))
from json_schema import Schemas
from openapi_requests import Generator
from served import Served

BINARY, DOCUMENT, SEED = sys.argv[1], pathlib.Path(sys.argv[2]), int(sys.argv[3]) if len(sys.argv) > 3 else 1
API = json.loads(DOCUMENT.read_text(encoding="utf-8"))
SCHEMAS = Schemas(API)
PROBLEM = "application/problem+json"
GENERATED = 10_000
TOKENS = "ada:full-token\nbob:read-only:reading-token\n"
ADA = "Authorization: Bearer full-token"
BOB = "Authorization: Bearer reading-token"
# Streams have a test of their own.
STREAMS = {"/v1/events"}
# Kept by browsers, which ask whether they have changed.
KEPT = {"/", "/assets/{name}"}


class Operation:
    def __init__(self, method, path, description, shared):
        self.method = method.upper()
        self.path = path
        self.responses = description["responses"]
        self.parameters = shared + description.get("parameters", [])
        self.request = description.get("requestBody")
        self.open = description.get("security") == []

    @property
    def query(self):
        return {one["name"]: one["schema"] for one in self.parameters if one["in"] == "query"}

    @property
    def content(self):
        """Type and schema of the body; nothing: it takes none."""
        return next(((kind, one["schema"]) for kind, one in self.request["content"].items()), None) if self.request else None

    @property
    def name(self):
        return f"{self.method} {self.path}"

    def target(self, **segments):
        return re.sub(r"\{(\w+)\}", lambda found: segments[found[1]], self.path)


def operations():
    return [Operation(method, path, description, item.get("parameters", []))
            for path, item in API["paths"].items() for method, description in item.items() if method != "parameters"]


def problems_of(operation, answer, method=None):
    """What is wrong with the answer to a request of the operation."""
    described = operation.responses.get(str(answer.status))
    if described is None:
        yield f"status {answer.status} is not described: {answer.body[:300]!r}"
        return
    kept = operation.path in KEPT and answer.status in (200, 304)
    caching = "no-cache" if kept else "no-store"
    if answer.fields.get("x-content-type-options") != "nosniff" or answer.fields.get("cache-control") != caching:
        yield f"the safe headers are missing: {answer.fields}"
    content = SCHEMAS.resolve(described).get("content")
    if content is None:
        if answer.body or "content-type" in answer.fields:
            yield f"an answer without a body has one: {answer.body[:300]!r}"
        return
    if answer.content_type not in content:
        yield f"content type {answer.content_type!r} is none of {list(content)}"
        return
    if method != "HEAD":
        value = json.loads(answer.body) if answer.content_type.endswith("json") else answer.body.decode()
        yield from SCHEMAS.problems(content[answer.content_type]["schema"], value)
        if answer.content_type == PROBLEM and value.get("status") != answer.status:
            yield f"status {answer.status} bears a problem of {value.get('status')}"


class OpenApiTest(unittest.TestCase):
    @classmethod
    def setUpClass(cls):
        cls.served = cls.enterClassContext(TokenServed(BINARY))
        cls.operations = {one.name: one for one in operations()}

    def setUp(self):
        self.client = self.served.control()
        self.addCleanup(self.client.close)

    def ask(self, name, target, body=b"", token=ADA, method=None):
        """Asks, checks the answer against the description, and gives its JSON."""
        operation = self.operations[name]
        if isinstance(body, dict):
            kind, schema = operation.content
            self.assertEqual(list(SCHEMAS.problems(schema, body)), [], f"{name} is asked with what is not described")
            body = json.dumps(body).encode()
        answer = self.client.ask(method or operation.method, target, body, [token] if token else [])
        self.assertEqual(list(problems_of(operation, answer, method)), [], f"{name} {target} {body[:200]!r}")
        self.seen.add((name, str(answer.status)))
        return answer.status, json.loads(answer.body) if answer.content_type.endswith("json") and answer.body else None

    def test_the_description_is_the_file(self):
        answer = self.client.ask("GET", "/openapi.json", fields=[ADA])
        self.assertEqual(answer.status, 200)
        self.assertEqual(answer.content_type, "application/json")
        self.assertEqual(answer.body.decode(), DOCUMENT.read_text(encoding="utf-8"))
        self.assertEqual(self.client.ask("GET", "/openapi.json").status, 401)

    def test_every_reference_leads_somewhere(self):
        for reference in set(re.findall(r'"\$ref": "(.*?)"', DOCUMENT.read_text())):
            self.assertIsInstance(SCHEMAS.find(reference), dict, reference)
        named = {f"#/components/{kind}/{name}" for kind in ("schemas", "responses")
                 for name in API["components"][kind]}
        self.assertEqual(named - set(re.findall(r'"\$ref": "(.*?)"', DOCUMENT.read_text())), set())

    def known(self, text):
        self.assertIn("not", text)
        found = re.search(r"known are: (.*?)\.?$", text)
        return set(found[1].split(", ")) if found else set()

    def test_parameters_are_those_that_are_read(self):
        for operation in self.operations.values():
            if operation.path in STREAMS:
                continue
            target = operation.target(scope="default", key="none", token="0" * 32, name="app.js")
            answer = self.client.ask(operation.method, target + "?no-such-parameter=1", fields=[ADA])
            with self.subTest(operation.name):
                self.assertEqual(answer.status, 400, answer.body)
                self.assertEqual(self.known(json.loads(answer.body)["detail"]), set(operation.query))

    def test_members_are_those_that_are_read(self):
        wish = {"no-such-member": 1}
        for operation in self.operations.values():
            if operation.content is None or operation.path.endswith("redeliver"):
                continue
            schema = SCHEMAS.resolve(operation.content[1])
            target = operation.target(scope="default", key="none", token="0" * 32, name="app.js")
            with self.subTest(operation.name):
                answer = json.loads(self.client.ask("POST", target, json.dumps(wish).encode(), [ADA]).body)
                detail = answer["rejected"][0]["reason"] if "rejected" in answer else answer["detail"]
                self.assertEqual(self.known(detail), set(schema["properties"]))
        line = SCHEMAS.find("#/components/schemas/ImportLine")["properties"]
        for name in ("request", "response"):
            body = json.dumps({"key": "k", name: wish}).encode()
            answer = json.loads(self.client.ask("POST", "/v1/import", body, [ADA]).body)
            self.assertEqual(self.known(answer["rejected"][0]["reason"]), set(line[name]["properties"]))
        nested = json.dumps({"as": "completed", "response": wish}).encode()
        answer = json.loads(self.client.ask("POST", "/v1/records/default/none/resolve", nested, [ADA]).body)
        self.assertEqual(self.known(answer["detail"]), set(SCHEMAS.find("#/components/schemas/Outcome")["properties"]))

    def deliver(self, key, status=200):
        client = self.served.gateway()
        client.ask("POST", "/hook", b'{"order":1}', [f"Idempotency-Key: {key}", f"X-Status: {status}"])
        client.close()

    seen = set()

    def test_answers_are_as_described(self):
        ask = self.ask
        for name in ("/healthz", "/readyz"):
            ask(f"GET {name}", name, token=None)
        for path in ("/openapi.json", "/metrics", "/", "/v1/session", "/v1/stats"):
            if f"GET {path}" in self.operations:
                self.assertEqual(ask(f"GET {path}", path)[0], 200)
                ask(f"GET {path}", path, method="HEAD")
                ask(f"GET {path}", path, token=None)
        for path, name in {"/": "", "/assets/{name}": "app.js"}.items():
            target = path.replace("{name}", name)
            etag = self.client.ask("GET", target).fields["etag"]
            answer = self.client.ask("GET", target, fields=[f"If-None-Match: {etag}"])
            self.assertEqual((answer.status, list(problems_of(self.operations[f"GET {path}"], answer))), (304, []))
            self.seen.add((f"GET {path}", "304"))
        for name, status in {"app.js": 200, "base.css": 200, "icon.svg": 200, "none.js": 404}.items():
            self.assertEqual(ask("GET /assets/{name}", f"/assets/{name}", token=None)[0], status)
        self.deliver("kept/1")
        self.deliver("broken", 0)
        self.deliver("broken-too", 0)
        record = "/v1/records/default/kept%2F1"
        status, shown = ask("GET /v1/records/{scope}/{key}", record)
        self.assertEqual((status, shown["request"]["body"]), (200, '{"order":1}'))
        self.assertNotIn("body", ask("GET /v1/records/{scope}/{key}", record, token=BOB)[1]["request"])
        for query in ("", "?bodies=true", "?scope=default&type=webhook&state=unknown&prefix=bro&limit=1", "?label=a:b"):
            self.assertEqual(ask("GET /v1/records", "/v1/records" + query)[0], 200)
        page = ask("GET /v1/records", "/v1/records?limit=1")[1]
        self.assertEqual(ask("GET /v1/records", f"/v1/records?limit=1&cursor={page['next_cursor']}")[0], 200)
        self.assertEqual(ask("GET /v1/records", "/v1/records?bodies=true", token=BOB)[0], 401)

        resolve = "POST /v1/records/{scope}/{key}/resolve"
        self.assertEqual(ask(resolve, "/v1/records/default/broken/resolve", {"as": "released"})[0], 204)
        outcome = {"status": 201, "headers": [["A", "b"]], "body_base64": "AP8="}
        self.assertEqual(ask(resolve, "/v1/records/default/broken-too/resolve",
                             {"as": "completed", "response": outcome})[0], 204)
        self.assertEqual(ask(resolve, record + "/resolve", {"as": "completed"})[0], 400)
        self.assertEqual(ask(resolve, "/v1/records/default/none/resolve", {"as": "completed"})[0], 404)
        redeliver = "POST /v1/records/{scope}/{key}/redeliver"
        self.assertEqual(ask(redeliver, record + "/redeliver")[0], 409)
        self.assertEqual(ask(redeliver, record + "/redeliver?force=true")[1]["attempt"], 2)

        claims = "POST /v1/claims"
        wish = {"key": "claimed", "scope": "side", "claim_id": "c1", "fingerprint": "f1", "type": "t", "ttl": "1h",
                "lease": "30s", "wait": "0s", "on_lease_expiry": "rerun", "labels": {"order": "42"}}
        status, claimed = ask(claims, "/v1/claims", wish)
        self.assertEqual(status, 201)
        self.assertEqual(ask(claims, "/v1/claims", {**wish, "claim_id": "c2"})[0], 409)
        self.assertEqual(ask(claims, "/v1/claims", {**wish, "claim_id": "c2", "fingerprint": "f2"})[0], 422)
        self.assertEqual(ask("DELETE /v1/records/{scope}/{key}", "/v1/records/side/claimed")[0], 409)
        token = f"/v1/claims/{claimed['token']}"
        self.assertEqual(ask("POST /v1/claims/{token}/renew", token + "/renew", {"lease": "60s"})[0], 200)
        self.assertEqual(ask("POST /v1/claims/{token}/renew", token + "/renew")[0], 200)
        self.assertEqual(ask("POST /v1/claims/{token}/complete", token + "/complete", outcome)[0], 204)
        self.assertEqual(ask("POST /v1/claims/{token}/release", token + "/release")[0], 409)
        status, replayed = ask(claims, "/v1/claims", wish)
        self.assertEqual((status, replayed["response"]), (200, outcome))
        self.assertEqual(ask("DELETE /v1/records/{scope}/{key}", "/v1/records/side/claimed?force=true")[0], 204)
        free = ask(claims, "/v1/claims", {"key": "freed"})[1]["token"]
        self.assertEqual(ask("POST /v1/claims/{token}/release", f"/v1/claims/{free}/release", {})[0], 204)
        for what in ("complete", "renew", "release"):
            name = f"POST /v1/claims/{{token}}/{what}"
            body = json.dumps({"status": 200}).encode() if what == "complete" else b""
            self.assertEqual(ask(name, f"/v1/claims/{'0' * 32}/{what}", body)[0], 409)
            self.assertEqual(ask(name, f"/v1/claims/none/{what}", body)[0], 404)
            self.assertEqual(ask(name, token + f"/{what}", b"[]")[0], 400)

        self.assertEqual(ask("POST /v1/cleanup", "/v1/cleanup")[0], 200)
        self.assertEqual(ask("POST /v1/verify", "/v1/verify")[0], 200)
        self.assertEqual(ask("POST /v1/verify", "/v1/verify", token=BOB)[0], 401)
        backups = str(self.served.folder / "backups")
        self.assertEqual(ask("POST /v1/backups", "/v1/backups", {"dir": backups, "keep": 2})[0], 200)
        self.assertEqual(ask("POST /v1/backups", "/v1/backups", b'{"dir":"here"}')[0], 400)
        rows = [{"key": "old", "status": 200, "body": {"a": [1]}, "created": 1, "expires": "2099-01-01T00:00:00Z"},
                {"key": "older", "response": {"status": 204}, "expires_at": 1}, shown]
        for row in rows:
            row = {name: value for name, value in row.items() if value is not None or name in ("scope", "type")}
            line = SCHEMAS.find("#/components/schemas/ImportLine")
            self.assertEqual(list(SCHEMAS.problems(line, row)), [])
        lines = "\n".join(map(json.dumps, rows)).encode() + b"\nnothing\n"
        report = ask("POST /v1/import", "/v1/import?scope=moved", lines)[1]
        self.assertEqual((report["imported"], report["existing"], report["expired"], report["rejected"][0]["line"]),
                         (1, 1, 1, 4))
        self.assertEqual(ask("POST /v1/claims", "/v1/claims", b"x" * ((1 << 20) + 1))[0], 413)
        self.assertEqual(ask("GET /v1/stats", "/v1/stats?" + "a" * 20_000)[0], 431)

        for operation in self.operations.values():
            wanted = {status for status in operation.responses if status < "400"}
            got = {status for name, status in self.seen if name == operation.name}
            if operation.path not in STREAMS and got - {"401"}:
                self.assertEqual(wanted - got, set(), operation.name)

    def test_generated_requests_get_described_answers(self):
        for number in range(20):
            self.deliver(f"key-{number}", 0 if number % 4 == 0 else 200)
        generator = Generator(SEED, [one for one in self.operations.values() if one.path not in STREAMS], SCHEMAS,
                              self.served.folder, ADA, BOB)
        statuses = {}
        for number in range(GENERATED):
            request = generator.next()
            answer = self.client.send(request.bytes, request.method)
            said = f"request {number} of seed {SEED}: {request.bytes[:1500]!r}"
            self.assertIsNotNone(answer, said)
            self.assertIsNone(self.served.process.poll(), said)
            said += f"\nanswer: {answer.status} {answer.body[:1500]!r}"
            # An application that breaks off again is not what is looked for.
            broke_off = request.operation is not None and request.operation.path.endswith("redeliver") and answer.status == 502
            self.assertTrue(answer.status < 500 or broke_off, said)
            if request.operation is None:
                self.assertIn(answer.status, (400, 401, 404, 413, 431), said)
                self.assertEqual(list(SCHEMAS.problems({"$ref": "#/components/schemas/Problem"},
                                                       json.loads(answer.body or b"null"))) if request.method != "HEAD"
                                 else [], [], said)
            else:
                self.assertEqual(list(problems_of(request.operation, answer, request.method)), [], said)
            self.assertTrue(request.accepts(answer), f"wanted {request.wanted}; {said}")
            generator.learn(request, answer)
            statuses[answer.status] = statuses.get(answer.status, 0) + 1
        print(f"seed {SEED}: answers by status {dict(sorted(statuses.items()))}", file=sys.stderr)
        for status in (200, 201, 204, 400, 401, 404, 409, 413, 422, 431):
            self.assertIn(status, statuses, "the generator does not reach it")
        self.assertEqual(self.client.ask("GET", "/readyz").status, 200)
        self.assertEqual(json.loads(self.client.ask("POST", "/v1/verify", fields=[ADA]).body)["differences_total"], 0)


class TokenServed(Served):
    """With a token file; without periodic cleanups, so that runs are alike."""

    def __init__(self, binary):
        self.tokens = pathlib.Path(f"/tmp/oncegate-tokens-{id(self)}")
        self.tokens.write_text(TOKENS, encoding="utf-8")
        super().__init__(binary, "--durability", "async", "--cleanup-interval", "0s", "--control-token-file",
                         str(self.tokens))

    def __exit__(self, *args):
        super().__exit__(*args)
        self.tokens.unlink()
        if self.exit_code != 0:
            raise RuntimeError(f"the server ended with {self.exit_code}")


if __name__ == "__main__":
    unittest.main(argv=sys.argv[:1])
