"""proto/openapi.yaml: sound, the engine's own, and true of every answer there is.

What an answer looks like is held against the document wherever a test asks anything
(kit/openapi.py); here it is that nothing in the document is left unasked.
"""

import email.message
import os
import pathlib
import re
import subprocess
import tempfile
import unittest

import jsonschema
import yaml

from kit import openapi
from kit.api import SCOPES, ApiCase
from kit.case import Case, event

SOURCE = pathlib.Path(os.environ["HOOKWHEEL_SOURCE_DIR"])
LINT = SOURCE / "test/support/linter/lint.js"
ROUTES = SOURCE / "engine/api/routes.c"
NULL, MiB = "NULL", 1024 * 1024

SCOPE_NAMES = {"OPEN": None, "ANY": [], "ROOT": ["root"], "WEBHOOKS_MANAGE": ["webhooks:manage"],
               "DELIVERIES_READ": ["deliveries:read"], "DELIVERIES_WRITE": ["deliveries:write"],
               "EVENTS_WRITE": ["events:write"]}

# What it takes: {method, pattern, door, scope, query, largest body, idempotency, handler}.
ROW = re.compile(r'\{ "(\w+)", "([^"]+)", HW_DOOR_(\w+), HW_SCOPE_(\w+),\s+(NULL|"[^"]*"),\s+'
                 r'(\w+),\s+(&?\w+),\s+\w+ \}')


def parts(node, wanted, path=""):
    """(path, value) of every member of that name, however deep."""
    if isinstance(node, list):
        node = {str(n): one for n, one in enumerate(node)}
    if isinstance(node, dict):
        for name, one in node.items():
            if name == wanted:
                yield path, one
            yield from parts(one, wanted, path + "/" + str(name))


def lint(path):
    return subprocess.run(["node", str(LINT), str(path)], stdout=subprocess.PIPE, check=False,
                          stderr=subprocess.STDOUT, timeout=60)


class Text(unittest.TestCase):
    """The document for itself."""

    maxDiff = None

    def setUp(self):
        self.document = openapi.document()

    def test_linter_has_nothing_to_say(self):
        done = lint(openapi.PATH)
        self.assertEqual((done.stdout.decode(), done.returncode), ("", 0))

    def test_linter_would_say_something(self):
        for spoil in (lambda tree: tree["paths"]["/v1/webhooks"]["post"].pop("operationId"),
                      lambda tree: tree["components"]["schemas"].pop("Webhook"),
                      lambda tree: tree["paths"]["/v1/webhooks/{id}"].pop("parameters")):
            tree = yaml.safe_load(openapi.PATH.read_text("utf-8"))
            spoil(tree)
            with tempfile.NamedTemporaryFile("w", suffix=".yaml", encoding="utf-8") as file:
                yaml.safe_dump(tree, file)
                file.flush()
                self.assertEqual(lint(file.name).returncode, 1)

    def test_version_is_the_project_s(self):
        text = (SOURCE / "CMakeLists.txt").read_text("utf-8")
        version = re.search(r"^project\(hookwheel VERSION ([0-9.]+)", text, re.M).group(1)
        self.assertEqual(self.document.raw["info"]["version"], version)

    def test_schemas_are_schemas(self):
        for name, schema in self.document.tree["components"]["schemas"].items():
            with self.subTest(name):
                jsonschema.Draft202012Validator.check_schema(schema)

    def test_objects_are_closed(self):
        """Every object is one with a list of its members, or a map; what a *Base lacks, those
        that extend it have."""
        for path, kind in parts(self.document.raw["components"]["schemas"], "type"):
            node = at(self.document.raw["components"]["schemas"], path)
            if (kind == "object" or "object" in kind) and not path.endswith("Base"):
                self.assertIn("additionalProperties", node, path)
        for path, _ in parts(self.document.raw["components"]["schemas"], "allOf"):
            node = at(self.document.raw["components"]["schemas"], path)
            is_error = node["allOf"] == [{"$ref": "#/components/schemas/Error"}]
            self.assertTrue(is_error or node.get("unevaluatedProperties") is False, path)

    def test_examples_keep_to_their_schemas(self):
        n_examples = 0
        for path, content in [*parts(self.document.tree, "content")]:
            (_, media), = content.items()
            for name, example in media.get("examples", {}).items():
                n_examples += 1
                with self.subTest("{} {}".format(path, name)):
                    self.check_example(media["schema"], example["value"])
        self.assertGreater(n_examples, 40)
        for path, values in [*parts(self.document.tree["components"]["schemas"], "examples")]:
            for value in values:
                self.check_example(at(self.document.tree["components"]["schemas"], path), value)

    def check_example(self, schema, value):
        """As the document has it, and as the kit looks at it; and one member more is too many."""
        as_written = jsonschema.Draft202012Validator(schema)
        as_looked_at = jsonschema.Draft202012Validator(openapi.closed(schema))
        for validator in (as_written, as_looked_at):
            self.assertEqual([error.message for error in validator.iter_errors(value)], [])
            if isinstance(value, dict) and "anyOf" not in schema:
                self.assertFalse(validator.is_valid(dict(value, surprise=1)))

    def test_every_component_is_used(self):
        used = {ref for _, ref in parts(self.document.raw, "$ref")}
        for kind, components in self.document.raw["components"].items():
            if kind != "securitySchemes":
                for name in components:
                    self.assertIn("#/components/{}/{}".format(kind, name), used)

    def test_operations_are_the_routes_of_the_engine(self):
        documented = {(one.method, one.template): describe(one)
                      for one in self.document.operations}
        self.assertEqual(routes(), documented)

    def test_error_codes_are_those_of_the_engine(self):
        text = (SOURCE / "engine/api/problem.h").read_text("utf-8")
        codes = re.findall(r'X\(\w+, \d+, "(\w+)"\)', text)
        documented = self.document.raw["components"]["schemas"]["ErrorCode"]["enum"]
        self.assertEqual(sorted(documented + ["internal"]), sorted(codes))


class Answered:
    """What an answer could be, with what is wrong in it."""

    def __init__(self, status, body=b"", headers=()):
        self.status = status
        self.body = body
        self.headers = email.message.Message()
        for name, value in dict({"content-type": "application/json"}, **dict(headers)).items():
            if value is not None:
                self.headers[name] = value


class Check(unittest.TestCase):
    """The kit lets nothing through that the document does not have."""

    REFUSED = b'{"error":{"code":"%s","message":"m","details":{}}}'
    EMPTY = b'{"data":[],"has_more":false,"next_cursor":null,"prev_cursor":null}'

    def check(self, method, target, answered, body=None, door="api"):
        asked = openapi.Asked(method, target, {"content-type": "application/json"}, body, door)
        try:
            openapi.document().check(asked, answered)
        finally:
            openapi.complaints.clear()

    def test_good_ones(self):
        empty = Answered(200, self.EMPTY)
        self.check("GET", "/v1/webhooks?limit=7&status=paused", empty)
        self.check("HEAD", "/v1/webhooks", Answered(200))
        self.check("GET", "/v1/updates/stream",
                   Answered(200, headers={"content-type": "text/event-stream"}))
        self.check("GET", "/v1/nothing", Answered(404, self.REFUSED % b"not_found"))
        self.check("GET", "/v1/webhooks", Answered(404, self.REFUSED % b"not_found"), door="ops")
        self.check("OPTIONS", "/v1/webhooks", Answered(204, headers={
            "allow": "OPTIONS, GET, HEAD, POST", "content-type": None}))

    def test_bad_ones(self):
        secret = b'{"object":"signing_secret","secret":"whsec_%s","previous_valid_until":null}' % (
            b"A" * 32)
        rotate = "/v1/webhooks/wh_1/rotate-secret"
        cases = [
            ("GET", "/v1/webhooks", Answered(202, self.EMPTY)),
            ("GET", "/v1/webhooks", Answered(500, self.REFUSED % b"internal")),
            ("GET", "/v1/webhooks", Answered(404, self.REFUSED % b"not_found")),
            ("GET", "/v1/webhooks", Answered(403, self.REFUSED % b"forbidden")),
            ("GET", "/v1/webhooks", Answered(401, self.REFUSED % b"unauthorized")),
            ("GET", "/v1/webhooks", Answered(400, self.REFUSED % b"unauthorized")),
            ("GET", "/v1/webhooks", Answered(200, self.EMPTY[:-1] + b',"more":1}')),
            ("GET", "/v1/webhooks", Answered(200, b'{"data":[]}')),
            ("GET", "/v1/webhooks", Answered(200, self.EMPTY, {"content-type": "text/plain"})),
            ("GET", "/v1/webhooks", Answered(200, self.EMPTY, {"retry-after": "1"})),
            ("GET", "/v1/webhooks", Answered(200, b"")),
            ("GET", "/v1/webhooks", Answered(200, b"\xff")),
            ("GET", "/v1/updates", Answered(200, self.EMPTY)),
            ("GET", "/v1/updates/stream", Answered(200)),
            ("GET", "/v1/webhooks?limit=201", Answered(200, self.EMPTY)),
            ("GET", "/v1/webhooks?sort=up", Answered(200, self.EMPTY)),
            ("HEAD", "/v1/webhooks", Answered(200, self.EMPTY)),
            ("DELETE", "/v1/webhooks/wh_1", Answered(204, b"{}", {"content-type": None})),
            ("DELETE", "/v1/webhooks/wh_1", Answered(204)),
            ("GET", "/v1/nothing", Answered(200, self.EMPTY)),
            ("GET", "/v1/nothing", Answered(405, self.REFUSED % b"method_not_allowed",
                                            {"allow": "POST"})),
            ("PUT", "/v1/webhooks", Answered(404, self.REFUSED % b"not_found")),
            ("PUT", "/v1/webhooks", Answered(405, self.REFUSED % b"method_not_allowed")),
            ("OPTIONS", "/v1/webhooks", Answered(204, headers={"allow": "GET, HEAD, OPTIONS"})),
            ("POST", rotate, Answered(200, secret), b'{"overlap":1}'),
        ]
        for case in cases:
            with self.subTest(case[:2]):
                self.assertRaises(openapi.Undocumented, self.check, *case)
        self.check("POST", rotate, Answered(200, secret), b'{"overlap_seconds":1}')
        self.check("POST", rotate, Answered(200, secret))


def at(node, path):
    for name in path.split("/")[1:]:
        node = node[int(name) if isinstance(node, list) else name]
    return node


def describe(operation):
    return {"scopes": None if operation.is_open else operation.scopes,
            "query": operation.query(),
            "takes a body": operation.request is not None,
            "may be repeated": ("header", "idempotency-key") in operation.parameters}


def routes():
    """The engine's table, in the document's words."""
    text = ROUTES.read_text("utf-8")
    table = text[text.index("hw_routes[] = {"):text.index("const size_t hw_n_routes")]
    rows = ROW.findall(table)
    if len(rows) != table.count("HW_DOOR_"):
        raise AssertionError("{} rows of {} are read".format(len(rows), table.count("HW_DOOR_")))
    return {(method, re.sub(r":(\w+)", r"{\1}", pattern)): {
        "scopes": SCOPE_NAMES[scope],
        "query": sorted(query.strip('"').split()) if query != NULL else [],
        "takes a body": body != "0",
        "may be repeated": once != NULL,
    } for method, pattern, _, scope, query, body, once in rows}


class Served(Case):
    def setUp(self):
        super().setUp()
        self.start_redis()
        self.daemon = self.start_daemon()

    def test_as_it_is_in_the_source(self):
        reply = self.daemon.call("GET", "/v1/openapi.yaml", token=None)
        self.assertEqual(reply.status, 200)
        self.assertEqual(reply.headers["content-type"], "application/yaml")
        self.assertEqual(reply.body, openapi.PATH.read_bytes())
        head = self.daemon.call("HEAD", "/v1/openapi.yaml", token=None)
        self.assertEqual((head.status, head.headers["content-length"], head.body),
                         (200, str(len(reply.body)), b""))

    def test_options_of_every_path(self):
        """That Allow has the documented methods is checked where every answer is."""
        for template in openapi.document().by_path:
            path = re.sub(r"\{\w+\}", "x", template)
            with self.subTest(path):
                self.assertEqual(self.daemon.call("OPTIONS", path, token=None).status, 204)

    def test_methods_that_are_not_listed(self):
        for template, methods in openapi.document().by_path.items():
            path = re.sub(r"\{\w+\}", "x", template)
            for method in {"GET", "PUT", "POST", "PATCH", "DELETE", "TRACE"} - methods.keys():
                with self.subTest("{} {}".format(method, path)):
                    self.assertEqual(self.daemon.call(method, path).status, 405)
        for path in ("/", "/v1", "/v1/webhooks/", "/v1/webhooks/a/b", "/v2/webhooks"):
            self.assertEqual(self.daemon.call("GET", path).status, 404)
            self.assertEqual(self.daemon.call("OPTIONS", path).status, 404)

    def test_head_wherever_get_is(self):
        for one in openapi.document().operations:
            if one.method == "GET" and "{" not in one.template:
                self.assertEqual(self.daemon.call("HEAD", one.template).status, 200, one.template)


class Occurrences(ApiCase):
    """Every operation is brought to every status that the document has for it."""

    def settings(self):
        return {"retry_schedule": "1h", "disable_after": 0}

    def setUp(self):
        super().setUp()
        openapi.document().seen.clear()
        self.receiver = self.start_receiver()
        self.operations = {one.id: one for one in openapi.document().operations}
        self.token = self.daemon.issue("default", *SCOPES)
        self.powerless = self.daemon.issue("default", "nothing")
        self.places = {}

    def test_every_status_of_every_operation(self):
        self.make_things()
        self.provoke_success()
        self.provoke_refusals_by_the_door()
        self.provoke_expired()
        self.provoke_conflicts()
        self.provoke_other_door()
        self.provoke_rate_limit()
        self.provoke_unavailable()
        documented = {(one.id, status) for one in self.operations.values()
                      for status in one.responses}
        self.assertEqual(sorted(documented - openapi.document().seen), [])

    # --- things to ask about

    def make_things(self):
        gone = self.subscribe("/gone", rule={"statuses": [410]}, account="gone")
        webhook = self.subscribe()
        self.redis.add(event(1))
        self.redis.add(event(2, account="gone"))
        delivery, = self.wait_delivery(self.daemon, "delivered")
        dead, = self.wait_delivery(self.daemon, "dead_letter", account="gone")
        self.wait_until(lambda: self.daemon.webhook(gone)["status"] == "disabled", 10,
                        "the webhook is disabled")
        self.daemon.put_type("order.created")
        self.webhook, self.gone, self.dead = webhook["id"], gone["id"], dead["id"]
        self.paths = {"Webhook": webhook["id"], "Delivery": delivery["id"],
                      "Event": "order.created", "Token": "tok_none", "Consumer": "billing"}
        for consumer in ("billing", "throwaway"):
            self.daemon.expect(200, "GET", "/v1/consumers/{}/events".format(consumer))

    def path_of(self, operation, thing=None):
        template = operation.template
        for kind, prefix in (("Webhook", "/v1/webhooks/"), ("Delivery", "/v1/deliveries/"),
                             ("Event", "/v1/event-types/"), ("Token", "/v1/tokens/"),
                             ("Consumer", "/v1/consumers/")):
            if template.startswith(prefix):
                return re.sub(r"\{\w+\}", thing or self.paths[kind], template)
        return template

    BODIES = {
        "createWebhook": {"url": "https://localhost:9000/more"},
        "updateWebhook": {"name": "The same"},
        "rotateSecret": {"overlap_seconds": 60},
        "recoverWebhook": {"since": "2020-01-01T00:00:00Z"},
        "backfillWebhook": {"from": "start"},
        "acknowledgeEvents": {"event_ids": ["evt_none"]},
        "sendEvents": {"type": "order.created", "payload": {"n": 1}},
        "putEventType": {"group": "Orders", "description": "An order."},
        "createToken": {"account": "default", "scopes": ["events:read"]},
    }

    def ask(self, operation, thing=None, query="", **more):
        more.setdefault("body", self.BODIES.get(operation.id))
        return self.daemon.call(operation.method, self.path_of(operation, thing) + query, **more)

    def ask_all(self, status, **more):
        """All operations that have the status."""
        for operation in self.operations.values():
            if status in operation.responses:
                with self.subTest("{} {}".format(operation.id, status)):
                    self.assertEqual(self.ask(operation, **more).status, status)

    # --- how to come to what

    def provoke_success(self):
        last = ("deleteWebhook", "deleteEventType", "deleteToken", "deleteConsumer")
        for name, operation in self.operations.items():
            if name not in last:
                with self.subTest(name):
                    self.assertLess(self.ask(operation).status, 300)
        throwaway = {"deleteWebhook": self.create()["id"], "deleteEventType": "order.paid",
                     "deleteConsumer": "throwaway",
                     "deleteToken": self.daemon.expect(200, "GET", "/v1/tokens")["data"][0]["id"]}
        self.daemon.put_type("order.paid")
        for name in last:
            self.assertEqual(self.ask(self.operations[name], throwaway[name]).status, 204)

    def provoke_refusals_by_the_door(self):
        self.ask_all(400, query="?x=%zz")
        self.ask_all(401, token=None)
        self.ask_all(403, token=self.powerless)
        self.ask_all(413, body=None, headers={"content-length": str(9 * MiB)})
        self.ask_all(415, body=b"{}", headers={"content-type": "text/plain"})
        self.ask_all(431, headers={"x-long": "x" * 17000})
        for operation in self.operations.values():
            if 404 in operation.responses and "{" in operation.template:
                with self.subTest(operation.id):
                    self.assertEqual(self.ask(operation, "nothing_here").status, 404)

    def provoke_expired(self):
        """A cursor of another Redis: this one has none of its events."""
        other = self.start_daemon(redis_url=None, data_dir=self.path("other"))
        cursor = other.expect(200, "GET", "/v1/updates")["next_cursor"]
        other.terminate()
        for name, thing, query, body in (
                ("listUpdates", None, "?cursor=" + cursor, None),
                ("streamUpdates", None, "?cursor=" + cursor, None),
                ("pullEvents", "new", "?from=" + cursor, None),
                ("listPendingEvents", None, "?cursor=" + cursor, None),
                ("acknowledgeEvents", None, "", {"cursor": cursor}),
                ("createWebhook", None, "", dict(self.BODIES["createWebhook"],
                                                 backfill_from=cursor)),
                ("updateWebhook", self.gone, "", {"status": "active", "backfill_from": cursor}),
                ("backfillWebhook", None, "", {"from": cursor})):
            with self.subTest(name):
                reply = self.ask(self.operations[name], thing, query, body=body)
                self.assertEqual((reply.status, reply.error()["code"]), (410, "cursor_expired"))

    def provoke_conflicts(self):
        for name, thing, body in (("updateWebhook", self.gone, {"status": "paused"}),
                                  ("testWebhook", self.gone, None),
                                  ("recoverWebhook", self.gone, self.BODIES["recoverWebhook"]),
                                  ("backfillWebhook", self.gone, self.BODIES["backfillWebhook"]),
                                  ("redeliver", self.dead, None)):
            with self.subTest(name):
                self.assertEqual(self.ask(self.operations[name], thing, body=body).status, 409)
        secret = self.daemon.expect(200, "POST", self.path_of(self.operations["rotateSecret"]), {})
        self.assertEqual(self.ask(self.operations["rotateSecret"],
                                  body={"secret": secret["secret"]}).status, 409)
        for name in ("createWebhook", "sendEvents"):
            self.provoke_key_conflict(self.operations[name])
        statuses = [self.ask(self.operations["createWebhook"]).status for _ in range(11)]
        self.assertEqual(statuses[-1], 409)
        statuses = [self.ask(self.operations["pullEvents"], "more_{}".format(n)).status
                    for n in range(100)]
        self.assertEqual((statuses[0], statuses[-1]), (200, 409))

    def provoke_key_conflict(self, operation):
        key = {"idempotency-key": operation.id}
        first, second = (self.ask(operation, headers=key) for _ in range(2))
        self.assertEqual((first.status, first.body), (second.status, second.body))
        self.assertEqual((first.headers["idempotency-replayed"],
                          second.headers["idempotency-replayed"]), (None, "true"))
        other = self.ask(operation, headers=key, body=dict(self.BODIES[operation.id], subject="s"))
        self.assertEqual((other.status, other.error()["code"]), (409, "idempotency_conflict"))

    def provoke_other_door(self):
        daemon = self.start_daemon(ops_listen="127.0.0.1:0")
        for path in openapi.OPS_PATHS:
            self.assertEqual(daemon.call("GET", path).status, 404)
            self.assertEqual(daemon.call("GET", path, door="ops").status, 200)
        self.assertEqual(daemon.call("GET", "/v1/openapi.yaml", door="ops").status, 404)
        daemon.terminate()

    def provoke_rate_limit(self):
        """One token for all of it: the second request of each second is one too many."""
        unlimited, self.daemon = self.daemon, self.start_daemon(api_rate=1)
        for operation in self.operations.values():
            if 429 in operation.responses:
                with self.subTest(operation.id):
                    self.wait_until(lambda: self.ask(operation, token=self.powerless).status == 429,
                                    10, "a request is one too many")
        self.daemon.terminate()
        self.daemon = unlimited

    def provoke_unavailable(self):
        self.redis.stop()
        for operation in self.operations.values():
            if 503 in operation.responses:
                with self.subTest(operation.id):
                    self.wait_until(lambda: self.ask(operation).status == 503, 20,
                                    "Redis is missed")


if __name__ == "__main__":
    unittest.main()
