"""Names: answers kept by their time to live, one question at a time, failures told apart."""

import time
import unittest

from kit import names
from kit.case import Case, event
from kit.scripted import OK, always, once


class Names(Case):
    def setUp(self):
        super().setUp()
        self.start_redis()
        self.server = names.NameServer()
        self.addCleanup(self.server.close)
        with open(self.path("hosts"), "w", encoding="ascii") as file:
            file.write("127.0.0.1 localhost listed.example.test\n")
        self.daemon = self.start_daemon(dns_servers=self.server.address, timeout="3s",
                                        hosts_file=self.path("hosts"), retry_schedule="1h")

    def receiver(self, name, script=None):
        return self.start_scripted(script or once(OK), host=name + ".example.test")

    def send(self, webhook, status, n=0, **more):
        """One event for it, and how it went."""
        name = "e{}_{}".format(webhook["id"], n)
        self.redis.add(event(n, id=name, **more))
        delivery, = self.wait_delivery(self.daemon, status, event_id=name,
                                       webhook_id=webhook["id"])
        return delivery

    def test_answer_is_kept_for_its_time(self):
        self.server.answer("a.example.test", ["127.0.0.1"], ttl_s=60)
        self.server.answer("b.example.test", ["127.0.0.1"], ttl_s=1)
        long = self.daemon.create_webhook(self.receiver("a").url(), event_types=["a"])
        short = self.daemon.create_webhook(self.receiver("b").url(), event_types=["b"])
        for n in range(5):
            self.send(long, "delivered", n, type="a")
        self.assertEqual(self.server.asked("a.example.test"), 1)
        self.send(short, "delivered", 0, type="b")
        asked_at = time.monotonic()
        self.assertEqual(self.server.asked("b.example.test"), 1)
        self.wait_until(lambda: time.monotonic() > asked_at + 1.1, 5, "its second is over")
        self.send(short, "delivered", 1, type="b")
        self.assertEqual(self.server.asked("b.example.test"), 2)

    def test_one_question_in_flight_for_a_name(self):
        self.server.answer("a.example.test", ["127.0.0.1"], delay_s=0.5)
        receiver = self.receiver("a", always(OK))
        self.daemon.create_webhook(receiver.url())
        self.redis.add_many([event(n) for n in range(50)])
        self.wait_delivery(self.daemon, "delivered", n=50)
        self.assertEqual(self.server.asked("a.example.test"), 1)
        self.assertLessEqual(self.server.asked("a.example.test", names.AAAA), 1)

    def test_failures(self):
        for n, (code, words) in enumerate(((names.NXDOMAIN, "no such name|exist|found"),
                                           (names.SERVFAIL, "server"))):
            name = "f{}.example.test".format(n)
            self.server.refuse(name, code)
            webhook = self.daemon.create_webhook("https://{}/".format(name))
            delivery = self.send(webhook, "failed")
            self.assertEqual(delivery["error"]["kind"], "dns", delivery)
            self.assertRegex(delivery["error"]["message"].lower(), words)
            self.daemon.expect(204, "DELETE", "/v1/webhooks/" + webhook["id"])
        metrics = self.daemon.metrics()
        self.assertEqual(metrics.value("hookwheel_attempts_total", result="dns"), 2)

    def test_a_name_without_addresses(self):
        self.server.answer("empty.example.test", [])
        webhook = self.daemon.create_webhook("https://empty.example.test/")
        self.assertEqual(self.send(webhook, "failed")["error"]["kind"], "dns")

    def test_a_failure_is_kept_too(self):
        self.server.refuse("no.example.test", names.NXDOMAIN)
        webhook = self.daemon.create_webhook("https://no.example.test/")
        for n in range(5):
            self.send(webhook, "failed", n)
        self.assertEqual(self.server.asked("no.example.test"), 1)

    def test_silence_is_charged_to_the_attempt(self):
        self.server.ignore("silent.example.test")
        self.server.answer("a.example.test", ["127.0.0.1"])
        webhook = self.daemon.create_webhook("https://silent.example.test/")
        good = self.daemon.create_webhook(self.receiver("a").url(), event_types=["a"])
        self.send(good, "delivered", type="a")
        delivery = self.send(webhook, "failed", 1)
        self.assertIn(delivery["error"]["kind"], ("timeout", "dns"))
        if delivery["error"]["kind"] == "timeout":
            self.assertEqual(delivery["error"]["phase"], "dns")
        attempt, = self.daemon.delivery(delivery["id"])["attempt_log"]
        self.assertLessEqual(attempt["duration_ms"], 3300)

    def test_refused_addresses_are_skipped(self):
        self.server.answer("mixed.example.test", ["10.0.0.1", "127.0.0.1", "::ffff:127.0.0.1"])
        webhook = self.daemon.create_webhook(self.receiver("mixed").url())
        self.send(webhook, "delivered")
        self.daemon.expect(204, "DELETE", "/v1/webhooks/" + webhook["id"])
        self.server.answer("inner.example.test", ["10.0.0.1", "192.168.1.1", "fd00::1"])
        webhook = self.daemon.create_webhook("https://inner.example.test/")
        self.assertEqual(self.send(webhook, "failed", 1)["error"]["kind"], "refused_address")

    def test_next_address_where_one_refuses(self):
        """127.0.0.1 listens; ::1 on that port does not."""
        self.server.answer("two.example.test", ["::1", "127.0.0.1"])
        webhook = self.daemon.create_webhook(self.receiver("two").url())
        self.send(webhook, "delivered")

    def test_hosts_file_goes_first(self):
        webhook = self.daemon.create_webhook(self.receiver("listed").url())
        self.send(webhook, "delivered")
        self.assertEqual(self.server.asked("listed.example.test"), 0)


if __name__ == "__main__":
    unittest.main()
