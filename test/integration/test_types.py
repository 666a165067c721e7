"""The catalogue of event types: who may subscribe to what, and who receives and sees it."""

import json
import threading
import time
import types
import unittest

from kit.api import SCOPES, ApiCase, Plain
from kit.case import event

BUILT_IN = SCOPES[:4]
IN_FORCE_S = 1.0  # how long a change may take


class Catalogue(ApiCase):
    def entries(self):
        return self.daemon.expect(200, "GET", "/v1/event-types")["data"]

    def check_type(self, found, **expected):
        self.assertEqual({name: found[name] for name in expected}, expected)

    def test_put_get_list_and_delete(self):
        self.assertEqual(self.entries(), [])
        whole = {"group": "Orders", "title": "Order paid", "description": "Money has come.",
                 "required_scope": "orders:read"}
        least = {"group": "Orders", "description": "It is new."}
        for name, body in (("order.paid", whole), ("order.created", least), ("a", least)):
            self.assertIn(self.daemon.call("PUT", "/v1/event-types/" + name, body).status,
                          (200, 201))
        self.assertEqual([one["name"] for one in self.entries()],
                         ["a", "order.created", "order.paid"])
        found = self.daemon.expect(200, "GET", "/v1/event-types/order.paid")
        self.check_type(found, name="order.paid", **whole)
        self.assertEqual(self.entries()[2], found)
        found = self.daemon.expect(200, "GET", "/v1/event-types/order.created")
        self.check_type(found, name="order.created", title=None, required_scope=None, **least)

        self.daemon.expect(200, "PUT", "/v1/event-types/order.paid", least)
        found = self.daemon.expect(200, "GET", "/v1/event-types/order.paid")
        self.check_type(found, title=None, required_scope=None, **least)
        reply = self.daemon.call("DELETE", "/v1/event-types/order.paid")
        self.assertEqual((reply.status, reply.body), (204, b""))
        for method in ("GET", "DELETE"):
            self.check_error(self.daemon.call(method, "/v1/event-types/order.paid"), 404,
                             "not_found")
        self.assertEqual([one["name"] for one in self.entries()], ["a", "order.created"])

    def test_bad_ones(self):
        good = {"group": "Orders", "description": "It is new."}
        for name in ("order..paid", "order%20paid", "a" * 129, "order-paid", ".a",
                     "webhook.disabled", "webhook.test", "webhook.other"):
            with self.subTest(name):
                self.check_error(self.daemon.call("PUT", "/v1/event-types/" + name, good), 400,
                                 "invalid_request")
        for name, value in (("group", None), ("group", 7), ("group", ""), ("title", 7),
                            ("description", None), ("description", 7), ("required_scope", 7),
                            ("required_scope", "a b"), ("required_scope", ""),
                            ("name", "order.paid"), ("surprise", 1)):
            with self.subTest("{}={!r}".format(name, value)):
                self.check_error(self.daemon.call("PUT", "/v1/event-types/order.paid",
                                                  {**good, name: value}),
                                 400, "invalid_request", name)
        for name in good:
            rest = {key: value for key, value in good.items() if key != name}
            self.check_error(self.daemon.call("PUT", "/v1/event-types/order.paid", rest), 400,
                             "invalid_request", name)
        self.assertEqual(self.entries(), [])

    def test_they_outlive_a_restart_and_are_seen_by_other_instances(self):
        self.daemon.put_type("order.paid")
        other = self.start_daemon()
        self.assertEqual(other.expect(200, "GET", "/v1/event-types")["data"], self.entries())
        other.put_type("order.shipped")
        self.assertEqual([one["name"] for one in self.entries()], ["order.paid", "order.shipped"])
        self.daemon.terminate()
        self.daemon.start()
        self.assertEqual([one["name"] for one in self.entries()], ["order.paid", "order.shipped"])


class Subscribing(ApiCase):
    def test_empty_catalogue_takes_every_well_formed_type(self):
        self.create(event_types=["order.paid", "anything.at_all"])
        reply = self.daemon.call("POST", "/v1/webhooks", {"url": "https://localhost:9000/",
                                                          "event_types": ["order paid"]})
        self.check_error(reply, 400, "invalid_request", "event_types")

    def test_unknown_type_from_the_first_entry_on(self):
        webhook = self.create(event_types=["order.old"])
        self.daemon.put_type("order.paid")
        self.daemon.put_type("order.shipped", "orders:read")
        body = {"url": "https://localhost:9000/", "event_types": ["order.paid", "order.old"]}
        for reply in (self.daemon.call("POST", "/v1/webhooks", body),
                      self.daemon.call("PATCH", "/v1/webhooks/" + webhook["id"],
                                       {"event_types": ["order.old2"]})):
            error = self.check_error(reply, 400, "invalid_request", "event_types")
            self.assertEqual(sorted(error["details"]["supported_event_types"]),
                             ["order.paid", "order.shipped"])
        self.create(event_types=["order.paid", "order.shipped"])
        self.create(event_types=["webhook.disabled", "webhook.test"])
        self.create()
        self.daemon.expect(204, "DELETE", "/v1/event-types/order.paid")
        self.daemon.expect(204, "DELETE", "/v1/event-types/order.shipped")
        self.create(event_types=["order.new"])

    def test_nothing_is_subscribed_to_before_it_is_read(self):
        """At the start of an instance, from the first request that finds it listening."""
        self.daemon.put_type("order.created")
        self.daemon.terminate()
        coming = types.SimpleNamespace(addresses=dict(self.daemon.addresses))
        self.daemon.settings["listen"] = coming.addresses["api"]
        body = b'{"url":"https://localhost:9000/","event_types":["order.unknown"]}'
        statuses, is_over = [], threading.Event()

        def subscribe():
            while not is_over.is_set():
                try:
                    with Plain(coming) as connection:
                        connection.ask("POST", "/v1/webhooks", body)
                        statuses.append(connection.answer().status)
                except OSError:
                    pass  # it does not listen yet

        asking = [threading.Thread(target=subscribe) for _ in range(3)]
        for thread in asking:
            thread.start()
        try:
            self.daemon.start()
            self.wait_until(lambda: 400 in statuses, 10, "it is refused")
        finally:
            is_over.set()
            for thread in asking:
                thread.join()
        self.assertLessEqual(set(statuses), {400, 503})

    def test_each_type_needs_its_scope(self):
        self.daemon.put_type("order.paid", "orders:read")
        self.daemon.put_type("bill.sent", "bills:read")
        self.daemon.put_type("free.form")
        reader = self.daemon.issue("acct_1", "orders:read", *BUILT_IN)
        all_reader = self.daemon.issue("acct_1", *SCOPES)
        url = "https://localhost:9000/"

        def ask(token, *types):
            return self.daemon.call("POST", "/v1/webhooks",
                                    {"url": url, "event_types": list(types)}, token=token)

        self.assertEqual(ask(reader, "order.paid").status, 201)
        self.check_forbidden(ask(reader, "order.paid", "bill.sent"), "bills:read")
        self.check_forbidden(ask(reader, "free.form"), "events:read")
        self.assertEqual(ask(reader, "webhook.disabled", "webhook.test").status, 201)
        self.assertEqual(ask(all_reader, "order.paid", "bill.sent", "free.form").status, 201)


class Reading(ApiCase):
    """What is matched, and what shows."""

    def settings(self):
        return {"retry_schedule": "none", "disable_after": 0}

    def setUp(self):
        super().setUp()
        self.receiver = self.start_receiver()
        self.daemon.put_type("order.paid", "orders:read")
        self.daemon.put_type("bill.sent", "bills:read")
        self.daemon.put_type("free.form")
        self.reader = self.daemon.issue("acct_1", "orders:read", *BUILT_IN)

    def add(self, name, type_name):
        self.redis.add(event(id=name, type=type_name, account="acct_1"))

    def received(self, path):
        return sorted(r.id for r in self.receiver.requests(path))

    def settle(self):
        self.wait_accepted()
        for daemon in self.daemons:
            self.wait_settled(daemon)

    def in_force(self):
        """What was changed a second ago holds everywhere; this is the promise, not luck."""
        time.sleep(IN_FORCE_S)

    def test_without_event_types_what_the_creator_could_read(self):
        self.subscribe("/reader", token=self.reader)
        self.subscribe("/all", token=self.daemon.issue("acct_1", *SCOPES))
        self.subscribe("/root", account="acct_1")
        types = ["order.paid", "bill.sent", "free.form", "not.listed"]
        for name in types:
            self.add(name.replace(".", "_"), name)
        self.settle()
        everything = sorted(name.replace(".", "_") for name in types)
        self.assertEqual(self.received("/reader"), ["order_paid"])
        self.assertEqual(self.received("/all"), everything)
        self.assertEqual(self.received("/root"), everything)

    def test_readable_is_judged_when_an_event_is_matched(self):
        """Also by another instance, and also where the types were named."""
        self.start_daemon()
        self.subscribe("/open", token=self.reader)
        self.subscribe("/named", token=self.reader, event_types=["order.paid"])
        self.add("first", "order.paid")
        self.settle()
        self.daemon.put_type("order.paid", "bills:read")
        self.daemon.put_type("bill.sent", "orders:read")
        self.in_force()
        for n in range(20):
            self.add("p{:02}".format(n), "order.paid")
            self.add("b{:02}".format(n), "bill.sent")
        self.settle()
        self.assertEqual(self.received("/open"),
                         ["b{:02}".format(n) for n in range(20)] + ["first"])
        self.assertEqual(self.received("/named"), ["first"])
        self.daemon.expect(204, "DELETE", "/v1/event-types/bill.sent")
        self.daemon.put_type("order.paid", "orders:read")
        self.in_force()
        self.add("p99", "order.paid")
        self.add("b99", "bill.sent")  # not listed: needs events:read
        self.settle()
        self.assertNotIn("b99", self.received("/open"))
        self.assertIn("p99", self.received("/open"))
        self.assertEqual(self.received("/named"), ["first", "p99"])

    def test_revoking_the_creators_token_changes_nothing(self):
        self.subscribe("/hook", token=self.reader)
        item, = self.daemon.expect(200, "GET", "/v1/tokens")["data"]
        self.daemon.expect(204, "DELETE", "/v1/tokens/" + item["id"])
        self.in_force()
        self.add("p", "order.paid")
        self.add("b", "bill.sent")
        self.settle()
        self.assertEqual(self.received("/hook"), ["p"])

    def test_the_engines_own_go_only_where_they_are_named(self):
        self.subscribe("/all", account="acct_1")
        self.subscribe("/told", account="acct_1", event_types=["webhook.disabled"])
        self.subscribe("/tests", account="acct_1", event_types=["webhook.test"])
        self.subscribe("/reader", token=self.reader,
                       event_types=["order.paid", "webhook.disabled"], rule={"keep": True})
        gone = self.subscribe("/gone", account="acct_1", event_types=["order.paid"],
                              rule={"status": 410})
        self.add("p", "order.paid")
        self.wait_until(lambda: len(self.received("/reader")) == 2, 10, "two have come")
        self.settle()
        self.assertEqual(self.received("/all"), ["p"])
        self.assertEqual(len(self.received("/told")), 1)
        self.assertEqual(self.received("/tests"), [])
        notice = [json.loads(r.body) for r in self.receiver.requests("/reader") if r.id != "p"][0]
        self.assertEqual(notice["type"], "webhook.disabled")
        self.assertIn(gone["id"], json.dumps(notice["data"]))
        listed = self.daemon.expect(200, "GET", "/v1/event-types")["data"]
        self.assertEqual([one["name"] for one in listed], ["bill.sent", "free.form", "order.paid"])

    def test_body_and_headers_of_a_delivery_show_only_to_who_may_read_it(self):
        self.subscribe("/hook", account="acct_1", headers={"x-tenant-key": "hidden"})
        self.redis.add(event(id="b", type="bill.sent", account="acct_1", subject="s1",
                             payload='{"amount":41172}'))
        delivery, = self.wait_delivery(self.daemon, "delivered", account="acct_1")
        path = "/v1/deliveries/" + delivery["id"]
        for scopes, may_read in ((["deliveries:read"], False),
                                 (["deliveries:read", "orders:read"], False),
                                 (["deliveries:read", "bills:read"], True),
                                 (["deliveries:read", "events:read"], True)):
            token = self.daemon.issue("acct_1", *scopes)
            with self.subTest(scopes):
                reply = self.daemon.call("GET", path, token=token)
                self.assertEqual(reply.status, 200)
                self.assertEqual(b"41172" in reply.body, may_read)
                self.assertEqual(b"x-tenant-key" in reply.body, may_read)
                whole = reply.json()
                self.assertEqual((whole["event_type"], len(whole["attempt_log"])),
                                 ("bill.sent", 1))

    def test_bodies_of_the_engines_own_show_to_who_manages_webhooks(self):
        webhook = self.subscribe(account="acct_1")
        self.daemon.patch(webhook, status="paused")
        self.in_force()
        sent = self.daemon.expect(202, "POST", "/v1/webhooks/{}/test".format(webhook["id"]))
        path = "/v1/deliveries/" + sent["id"]
        for scopes, may_read in ((["deliveries:read", "orders:read"], False),
                                 (["deliveries:read", "webhooks:manage"], True)):
            token = self.daemon.issue("acct_1", *scopes)
            with self.subTest(scopes):
                body = self.daemon.call("GET", path, token=token).body
                self.assertEqual(b'\\"type\\":\\"webhook.test\\"' in body, may_read)

    def test_whoever_changes_it_the_creators_scopes_stay(self):
        webhook = self.subscribe(token=self.reader, event_types=["order.paid"])
        reply = self.daemon.call("PATCH", "/v1/webhooks/" + webhook["id"],
                                 {"event_types": ["order.paid", "bill.sent"]})
        self.check_forbidden(reply, "bills:read")
        self.daemon.patch(webhook, event_types=None)
        self.in_force()
        self.add("p", "order.paid")
        self.add("b", "bill.sent")
        self.settle()
        self.assertEqual(self.received("/hook"), ["p"])

    def test_changes_need_a_token_that_reads_what_the_webhook_receives(self):
        orders = self.subscribe("/orders", token=self.reader, event_types=["order.paid"])
        bills = self.subscribe("/bills", account="acct_1", event_types=["order.paid", "bill.sent"])
        everything = self.subscribe("/all", account="acct_1")
        changes = [("PATCH", "", {"url": self.receiver.url("/mine")}),
                   ("PATCH", "", {"event_types": ["order.paid"]}),
                   ("PATCH", "", {"headers": {"x-a": "b"}}),
                   ("POST", "/rotate-secret", {})]
        for webhook, missing in ((bills, "bills:read"), (everything, None)):
            for method, more, body in changes:
                with self.subTest(more or list(body)):
                    reply = self.daemon.call(method, "/v1/webhooks/" + webhook["id"] + more, body,
                                             token=self.reader)
                    error = self.check_error(reply, 403, "forbidden")
                    self.assertIn(error["details"]["missing_scope"],
                                  [missing] if missing else ["bills:read", "events:read"])
            self.daemon.patch(webhook, token=self.reader, name="renamed")
            seen = self.daemon.webhook(webhook)
            self.assertEqual((seen["url"], seen["event_types"], seen["headers"], seen["name"]),
                             (webhook["url"], webhook["event_types"], {}, "renamed"))
        for method, more, body in changes:
            self.daemon.expect(200, method, "/v1/webhooks/" + orders["id"] + more, body,
                               token=self.reader)
        self.check_forbidden(self.daemon.call("PATCH", "/v1/webhooks/" + orders["id"],
                                              {"event_types": ["bill.sent"]}, token=self.reader),
                             "bills:read")

    def test_a_type_that_is_not_listed_is_accepted_all_the_same(self):
        self.subscribe("/hook", account="acct_1")
        self.daemon.send(type="not.listed", payload=1, account="acct_1", id="x1")
        self.add("x2", "not.listed.either")
        self.settle()
        self.assertEqual(self.received("/hook"), ["x1", "x2"])


if __name__ == "__main__":
    unittest.main()
