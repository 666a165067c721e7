"""From a stream entry to a signed POST: what is sent, to whom, and what is turned away."""

import base64
import collections
import json
import os
import pathlib
import subprocess
import time
import unittest

from kit import signing
from kit.case import Case, event, scaled

VERIFIER = pathlib.Path(os.environ["HOOKWHEEL_SOURCE_DIR"]) / "test/support/verifier/verify.js"


def node_verifies(secret_of, requests):
    """How many the npm package `standardwebhooks` takes for genuine."""
    lines = [json.dumps({"secret": secret_of[r.path], "headers": r.headers,
                         "body": base64.b64encode(r.body).decode()}) for r in requests]
    done = subprocess.run(["node", str(VERIFIER)], input="\n".join(lines), check=False,
                          stdout=subprocess.PIPE, stderr=subprocess.PIPE, universal_newlines=True)
    if done.returncode != 0:
        raise AssertionError("the verifier refuses: " + done.stderr)
    return int(done.stdout)


class Volume(Case):
    def test_each_match_arrives_exactly_once(self):
        n_events = scaled(5000)
        self.start_redis()
        receiver = self.start_receiver()
        daemon = self.start_daemon()
        secret_of = {}
        for path, types in (("/all", None), ("/paid", ["order.paid"])):
            webhook = daemon.create_webhook(receiver.url(path), event_types=types)
            secret_of[path] = webhook["secret"]
            receiver.rule(path, secret=webhook["secret"], keep=True)

        types = ["order.created", "order.paid", "order.shipped", "orders.paid", "order.paid.late"]
        entries = [event(n, type=types[n % len(types)]) for n in range(n_events)]
        half = len(entries) // 2
        ids = self.redis.add_many(entries[:half])
        self.redis.add({"type": "order.paid"})
        self.redis.add(event(type="order.paid", payload='{"n":'))
        ids += self.redis.add_many(entries[half:])

        n_paid = sum(1 for entry in entries if entry["type"] == "order.paid")
        self.wait_requests(receiver, n_events + n_paid, 120)
        self.wait_settled(daemon)
        requests = receiver.requests()
        self.assert_clean(requests)
        self.check_requests([r for r in requests if r.path == "/all"], entries)
        self.check_requests([r for r in requests if r.path == "/paid"],
                            [entry for entry in entries if entry["type"] == "order.paid"])
        self.assertEqual(len(requests), n_events + n_paid)
        self.assertEqual(node_verifies(secret_of, requests), n_events + n_paid)

        self.assertEqual(self.redis.length(), 0)
        self.assertEqual(self.redis.pending(), 0)
        rejected = [fields["reason"] for _, fields in self.redis.stream("hookwheel:rejected")]
        self.assertEqual(rejected, ["missing_field", "bad_json"])
        metrics = daemon.metrics()
        self.assertEqual(metrics.value("hookwheel_events_accepted_total"), n_events)
        self.assertEqual(metrics.value("hookwheel_attempts_total", result="success"),
                         n_events + n_paid)
        self.assertEqual(metrics.value("hookwheel_deliveries_total", status="delivered"),
                         n_events + n_paid)

    def check_requests(self, requests, entries):
        """Each entry once, its payload untouched."""
        arrived = collections.Counter()
        for request in requests:
            record = json.loads(request.body)
            arrived[record["type"], record["data"]["n"]] += 1
            self.assertEqual(request.attempt, 1)
            self.assertEqual(request.id, record["id"])
        self.assertEqual(arrived, collections.Counter(
            (entry["type"], json.loads(entry["payload"])["n"]) for entry in entries))


class Wire(Case):
    """One daemon and one receiver; what a request looks like."""

    def setUp(self):
        super().setUp()
        self.start_redis()
        self.receiver = self.start_receiver()
        self.daemon = self.start_daemon()

    def subscribe(self, path="/hook", **members):
        webhook = self.daemon.create_webhook(self.receiver.url(path), **members)
        self.receiver.rule(path, secret=webhook["secret"], keep=True)
        return webhook

    def arrived(self, n, path=None):
        """Those on path, once n have come in all."""
        self.wait_requests(self.receiver, n, 20)
        self.wait_settled(self.daemon)
        requests = self.receiver.requests()
        self.assert_clean(requests)
        self.assertEqual(len(requests), n)
        return [r for r in requests if path is None or r.path == path]

    def test_record_and_headers(self):
        webhook = self.subscribe("/hook?key=1", account="acct_1")
        entry = self.redis.add(event(type="order.created", account="acct_1", subject="sess 9!",
                                     payload='{"a" : [1, 2.50, 1e3],\r\n "b":"\u00e9\\u00e9"}'))
        request, = self.arrived(1)
        record = json.loads(request.body)
        stamp = int(entry.split("-")[0])
        time_text = time.strftime("%Y-%m-%dT%H:%M:%S", time.gmtime(stamp // 1000))
        self.assertRegex(record["id"], "^evt_[A-Za-z0-9_-]+$")
        self.assertEqual(request.body.decode(), (
            '{{"id":"{}","type":"order.created","timestamp":"{}.{:03}Z","account":"acct_1",'
            '"subject":"sess 9!","level":"user","data":{{"a" : [1, 2.50, 1e3],   "b":"\u00e9\\u00e9"}}}}'
        ).format(record["id"], time_text, stamp % 1000))
        delivery, = self.daemon.deliveries(account="acct_1")
        headers = dict(request.headers)
        self.assertEqual(abs(int(headers.pop("webhook-timestamp")) - request.wall) < 5, True)
        self.assertRegex(headers.pop("webhook-signature"), "^v1,[A-Za-z0-9+/]{43}=$")
        self.assertRegex(headers.pop("user-agent"), r"^hookwheel/\d+\.\d+\.\d+$")
        self.assertEqual(headers, {
            "host": "localhost:{}".format(self.receiver.port),
            "content-type": "application/json", "content-length": str(len(request.body)),
            "webhook-id": record["id"], "x-hookwheel-delivery": delivery["id"],
            "x-hookwheel-attempt": "1", "x-hookwheel-subject": "sess 9!"})
        self.assertEqual(delivery["webhook_id"], webhook["id"])

    def test_defaults_and_own_values_of_an_event(self):
        self.subscribe()
        trace = "00-4bf92f3577b34da6a3ce929d0e0e4736-00f067aa0ba902b7-01"
        self.redis.add(event(1, id="mine_1", timestamp="2026-03-09T14:00:00+02:00",
                             traceparent=trace, other="ignored"))
        self.redis.add(event(2, traceparent="00-malformed-01"))
        requests = self.arrived(2)
        records = sorted((json.loads(r.body) for r in requests), key=lambda r: r["data"]["n"])
        self.assertEqual(records[0], {"id": "mine_1", "type": "order.created", "level": "user",
                                      "timestamp": "2026-03-09T12:00:00.000Z",
                                      "account": "default", "data": {"n": 1}})
        self.assertNotIn("subject", records[1])
        traces = {r.id: r.headers.get("traceparent") for r in requests}
        self.assertEqual(traces, {"mine_1": trace, records[1]["id"]: None})

    def test_payload_alone_with_format_raw(self):
        self.subscribe(format="raw")
        payloads = ['{"n":1}', "17", '"text"', "null", '[{"raw":1}]']
        for payload in payloads:
            self.redis.add(event(payload=payload))
        bodies = sorted(r.body.decode() for r in self.arrived(len(payloads)))
        self.assertEqual(bodies, sorted(payloads))

    def test_member_raw_is_left_out_unless_asked_for(self):
        self.subscribe("/without")
        self.subscribe("/with", include_raw=True)
        self.subscribe("/without/data", format="raw")
        payloads = {"first": ('{"raw":{"x":[1]},"n":1}', '{"n":1}'),
                    "middle": ('{"a":{"raw":1},"raw":"x,}","n":2}', '{"a":{"raw":1},"n":2}'),
                    "last": ('{"n":3, "raw" : null}', None),
                    "only": ('{"raw":[]}', "{}"),
                    "none": ('{"n":{"raw":4}}', '{"n":{"raw":4}}')}
        for name, (payload, _) in payloads.items():
            self.redis.add(event(payload=payload, id=name))
        requests = self.arrived(15)
        for request in requests:
            payload, bare = payloads[request.id]
            if request.path == "/with":
                self.assertTrue(request.body.endswith((',"data":' + payload + "}").encode()))
                continue
            body = json.loads(request.body)
            data = body if request.path == "/without/data" else body["data"]
            expected = json.loads(payload)
            expected.pop("raw", None)
            self.assertEqual(data, expected)
            if bare is not None:
                self.assertIn(bare.encode(), request.body)

    def test_static_headers_and_older_signatures(self):
        one = self.subscribe("/hex", headers={"X-Api-Key": "k e y", "x-Tier": "gold"},
                             signature_header={"name": "X-Webhook-Signature", "format": "hex"})
        two = self.subscribe("/prefixed",
                             signature_header={"name": "X-Hub", "format": "sha256=hex"})
        self.redis.add(event(1))
        by_path = {r.path: r for r in self.arrived(2)}
        request = by_path["/hex"]
        self.assertEqual((request.headers["x-api-key"], request.headers["x-tier"]),
                         ("k e y", "gold"))
        self.assertEqual(request.headers["x-webhook-signature"],
                         signing.body_hex(signing.key_of(one["secret"]), request.body))
        request = by_path["/prefixed"]
        self.assertEqual(request.headers["x-hub"],
                         "sha256=" + signing.body_hex(signing.key_of(two["secret"]), request.body))

    def test_secret_of_ones_own(self):
        secret = signing.make_secret()
        webhook = self.subscribe(secret=secret)
        self.assertEqual(webhook["secret"], secret)
        self.redis.add(event(1))
        self.arrived(1)

    def test_who_gets_what(self):
        """Types, subject, level and account, alone and together."""
        self.subscribe("/all")
        self.subscribe("/progress", level="progress")
        self.subscribe("/subject", subject="sess_9")
        self.subscribe("/both", subject="sess_9", event_types=["run.done", "run.failed"])
        self.subscribe("/other", account="acct_2")
        entries = [
            (event(1), ["/all", "/progress"]),
            (event(2, level="progress"), ["/progress"]),
            (event(3, subject="sess_9"), ["/all", "/progress", "/subject"]),
            (event(4, subject="sess_9", type="run.done"),
             ["/all", "/progress", "/subject", "/both"]),
            (event(5, subject="sess_99", type="run.done"), ["/all", "/progress"]),
            (event(6, subject="sess_9", type="run.done", level="progress"), ["/progress"]),
            (event(7, account="acct_2"), ["/other"]),
            (event(8, account="acct_3"), []),
        ]
        for entry, _ in entries:
            self.redis.add(entry)
        expected = {(path, json.loads(entry["payload"])["n"])
                    for entry, paths in entries for path in paths}
        requests = self.arrived(len(expected))
        self.assertEqual({(r.path, json.loads(r.body)["data"]["n"]) for r in requests}, expected)
        self.assertEqual(self.daemon.metric("hookwheel_events_accepted_total"), 8)

    def test_same_id_twice_is_one_event_of_an_account(self):
        self.subscribe("/one")
        self.subscribe("/two", account="acct_2")
        for n in range(3):
            self.redis.add(event(n, id="same"))
        self.redis.add_many([event(n, id="same", account="acct_2") for n in range(3)])
        requests = self.arrived(2)
        self.assertEqual({(r.path, json.loads(r.body)["data"]["n"]) for r in requests},
                         {("/one", 0), ("/two", 0)})
        metrics = self.daemon.metrics()
        self.assertEqual(metrics.value("hookwheel_events_deduplicated_total"), 4)
        self.assertEqual(metrics.value("hookwheel_events_accepted_total"), 2)

    def test_webhook_gets_nothing_from_before_it_was_made(self):
        self.redis.add(event(1))
        self.wait_until(lambda: self.daemon.metric("hookwheel_events_accepted_total") == 1, 10,
                        "the first event is accepted")
        self.subscribe()
        self.redis.add(event(2))
        request, = self.arrived(1)
        self.assertEqual(json.loads(request.body)["data"], {"n": 2})

    def test_connections_are_used_again(self):
        self.subscribe(max_in_flight=1)
        self.redis.add_many([event(n) for n in range(100)])
        requests = self.arrived(100)
        self.assertLessEqual(len({r.connection for r in requests}), 2)
        self.assertGreaterEqual(self.daemon.metric("hookwheel_connections_reused_total"), 98)

    def test_no_more_in_flight_than_the_webhook_allows(self):
        webhook = self.daemon.create_webhook(self.receiver.url(), max_in_flight=3)
        self.receiver.rule(secret=webhook["secret"], hang=True)
        self.redis.add_many([event(n) for n in range(50)])
        self.wait_until(lambda: self.receiver.counts()["open"] >= 3, 10, "three are in flight")
        self.wait_until(lambda: self.daemon.metric("hookwheel_events_accepted_total") == 50, 10,
                        "all are accepted")
        self.assertEqual(self.receiver.counts()["open"], 3)
        self.receiver.rule(secret=webhook["secret"])
        self.receiver.answer_all()
        self.arrived(50)

    def test_large_payload_arrives_whole(self):
        self.subscribe()
        text = "x" * (256 * 1024 - 2)
        self.redis.add(event(payload='"{}"'.format(text)))
        request, = self.arrived(1)
        self.assertEqual(json.loads(request.body)["data"], text)


class Rejected(Case):
    def setUp(self):
        super().setUp()
        self.start_redis()
        self.daemon = self.start_daemon(max_payload="1KiB")

    def rejected(self, n):
        self.wait_until(lambda: self.redis.length("hookwheel:rejected") >= n, 10,
                        lambda: "{} rejected; {}".format(n, self.redis.stream("hookwheel:rejected")))
        found = [fields for _, fields in self.redis.stream("hookwheel:rejected")]
        self.assertEqual(len(found), n)
        return found

    def test_every_reason(self):
        good = event()
        deep = "[" * 65 + "]" * 65
        cases = [
            ({"payload": "{}"}, "missing_field"),
            ({"type": "a"}, "missing_field"),
            ({"other": "a"}, "missing_field"),
            (dict(good, type="order..created"), "bad_type"),
            (dict(good, type="order created"), "bad_type"),
            (dict(good, type=""), "bad_type"),
            (dict(good, type="a" * 129), "bad_type"),
            (dict(good, type="webhook.disabled"), "bad_type"),
            (dict(good, account="a b"), "bad_account"),
            (dict(good, account="a" * 65), "bad_account"),
            (dict(good, id="a.b"), "bad_id"),
            (dict(good, id=""), "bad_id"),
            (dict(good, subject=b"caf\xc3\xa9"), "bad_subject"),
            (dict(good, subject="a" * 257), "bad_subject"),
            (dict(good, level="debug"), "bad_level"),
            (dict(good, timestamp="yesterday"), "bad_timestamp"),
            (dict(good, timestamp="2026-02-30T12:00:00Z"), "bad_timestamp"),
            (dict(good, payload="{'n':1}"), "bad_json"),
            (dict(good, payload='{"n":1} x'), "bad_json"),
            (dict(good, payload=""), "bad_json"),
            (dict(good, payload=b'"\xff"'), "bad_json"),
            (dict(good, payload='"{}"'.format("x" * 1024)), "too_large"),
            (dict(good, payload=deep), "too_deep"),
        ]
        commands = [["XADD", "hookwheel:events", "*"] + [w for pair in fields.items() for w in pair]
                    for fields, _ in cases]
        twice = ["XADD", "hookwheel:events", "*", "type", "a", "payload", "1", "type", "b"]
        ids = [reply.decode() for reply in self.redis.client().pipeline(commands + [twice])]
        found = self.rejected(len(ids))
        self.assertEqual([fields["reason"] for fields in found],
                         [reason for _, reason in cases] + ["duplicate_field"])
        self.assertEqual([fields["entry"] for fields in found], ids)
        self.assertEqual(found[3]["type"], "order..created")
        self.assertEqual(self.redis.length(), 0)
        self.assertEqual(self.redis.pending(), 0)
        metrics = self.daemon.metrics()
        self.assertEqual(metrics.total("hookwheel_events_rejected_total"), len(ids))
        self.assertEqual(metrics.value("hookwheel_events_rejected_total", reason="bad_json"), 4)

    def test_edges_that_are_good(self):
        entries = [
            event(type="a" * 128), event(type="A_1.b.C"), event(account="a" * 64),
            event(id="a" * 64), event(subject="~ !" + "a" * 253), event(payload="0"),
            event(payload='"{}"'.format("x" * 1022)), event(payload="[" * 64 + "]" * 64),
            event(timestamp="2024-02-29T23:59:59.123456-11:30"), event(level="progress"),
            event(traceparent="no"), event(payload=' { } '),
        ]
        self.redis.add_many(entries)
        self.wait_until(lambda: self.redis.length() == 0, 10, "the stream is empty")
        self.assertEqual(self.redis.stream("hookwheel:rejected"), [])
        self.assertEqual(self.daemon.metric("hookwheel_events_accepted_total"), len(entries))

    def test_long_values_are_cut(self):
        self.redis.add(event(type="bad type", payload='"{}"'.format("x" * 5000), other="kept"))
        fields, = self.rejected(1)
        self.assertEqual(len(fields["payload"]), 4096)
        self.assertEqual(fields["payload_bytes"], "5002")
        self.assertNotIn("type_bytes", fields)

    def test_no_more_are_kept_than_the_setting_says(self):
        self.daemon.terminate()
        self.daemon.settings["rejected_max"] = 100
        self.daemon.start()
        self.redis.add_many([{"type": "a"} for _ in range(1000)])
        self.wait_until(lambda: self.redis.length() == 0, 10, "the stream is empty")
        self.assertLessEqual(self.redis.length("hookwheel:rejected"), 300)
        self.assertGreaterEqual(self.redis.length("hookwheel:rejected"), 100)


class Names(Case):
    def test_other_prefix_stream_and_group(self):
        self.start_redis()
        receiver = self.start_receiver()
        daemon = self.start_daemon(key_prefix="hw2", stream="in:orders", group="g2")
        receiver.rule(secret=daemon.create_webhook(receiver.url())["secret"])
        self.redis.add(event(1), stream="in:orders")
        self.redis.add({"type": "a"}, stream="in:orders")
        self.wait_requests(receiver, 1, 10)
        self.wait_until(lambda: self.redis.length("hw2:rejected") == 1, 10, "one is rejected")
        self.assertEqual(self.redis.pending("in:orders", "g2"), 0)
        foreign = [key for key in self.redis.call("KEYS", "*")
                   if key != b"in:orders" and not key.startswith(b"hw2:")]
        self.assertEqual(foreign, [])


if __name__ == "__main__":
    unittest.main()
