"""Named consumers: pull, acknowledge, and what becomes of what nobody acknowledges."""

import collections
import concurrent.futures
import json
import random
import subprocess
import sys
import time
import unittest

from kit.api import ApiCase, asked
from kit.case import event, scaled
from kit.daemon import TOKEN

CLOCK_S = 0.01  # Redis counts in milliseconds
KEPT = 100  # of a feed that is trimmed
YOUNG_S = 5.2  # nothing younger than five seconds is trimmed


def consumer(name, what="", **query):
    return asked("/v1/consumers/" + name + ("/" + what if what else ""), query)


class ConsumerCase(ApiCase):
    def add(self, first, last, **fields):
        """Events e<first> to e<last>, in the feed."""
        ids = ["e{}".format(n) for n in range(first, last + 1)]
        self.redis.add_many([event(n, id=one, **fields)
                             for n, one in enumerate(ids, first)])
        self.wait_accepted()
        return ids

    def pull(self, name="c", daemon=None, token=TOKEN, **query):
        return (daemon or self.daemon).expect(200, "GET", consumer(name, "events", **query),
                                              token=token)

    def pulled(self, *args, **query):
        return [one["id"] for one in self.pull(*args, **query)["data"]]

    def pending(self, name="c", token=TOKEN, **query):
        page = self.daemon.expect(200, "GET", consumer(name, "pending", **query), token=token)
        return [one["id"] for one in page["data"]]

    def ack(self, body, name="c", daemon=None, **query):
        if isinstance(body, list):
            body = {"event_ids": body}
        reply = (daemon or self.daemon).expect(200, "POST", consumer(name, "ack", **query), body)
        return reply["acknowledged"]

    def standing(self, name="c", **query):
        """(lag, handed out, skipped)"""
        listed = self.daemon.expect(200, "GET", asked("/v1/consumers", query))["data"]
        found, = [one for one in listed if one["name"] == name]
        return found["lag"], found["handed_out"], found["skipped"]

    def cursors(self, **query):
        """{event's id: its cursor}, of all that is kept."""
        found, cursor, has_more = {}, None, True
        while has_more:
            page = self.daemon.expect(200, "GET", asked("/v1/updates", dict(query, limit=200,
                                                                            cursor=cursor)))
            found.update((one["id"], one["cursor"]) for one in page["data"])
            cursor, has_more = page["next_cursor"], page["has_more"]
        return found


class Consumers(ConsumerCase):
    def test_what_is_pulled_comes_again_until_it_is_acknowledged(self):
        ids = self.add(1, 10)
        began = time.monotonic()
        self.assertEqual(self.pulled(limit=6, visibility_seconds=1), ids[:6])
        self.assertEqual(self.ack([ids[1], ids[4], "unknown"]), 2)
        self.assertEqual(self.pulled(visibility_seconds=600), ids[6:])
        self.assertEqual(self.standing(), (0, 8, 0))
        left = [one for one in ids[:6] if one not in (ids[1], ids[4])]
        again = self.wait_until(lambda: self.pulled(limit=4), 10, "they come again")
        self.assertGreater(time.monotonic() - began, 1 - CLOCK_S)
        self.assertEqual(again, left)
        self.assertEqual(self.pending(), left + ids[6:])
        self.assertEqual(self.ack(ids), 8)
        self.assertEqual(self.standing(), (0, 0, 0))
        self.assertEqual((self.pulled(), self.pending()), ([], []))

    def test_records_are_those_of_the_feed(self):
        self.add(1, 3, payload='{"b" : 1.0, "raw": "\\u00e9"}', subject='a "subject"')
        feed = self.daemon.call("GET", "/v1/updates").body.decode()
        records = feed[:feed.index('],"next_cursor"')]
        self.assertTrue(self.daemon.call("GET", consumer("c", "events")).body.decode()
                        .startswith(records + "]"))
        self.assertTrue(self.daemon.call("GET", consumer("c", "pending")).body.decode()
                        .startswith(records + "]"))

    def test_at_most_a_thousand_are_out(self):
        ids = self.add(1, 1020)
        pages = [self.pull(limit=200, visibility_seconds=600) for _ in range(6)]
        self.assertEqual([one["id"] for page in pages for one in page["data"]], ids[:1000])
        self.assertEqual([page["has_more"] for page in pages], 4 * [True] + 2 * [False])
        self.assertEqual(self.standing(), (20, 1000, 0))
        self.assertEqual(self.ack(ids[:7]), 7)
        self.assertEqual(self.pulled(limit=200), ids[1000:1007])
        self.assertEqual(self.ack(ids[:1000]), 993)
        self.assertEqual(self.pulled(limit=200), ids[1007:])

    def test_pending_goes_by_pages(self):
        ids = self.add(1, 9)
        self.pull(limit=7)
        found, cursor = [], None
        for expected in (3, 3, 1):
            page = self.daemon.expect(200, "GET", consumer("c", "pending", limit=3, cursor=cursor))
            self.assertEqual(len(page["data"]), expected)
            found += [one["id"] for one in page["data"]]
            cursor = page["next_cursor"]
        self.assertEqual(found, ids[:7])
        self.assertEqual((page["has_more"], cursor), (False, None))

    def test_a_consumer_begins_at_a_cursor(self):
        ids = self.add(1, 10)
        cursors = self.cursors()
        self.assertEqual(self.pulled("d", **{"from": cursors["e4"]}), ids[4:])
        self.assertEqual(self.pulled("d", **{"from": cursors["e1"]}), [])
        self.assertEqual(self.pulled("e", **{"from": cursors["e10"]}), [])
        self.assertEqual(self.standing("d"), (0, 6, 0))
        more = self.add(11, 12)
        self.assertEqual((self.pulled("d"), self.pulled("e")), (more, more))
        self.check_error(self.daemon.call("GET", consumer("f", "events", **{"from": "x"})),
                         400, "invalid_request", "from")

    def test_acknowledged_up_to_a_cursor(self):
        ids = self.add(1, 3000)
        cursors = self.cursors()
        self.pull(limit=20)
        self.assertEqual(self.ack({"cursor": cursors["e5"]}), 5)
        self.assertEqual(self.pending(), ids[5:20])
        self.assertEqual(self.standing(), (2980, 15, 0))
        # Beyond the position: what nobody has seen yet is passed over, and counted.
        self.assertEqual(self.ack({"cursor": cursors["e2900"]}), 2895)
        self.assertEqual(self.standing(), (100, 0, 0))
        self.assertEqual(self.pulled(limit=3), ids[2900:2903])
        self.assertEqual(self.ack({"cursor": cursors["e3"]}), 0)
        self.assertEqual(self.ack({"cursor": cursors["e3000"]}), 100)
        self.assertEqual(self.ack({"cursor": cursors["e3000"]}), 0)
        self.assertEqual(self.standing(), (0, 0, 0))
        listed = self.daemon.expect(200, "GET", "/v1/consumers")["data"]
        self.assertEqual([one["position"] for one in listed], [cursors["e3000"]])

    def test_deleted_and_begun_anew(self):
        ids = self.add(1, 3)
        self.pull(limit=2)
        self.daemon.expect(204, "DELETE", consumer("c"))
        for method, what, body in (("DELETE", "", None), ("GET", "pending", None),
                                   ("POST", "ack", {"event_ids": ids})):
            self.check_error(self.daemon.call(method, consumer("c", what), body), 404, "not_found")
        self.assertEqual(self.daemon.expect(200, "GET", "/v1/consumers"), {"data": []})
        self.assertEqual(self.pulled(), ids)

    def test_other_accounts_have_their_own(self):
        mine = self.add(1, 2, account="acct_1")
        self.assertEqual(self.pulled(token=self.daemon.issue("acct_1", "events:read")), mine)
        other = self.daemon.issue("acct_2", "events:read")
        self.assertEqual(self.daemon.expect(200, "GET", "/v1/consumers", token=other),
                         {"data": []})
        for method, what, body in (("GET", "pending", None), ("DELETE", "", None),
                                   ("POST", "ack", {"event_ids": mine})):
            self.check_error(self.daemon.call(method, consumer("c", what), body, token=other), 404,
                             "not_found")
            self.check_error(self.daemon.call(method, consumer("c", what, account="acct_1"), body,
                                              token=other), 400, "invalid_request", "account")
        self.assertEqual(self.pulled(token=other), [])
        self.assertEqual(self.standing(account="acct_1"), (0, 2, 0))
        self.assertEqual(self.ack(mine, account="acct_1"), 2)

    def test_a_narrow_token_passes_over_what_it_may_not_read(self):
        self.daemon.put_type("order.paid", "money")
        for n in range(1, 31):
            self.redis.add(event(n, id="e{}".format(n),
                                 type="order.paid" if n % 3 == 0 else "order.created"))
        self.wait_accepted()
        narrow = self.daemon.issue("default", "money")
        paid = ["e{}".format(n) for n in range(3, 31, 3)]
        self.assertEqual(self.pulled(token=narrow, limit=4), paid[:4])
        self.assertEqual(self.pulled(limit=3), ["e13", "e14", "e15"])
        self.assertEqual(self.pending(token=narrow), paid[:5])
        self.assertEqual(self.pending(), paid[:4] + ["e13", "e14", "e15"])
        self.assertEqual(self.pulled(token=narrow), paid[5:])
        self.assertEqual(self.standing(), (0, 12, 0))
        nothing = self.daemon.issue("default", "deliveries:read")
        for path in ("/v1/consumers", consumer("c", "events"), consumer("c", "pending")):
            self.check_forbidden(self.daemon.call("GET", path, token=nothing), "events:read")

    def test_large_events_come_in_short_pages(self):
        ids = self.add(1, 30, payload=json.dumps({"text": "x" * 250000}))
        found = []
        while len(found) < len(ids):
            reply = self.daemon.call("GET", consumer("c", "events", limit=200))
            self.assertLess(len(reply.body), 2.2 * 1024 * 1024)
            page = reply.json()
            found += [one["id"] for one in page["data"]]
            self.assertTrue(page["has_more"] or len(found) == len(ids))
        self.assertEqual(found, ids)

    def test_a_full_redis_gives_nothing_and_takes_acknowledgements(self):
        ids = self.add(1, 6)
        cursors = self.cursors()
        self.pull(limit=3)
        self.redis.call("CONFIG", "SET", "maxmemory", "1")
        self.check_error(self.daemon.call("GET", consumer("c", "events")), 503, "unavailable")
        self.check_error(self.daemon.call("GET", consumer("d", "events")), 503, "unavailable")
        self.assertEqual(self.pending(), ids[:3])
        self.assertEqual(self.ack(ids[:1]), 1)
        self.assertEqual(self.ack({"cursor": cursors["e4"]}), 3)
        self.assertEqual(self.standing(), (2, 0, 0))
        self.redis.call("CONFIG", "SET", "maxmemory", "0")
        self.assertEqual(self.pulled(), ids[4:])

    def test_a_redis_that_is_killed_keeps_what_is_out(self):
        ids = self.add(1, 6)
        self.pull(limit=3, visibility_seconds=600)
        self.redis.kill_hard()
        self.wait_until(lambda: self.daemon.call("GET", consumer("c", "events")).status == 503, 20,
                        "Redis is missed")
        self.redis.start()
        self.daemon.wait_ready()
        self.assertEqual(self.standing(), (3, 3, 0))
        self.assertEqual(self.pulled(), ids[3:])
        self.assertEqual(self.ack(ids), 6)

    def test_a_redis_that_was_emptied_knows_no_consumer(self):
        ids = self.add(1, 3)
        cursors = self.cursors()
        self.pull(limit=2)
        self.redis.call("FLUSHALL")
        self.wait_until(
            lambda: self.daemon.call("GET", consumer("c", "pending")).status == 404, 30,
            "the engine has joined anew")
        self.check_error(self.daemon.call("POST", consumer("c", "ack"), {"event_ids": ids}), 404,
                         "not_found")
        error = self.check_error(self.daemon.call(
            "GET", consumer("c", "events", **{"from": cursors["e2"]})), 410, "cursor_expired")
        more = self.add(4, 6)
        for _ in range(2):  # whatever the feed has by now
            self.check_error(self.daemon.call(
                "GET", consumer("c", "events", **{"from": cursors["e2"]})), 410, "cursor_expired")
        self.assertEqual(
            self.pulled(**{"from": error["details"]["oldest_cursor"]}), more)
        self.check_error(self.daemon.call("GET", consumer("c", "pending", cursor=cursors["e2"])),
                         410, "cursor_expired")
        self.check_error(self.daemon.call("POST", consumer("c", "ack"), {"cursor": cursors["e2"]}),
                         410, "cursor_expired")
        self.assertEqual(self.standing(), (0, 3, 0))


class Trimmed(ConsumerCase):
    def settings(self):
        return {"feed_max": KEPT}

    def n_kept(self):
        return self.redis.length("hookwheel:{s0}:led:default")

    def test_what_is_trimmed_unread_or_while_out_is_skipped(self):
        ids = self.add(1, 150)
        cursors = self.cursors()
        self.assertEqual(self.pulled(limit=8, visibility_seconds=600), ids[:8])
        self.assertEqual(self.pulled("fast", limit=200), ids)
        self.assertEqual(self.ack(ids, "fast"), 150)
        self.assertEqual(self.ack(ids[:3]), 3)
        time.sleep(YOUNG_S)
        more = self.add(151, 220)
        self.wait_until(lambda: self.n_kept() == KEPT, 20,
                        lambda: "{} are kept; there are {}".format(KEPT, self.n_kept()))
        kept = ids[-30:] + more
        self.assertEqual(self.standing(), (KEPT, 0, 117))  # 5 while out, the others unread
        self.assertEqual(self.standing("fast"), (70, 0, 0))
        self.assertEqual(self.pending(), [])
        self.assertEqual(self.ack(ids[:8]), 0)
        self.assertEqual(self.pulled("fast", limit=200), more)
        self.check_gone("GET", consumer("new", "events", **{"from": cursors["e119"]}), None, cursors)
        self.check_gone("POST", consumer("c", "ack"), {"cursor": cursors["e119"]}, cursors)
        self.assertEqual(self.ack({"cursor": cursors["e120"]}), 0)
        self.assertEqual(self.pulled(limit=200), kept)
        self.assertEqual(self.pulled("new", limit=200, **{"from": cursors["e120"]}), kept)

    def check_gone(self, method, path, body, cursors):
        error = self.check_error(self.daemon.call(method, path, body), 410, "cursor_expired")
        self.assertEqual(error["details"]["oldest_cursor"], cursors["e120"])


class Workers(ConsumerCase):
    """Several workers of one consumer, at two instances."""

    N_WORKERS = 4
    VISIBILITY_S = 1

    def setUp(self):
        super().setUp()
        self.other = self.start_daemon()
        self.workers = []
        self.logs = []

    def test_what_is_asked_at_once_does_not_overlap(self):
        n_events = scaled(2000)
        ids = self.add(1, n_events)

        def work(daemon):
            found = []
            while True:
                page = self.pulled(daemon=daemon, limit=17, visibility_seconds=600)
                if not page:
                    return found
                found += page
                self.assertEqual(self.ack(page, daemon=daemon), len(page))

        with concurrent.futures.ThreadPoolExecutor(self.N_WORKERS) as pool:
            parts = list(pool.map(work, [self.daemon, self.other] * (self.N_WORKERS // 2)))
        print("taken by each: {}".format([len(part) for part in parts]))
        self.assertEqual(sorted(one for part in parts for one in part), sorted(ids))
        place = {one: n for n, one in enumerate(self.cursors())}
        for part in parts:
            self.assertEqual(part, sorted(part, key=place.get))
        self.assertEqual(self.standing(), (0, 0, 0))

    # --- under kills

    def start_worker(self, seed):
        orders = {"address": random.choice([self.daemon, self.other]).addresses["api"],
                  "token": TOKEN, "name": "c", "seed": seed, "limit": 40,
                  "visibility_s": self.VISIBILITY_S, "work_s": 0.05}
        path = self.path("worker-{}.log".format(len(self.logs)))
        self.logs.append(path)
        with open(path, "wb") as log:
            worker = subprocess.Popen([sys.executable, "-B", "-m", "kit.worker",
                                       json.dumps(orders)], stdout=log, stderr=subprocess.PIPE)
        self.addCleanup(self.end_worker, worker)
        return worker

    def end_worker(self, worker):
        """What it has to say beyond its log is a failure."""
        if worker.stderr.closed:
            return
        if worker.poll() is None:
            worker.kill()
        _, complaint = worker.communicate()
        self.assertEqual(complaint.decode(), "")

    def told(self):
        """What each worker has told, line by line; the last may have been cut off."""
        stories = []
        for path in self.logs:
            with open(path, encoding="utf-8") as log:
                stories.append([json.loads(line) for line in log if line.endswith("\n")])
        return stories

    def test_workers_are_killed_at_random(self):
        n_events, seed = scaled(3000), random.randrange(10 ** 6)
        print("seed {}".format(seed))
        random.seed(seed)
        half = n_events // 2
        ids = self.add(1, half)
        workers = [self.start_worker(seed + n) for n in range(self.N_WORKERS)]
        n_killed = 0
        while not (n_killed >= 20 and self.is_done(n_events)):
            time.sleep(random.uniform(0.05, 0.25))  # how long one may live
            if n_killed == 5:
                ids += self.add(half + 1, n_events)
            if n_killed < 40:
                chosen = random.randrange(self.N_WORKERS)
                self.end_worker(workers[chosen])
                workers[chosen] = self.start_worker(seed + 100 + n_killed)
                n_killed += 1
            self.assertLess(len(self.logs), 100)
            self.check_alive(workers)
        for worker in workers:
            self.end_worker(worker)
        self.check_stories(ids, n_killed)

    def check_alive(self, workers):
        for worker in workers:
            if worker.poll() is not None:
                self.end_worker(worker)
                self.fail("a worker ended by itself")

    def is_done(self, n_events):
        return (len(self.cursors()) == n_events
                and self.standing() == (0, 0, 0))

    def check_stories(self, ids, n_killed):
        stories = self.told()
        pulls = [line for story in stories for line in story if "pulled" in line]
        certain = sum(line.get("acknowledged", 0) for story in stories for line in story)
        # Killed with an answer under way: nobody knows, but it was at most all of them.
        unknown = [story[-1]["acknowledging"] for story in stories
                   if story and "acknowledging" in story[-1]]
        handed_out = collections.Counter(one for pull in pulls for one in pull["pulled"])
        print("{} killed; {} events handed out {} times; {} acknowledged for certain, {} with an "
              "answer under way".format(n_killed, len(ids), sum(handed_out.values()), certain,
                                        sum(map(len, unknown))))
        self.assertEqual(set(handed_out), set(ids))
        self.assertGreater(max(handed_out.values()), 1)
        self.assertLessEqual(certain, len(ids))
        self.assertLessEqual(len(ids) - certain, sum(map(len, unknown)))
        self.assertEqual(self.standing(), (0, 0, 0))
        self.assertEqual(self.pulled(limit=200), [])
        self.check_visibility(pulls)

    def check_visibility(self, pulls):
        """Who gets an event that another has got, gets it when that one's time is up."""
        last = {}
        for pull in sorted(pulls, key=lambda pull: pull["answered_at"]):
            for one in pull["pulled"]:
                if one in last:
                    self.assertGreater(pull["answered_at"] - last[one],
                                       self.VISIBILITY_S - CLOCK_S, one)
                last[one] = pull["asked_at"]


if __name__ == "__main__":
    unittest.main()
