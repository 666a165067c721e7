"""Tokens: who may do what, in which account, for how long and how often."""

import datetime
import hashlib
import time
import unittest

from kit.api import SCOPES, TIME, ApiCase, Plain, asked, head, ids_of, pages_down, pages_up
from kit.case import Case, event

BUILT_IN = SCOPES[:4]

# Every route that needs a token: method, path, a body that changes nothing, the scope.
ROUTES = [
    ("POST", "/v1/tokens", {}, "root"),
    ("GET", "/v1/tokens", None, "root"),
    ("DELETE", "/v1/tokens/tok_none", None, "root"),
    ("PUT", "/v1/event-types/a.b", {}, "root"),
    ("DELETE", "/v1/event-types/a.b", None, "root"),
    ("GET", "/v1/event-types", None, None),
    ("GET", "/v1/event-types/a.b", None, None),
    ("POST", "/v1/webhooks", {}, "webhooks:manage"),
    ("GET", "/v1/webhooks", None, "webhooks:manage"),
    ("GET", "/v1/webhooks/wh_none", None, "webhooks:manage"),
    ("PATCH", "/v1/webhooks/wh_none", {"name": "x"}, "webhooks:manage"),
    ("DELETE", "/v1/webhooks/wh_none", None, "webhooks:manage"),
    ("POST", "/v1/webhooks/wh_none/rotate-secret", {}, "webhooks:manage"),
    ("POST", "/v1/webhooks/wh_none/test", None, "webhooks:manage"),
    ("POST", "/v1/webhooks/wh_none/recover", {"since": "2026-01-01T00:00:00Z"},
     "deliveries:write"),
    ("GET", "/v1/deliveries", None, "deliveries:read"),
    ("GET", "/v1/deliveries/dlv_none", None, "deliveries:read"),
    ("POST", "/v1/deliveries/dlv_none/redeliver", None, "deliveries:write"),
    ("POST", "/v1/events", {}, "events:write"),
]


def rfc3339(seconds):
    at = datetime.datetime.fromtimestamp(seconds, datetime.timezone.utc)
    return at.strftime("%Y-%m-%dT%H:%M:%S.") + "{:03}Z".format(at.microsecond // 1000)


class Issuing(ApiCase):
    def test_shown_once_and_only_its_hash_is_stored(self):
        body = {"account": "acct_1", "scopes": ["webhooks:manage", "orders:read"],
                "name": "Deploys", "expires_at": "2040-01-02T03:04:05+01:00"}
        issued = self.daemon.expect(201, "POST", "/v1/tokens", body)
        text = issued.pop("token")
        self.assertRegex(text, "^hwt_[A-Za-z0-9_-]{20,}$")
        self.assertRegex(issued["created_at"], TIME)
        self.assertEqual(
            {name: value for name, value in issued.items() if name not in ("id", "created_at")},
            {"object": "token", "account": "acct_1", "scopes": ["webhooks:manage", "orders:read"],
             "name": "Deploys", "expires_at": "2040-01-02T02:04:05.000Z"})
        self.assertEqual(self.daemon.call("GET", "/v1/webhooks", token=text).status, 200)
        listed = self.daemon.call("GET", "/v1/tokens")
        self.assertEqual(listed.json()["data"], [issued])
        self.assertNotIn(text.encode(), listed.body)

        stored = b"\n".join(key + b"\n" + value for key, value in self.redis.everything().items())
        secret = text[len("hwt_"):]
        self.assertIn(issued["id"].encode(), stored)
        self.assertIn(hashlib.sha256(text.encode()).hexdigest().encode(), stored)
        self.assertNotIn(secret.encode(), stored)
        self.assertNotIn(secret, self.daemon.log())

    def test_least_that_is_needed(self):
        issued = self.daemon.expect(201, "POST", "/v1/tokens",
                                    {"account": "acct_1", "scopes": ["events:write"]})
        self.assertEqual((issued["name"], issued["expires_at"]), (None, None))
        again = self.daemon.expect(201, "POST", "/v1/tokens",
                                   {"account": "acct_1", "scopes": ["events:write"]})
        self.assertNotEqual(again["token"], issued["token"])
        self.assertNotEqual(again["id"], issued["id"])

    def test_bad_members(self):
        good = {"account": "acct_1", "scopes": ["events:write"]}
        for name, value in (("account", None), ("account", ""), ("account", "a b"),
                            ("account", "a" * 65), ("account", 7), ("scopes", None),
                            ("scopes", "events:write"), ("scopes", [7]), ("scopes", [""]),
                            ("scopes", ["a b"]), ("name", 7), ("name", ""),
                            ("expires_at", "tomorrow"), ("expires_at", 7), ("surprise", 1)):
            with self.subTest("{}={!r}".format(name, value)):
                self.check_error(self.daemon.call("POST", "/v1/tokens", {**good, name: value}),
                                 400, "invalid_request", name)
        for name in good:
            rest = {key: value for key, value in good.items() if key != name}
            self.check_error(self.daemon.call("POST", "/v1/tokens", rest), 400,
                             "invalid_request", name)
        twice = b'{"account":"a","account":"a","scopes":["events:write"]}'
        self.check_error(self.daemon.call("POST", "/v1/tokens", twice), 400, "invalid_request",
                         "account")
        self.assertEqual(self.daemon.expect(200, "GET", "/v1/tokens")["data"], [])

    def test_list_of_all_accounts_or_one_in_pages(self):
        for n in range(7):
            self.daemon.issue("acct_{}".format(n % 2), "events:write", name="t{}".format(n))
        pages = pages_down(self.daemon, "/v1/tokens", limit=3)
        self.assertEqual([len(page["data"]) for page in pages], [3, 3, 1])
        self.assertEqual({item["name"] for page in pages for item in page["data"]},
                         {"t{}".format(n) for n in range(7)})
        back = pages_up(self.daemon, "/v1/tokens", pages[-1], limit=3)
        self.assertEqual([page["data"] for page in back], [pages[1]["data"], pages[0]["data"]])
        own = self.daemon.expect(200, "GET", "/v1/tokens?account=acct_1")["data"]
        self.assertEqual({item["name"] for item in own}, {"t1", "t3", "t5"})
        self.assertEqual(self.daemon.expect(200, "GET", "/v1/tokens?account=none")["data"], [])
        for query, field in (("limit=0", "limit"), ("limit=201", "limit"), ("cursor=x", "cursor"),
                             ("account=a%20b", "account"), ("surprise=1", "surprise")):
            self.check_error(self.daemon.call("GET", "/v1/tokens?" + query), 400,
                             "invalid_request", field)

    def test_delete(self):
        text = self.daemon.issue("acct_1", "events:write")
        item, = self.daemon.expect(200, "GET", "/v1/tokens")["data"]
        reply = self.daemon.call("DELETE", "/v1/tokens/" + item["id"])
        self.assertEqual((reply.status, reply.body), (204, b""))
        self.check_error(self.daemon.call("DELETE", "/v1/tokens/" + item["id"]), 404, "not_found")
        self.check_error(self.daemon.call("GET", "/v1/event-types", token=text), 401,
                         "unauthorized")
        self.assertEqual(self.daemon.expect(200, "GET", "/v1/tokens")["data"], [])

    def test_expiry(self):
        ends = time.time() + 1.5
        text = self.daemon.issue("acct_1", "webhooks:manage", expires_at=rfc3339(ends))
        seen_to_work = False
        while True:
            reply = self.daemon.call("GET", "/v1/webhooks", token=text)
            if reply.status != 200:
                break
            seen_to_work = True
            self.assertLess(time.time(), ends + 1)
        self.assertGreaterEqual(time.time(), ends - 0.002)
        self.assertTrue(seen_to_work)
        self.check_error(reply, 401, "unauthorized")

    def test_revoked_while_a_body_comes(self):
        body = b'{"type":"order.created","payload":1}'
        issued = self.daemon.expect(201, "POST", "/v1/tokens",
                                    {"account": "acct_1", "scopes": ["events:write"]})
        with Plain(self.daemon) as connection:
            connection.send(head("POST", "/v1/events", ["content-length: %d" % len(body)],
                                 token=issued["token"]) + body[:-1])
            self.assertEqual(self.daemon.call("GET", "/v1/event-types",
                                              token=issued["token"]).status, 200)
            self.daemon.expect(204, "DELETE", "/v1/tokens/" + issued["id"])
            connection.send(body[-1:])
            self.assertEqual(connection.answer().status, 401)
        self.assertEqual(self.redis.length(), 0)

    def test_they_outlive_a_restart(self):
        text = self.daemon.issue("acct_1", "webhooks:manage")
        self.daemon.terminate()
        self.daemon.start()
        self.assertEqual(self.daemon.call("GET", "/v1/webhooks", token=text).status, 200)


class Scopes(ApiCase):
    def test_each_route_asks_for_its_own(self):
        tokens = {scope: self.daemon.issue("acct_1", scope) for scope in SCOPES}
        for method, path, body, needed in ROUTES:
            for scope, token in tokens.items():
                with self.subTest("{} {} with {}".format(method, path, scope)):
                    reply = self.daemon.call(method, path, body, token=token)
                    if needed in (None, scope):
                        self.assertIn(reply.status, (200, 202, 400, 404), reply.body)
                    else:
                        self.check_forbidden(reply, needed)

    def test_all_together_open_everything_but_what_is_roots(self):
        token = self.daemon.issue("acct_1", *BUILT_IN)
        for method, path, body, needed in ROUTES:
            with self.subTest("{} {}".format(method, path)):
                reply = self.daemon.call(method, path, body, token=token)
                if needed == "root":
                    self.check_forbidden(reply, "root")
                else:
                    self.assertNotIn(reply.status, (401, 403, 500), reply.body)

    def test_no_token_and_wrong_ones(self):
        revoked = self.daemon.issue("acct_1", *SCOPES)
        item, = self.daemon.expect(200, "GET", "/v1/tokens")["data"]
        self.daemon.expect(204, "DELETE", "/v1/tokens/" + item["id"])
        flipped = revoked[:-1] + ("a" if revoked[-1] != "a" else "b")
        for method, path, body, _ in ROUTES:
            for token in (None, revoked, flipped, item["id"]):
                with self.subTest("{} {} with {}".format(method, path, token)):
                    reply = self.daemon.call(method, path, body, token=token)
                    self.check_error(reply, 401, "unauthorized")

    def test_open_without_one(self):
        for path in ("/healthz", "/readyz", "/metrics", "/v1/openapi.yaml"):
            self.assertEqual(self.daemon.call("GET", path, token=None).status, 200, path)


class Revocation(Case):
    def test_in_force_everywhere_within_a_second(self):
        self.start_redis()
        daemons = [self.start_daemon() for _ in range(3)]
        for turn in range(3):
            text = daemons[turn].issue("acct_1", "webhooks:manage")
            made = time.monotonic()
            for daemon in daemons:
                self.wait_until(lambda: self.status(daemon, text) == 200,
                                max(0, made + 1 - time.monotonic()), "the token is known")
            item, = daemons[turn].expect(200, "GET", "/v1/tokens")["data"]
            daemons[(turn + 1) % 3].expect(204, "DELETE", "/v1/tokens/" + item["id"])
            gone = time.monotonic()
            self.assertEqual(self.status(daemons[(turn + 1) % 3], text), 401)
            for daemon in daemons:
                self.wait_until(lambda: self.status(daemon, text) == 401,
                                max(0, gone + 1 - time.monotonic()), "the token is revoked")
            for daemon in daemons:
                self.assertEqual(self.status(daemon, text), 401)

    def status(self, daemon, token):
        return daemon.call("GET", "/v1/webhooks", token=token).status


class Strangers(ApiCase):
    """Another account's things look like things that do not exist, in every endpoint."""

    def setUp(self):
        super().setUp()
        self.receiver = self.start_receiver()
        self.own = self.daemon.issue("acct_a", *SCOPES)
        self.other = self.daemon.issue("acct_b", *SCOPES)
        self.webhook = self.subscribe(token=self.own)
        self.redis.add(event(1, id="e1", account="acct_a", subject="s1"))
        self.delivery, = self.wait_delivery(self.daemon, "delivered", account="acct_a")

    def test_things_by_id(self):
        cases = [
            ("GET", "/v1/webhooks/{}", None), ("PATCH", "/v1/webhooks/{}", {"name": "mine"}),
            ("PATCH", "/v1/webhooks/{}", {"status": "paused"}),
            ("POST", "/v1/webhooks/{}/rotate-secret", {}), ("POST", "/v1/webhooks/{}/test", None),
            ("POST", "/v1/webhooks/{}/recover", {"since": "2020-01-01T00:00:00Z"}),
            ("DELETE", "/v1/webhooks/{}", None), ("GET", "/v1/deliveries/{}", None),
            ("POST", "/v1/deliveries/{}/redeliver", None),
        ]
        for method, path, body in cases:
            with self.subTest(method + " " + path):
                thing = self.delivery if "deliveries" in path else self.webhook
                real = thing["id"]
                none = real[:-1] + ("a" if real[-1] != "a" else "b")
                reply = self.daemon.call(method, path.format(real), body, token=self.other)
                error = self.check_error(reply, 404, "not_found")
                unknown = self.daemon.call(method, path.format(none), body, token=self.other)
                self.assertEqual(self.check_error(unknown, 404, "not_found"), error)
        seen = self.daemon.expect(200, "GET", "/v1/webhooks/" + self.webhook["id"],
                                  token=self.own)
        for name in ("name", "status", "updated_at"):
            self.assertEqual(seen[name], self.webhook[name])
        self.redis.add(event(2, id="e2", account="acct_a"))
        self.wait_delivery(self.daemon, "delivered", account="acct_a", n=2)
        requests = self.receiver.requests()  # neither a test nor a redelivery, the old secret
        self.assert_clean(requests)
        self.assertEqual([r.id for r in requests], ["e1", "e2"])

    def test_lists(self):
        def found(path, **query):
            page = self.daemon.expect(200, "GET", asked(path, query), token=self.other)
            return page["data"], page["has_more"], page["next_cursor"]

        nothing = ([], False, None)
        self.assertEqual(found("/v1/webhooks"), nothing)
        self.assertEqual(found("/v1/deliveries"), nothing)
        for query in ({"webhook_id": self.webhook["id"]}, {"event_id": "e1"}, {"subject": "s1"},
                      {"status": "delivered"}, {"account": "acct_b"}):
            self.assertEqual(found("/v1/deliveries", **query), nothing)
        both = pages_down(self.daemon, "/v1/deliveries", token=self.own)
        self.assertEqual(ids_of(both), [self.delivery["id"]])

    def test_a_token_names_no_account_but_its_own(self):
        for path in ("/v1/webhooks", "/v1/deliveries"):
            own = self.daemon.expect(200, "GET", path + "?account=acct_a", token=self.own)
            self.assertEqual(len(own["data"]), 1)
            self.check_error(self.daemon.call("GET", path + "?account=acct_a", token=self.other),
                             400, "invalid_request", "account")
        body = {"url": self.receiver.url("/x"), "account": "acct_a"}
        self.check_error(self.daemon.call("POST", "/v1/webhooks", body, token=self.other), 400,
                         "invalid_request", "account")
        self.daemon.expect(201, "POST", "/v1/webhooks", dict(body, account="acct_b"),
                           token=self.other)
        entry = {"type": "a.b", "payload": 1, "account": "acct_a"}
        for body in (entry, {"events": [entry]}):
            self.assertEqual(self.daemon.call("POST", "/v1/events", body,
                                              token=self.other).status, 400)
        self.daemon.expect(202, "POST", "/v1/events", dict(entry, account="acct_b"),
                           token=self.other)

    def test_root_reaches_all_and_begins_with_default(self):
        path = "/v1/webhooks/" + self.webhook["id"]
        self.assertEqual(self.daemon.expect(200, "GET", path)["account"], "acct_a")
        self.assertEqual(self.daemon.delivery(self.delivery["id"])["account"], "acct_a")
        self.assertEqual(self.daemon.expect(200, "GET", "/v1/webhooks")["data"], [])
        self.assertEqual(self.daemon.deliveries(), [])
        self.assertEqual(len(self.daemon.deliveries(account="acct_a")), 1)
        named = self.daemon.expect(200, "GET", "/v1/webhooks?account=acct_a")["data"]
        self.assertEqual([item["id"] for item in named], [self.webhook["id"]])
        self.assertEqual(self.create()["account"], "default")
        self.assertEqual(self.create(account="acct_c")["account"], "acct_c")
        self.daemon.expect(200, "PATCH", path, {"name": "by root"})
        self.daemon.expect(202, "POST", "/v1/deliveries/{}/redeliver".format(self.delivery["id"]))
        self.daemon.expect(204, "DELETE", path)


class Rate(ApiCase):
    def settings(self):
        return {"api_rate": 5}

    def test_over_it_is_429_for_that_token_alone(self):
        one = self.daemon.issue("acct_1", "webhooks:manage")
        two = self.daemon.issue("acct_1", "webhooks:manage")
        replies = [self.daemon.call("GET", "/v1/webhooks", token=one) for _ in range(40)]
        refused = [r for r in replies if r.status == 429]
        self.assertEqual({r.status for r in replies}, {200, 429})
        self.check_error(refused[0], 429, "rate_limited")
        wait_s = int(refused[-1].headers["retry-after"])
        self.assertGreaterEqual(wait_s, 1)
        self.assertEqual(self.daemon.call("GET", "/v1/webhooks", token=two).status, 200)
        for _ in range(40):
            self.assertEqual(self.daemon.call("GET", "/v1/webhooks").status, 200)
        time.sleep(wait_s)  # as the answer said
        self.assertEqual(self.daemon.call("GET", "/v1/webhooks", token=one).status, 200)

    def test_no_more_than_that_go_through(self):
        token = self.daemon.issue("acct_1", "webhooks:manage")
        began = time.monotonic()
        n_passed = 0
        while time.monotonic() - began < 2:
            n_passed += self.daemon.call("GET", "/v1/webhooks", token=token).status == 200
        passed_s = time.monotonic() - began
        self.assertLessEqual(n_passed, 5 * (passed_s + 1) + 1)
        self.assertGreaterEqual(n_passed, 5)


if __name__ == "__main__":
    unittest.main()
