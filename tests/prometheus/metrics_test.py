"""What monitoring sees of the real binary: metrics, events, alerts, dashboard.

usage: metrics_test.py ONCEGATE ROOT [unittest arguments]
"""

import hashlib
import hmac
import http.client
import http.server
import json
import pathlib
import re
import socket
import subprocess
import sys
import tempfile
import threading
import time
import unittest

ONCEGATE = ROOT = None
PATIENCE_S = 20  # for everything that somebody else has to do first
SECRET = "It's a Secret to Everybody"
TOKEN = "scraper"

# What the contract promises. Families by name, with their type.
PROMISED = {
    "oncegate_requests_total": "counter",
    "oncegate_request_duration_seconds": "histogram",
    "oncegate_upstream_duration_seconds": "histogram",
    "oncegate_records": "gauge",
    "oncegate_in_flight": "gauge",
    "oncegate_connections": "gauge",
    "oncegate_store_disk_bytes": "gauge",
    "oncegate_store_errors_total": "counter",
    "oncegate_cleanup_runs_total": "counter",
    "oncegate_cleanup_removed_total": "counter",
    "oncegate_cleanup_last_success_timestamp_seconds": "gauge",
    "oncegate_signature_failures_total": "counter",
    "oncegate_build_info": "gauge",
}
NAME = re.compile(r"\b(?:oncegate|process)_[a-z0-9_]+")
SAMPLE = re.compile(r"^([a-z_]+)(\{.*\})? (\S+)$", re.M)


def until(what, ready):
    """Waits for what somebody else does."""
    end = time.monotonic() + PATIENCE_S
    pause = threading.Event()
    while time.monotonic() < end:
        found = ready()
        if found:
            return found
        pause.wait(0.02)
    raise AssertionError(f"in vain: {what}")


class Application(http.server.ThreadingHTTPServer):
    """Answers 200, or as the X-Do field says: status=N; hold waits for the gate, hang-up never answers."""

    daemon_threads = True

    def __init__(self):
        self.gate = threading.Event()
        self.held = threading.Event()
        self.heads = []

        class Handler(http.server.BaseHTTPRequestHandler):
            protocol_version = "HTTP/1.1"
            application = self

            def log_message(self, *_):
                pass

            def answer(self):
                self.rfile.read(int(self.headers.get("Content-Length", 0)))
                self.application.heads.append(dict(self.headers.items()))
                what = self.headers.get("X-Do", "")
                if what == "hang-up":
                    self.close_connection = True
                    return
                status = int(what.removeprefix("status=")) if what.startswith("status=") else 200
                if what == "hold":
                    self.application.held.set()
                    self.application.gate.wait(PATIENCE_S)
                self.send_response(status)
                self.send_header("Content-Length", "2")
                self.end_headers()
                self.wfile.write(b"ok")

            do_GET = do_POST = answer

        super().__init__(("127.0.0.1", 0), Handler)
        threading.Thread(target=self.serve_forever, daemon=True).start()


class Oncegate:
    """The real binary, in front of an application, for deliveries of one provider."""

    def __init__(self, directory, *flags):
        self.directory = pathlib.Path(directory)
        self.application = Application()
        (self.directory / "secret").write_text(SECRET + "\n")
        (self.directory / "tokens").write_text(f"prometheus:read-only:{TOKEN}\nops:operator\n")
        self.log = open(self.directory / "log", "wb")
        self.process = subprocess.Popen(
            [ONCEGATE, "serve", "--listen", "127.0.0.1:0", "--control-listen", "127.0.0.1:0",
             "--control-token-file", self.directory / "tokens", "--data-dir", self.directory / "data",
             "--upstream", f"http://127.0.0.1:{self.application.server_port}", "--durability", "async",
             "--provider", "github", "--secret-file", self.directory / "secret", "--scope", "orders",
             "--log-format", "json", *flags],
            stdout=subprocess.PIPE, stderr=self.log, text=True)
        self.ports = {}
        while len(self.ports) < 2:
            line = self.process.stdout.readline()
            if not line:
                raise AssertionError((self.directory / "log").read_text())
            self.ports[line.split()[1]] = int(line.rsplit(":", 1)[1])

    def deliver(self, key, what="", body=b"{}", secret=SECRET, method="POST", fields=None):
        """(status, outcome)"""
        signature = hmac.new(secret.encode(), body, hashlib.sha256).hexdigest()
        connection = http.client.HTTPConnection("127.0.0.1", self.ports["gateway"], timeout=PATIENCE_S)
        connection.request(method, "/webhook", body if method == "POST" else None,
                           {"X-GitHub-Delivery": key, "X-GitHub-Event": "push", "X-Do": what,
                            "X-Hub-Signature-256": "sha256=" + signature, **(fields or {})})
        answer = connection.getresponse()
        answer.read()
        connection.close()
        return answer.status, answer.getheader("Oncegate-Outcome")

    def ask(self, target, method="GET", body=None, token="operator"):
        connection = http.client.HTTPConnection("127.0.0.1", self.ports["control"], timeout=PATIENCE_S)
        connection.request(method, target, body, {"Authorization": f"Bearer {token}"} if token else {})
        answer = connection.getresponse()
        text = answer.read().decode()
        connection.close()
        return answer, text

    def metrics(self):
        """Samples by their text: 'name{labels}'."""
        answer, text = self.ask("/metrics", token=TOKEN)
        assert answer.status == 200, text
        return {name + (labels or ""): float(value) for name, labels, value in SAMPLE.findall(text)}

    def stop(self):
        self.application.gate.set()
        self.process.terminate()
        code = self.process.wait(PATIENCE_S)
        self.process.stdout.close()
        self.log.close()
        self.application.shutdown()
        self.application.server_close()
        return code


class Scrape(unittest.TestCase):
    """One server for all; each test provokes what it asserts."""

    @classmethod
    def setUpClass(cls):
        cls.temporary = tempfile.TemporaryDirectory()
        cls.server = Oncegate(cls.temporary.name)

    @classmethod
    def tearDownClass(cls):
        code = cls.server.stop()
        cls.temporary.cleanup()
        assert code == 0, code

    def remove_one(self):
        """Has a record expire and be removed."""
        soon = json.dumps({"key": "short", "status": 200, "expires": int(time.time()) + 2})
        answer, text = self.server.ask("/v1/import?scope=orders", "POST", soon)
        self.assertIn('"imported":1', text)
        self.assertGreaterEqual(self.server.metrics()['oncegate_records{state="completed"}'], 1)
        until("its time is over and it is removed",
              lambda: json.loads(self.server.ask("/v1/cleanup", "POST")[1])["removed"] > 0)

    def grown(self, before, name):
        return self.server.metrics()[name] - before.get(name, 0)

    def test_every_promised_metric_has_its_type_and_help(self):
        answer, text = self.server.ask("/metrics", token=TOKEN)
        self.assertEqual(answer.getheader("Content-Type"), "text/plain; version=0.0.4; charset=utf-8")
        types = dict(re.findall(r"^# TYPE (\S+) (\S+)$", text, re.M))
        for name, kind in PROMISED.items():
            self.assertEqual(types.get(name), kind, name)
            self.assertRegex(text, rf"(?m)^# HELP {name} [A-Z].*\.$")
        self.assertEqual(len(types), len(re.findall(r"^# TYPE ", text, re.M)), "each family once")

    def test_metrics_need_the_token(self):
        for token, status in (("", 401), ("wrong", 401), (TOKEN, 200), ("operator", 200)):
            self.assertEqual(self.server.ask("/metrics", token=token)[0].status, status, token)
        self.assertEqual(self.server.ask("/v1/cleanup", "POST", token=TOKEN)[0].status, 401)

    def test_promtool_finds_nothing_to_say(self):
        text = self.server.ask("/metrics")[1]
        checked = subprocess.run(["promtool", "check", "metrics"], input=text, text=True, capture_output=True)
        self.assertEqual((checked.returncode, checked.stdout, checked.stderr), (0, "", ""))

    def test_requests_and_durations(self):
        before = self.server.metrics()
        self.assertEqual(self.server.deliver("requests"), (200, "executed"))
        self.assertEqual(self.server.deliver("requests"), (200, "replayed"))
        self.assertEqual(self.server.deliver("", method="GET"), (200, "passed"))
        connection = http.client.HTTPConnection("127.0.0.1", self.server.ports["gateway"], timeout=PATIENCE_S)
        connection.putrequest("GET", "/webhook", skip_host=True)
        connection.endheaders()
        self.assertEqual(connection.getresponse().status, 400)
        connection.close()
        claim = self.server.ask("/v1/claims", "POST", '{"scope":"jobs","key":"a"}')
        self.assertEqual(claim[0].status, 201, claim[1])
        for name, count in (
                ('oncegate_requests_total{scope="orders",outcome="executed"}', 1),
                ('oncegate_requests_total{scope="orders",outcome="replayed"}', 1),
                ('oncegate_requests_total{scope="orders",outcome="passed"}', 1),
                ('oncegate_requests_total{scope="~none",outcome="bad_request"}', 1),
                ('oncegate_requests_total{scope="jobs",outcome="executed"}', 1),
                ('oncegate_request_duration_seconds_count{outcome="replayed"}', 1),
                ('oncegate_request_duration_seconds_bucket{outcome="replayed",le="+Inf"}', 1),
                ('oncegate_request_duration_seconds_count{outcome="executed"}', 2),
                ("oncegate_upstream_duration_seconds_count", 2)):
            self.assertEqual(self.grown(before, name), count, name)
        self.assertGreater(self.grown(before, "oncegate_upstream_duration_seconds_sum"), 0)
        self.assertGreater(self.grown(before, 'oncegate_request_duration_seconds_sum{outcome="executed"}'), 0)
        self.assertGreater(self.grown(before, "oncegate_store_lookup_duration_seconds_count"), 1)
        latency = json.loads(self.server.ask("/v1/stats")[1])["latency"]
        for outcome in ("executed", "replayed"):
            parts = latency[outcome]
            self.assertTrue(0 < parts["p50"] <= parts["p95"] <= parts["p99"], latency)

    def test_what_is_under_way(self):
        self.server.application.gate.clear()
        held = threading.Thread(target=self.server.deliver, args=("held", "hold", b'{"held":1}'))
        held.start()
        self.assertTrue(self.server.application.held.wait(PATIENCE_S))
        metrics = self.server.metrics()
        self.assertEqual(metrics["oncegate_in_flight"], 1)
        self.assertGreaterEqual(metrics["oncegate_connections"], 1)
        self.assertGreaterEqual(metrics['oncegate_records{state="in_progress"}'], 1)
        self.server.application.gate.set()
        held.join()
        until("nothing is in flight", lambda: self.server.metrics()["oncegate_in_flight"] == 0)

    def test_signature_failures(self):
        name = 'oncegate_signature_failures_total{provider="github",reason="mismatch"}'
        self.assertIn('oncegate_signature_failures_total{provider="github",reason="missing"}', self.server.metrics())
        before = self.server.metrics()
        self.assertEqual(self.server.deliver("wrong", secret="another"), (401, "signature-invalid"))
        self.assertEqual(self.grown(before, name), 1)

    def test_unknown_outcomes(self):
        before = self.server.metrics()
        self.assertEqual(self.server.deliver("unknown", "hang-up", b'{"unknown":1}')[0], 502)
        self.assertEqual(self.grown(before, 'oncegate_records{state="unknown"}'), 1)

    def test_the_store(self):
        before = self.server.metrics()
        self.remove_one()
        metrics = self.server.metrics()
        self.assertGreater(self.grown(before, "oncegate_cleanup_runs_total"), 0)
        self.assertGreater(self.grown(before, "oncegate_cleanup_removed_total"), 0)
        self.assertLess(abs(time.time() - metrics["oncegate_cleanup_last_success_timestamp_seconds"]), 60)
        self.assertGreater(metrics["oncegate_store_disk_bytes"], 0)
        self.assertGreater(metrics["oncegate_store_free_bytes"], 0)
        self.assertEqual(metrics["oncegate_store_writable"], 1)

    def test_the_process(self):
        metrics = self.server.metrics()
        version = subprocess.run([ONCEGATE, "version"], capture_output=True, text=True).stdout.split()[1]
        self.assertEqual(metrics[f'oncegate_build_info{{version="{version}"}}'], 1)
        status = pathlib.Path(f"/proc/{self.server.process.pid}/status").read_text()
        resident = int(re.search(r"VmRSS:\s+(\d+)", status)[1]) * 1024
        self.assertAlmostEqual(metrics["process_resident_memory_bytes"] / resident, 1, delta=0.2)
        self.assertLess(abs(time.time() - metrics["process_start_time_seconds"]), 300)
        self.assertGreater(metrics["process_cpu_seconds_total"], 0)
        self.assertGreater(metrics["process_open_fds"], 10)

    def test_events(self):
        connection = http.client.HTTPConnection("127.0.0.1", self.server.ports["control"], timeout=PATIENCE_S)
        connection.request("GET", "/v1/events", headers={"Authorization": f"Bearer {TOKEN}"})
        answer = connection.getresponse()
        self.assertEqual(answer.getheader("Content-Type"), "text/event-stream")
        self.assertEqual([answer.readline(), answer.readline()], [b"retry: 2000\n", b"\n"])
        self.server.deliver("events", body=b'{"events":1}')
        self.assertEqual(answer.readline(), b"event: request\n")
        line = answer.readline().decode()
        event = json.loads(line.removeprefix("data: "))
        self.assertEqual(list(event), ["at", "scope", "key", "type", "outcome", "status", "duration_ms", "attempt",
                                       "source_ip"])
        self.assertRegex(event["at"], r"^\d{4}-\d\d-\d\dT\d\d:\d\d:\d\d\.\d{3}Z$")
        self.assertGreater(event.pop("duration_ms"), 0)
        del event["at"]
        self.assertEqual(event, {"scope": "orders", "key": "events", "type": "push", "outcome": "executed",
                                 "status": 200, "attempt": 1, "source_ip": "127.0.0.1"})
        connection.close()

    def test_log_lines_have_the_promised_events_and_messages_and_the_trace_but_no_secrets(self):
        trace = "4bf92f3577b34da6a3ce929d0e0e4736"
        traced = {"fields": {"traceparent": f"00-{trace}-00f067aa0ba902b7-01", "Authorization": "Basic c2VjcmV0"}}
        body = b'{"body":"of the request"}'
        self.server.deliver("logged", body=body, **traced)
        self.server.deliver("logged", body=body, **traced)
        self.server.deliver("logged", body=body, secret="another", **traced)
        self.server.deliver("logged-unknown", "hang-up", b'{"logged":1}', **traced)
        self.server.deliver("logged-released", "status=500", b'{"logged":2}', **traced)
        wanted = {  # event: how its message begins
            "started": "started", "cache_hit": "idempotency cache hit", "key_new": "idempotency key is new",
            "cleanup_completed": "idempotency cleanup completed", "error": "error in idempotency ",
            "unknown_held": "", "released": ""}

        def lines():
            text = (self.server.directory / "log").read_text()
            return [json.loads(line) for line in text.splitlines(keepends=True) if line.endswith("\n")]

        until("the last of them is written", lambda: any(line.get("key") == "logged-released" and
                                                         line["event"] == "released" for line in lines()))
        self.server.ask("/v1/cleanup", "POST")
        until("and the cleanup", lambda: any(line["event"] == "cleanup_completed" for line in lines()))
        for event, message in wanted.items():
            self.assertTrue(any(line["event"] == event and line["message"].startswith(message) for line in lines()),
                            event)
        traced_events = {line["event"] for line in lines() if line.get("trace") == trace}
        self.assertEqual(traced_events, {"key_new", "cache_hit", "warning", "error", "unknown_held", "released"})
        text = (self.server.directory / "log").read_text()
        for secret in ("of the request", "c2VjcmV0", SECRET, TOKEN, "sha256="):
            self.assertNotIn(secret, text)

    def test_alerts_and_dashboard_name_only_metrics_that_exist(self):
        text = self.server.ask("/metrics")[1]
        exist = {name for name, _, _ in SAMPLE.findall(text)}
        alerts = (ROOT / "data/prometheus/alerts.yml").read_text()
        dashboard = json.loads((ROOT / "data/grafana/oncegate.json").read_text())
        queries = [target["expr"] for panel in dashboard["panels"] for target in panel.get("targets", [])]
        self.assertGreater(len(queries), 10)
        self.assertEqual(len({panel["id"] for panel in dashboard["panels"]}), len(dashboard["panels"]))
        for where, used in (("alerts", NAME.findall(alerts)), ("dashboard", NAME.findall("\n".join(queries)))):
            self.assertGreater(len(used), 10, where)
            self.assertEqual(set(used) - exist, set(), where)
        # What the contract promises is watched or shown.
        watched = alerts + "\n".join(queries)
        for name in PROMISED:
            self.assertIn(name, watched)

    def test_prometheus_scrapes_it_and_evaluates_the_alerts(self):
        self.server.deliver("scraped", body=b'{"scraped":1}')
        self.server.deliver("scraped-unknown", "hang-up", b'{"scraped":2}')
        with socket.socket() as free:
            free.bind(("127.0.0.1", 0))
            port = free.getsockname()[1]
        directory = pathlib.Path(self.temporary.name)
        (directory / "prometheus.yml").write_text(f"""
global: {{scrape_interval: 200ms, scrape_timeout: 200ms, evaluation_interval: 200ms}}
rule_files: [{ROOT}/data/prometheus/alerts.yml]
scrape_configs:
  - job_name: oncegate
    authorization: {{credentials: {TOKEN}}}
    static_configs: [{{targets: ["127.0.0.1:{self.server.ports['control']}"]}}]
""")
        prometheus = subprocess.Popen(
            ["prometheus", f"--config.file={directory}/prometheus.yml", f"--storage.tsdb.path={directory}/tsdb",
             f"--web.listen-address=127.0.0.1:{port}", "--log.level=error"], stderr=subprocess.PIPE, text=True)

        def ask(target):
            try:
                connection = http.client.HTTPConnection("127.0.0.1", port, timeout=PATIENCE_S)
                connection.request("GET", target)
                return json.loads(connection.getresponse().read())["data"]
            except (OSError, http.client.HTTPException, ValueError):
                self.assertIsNone(prometheus.poll(), "prometheus ended")
                return None
            finally:
                connection.close()

        try:
            sample = until("a sample", lambda: (ask(
                "/api/v1/query?query=oncegate_requests_total%7Boutcome%3D%22executed%22%2Cscope%3D%22orders%22%7D")
                or {}).get("result"))
            self.assertGreaterEqual(float(sample[0]["value"][1]), 1)
            self.assertEqual(ask("/api/v1/targets")["activeTargets"][0]["health"], "up")

            def evaluated():
                rules = (ask("/api/v1/rules") or {"groups": []})["groups"]
                rules = [rule for group in rules for rule in group["rules"]]
                return rules if rules and all(rule["health"] != "unknown" for rule in rules) else None

            rules = {rule["name"]: rule for rule in until("the alerts are evaluated", evaluated)}
            for name, rule in rules.items():
                self.assertEqual(rule["health"], "ok", f"{name}: {rule.get('lastError')}")
            self.assertGreater(len(rules), 10)
            until("the unknown outcome is noticed", lambda: any(
                alert["labels"]["alertname"] == "OncegateOutcomesUnknown" for alert in ask("/api/v1/alerts")["alerts"]))
        finally:
            prometheus.terminate()
            prometheus.wait(PATIENCE_S)
            prometheus.stderr.close()


class Shadow(unittest.TestCase):
    def test_what_would_have_been_done(self):
        with tempfile.TemporaryDirectory() as directory:
            server = Oncegate(directory, "--dedupe", "shadow")
            self.assertEqual(server.deliver("a"), (200, "passed"))
            until("it is remembered", lambda: server.metrics()['oncegate_records{state="completed"}'] == 1)
            self.assertEqual(server.deliver("a"), (200, "passed"))
            metrics = server.metrics()
            for decision in ("would_execute", "would_replay"):
                name = f'oncegate_shadow_decisions_total{{scope="orders",decision="{decision}"}}'
                self.assertEqual(metrics[name], 1, decision)
            self.assertEqual(server.stop(), 0)


class StoreErrors(unittest.TestCase):
    def test_a_store_whose_directory_is_gone(self):
        with tempfile.TemporaryDirectory() as directory:
            server = Oncegate(directory)
            self.assertEqual(server.metrics()["oncegate_store_writable"], 1)
            self.assertEqual(server.metrics()["oncegate_store_errors_total"], 0)
            (server.directory / "data").rename(server.directory / "away")
            keys = iter(range(1_000_000))

            def refused():
                key = str(next(keys))
                return server.deliver(key, body=key.encode()) == (503, "store-unavailable")

            until("a claim is refused", refused)
            metrics = server.metrics()
            self.assertGreater(metrics["oncegate_store_errors_total"], 0)
            self.assertEqual(metrics["oncegate_store_writable"], 0)
            self.assertGreater(metrics['oncegate_requests_total{scope="orders",outcome="store_unavailable"}'], 0)
            (server.directory / "away").rename(server.directory / "data")
            until("it is as before", lambda: server.metrics()["oncegate_store_writable"] == 1)
            self.assertEqual(server.stop(), 0)


if __name__ == "__main__":
    ONCEGATE, ROOT = pathlib.Path(sys.argv[1]), pathlib.Path(sys.argv[2])
    unittest.main(argv=[sys.argv[0], *sys.argv[3:]])
