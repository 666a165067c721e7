"""/healthz, /readyz, /metrics; the log; the service manager."""

import json
import os
import shutil
import socket
import subprocess
import unittest

from kit.case import Case, event

NAMES = """
events_accepted_total events_rejected_total events_deduplicated_total attempts_total
attempt_duration_seconds_count attempt_phase_seconds_count delivery_latency_seconds_count
retry_lateness_seconds_count deliveries_total deliveries_dropped_total deliveries_in_flight
deliveries_waiting oldest_waiting_seconds retries_scheduled webhooks webhooks_disabled_total
stream_lag stream_pending takeovers_total connections_open connections_opened_total
connections_reused_total tls_handshakes_total dns_lookups_total redis_connected redis_durability
redis_memory_bytes redis_reconnects_total redis_command_duration_seconds_count
loop_lag_seconds_count http_requests_total build_info
""".split()

LABELS = {
    "events_rejected_total": [("reason", one) for one in (
        "missing_field", "bad_type", "bad_account", "bad_id", "bad_subject", "bad_level",
        "bad_timestamp", "bad_json", "too_large", "too_deep", "duplicate_field", "poison")],
    "attempts_total": [("result", one) for one in (
        "success", "http_status", "timeout", "dns", "connect", "tls", "protocol",
        "refused_address")],
    "attempt_phase_seconds_count": [("phase", one) for one in (
        "dns", "connect", "tls", "first_byte")],
    "deliveries_total": [("status", "delivered"), ("status", "dead_letter")],
    "webhooks": [("status", "active"), ("status", "paused"), ("status", "disabled")],
    "tls_handshakes_total": [("kind", "full"), ("kind", "resumed")],
    "redis_durability": [("level", one) for one in ("always", "everysec", "none", "unknown")],
}


class Metrics(Case):
    def setUp(self):
        super().setUp()
        self.start_redis()
        self.daemon = self.start_daemon()

    def test_all_are_there_from_the_start(self):
        metrics = self.daemon.metrics()
        for name in NAMES:
            self.assertTrue(metrics.has("hookwheel_" + name), name)
            for label, value in LABELS.get(name, []):
                metrics.value("hookwheel_" + name, **{label: value})
        for name in ("cpu_seconds_total", "resident_memory_bytes", "open_fds",
                     "start_time_seconds"):
            self.assertTrue(metrics.has("process_" + name), name)
        self.assertEqual(metrics.value("hookwheel_redis_connected"), 1)

    def test_format(self):
        reply = self.daemon.call("GET", "/metrics", token=None)
        self.assertTrue(reply.headers["content-type"].startswith("text/plain; version=0.0.4"))
        if shutil.which("promtool") is None:
            self.skipTest("promtool is not installed")
        done = subprocess.run(["promtool", "check", "metrics"], input=reply.body, check=False,
                              stdout=subprocess.PIPE, stderr=subprocess.STDOUT)
        self.assertEqual((done.returncode, done.stdout.decode()), (0, ""))

    def test_what_they_count(self):
        receiver = self.start_receiver()
        webhook = self.daemon.create_webhook(receiver.url())
        receiver.rule(secret=webhook["secret"])
        self.redis.add_many([event(n) for n in range(10)])
        self.wait_requests(receiver, 10, 10)
        self.wait_settled(self.daemon)
        metrics = self.daemon.metrics()
        expected = {"events_accepted_total": 10, "deliveries_in_flight": 0, "stream_lag": 0,
                    "stream_pending": 0, "delivery_latency_seconds_count": 10,
                    "attempt_duration_seconds_count": 10}
        for name, value in expected.items():
            self.assertEqual(metrics.value("hookwheel_" + name), value, name)
        self.assertEqual(metrics.value("hookwheel_webhooks", status="active"), 1)
        self.assertLess(metrics.value("hookwheel_delivery_latency_seconds_sum"), 10 * 5)
        self.assertGreater(metrics.value("hookwheel_redis_memory_bytes"), 100000)
        self.assertGreater(metrics.total("hookwheel_tls_handshakes_total"), 0)

    def test_help_says_whose_a_gauge_is(self):
        text = self.daemon.metrics().text
        kinds = {line.split(" ")[2]: line.split(" ")[3] for line in text.splitlines()
                 if line.startswith("# TYPE hookwheel_")}
        for line in text.splitlines():
            name = line.split(" ")[2] if line.startswith("# HELP hookwheel_") else None
            if name and kinds[name] == "gauge" and not name.endswith(("build_info",)):
                self.assertRegex(line.lower(), "instance|installation", name)

    def test_no_label_of_a_webhook(self):
        receiver = self.start_receiver()
        webhook = self.daemon.create_webhook(receiver.url("/some/path"))
        self.daemon.webhook(webhook)
        text = self.daemon.metrics().text
        self.assertNotIn(webhook["id"], text)
        self.assertNotIn("/some/path", text)


class Doors(Case):
    def test_ops_on_an_address_of_its_own(self):
        self.start_redis()
        daemon = self.start_daemon(ops_listen="127.0.0.1:0")
        for path in ("/healthz", "/readyz", "/metrics"):
            self.assertEqual(daemon.call("GET", path, token=None, door="ops").status, 200)
            self.assertEqual(daemon.call("GET", path, door="api").status, 404)
        self.assertEqual(daemon.call("GET", "/v1/webhooks", door="ops").status, 404)
        self.assertEqual(daemon.call("GET", "/v1/webhooks", door="api").status, 200)

    def test_ipv6(self):
        self.start_redis()
        daemon = self.start_daemon("listening", listen="[::1]:0")
        self.assertTrue(daemon.addresses["api"].startswith("[::1]:"))
        daemon.wait_ready()


class Log(Case):
    def test_each_line_is_one_object_without_secrets(self):
        self.start_redis()
        receiver = self.start_receiver()
        daemon = self.start_daemon(log_level="debug")
        webhook = daemon.create_webhook(receiver.url("/path?key=topsecret"))
        receiver.rule("/path?key=topsecret", secret=webhook["secret"], status=500)
        self.redis.add(event(payload='{"card":"4111111111111111"}'))
        self.redis.add({"type": "bad type", "payload": '"4111111111111111"'})
        self.wait_requests(receiver, 1, 10)
        self.wait_until(lambda: daemon.events("event_rejected"), 10, "the rejection is logged")
        daemon.terminate()
        for line in daemon.log().splitlines():
            self.assertEqual(sorted(json.loads(line))[:0], [])
            self.assertIn("time", json.loads(line))
        for secret in (webhook["secret"], "4111111111111111", daemon.settings["api_token"],
                       "topsecret"):
            self.assertNotIn(secret, daemon.log())

    def test_rejections_are_not_a_flood(self):
        self.start_redis()
        daemon = self.start_daemon()
        self.redis.add_many([{"type": "a"} for _ in range(2000)])
        self.wait_until(lambda: daemon.metrics().total("hookwheel_events_rejected_total") == 2000,
                        20, "all are rejected")
        self.assertLess(len(daemon.events("event_rejected")), 50)

    def test_text(self):
        self.start_redis()
        daemon = self.make_daemon(log_format="text")
        daemon.start(wait=None)
        self.wait_until(lambda: "ready" in daemon.log(), 20, "it is ready")
        for line in daemon.log().splitlines():
            self.assertRegex(line, r"^\d{4}-\d\d-\d\dT\d\d:\d\d:\d\d\.\d{3}Z (debug|info|warn|error) ")


class ServiceManager(Case):
    def test_readiness_is_notified(self):
        self.start_redis()
        path = self.path("notify")
        with socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM) as manager:
            manager.bind(path)
            manager.settimeout(20)
            os.environ["NOTIFY_SOCKET"] = path
            try:
                daemon = self.start_daemon()
            finally:
                del os.environ["NOTIFY_SOCKET"]
            self.assertIn(b"READY=1", manager.recv(4096))
            daemon.terminate()
            self.assertIn(b"STOPPING=1", manager.recv(4096))


if __name__ == "__main__":
    unittest.main()
