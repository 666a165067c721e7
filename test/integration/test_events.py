"""POST /v1/events: through the same door as the stream, with its rules said at once."""

import concurrent.futures
import json
import time
import unittest

from kit.api import ApiCase, Plain, head
from kit.case import event

TRACE = "00-4bf92f3577b34da6a3ce929d0e0e4736-00f067aa0ba902b7-01"


def nested(depth):
    return "[" * depth + "]" * depth


class EventCase(ApiCase):
    def setUp(self):
        super().setUp()
        self.receiver = self.start_receiver()

    def post(self, body, **more):
        return self.daemon.call("POST", "/v1/events", body, **more)

    def sent(self, body, **more):
        """The ids of what was accepted."""
        reply = self.post(body, **more)
        self.assertEqual(reply.status, 202, reply.body)
        answer = reply.json()
        self.assertEqual(list(answer), ["data"])
        self.assertTrue(all(list(one) == ["id"] for one in answer["data"]))
        return [one["id"] for one in answer["data"]]

    def bodies(self, n, path="/hook"):
        """{webhook-id: body} of n requests."""
        return {r.id: r.body for r in self.arrived(n, path)}


class Single(EventCase):
    def test_everything_arrives_as_it_was_given(self):
        self.subscribe(rule={"keep": True}, account="acct_1", level="progress")
        given = {"type": "order.created", "payload": {"order_id": "o_1"}, "account": "acct_1",
                 "subject": "sess 9!", "id": "mine_1", "level": "progress",
                 "timestamp": "2026-03-09T14:00:00.25+02:00", "traceparent": TRACE}
        self.assertEqual(self.sent(given), ["mine_1"])
        request, = self.arrived(1)
        self.assertEqual(request.body.decode(), (
            '{"id":"mine_1","type":"order.created","timestamp":"2026-03-09T12:00:00.250Z",'
            '"account":"acct_1","subject":"sess 9!","level":"progress",'
            '"data":{"order_id": "o_1"}}'))
        self.assertEqual((request.id, request.headers["traceparent"],
                          request.headers["x-hookwheel-subject"]), ("mine_1", TRACE, "sess 9!"))

    def test_defaults(self):
        self.subscribe(rule={"keep": True})
        before = time.time()
        made, = self.sent({"type": "a", "payload": None})
        self.assertRegex(made, "^evt_[A-Za-z0-9_-]+$")
        request, = self.arrived(1)
        record = json.loads(request.body)
        stamp = record.pop("timestamp")
        self.assertLess(abs(time.mktime(time.strptime(stamp[:19], "%Y-%m-%dT%H:%M:%S"))
                            - time.timezone - before), 30)
        self.assertEqual(record, {"id": made, "type": "a", "account": "default", "level": "user",
                                  "data": None})
        self.assertEqual(request.id, made)
        self.assertNotIn("traceparent", request.headers)

    def test_malformed_traceparent_is_dropped(self):
        self.subscribe(rule={"keep": True})
        self.sent({"type": "a", "payload": 1, "traceparent": "00-malformed-01"})
        request, = self.arrived(1)
        self.assertNotIn("traceparent", request.headers)

    def test_payload_bytes_are_those_of_the_stream(self):
        """The same payload by POST and by XADD: the same data in the record."""
        self.subscribe(rule={"keep": True})
        payloads = [
            '{"a" : [1, 2.50, 1e3, -0, 1E+400, 123456789012345678901234567890],\r\n "b":"x"}',
            '{"b":1,"a":2,"b":3,"":null}', '"caf\u00e9 \\u00e9 \\/ \\ud83d\\ude00 \U0001f600"',
            ' [ ]', "{\t}", "17", "1.0", "true", "null", '""', '"\\u0000"',
            nested(64), '{"id":"x","type":"y","payload":{"events":[]},"account":"z"}',
        ]
        for n, payload in enumerate(payloads):
            for form in ('{"type":"a","payload":%s,"id":"p%d"}',
                         '{"id":"q%d", "payload" :%s , "type":"a"}'):
                values = (payload, n) if "p%d" in form else (n, payload)
                self.sent((form % values).encode())
            self.sent(('{"events":[{"payload":%s,"type":"a","id":"r%d"}]}' % (payload, n)).encode())
            self.redis.add(event(type="a", payload=payload.encode(), id="x{}".format(n)))
        bodies = self.bodies(4 * len(payloads))
        for n, payload in enumerate(payloads):
            expected = payload.replace("\r", " ").replace("\n", " ")
            for kind in "pqrx":
                data = bodies["{}{}".format(kind, n)].split(b',"data":', 1)[1][:-1].decode()
                self.assertEqual(data.strip(), expected.strip(), kind)

    def test_ids_are_what_is_delivered(self):
        self.subscribe()
        ids = [self.sent({"type": "a", "payload": n})[0] for n in range(20)]
        ids += self.sent({"events": [{"type": "a", "payload": n} for n in range(80)]})
        self.assertEqual(len(set(ids)), 100)
        self.assertEqual({r.id for r in self.arrived(100)}, set(ids))
        delivered = self.daemon.deliveries()
        self.assertEqual([d["event_id"] for d in delivered[::-1]], ids)  # order of acceptance
        self.assertEqual(self.daemon.metric("hookwheel_events_accepted_total"), 100)

    def test_same_id_twice_is_one_event(self):
        self.subscribe()
        self.subscribe("/other", account="acct_2")
        for n in range(2):
            self.assertEqual(self.sent({"type": "a", "payload": n, "id": "same"}), ["same"])
        self.redis.add(event(3, id="same"))
        self.assertEqual(self.sent({"events": [{"type": "a", "payload": n, "id": "same"}
                                               for n in range(4, 7)]}), ["same"] * 3)
        self.sent({"type": "a", "payload": 9, "id": "same", "account": "acct_2"})
        self.wait_accepted()
        self.arrived(1, "/hook")
        self.arrived(1, "/other")
        self.assertEqual(self.daemon.metric("hookwheel_events_deduplicated_total"), 5)


class Rules(EventCase):
    def settings(self):
        return {"max_payload": "1KiB"}

    def test_each_rule_is_named(self):
        good = {"type": "order.created", "payload": {"n": 1}}
        cases = [
            ("type", None), ("type", 7), ("type", ""), ("type", "order..created"),
            ("type", "order created"), ("type", "a" * 129), ("type", "webhook.disabled"),
            ("type", "webhook.test"), ("type", "webhook.mine"), ("account", "a b"),
            ("account", ""), ("account", "a" * 65), ("account", 7), ("id", "a.b"), ("id", ""),
            ("id", "a" * 65), ("id", 7), ("subject", ""), ("subject", "a" * 257),
            ("subject", "caf\u00e9"), ("subject", 7), ("level", "debug"), ("level", 7),
            ("timestamp", "yesterday"), ("timestamp", "2026-02-30T12:00:00Z"), ("timestamp", 7),
            ("traceparent", 7), ("surprise", 1),
        ]
        for name, value in cases:
            with self.subTest("{}={!r}".format(name, value)):
                entry = {**good, name: value}
                self.check_error(self.post(entry), 400, "invalid_request", name)
                self.check_error(self.post({"events": [good, entry, good]}), 400,
                                 "invalid_request", "events[1]." + name)
        for name in good:
            rest = {key: value for key, value in good.items() if key != name}
            self.check_error(self.post(rest), 400, "invalid_request", name)
            self.check_error(self.post({"events": [rest]}), 400, "invalid_request",
                             "events[0]." + name)
        self.assertEqual(self.redis.length(), 0)
        self.assertEqual(self.redis.stream("hookwheel:rejected"), [])
        self.assertEqual(self.daemon.metric("hookwheel_events_accepted_total"), 0)

    def test_bodies_that_are_none(self):
        cases = [
            b"", b"[]", b"null", b"{", b'{"type":"a","payload":1} x', b'{"type":"a","payload":}',
            b'{"type":"a","payload":"\xff"}', b'{"type":"a","payload":\'x\'}',
            b'{"type":"a","payload":1,"payload":2}', b'{"type":"a","type":"a","payload":1}',
            b'{"events":[{"type":"a","payload":1,"payload":2}]}',
            b'{"events":[{"type":"a","payload":1}],"events":[]}',
            b'{"events":[{"type":"a","payload":1}],"type":"a"}',
            b'{"events":[{"type":"a","payload":1}],"surprise":1}',
            b'{"events":{"type":"a","payload":1}}', b'{"events":[7]}', b'{"events":null}',
            b'{"events":[[]]}', b'{"type":"a","payload":' + nested(65).encode() + b"}",
            b'{"events":[{"type":"a","payload":' + nested(65).encode() + b"}]}",
            b'{"type":"a","payload":1,"payload ":2}', b'{"type":"a","payload":01}',
            b'{"type":"a","payload":NaN}', b'{"type":"a","payload":1,}',
        ]
        for body in cases:
            with self.subTest(body[:60]):
                self.check_error(self.post(body), 400, "invalid_request")
        self.check_error(self.post(b'{"type":"a","payload":1}',
                                   headers={"content-type": "text/plain"}), 415,
                         "unsupported_media_type")
        self.assertEqual(self.redis.length(), 0)
        self.assertEqual(self.daemon.metric("hookwheel_events_accepted_total"), 0)

    def test_edges_that_are_good(self):
        self.sent({"type": "a" * 128, "payload": 0, "id": "a" * 64, "subject": "~ !" + "a" * 253,
                   "account": "a" * 64, "timestamp": "2024-02-29T23:59:59.123456-11:30"})
        self.sent({"type": "a", "payload": "x" * 1022})
        self.sent(b'{"type":"a","payload":' + nested(64).encode() + b"}")
        self.sent(b'{"events":[{"type":"a","payload":' + nested(64).encode() + b"}]}")
        self.wait_accepted()
        self.assertEqual(self.redis.stream("hookwheel:rejected"), [])
        self.assertEqual(self.daemon.metric("hookwheel_events_accepted_total"), 4)

    def test_payload_over_the_setting(self):
        large = {"type": "a", "payload": "x" * 1023}
        small = {"type": "a", "payload": 1}
        self.check_error(self.post(large), 413, "payload_too_large")
        self.check_error(self.post({"events": [small, large]}), 413, "payload_too_large")
        self.assertEqual(self.daemon.metric("hookwheel_events_accepted_total"), 0)


class Batch(EventCase):
    def test_up_to_a_thousand_all_or_none(self):
        self.subscribe()
        entries = [{"type": "a", "payload": n} for n in range(1001)]
        self.check_error(self.post({"events": entries}), 400, "invalid_request", "events")
        broken = entries[:999] + [{"type": "a b", "payload": 1}]
        self.check_error(self.post({"events": broken}), 400, "invalid_request",
                         "events[999].type")
        self.assertEqual(self.redis.length(), 0)
        ids = self.sent({"events": entries[:1000]})
        self.assertEqual({r.id for r in self.arrived(1000)}, set(ids))
        self.assertEqual(self.daemon.metric("hookwheel_events_accepted_total"), 1000)

    def test_an_empty_one_is_refused(self):
        self.check_error(self.post({"events": []}), 400, "invalid_request", "events")

    def test_large_ones_up_to_8_mib(self):
        self.subscribe()
        entries = [{"type": "a", "payload": "x" * 250000} for _ in range(32)]
        ids = self.sent({"events": entries}, timeout_s=60)
        self.assertEqual({r.id for r in self.arrived(32)}, set(ids))
        with Plain(self.daemon) as connection:  # not a byte of it is needed for the answer
            connection.send(head("POST", "/v1/events", ["content-length: 8388609"]))
            answer = connection.answer()
            self.assertEqual(answer.status, 413)
            self.assertEqual(json.loads(answer.body)["error"]["code"], "payload_too_large")

    def test_redis_being_full_takes_none_of_them(self):
        self.subscribe()
        self.redis.call("CONFIG", "SET", "maxmemory", "1")
        try:
            self.check_error(self.post({"events": [{"type": "a", "payload": n}
                                                   for n in range(10)]}), 503, "unavailable")
        finally:
            self.redis.call("CONFIG", "SET", "maxmemory", "0")
        self.assertEqual(self.redis.length(), 0)
        self.daemon.wait_ready()
        self.sent({"events": [{"type": "a", "payload": n} for n in range(10)]})
        self.arrived(10)


class Accounts(EventCase):
    def test_each_to_its_own(self):
        self.subscribe("/one", account="acct_1", rule={"keep": True})
        self.subscribe("/two", account="acct_2", rule={"keep": True})
        bound = self.daemon.issue("acct_1", "events:write")
        self.sent({"type": "a", "payload": 1, "id": "r1", "account": "acct_1"})
        self.sent({"events": [{"type": "a", "payload": 2, "id": "r2", "account": "acct_2"},
                              {"type": "a", "payload": 3, "id": "r3", "account": "acct_1"},
                              {"type": "a", "payload": 4, "id": "r4"}]})
        self.sent({"type": "a", "payload": 5, "id": "b5"}, token=bound)
        self.sent({"type": "a", "payload": 6, "id": "b6", "account": "acct_1"}, token=bound)
        other = {"type": "a", "payload": 7, "account": "acct_2"}
        self.check_error(self.post(other, token=bound), 400, "invalid_request", "account")
        self.check_error(self.post({"events": [{"type": "a", "payload": 8}, other]}, token=bound),
                         400, "invalid_request", "events[1].account")
        self.wait_accepted()
        self.assertEqual({r.id for r in self.arrived(4, "/one")}, {"r1", "r3", "b5", "b6"})
        self.assertEqual({r.id for r in self.arrived(1, "/two")}, {"r2"})
        self.assertEqual({json.loads(r.body)["account"] for r in self.receiver.requests("/one")},
                         {"acct_1"})

    def test_scope(self):
        reader = self.daemon.issue("acct_1", "events:read", "webhooks:manage")
        self.check_forbidden(self.post({"type": "a", "payload": 1}, token=reader), "events:write")


class Once(EventCase):
    """Idempotency-Key."""

    def keyed(self, key, body, daemon=None):
        return (daemon or self.daemon).call("POST", "/v1/events", body,
                                            headers={"idempotency-key": key})

    def check_replayed(self, reply, first):
        self.assertEqual((reply.status, reply.body), (first.status, first.body))
        self.assertEqual(reply.headers["idempotency-replayed"], "true")

    def test_same_answer_again_and_one_event(self):
        self.subscribe()
        other = self.start_daemon()
        body = {"events": [{"type": "a", "payload": n} for n in range(3)]}
        first = self.keyed("k1", body)
        self.assertEqual(first.status, 202)
        self.assertIsNone(first.headers["idempotency-replayed"])
        self.check_replayed(self.keyed("k1", body), first)
        self.check_replayed(self.keyed("k1", body, other), first)
        self.check_error(self.keyed("k1", {"type": "a", "payload": 9}), 409,
                         "idempotency_conflict")
        self.daemon.terminate()
        self.daemon.start()
        self.check_replayed(self.keyed("k1", body), first)
        self.wait_accepted()
        self.arrived(3)

    def test_what_was_refused_is_not_kept(self):
        self.check_error(self.keyed("k1", {"type": "a b", "payload": 1}), 400, "invalid_request",
                         "type")
        self.assertEqual(self.keyed("k1", {"type": "a", "payload": 1}).status, 202)

    def test_many_at_once_are_one(self):
        self.subscribe()
        daemons = [self.daemon, self.start_daemon()]
        with concurrent.futures.ThreadPoolExecutor(24) as pool:
            replies = list(pool.map(lambda n: self.keyed("k", {"type": "a", "payload": 1},
                                                         daemons[n % 2]), range(24)))
        accepted = [r for r in replies if r.status == 202]
        self.assertEqual(len({r.body for r in accepted}), 1)
        self.assertEqual([r.headers["idempotency-replayed"] for r in accepted].count(None), 1)
        for reply in replies:
            if reply.status != 202:
                self.check_error(reply, 409, "conflict")
        self.wait_accepted()
        self.arrived(1)


if __name__ == "__main__":
    unittest.main()
