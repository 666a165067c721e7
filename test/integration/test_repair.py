"""An endpoint that was down past its last retry, and is repaired: what it missed is read from the
feed, or delivered after all.  Events come all the while."""

import collections
import os
import subprocess
import threading
import time

from kit import readme
from kit.api import ApiCase
from kit.case import event, scaled
from kit.daemon import PROGRAM, TOKEN, environment
from kit.feed import ids_of, read_all

DISABLE_AFTER = 10
TYPE = "order.created"


class Producer:
    """Enqueues events all the time, until the end of its `with`."""

    def __init__(self, redis, pause_s=0.005):
        self.connection = redis.connect()
        self.pause_s = pause_s
        self.ids = []
        self._is_over = threading.Event()
        self._thread = threading.Thread(target=self._run)

    def __enter__(self):
        self._thread.start()
        return self

    def __exit__(self, *_):
        self._is_over.set()
        self._thread.join()
        self.connection.close()

    def _run(self):
        while not self._is_over.wait(self.pause_s):
            event_id = "e_{}".format(len(self.ids))
            fields = event(len(self.ids), id=event_id, type=TYPE)
            self.connection.call("XADD", "hookwheel:events", "*",
                                 *[word for pair in fields.items() for word in pair])
            self.ids.append(event_id)

    def wait_for(self, n_more, wait_until):
        wanted = len(self.ids) + n_more
        wait_until(lambda: len(self.ids) >= wanted, 60, "{} events more".format(n_more))


class Outage(ApiCase):
    def settings(self):
        return {"retry_schedule": "200ms", "disable_after": DISABLE_AFTER}

    def setUp(self):
        super().setUp()
        self.receiver = self.start_receiver()
        self.webhook = self.subscribe()

    def produce(self):
        """A producer; what it does is over before Redis is."""
        producer = Producer(self.redis)
        self.producer = producer
        return producer

    def go_down_and_be_disabled(self):
        """Good, then down, then disabled, then repaired; events go on."""
        self.producer.wait_for(scaled(100), self.wait_until)
        self.wait_until(lambda: len(self.received()) >= scaled(50), 30, "some are delivered")
        self.receiver.rule(status=500)
        self.wait_until(lambda: self.daemon.webhook(self.webhook)["status"] == "disabled", 60,
                        "it is disabled")
        self.producer.wait_for(scaled(200), self.wait_until)
        self.receiver.rule(secret=self.webhook["secret"])

    def received(self):
        """The ids whose delivery the endpoint has taken, one for each time."""
        return [request.id for request in self.receiver.requests() if request.status == 204]

    def wait_all_received(self, deadline_s=60):
        wanted = set(self.producer.ids)
        self.wait_until(lambda: wanted <= set(self.received()), deadline_s, lambda: (
            "every event; {} of {} are missing".format(len(wanted - set(self.received())),
                                                      len(wanted))))

    def check_each_id_once_after_deduplication(self, n_duplicates=0):
        """Whoever keeps ids has each once, and nothing else; a duplicate needs a cause."""
        times = collections.Counter(self.received())
        self.assertEqual(sorted(times), sorted(self.producer.ids))
        more = {event_id: n for event_id, n in times.items() if n > 1}
        self.assertLessEqual(len(more), n_duplicates, more)

    def resume(self):
        return self.daemon.patch(self.webhook, status="active", backfill_from="disabled")

    def recover(self):
        hour_ago = time.strftime("%Y-%m-%dT%H:%M:%SZ", time.gmtime(time.time() - 3600))
        return self.daemon.expect(202, "POST", "/v1/webhooks/{}/recover".format(self.webhook["id"]),
                                  {"since": hour_ago})["count"]


class Reading(Outage):
    def test_the_feed_has_what_was_missed_behind_the_saved_cursor(self):
        with self.produce():
            self.producer.wait_for(20, self.wait_until)
            self.wait_until(lambda: len(self.received()) >= 20, 30, "some are delivered")
            saved = read_all(self.daemon, types=TYPE)[9]  # it has handled ten
            self.go_down_and_be_disabled()
        self.wait_accepted()
        missed = read_all(self.daemon, cursor=saved.cursor, types=TYPE)
        self.assertEqual(ids_of(missed), self.producer.ids[10:])

    def test_from_the_disabled_cursor_on_nobody_has_a_delivery(self):
        with self.produce():
            self.go_down_and_be_disabled()
        self.wait_accepted()
        webhook = self.daemon.webhook(self.webhook)
        behind = ids_of(read_all(self.daemon, cursor=webhook["disabled_cursor"], types=TYPE))
        dead = [d["event_id"] for d in self.daemon.deliveries(status="dead_letter")]
        delivered = set(self.received())
        self.assertEqual(set(behind) & (set(dead) | delivered), set())
        self.assertEqual(set(behind) | set(dead) | delivered, set(self.producer.ids))
        self.assertEqual(len(dead), len(set(dead)))


class Delivering(Outage):
    def test_every_event_is_delivered_in_the_end(self):
        with self.produce():
            self.go_down_and_be_disabled()
            webhook = self.resume()
            self.assertEqual((webhook["status"], webhook["disabled_cursor"]), ("active", None))
            self.assertGreaterEqual(self.recover(), DISABLE_AFTER)
            self.producer.wait_for(scaled(100), self.wait_until)
        self.wait_all_received()
        self.wait_settled(self.daemon, 60)
        self.check_each_id_once_after_deduplication()
        self.assertEqual(self.daemon.deliveries(status="dead_letter"), [])
        self.assert_clean(self.receiver.requests())

    def test_killed_while_it_catches_up(self):
        with self.produce():
            self.go_down_and_be_disabled()
            self.resume()
            self.recover()
            self.daemon.kill_hard()
            self.producer.wait_for(scaled(50), self.wait_until)
            self.daemon.start()
        self.wait_all_received()
        self.wait_settled(self.daemon, 60)
        self.check_each_id_once_after_deduplication(self.webhook["max_in_flight"])
        self.assertEqual(self.daemon.deliveries(status="dead_letter"), [])

    def test_as_the_readme_has_it(self):
        block, = readme.blocks(readme.section("### After an outage"), "sh")
        folder = self.path("bin")
        os.mkdir(folder)
        os.symlink(PROGRAM, os.path.join(folder, "hookwheel"))
        env = dict(environment({}), HOOKWHEEL_URL="http://" + self.daemon.addresses["api"],
                   HOOKWHEEL_API_TOKEN=TOKEN, PATH=folder + ":" + os.environ["PATH"])
        with self.produce():
            self.go_down_and_be_disabled()
            done = subprocess.run(["bash", "-euc", block.replace("wh_\u2026", self.webhook["id"])],
                                  env=env, capture_output=True, text=True, timeout=60, check=False)
            self.assertEqual((done.returncode, done.stderr), (0, ""))
        self.wait_all_received()
        self.wait_settled(self.daemon, 60)
        self.check_each_id_once_after_deduplication()
