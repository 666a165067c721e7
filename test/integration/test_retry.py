"""The schedule of retries, dead letters, disabling, Retry-After, and restarts in between."""

import email.utils
import json
import time
import unittest

from kit import scripted
from kit.case import Case, event

LATE_S = 0.25
TRACE = "00-4bf92f3577b34da6a3ce929d0e0e4736-00f067aa0ba902b7-01"
NO_RETRIES = {"retry_schedule": "10ms", "disable_after": 10}


def by_delivery(requests):
    found = {}
    for request in requests:
        found.setdefault(request.delivery, []).append(request)
    return found


class RetryCase(Case):
    def setUp(self):
        super().setUp()
        self.start_redis()
        self.receiver = self.start_receiver()

    def subscribe(self, path="/hook", rule=None, **members):
        webhook = self.daemon.create_webhook(self.receiver.url(path), **members)
        self.secret = webhook["secret"]
        kept = dict(rule or {"status": 500}, keep=True)
        self.receiver.rule(path, secret=webhook["secret"], **kept)
        return webhook


class Schedule(RetryCase):
    def check_delays(self, attempts, delays_s):
        """No attempt early, none late; from the answer of one to the arrival of the next."""
        for before, after, delay_s in zip(attempts, attempts[1:], delays_s):
            passed = after.at - before.answered_at
            self.assertGreaterEqual(passed, delay_s - 0.002)
            self.assertLessEqual(passed, delay_s + LATE_S)

    def test_five_attempts_none_early_none_late(self):
        self.daemon = self.start_daemon(retry_schedule="1s,2s,3s,4s", disable_after=0)
        self.subscribe()
        self.subscribe("/last", rule={"statuses": [500, 404, 302, 429, 204]})
        n_events = 100
        self.redis.add_many([event(n, traceparent=TRACE) for n in range(n_events)])
        self.wait_requests(self.receiver, 10 * n_events, 30)
        self.wait_settled(self.daemon)
        requests = self.receiver.requests()
        self.assert_clean(requests)
        self.assertEqual(len(requests), 10 * n_events)
        for attempts in by_delivery(requests).values():
            self.assertEqual([r.attempt for r in attempts], [1, 2, 3, 4, 5])
            self.assertEqual(len({r.digest for r in attempts}), 1)
            self.assertEqual({r.headers.get("traceparent") for r in attempts}, {TRACE})
            self.check_delays(attempts, [1, 2, 3, 4])
        self.check_records(n_events)
        metrics = self.daemon.metrics()
        self.assertEqual(metrics.value("hookwheel_deliveries_total", status="delivered"), n_events)
        self.assertEqual(metrics.value("hookwheel_deliveries_total", status="dead_letter"),
                         n_events)
        self.assertEqual(metrics.value("hookwheel_retry_lateness_seconds_count"), 8 * n_events)

    def check_records(self, n_events):
        dead = self.daemon.deliveries(status="dead_letter")
        self.assertEqual(len(dead), n_events)
        self.assertEqual({d["attempts"] for d in dead}, {5})
        self.assertEqual({d["error"]["kind"] for d in dead}, {"http_status"})
        delivered = self.daemon.deliveries(status="delivered")
        self.assertEqual(len(delivered), n_events)
        whole = self.daemon.delivery(delivered[0]["id"])
        self.assertEqual([a["response_code"] for a in whole["attempt_log"]],
                         [500, 404, 302, 429, 204])
        self.assertEqual([a["number"] for a in whole["attempt_log"]], [1, 2, 3, 4, 5])
        self.assertIsNone(whole["error"])
        self.assertEqual(whole["response_code"], 204)

    def test_state_between_attempts(self):
        self.daemon = self.start_daemon(retry_schedule="1h")
        self.subscribe(rule={"status": 503, "body": "busy", "headers": {"x-why": "busy"}})
        self.redis.add(event(1))
        delivery, = self.wait_delivery(self.daemon, "failed")
        self.assertEqual((delivery["attempts"], delivery["response_code"]), (1, 503))
        whole = self.daemon.delivery(delivery["id"])
        attempt, = whole["attempt_log"]
        self.assertEqual(attempt["response_body"], "busy")
        self.assertEqual(attempt["response_headers"]["x-why"], "busy")
        self.assertEqual(self.daemon.metric("hookwheel_retries_scheduled"), 1)

    def test_jitter_only_adds(self):
        self.daemon = self.start_daemon(retry_schedule="500ms", retry_jitter="1", disable_after=0)
        self.subscribe()
        self.redis.add_many([event(n) for n in range(100)])
        self.wait_requests(self.receiver, 200, 20)
        passed = [attempts[1].at - attempts[0].answered_at
                  for attempts in by_delivery(self.receiver.requests()).values()]
        self.assertGreaterEqual(min(passed), 0.498)
        self.assertLessEqual(max(passed), 1.0 + LATE_S)
        self.assertGreater(max(passed) - min(passed), 0.2)

    def test_no_retries_at_all(self):
        self.daemon = self.start_daemon(retry_schedule="none")
        self.subscribe()
        self.redis.add(event(1))
        delivery, = self.wait_delivery(self.daemon, "dead_letter")
        self.assertEqual(delivery["attempts"], 1)


class Restart(RetryCase):
    def test_schedule_goes_on_where_it_was(self):
        """One retry falls due while nothing runs, the other long after the second start."""
        settings = {"retry_schedule": "1s,4s", "disable_after": 0}
        self.daemon = self.start_daemon(**settings)
        self.subscribe()
        self.redis.add_many([event(n, traceparent=TRACE) for n in range(20)])
        self.wait_requests(self.receiver, 40, 20)  # the second attempts: the third in 4 s
        self.redis.add_many([event(n, traceparent=TRACE) for n in range(20, 40)])
        self.wait_delivery(self.daemon, "failed", n=40)
        self.daemon.terminate()
        ends = time.monotonic()
        second_due = max(r.answered_at for r in self.receiver.requests()) + 1
        self.wait_until(lambda: time.monotonic() > second_due + 0.2, 5, "a retry is overdue")
        self.assertEqual(self.receiver.count(), 60)
        self.daemon.start()
        starts = time.monotonic()
        self.wait_requests(self.receiver, 100, 20)
        requests = self.receiver.requests()
        self.assert_clean(requests)
        for attempts in by_delivery(requests).values():
            numbers = [r.attempt for r in attempts]
            self.assertEqual(numbers, list(range(1, len(numbers) + 1)))
            self.assertEqual({r.headers.get("traceparent") for r in attempts}, {TRACE})
            for before, after in zip(attempts, attempts[1:]):
                due = before.answered_at + (1 if before.attempt == 1 else 4)
                latest = max(due, starts if ends < due + LATE_S else due) + LATE_S
                self.assertGreaterEqual(after.at, due - 0.002)
                self.assertLessEqual(after.at, latest)
        self.wait_delivery(self.daemon, "dead_letter", n=40)

    def test_kill_in_mid_schedule_forgets_nothing(self):
        self.daemon = self.start_daemon(retry_schedule="300ms,600ms,900ms,900ms", disable_after=0)
        self.subscribe(rule={"statuses": [500, 500, 500, 500, 204]})
        self.redis.add_many([event(n) for n in range(200)])
        for n in (250, 450, 650):
            self.wait_requests(self.receiver, n, 20)
            self.daemon.kill_hard()
            self.daemon.start()
        self.wait_delivery(self.daemon, "delivered", n=200)
        requests = self.receiver.requests()
        self.assert_clean(requests)
        for attempts in by_delivery(requests).values():
            self.assertEqual(sorted({r.attempt for r in attempts}), [1, 2, 3, 4, 5])
            for before, after in zip(attempts, attempts[1:]):
                if after.attempt > before.attempt:
                    delay_s = [0.3, 0.6, 0.9, 0.9][before.attempt - 1]
                    self.assertGreaterEqual(after.at - before.answered_at, delay_s - 0.002)


class Disabling(RetryCase):
    def is_disabled(self, webhook):
        return self.daemon.webhook(webhook)["status"] == "disabled"

    def send_and_wait(self, numbers, status):
        """One after the other, so that the order of their ends is known."""
        for n in numbers:
            entry = event(n, id="e{}".format(n))
            self.redis.add(entry)
            self.wait_delivery(self.daemon, status, event_id=entry["id"])

    def test_ten_in_a_row_disable(self):
        self.daemon = self.start_daemon(**NO_RETRIES)
        webhook = self.subscribe(event_types=["order.created"])
        watcher = self.subscribe("/watcher", rule={"status": 204},
                                 event_types=["webhook.disabled"])
        self.send_and_wait(range(9), "dead_letter")
        self.assertEqual(self.daemon.webhook(webhook)["consecutive_failures"], 9)
        self.assertEqual(self.daemon.webhook(webhook)["status"], "active")
        self.send_and_wait([9], "dead_letter")
        self.wait_until(lambda: self.is_disabled(webhook), 5, "the webhook is disabled")
        seen = self.daemon.webhook(webhook)
        self.assertEqual(seen["disabled_reason"], "Disabled after repeated delivery failures")
        self.assertIsNotNone(seen["disabled_at"])
        self.assertIsNotNone(seen["disabled_cursor"])

        n_before = len(self.receiver.requests("/hook"))
        self.assertEqual(n_before, 20)
        self.redis.add(event(10, id="late"))
        self.wait_until(lambda: self.daemon.metric("hookwheel_events_accepted_total") >= 11, 10,
                        "the event is accepted")
        self.wait_until(lambda: self.receiver.requests("/watcher"), 10, "webhook.disabled arrives")
        self.assertEqual(self.daemon.deliveries(event_id="late"), [])
        self.assertEqual(len(self.receiver.requests("/hook")), n_before)

        notice, = self.receiver.requests("/watcher")
        record = json.loads(notice.body)
        self.assertEqual(record["type"], "webhook.disabled")
        self.assertEqual(record["account"], "default")
        self.assertIn(webhook["id"], json.dumps(record["data"]))
        self.assertIn(webhook["url"], json.dumps(record["data"]))
        self.assertIn("Disabled after repeated delivery failures", json.dumps(record["data"]))
        self.assertEqual(self.daemon.webhook(watcher)["status"], "active")
        self.assertEqual(self.daemon.metrics().total("hookwheel_webhooks_disabled_total"), 1)
        self.assertEqual(self.daemon.metric("hookwheel_webhooks", status="disabled"), 1)

    def test_a_success_resets_the_count(self):
        self.daemon = self.start_daemon(**NO_RETRIES)
        webhook = self.subscribe()
        self.send_and_wait(range(9), "dead_letter")
        self.receiver.rule(secret=self.secret)
        self.send_and_wait([9], "delivered")
        self.assertEqual(self.daemon.webhook(webhook)["consecutive_failures"], 0)
        self.receiver.rule(secret=self.secret, status=500)
        self.send_and_wait(range(10, 19), "dead_letter")
        seen = self.daemon.webhook(webhook)
        self.assertEqual((seen["status"], seen["consecutive_failures"]), ("active", 9))
        self.assertIn("last_delivery_at", seen)
        self.send_and_wait([19], "dead_letter")
        self.wait_until(lambda: self.is_disabled(webhook), 5, "the webhook is disabled")

    def test_the_count_outlives_a_restart(self):
        self.daemon = self.start_daemon(**NO_RETRIES)
        webhook = self.subscribe()
        self.send_and_wait(range(6), "dead_letter")
        self.daemon.kill_hard()
        self.daemon.start()
        self.send_and_wait(range(6, 10), "dead_letter")
        self.wait_until(lambda: self.is_disabled(webhook), 5, "the webhook is disabled")

    def test_what_waits_for_a_disabled_webhook_dies_with_it(self):
        self.daemon = self.start_daemon(retry_schedule="1s", disable_after=1)
        webhook = self.subscribe(max_in_flight=4)
        n_events = 3000
        self.redis.add_many([event(n) for n in range(n_events)])
        self.wait_until(lambda: self.is_disabled(webhook), 30, "the webhook is disabled")
        self.wait_delivery(self.daemon, "dead_letter", n=n_events, deadline_s=60)
        kinds = [d["error"]["kind"] for d in self.daemon.deliveries(status="dead_letter")]
        self.assertEqual(set(kinds), {"http_status", "webhook_disabled"})
        self.wait_settled(self.daemon)
        dropped = self.daemon.metric("hookwheel_deliveries_dropped_total",
                                     reason="webhook_disabled")
        self.assertEqual(dropped, kinds.count("webhook_disabled"))
        self.assertLess(len([r for r in self.receiver.requests() if r.attempt == 2]), 20)

    def test_410_disables_at_once(self):
        self.daemon = self.start_daemon(retry_schedule="1s")
        webhook = self.subscribe(rule={"status": 410})
        self.redis.add(event(1))
        delivery, = self.wait_delivery(self.daemon, "dead_letter")
        self.assertEqual((delivery["error"]["kind"], delivery["attempts"],
                          delivery["response_code"]), ("http_status", 1, 410))
        self.wait_until(lambda: self.is_disabled(webhook), 5, "the webhook is disabled")
        self.assertEqual(self.daemon.webhook(webhook)["disabled_reason"],
                         "Endpoint returned 410 Gone")

    def test_never_where_the_setting_is_0(self):
        self.daemon = self.start_daemon(retry_schedule="1ms", disable_after=0)
        webhook = self.subscribe()
        self.redis.add_many([event(n) for n in range(50)])
        self.wait_delivery(self.daemon, "dead_letter", n=50)
        self.assertEqual(self.daemon.webhook(webhook)["status"], "active")

    def test_deleted_webhook_gets_nothing_more(self):
        self.daemon = self.start_daemon(retry_schedule="1s,1h")
        webhook = self.subscribe(rule={"status": 500, "delay_s": 0.1}, max_in_flight=2)
        self.redis.add_many([event(n) for n in range(500)])
        self.wait_requests(self.receiver, 10, 10)
        self.daemon.expect(204, "DELETE", "/v1/webhooks/" + webhook["id"])
        self.daemon.expect(404, "GET", "/v1/webhooks/" + webhook["id"])
        self.wait_settled(self.daemon)
        n_requests = self.receiver.count()
        self.redis.add(event(1))
        self.wait_until(lambda: self.daemon.metric("hookwheel_events_accepted_total") == 501, 10,
                        "the event is accepted")
        self.assertEqual(self.receiver.count(), n_requests)
        self.assertLess(n_requests, 100)
        dropped = self.daemon.metric("hookwheel_deliveries_dropped_total", reason="webhook_deleted")
        self.assertGreater(dropped, 400)


class RetryAfter(RetryCase):
    def passed(self, requests):
        return requests[1].at - requests[0].answered_at

    def one_retry(self, rule):
        self.daemon = self.start_daemon(retry_schedule="500ms,4s")
        self.subscribe(rule=dict(rule, statuses=[rule.pop("first", 429), 204]))
        self.redis.add(event(1))
        self.wait_requests(self.receiver, 2, 15)
        return self.passed(self.receiver.requests())

    def test_seconds_move_it_later(self):
        passed = self.one_retry({"headers": {"retry-after": "2"}})
        self.assertTrue(1.998 <= passed <= 2.0 + LATE_S, passed)

    def test_a_date_too(self):
        at = time.time() + 3
        passed = self.one_retry({"first": 503,
                                 "headers": {"retry-after": email.utils.formatdate(at, usegmt=True)}})
        self.assertTrue(1.5 <= passed <= 3.0 + LATE_S, passed)

    def test_never_earlier(self):
        passed = self.one_retry({"headers": {"retry-after": "0"}})
        self.assertTrue(0.498 <= passed <= 0.5 + LATE_S, passed)

    def test_no_later_than_the_last_delay(self):
        passed = self.one_retry({"headers": {"retry-after": "3600"}})
        self.assertTrue(3.998 <= passed <= 4.0 + LATE_S, passed)

    def test_only_of_429_and_503(self):
        passed = self.one_retry({"first": 500, "headers": {"retry-after": "3"}})
        self.assertTrue(0.498 <= passed <= 0.5 + LATE_S, passed)

    def test_others_of_the_webhook_wait_with_it(self):
        self.daemon = self.start_daemon(retry_schedule="500ms,3s")
        self.subscribe(rule={"status": 429, "headers": {"retry-after": "2"}})
        other = self.daemon.create_webhook(self.receiver.url("/other"))
        self.receiver.rule("/other", secret=other["secret"])
        self.redis.add(event(0))
        self.wait_delivery(self.daemon, "failed")
        self.receiver.rule(secret=self.secret)
        self.redis.add_many([event(n) for n in range(1, 21)])
        self.wait_requests(self.receiver, 2 + 20 + 20 + 1, 15)
        first, *rest = self.receiver.requests("/hook")
        self.assertGreaterEqual(min(r.at for r in rest), first.answered_at + 1.998)
        others = [r.at for r in self.receiver.requests("/other")]
        self.assertLess(max(others), first.answered_at + 1.998)


class Timeout(Case):
    def test_of_the_answer_after_ten_seconds(self):
        """With the default; one that sends nothing, one that drips, one that says 100 for ever."""
        self.start_redis()
        daemon = self.start_daemon(retry_schedule="1h")

        def nothing(connection):
            connection.read_request()
            connection.wait_for_close()

        def drip(connection):
            connection.read_request()
            connection.send(b"HTTP/1.1 200 OK\r\nx: ")
            connection.drip(b"y" * 1000, pause_s=0.2)

        def interim(connection):
            connection.read_request()
            for _ in range(7):
                connection.send(b"HTTP/1.1 102 Processing\r\n\r\n")
                connection.wait(1.4)
            connection.wait_for_close()

        receivers = [self.start_scripted(script) for script in (nothing, drip, interim)]
        for receiver in receivers:
            daemon.create_webhook(receiver.url())
        self.redis.add(event(1))
        found = self.wait_delivery(daemon, "failed", n=3, deadline_s=15)
        for delivery in found:
            self.assertEqual((delivery["error"]["kind"], delivery["error"]["phase"]),
                             ("timeout", "response"))
            attempt, = daemon.delivery(delivery["id"])["attempt_log"]
            self.assertTrue(10000 <= attempt["duration_ms"] <= 10300, attempt)
        self.assertEqual(daemon.metric("hookwheel_attempts_total", result="timeout"), 3)

    def test_just_in_time_is_a_success(self):
        self.start_redis()
        daemon = self.start_daemon(timeout="2s", retry_schedule="1h")

        def late(connection):
            connection.read_request()
            connection.wait(1.6)
            connection.send(scripted.OK)
        daemon.create_webhook(self.start_scripted(late).url())
        self.redis.add(event(1))
        delivery, = self.wait_delivery(daemon, "delivered")
        attempt, = daemon.delivery(delivery["id"])["attempt_log"]
        self.assertTrue(1600 <= attempt["duration_ms"] < 2000, attempt)


if __name__ == "__main__":
    unittest.main()
