"""webhooks, deliveries, tokens, types, completion: the API from the shell, as programs are run."""

import fcntl
import json
import os
import pathlib
import pty
import signal
import struct
import subprocess
import termios
import threading
import unittest

from kit.case import Case, event
from kit.certificates import authority
from kit.daemon import PROGRAM, TOKEN, environment

DEADLINE_S = 30
CONTROLS = [chr(c) for c in range(0x20) if chr(c) != "\n"] + ["\x7f"]


def variables(daemon=None, **more):
    env = environment({})
    if daemon is not None:
        env["HOOKWHEEL_URL"] = "http://" + daemon.addresses["api"]
        env["HOOKWHEEL_API_TOKEN"] = TOKEN
    env.update(more)
    return env


def run(*args, daemon=None, cwd=None, **env):
    return subprocess.run([str(PROGRAM), *args], capture_output=True, text=True, cwd=cwd,
                          timeout=DEADLINE_S, env=variables(daemon, **env))


class Manage(Case):
    RETRIES = "1h"

    def setUp(self):
        super().setUp()
        self.start_redis()
        self.receiver = self.start_receiver()
        self.daemon = self.start_daemon(retry_schedule=self.RETRIES)

    def call(self, *args, code=0, **env):
        """Standard output; standard error is in .error."""
        result = run(*args, daemon=self.daemon, **env)
        self.assertEqual(result.returncode, code, result.stderr + result.stdout)
        self.error = result.stderr
        return result.stdout

    def json(self, *args, **env):
        return json.loads(self.call(*args, "--json", **env))

    def fields(self, *args, **env):
        """What is printed about one thing: names and values."""
        lines = [line for line in self.call(*args, **env).splitlines() if "  " in line]
        return {name.strip(): value.strip() for name, value in
                (line.split("  ", 1) for line in lines if not line.startswith(" "))}

    def refused(self, code, *words, args, **env):
        out = self.call(*args, code=code, **env)
        self.assertEqual(out, "")
        self.assertEqual(len(self.error.splitlines()), 1, self.error)
        for word in words:
            self.assertIn(word, self.error)

    def deliver(self, n=1, status=204, **rule):
        """A webhook and n of its deliveries, made and ended in the order of their numbers."""
        self.receiver.rule("/hook", status=status, **rule)
        webhook = self.daemon.create_webhook(self.receiver.url())
        for i in range(n):
            self.redis.add(event(i, subject="about-%d" % (i % 2)))
        failed = "dead_letter" if self.RETRIES == "none" else "failed"
        self.wait_delivery(self.daemon, "delivered" if status < 300 else failed, n=n)
        return webhook


class Webhooks(Manage):
    def test_a_webhook_from_its_creation_to_its_end(self):
        url = self.receiver.url()
        made = self.fields("webhooks", "create", "--url", url, "--event-types", "order.paid,a.b",
                           "--name", "Orders", "--header", "X-Key: k", "--rate-limit", "50",
                           "--signature-header", "X-Sig:sha256=hex", "--level", "progress")
        self.assertIn("shown this once", self.error)
        self.assertRegex(made["secret"], r"^whsec_\S{32,}$")
        self.assertEqual((made["url"], made["event types"], made["signature header"]),
                         (url, "order.paid, a.b", "X-Sig:sha256=hex"))
        stored = self.daemon.webhook({"id": made["id"]})
        self.assertEqual((stored["name"], stored["headers"], stored["rate_limit"], stored["level"],
                          stored["event_types"]),
                         ("Orders", {"x-key": "***"}, 50, "progress", ["order.paid", "a.b"]))
        self.assertEqual(self.json("webhooks", "get", made["id"]), stored)
        self.assertNotIn("whsec_", self.call("webhooks", "get", made["id"]))

        self.call("webhooks", "update", made["id"], "--name", "", "--rate-limit=", "--header", "",
                  "--event-types", "", "--subject", "s 1", "--include-raw")
        stored = self.daemon.webhook(stored)
        self.assertEqual((stored["name"], stored["headers"], stored["rate_limit"],
                          stored["event_types"], stored["subject"], stored["include_raw"]),
                         (None, {}, None, None, "s 1", True))
        self.assertEqual((stored["url"], stored["level"]), (url, "progress"))

        for verb, status in (("pause", "paused"), ("resume", "active")):
            self.assertEqual(self.fields("webhooks", verb, made["id"])["status"], status)
            self.assertEqual(self.daemon.webhook(stored)["status"], status)
        rotated = self.fields("webhooks", "rotate", made["id"], "--overlap", "1h")
        self.assertNotEqual(rotated["secret"], made["secret"])
        self.assertRegex(rotated["the one before is good until"], r"\((in 1h|in 59m)\)$")
        self.assertEqual(self.call("webhooks", "delete", made["id"]), "")
        self.refused(1, "404 not_found", args=["webhooks", "get", made["id"]])

    def test_a_list_is_a_table_with_everything_in_it(self):
        self.assertEqual(self.call("webhooks", "list"), "")
        self.assertEqual(self.error, "No webhooks.\n")
        urls = [self.receiver.url("/" + str(i) * 150) for i in range(3)]
        made = [self.daemon.create_webhook(url, subject="s%d" % i)
                for i, url in enumerate(urls)]
        lines = self.call("webhooks", "list").splitlines()
        self.assertEqual(lines[0].split()[:4], ["ID", "STATUS", "NAME", "URL"])
        column = lines[0].index("URL")
        self.assertEqual([line[column:].split()[0] for line in lines[1:]], urls[::-1])
        self.assertEqual([line.split()[0] for line in lines[1:]], [w["id"] for w in made[::-1]])
        only = self.call("webhooks", "list", "--subject", "s1").splitlines()
        self.assertEqual([line.split()[0] for line in only[1:]], [made[1]["id"]])
        self.assertEqual(self.call("webhooks", "list", "--status", "paused"), "")
        pages = self.call("webhooks", "list", "--limit", "1", "--all").splitlines()
        self.assertEqual([line.split()[0] for line in pages], [line.split()[0] for line in lines])
        page = self.json("webhooks", "list", "--limit", "2")
        self.assertEqual(page, self.daemon.expect(200, "GET", "/v1/webhooks?limit=2"))
        rest = self.json("webhooks", "list", "--cursor", page["next_cursor"])
        self.assertEqual([w["id"] for w in rest["data"]], [made[0]["id"]])
        each = self.call("webhooks", "list", "--all", "--limit", "1", "--json").splitlines()
        self.assertEqual([json.loads(line)["id"] for line in each], [w["id"] for w in made[::-1]])

    def test_the_same_key_creates_once(self):
        words = ["webhooks", "create", "--url", self.receiver.url(), "--idempotency-key", "k 1"]
        self.assertEqual(self.json(*words)["id"], self.json(*words)["id"])
        self.refused(1, "409 idempotency_conflict", args=words + ["--name", "x"])
        self.refused(2, "--idempotency-key", args=words[:-1] + ["a\r\nx: y"])

    def test_a_test_delivery(self):
        webhook = self.deliver(1)
        tested = self.fields("webhooks", "test", webhook["id"])
        self.wait_delivery(self.daemon, "delivered", n=2)
        self.assertEqual(self.daemon.delivery(tested["delivery"])["event_type"], "webhook.test")

    def test_refusals_are_one_line(self):
        self.refused(1, "hookwheel webhooks: 404 not_found: ", args=["webhooks", "get", "wh_x"])
        self.refused(1, "404", args=["webhooks", "get", "../../healthz"])
        self.refused(1, "400 invalid_request", "url", args=["webhooks", "create", "--url", "x"])
        self.refused(1, "401 unauthorized", args=["webhooks", "list"], HOOKWHEEL_API_TOKEN="x" * 20)
        self.refused(2, "--url", args=["webhooks", "create"])
        self.refused(2, "nothing", args=["webhooks", "update", "wh_x"])
        self.refused(2, "wants ID", args=["webhooks", "delete"])
        self.refused(2, "--level", args=["webhooks", "create", "--url", "x", "--level", "all"])
        self.refused(2, "unknown flag --overlap", args=["webhooks", "list", "--overlap", "1h"])
        self.refused(2, "unknown verb", args=["webhooks", "make"])
        self.refused(2, "UTF-8", args=["webhooks", "update", "wh_x", "--name", b"\xff"])
        self.daemon.terminate()
        self.refused(1, "http://", "refused", args=["webhooks", "list"])


class Recovery(Manage):
    RETRIES = "none"

    def test_dead_letters_of_a_time(self):
        webhook = self.deliver(3, status=500)
        self.receiver.rule("/hook", status=204)
        recover = ["webhooks", "recover", webhook["id"]]
        self.assertEqual(self.fields(*recover, "--since", "3h", "--until", "1h"),
                         {"queued again": "0"})
        self.assertEqual(self.fields(*recover, "--since", "2h"), {"queued again": "3"})
        self.wait_delivery(self.daemon, "delivered", n=3)
        self.refused(2, "--since", args=recover)
        self.refused(2, "soon", args=recover + ["--since", "soon"])


class Deliveries(Manage):
    def ids(self, *args):
        return [line.split()[0] for line in
                self.call("deliveries", "list", *args).splitlines()[1:]]

    def test_lists_with_every_filter(self):
        webhook = self.deliver(5)
        all_ids = [d["id"] for d in self.daemon.deliveries()]
        one = self.daemon.deliveries()[0]
        self.assertEqual(self.ids(), all_ids)
        self.assertEqual(self.ids("--limit", "2"), all_ids[:2])
        self.assertEqual(self.ids("--limit", "2", "--all"), all_ids)
        self.assertEqual(self.ids("--webhook", webhook["id"]), all_ids)
        self.assertEqual(self.ids("--event", one["event_id"]), [one["id"]])
        self.assertEqual(len(self.ids("--subject", "about-1")), 2)
        self.assertEqual(self.ids("--status", "failed"), [])
        self.assertEqual(self.ids("--since", "1h", "--status", "delivered"), all_ids)
        self.assertEqual(self.ids("--until", "1h"), [])
        self.assertEqual(self.ids("--since", "2001-01-01T00:00:00Z"), all_ids)
        self.assertEqual(self.ids("--account", "acct_2"), [])
        lines = self.call("deliveries", "list", "--all", "--limit", "2", "--json").splitlines()
        self.assertEqual([json.loads(line)["id"] for line in lines], all_ids)

    def test_what_a_receiver_says_does_not_reach_the_terminal_as_it_is(self):
        self.deliver(1, status=503, headers={"x-note": "caf\u00e9"},
                     body="\x1b[2Jgone\r\nline two \x07\u009b1m \u202e")
        delivery = self.daemon.deliveries()[0]
        for words in (["get", delivery["id"]], ["get", delivery["id"], "--json"], ["list"]):
            text = on_terminal(self.daemon, ["deliveries", *words], 200)[1]
            plain = text.replace("\r\n", "\n")
            for tone in ("\x1b[1m", "\x1b[0m", "\x1b[31m", "\x1b[32m", "\x1b[33m"):
                plain = plain.replace(tone, "")
            self.assertEqual([c for c in CONTROLS + ["\u009b", "\u202e"] if c in plain], [], plain)
        text = self.call("deliveries", "get", delivery["id"])
        self.assertIn("\\x1b[2Jgone\n  line two \\x07\\x9b1m \\u{202e}", text)

    def test_one_with_its_attempts(self):
        self.deliver(1, status=503, body="not now")
        delivery = self.daemon.deliveries()[0]
        lines = self.call("deliveries", "get", delivery["id"]).splitlines()
        title = next(i for i, line in enumerate(lines) if line.startswith("#"))
        cells = lines[title + 1].split()
        log = self.daemon.delivery(delivery["id"])["attempt_log"][0]
        self.assertEqual((cells[0], cells[1]), ("1", log["started_at"]))
        self.assertEqual(cells[6:11], [str(log["phases"]["first_byte_ms"]), "new", log["address"],
                                       log["tls_version"], "503"])
        self.assertIn("Response to attempt 1", lines)
        self.assertIn("  not now", lines)
        self.assertIn("Request", lines)
        self.assertIn("  x-hookwheel-delivery: " + delivery["id"], lines)
        self.assertTrue(any(line.startswith('  {"id":') for line in lines))
        self.assertEqual(self.json("deliveries", "get", delivery["id"]),
                         self.daemon.delivery(delivery["id"]))

    def test_one_is_made_again(self):
        self.deliver(1)
        delivery = self.daemon.deliveries()[0]
        told = self.fields("deliveries", "redeliver", delivery["id"])
        self.assertEqual(told["id"], delivery["id"])
        self.wait_until(lambda: self.daemon.delivery(delivery["id"])["attempts"] == 2, 20,
                        "a second attempt")
        self.refused(1, "404", args=["deliveries", "redeliver", "dlv_x"])


class Tail(Manage):
    def tail(self, *args):
        process = subprocess.Popen([str(PROGRAM), "deliveries", "tail", *args], text=True,
                                   stdout=subprocess.PIPE, stderr=subprocess.PIPE,
                                   env=variables(self.daemon))
        self.addCleanup(process.stdout.close)
        self.addCleanup(process.stderr.close)
        self.addCleanup(process.wait)
        self.addCleanup(process.kill)
        process.lines = []

        def read():
            for line in process.stdout:
                process.lines.append(line.rstrip("\n"))
        process.reader = threading.Thread(target=read, daemon=True)
        process.reader.start()
        return process

    def wait_lines(self, process, n):
        self.wait_until(lambda: len(process.lines) >= n, 20,
                        lambda: "{} lines; there are {}".format(n, process.lines))
        return process.lines

    def end(self, process, number=signal.SIGINT):
        process.send_signal(number)
        self.assertEqual(process.wait(20), 0)
        process.reader.join(20)

    def test_each_as_it_appears_and_as_it_changes(self):
        self.deliver(12)
        process = self.tail()
        self.wait_lines(process, 11)  # the titles and the newest ten
        self.assertEqual(process.lines[0].split()[:4], ["TIME", "(UTC)", "STATUS", "DELIVERY"])
        known = [d["id"] for d in self.daemon.deliveries()][:10][::-1]
        self.assertEqual([line.split()[2] for line in process.lines[1:]], known)
        self.receiver.rule("/hook", status=503)
        self.redis.add(event(100))
        self.assertEqual(self.wait_lines(process, 12)[11].split()[1], "failed")
        failed = self.daemon.deliveries(status="failed")[0]
        self.assertEqual(process.lines[11].split()[2], failed["id"])
        self.receiver.rule("/hook", status=204)
        self.daemon.expect(202, "POST", "/v1/deliveries/{}/redeliver".format(failed["id"]))
        self.wait_until(lambda: "delivered" in process.lines[-1], 20, "its end")
        self.assertEqual(process.lines[-1].split()[1:3], ["delivered", failed["id"]])
        self.end(process)

    def test_none_is_left_out_or_told_twice(self):
        self.deliver(1)
        process = self.tail("--json")
        self.wait_lines(process, 1)
        self.redis.add_many([event(i) for i in range(700)])
        self.wait_delivery(self.daemon, "delivered", n=701)

        def all_told():
            told = [json.loads(line) for line in list(process.lines)]
            return len({d["id"] for d in told if d["status"] == "delivered"}) == 701
        self.wait_until(all_told, 20, lambda: "701 deliveries; {} lines".format(len(process.lines)))
        self.end(process, signal.SIGTERM)
        told = [json.loads(line) for line in process.lines]
        ended = [d["id"] for d in told if d["status"] == "delivered"]
        self.assertEqual(len(ended), len(set(ended)))

    def test_an_engine_that_goes_away_is_waited_for(self):
        self.deliver(1)
        process = self.tail("--status", "delivered")
        self.wait_lines(process, 2)
        listen = self.daemon.addresses["api"]
        self.daemon.terminate()
        self.assertIn("refused", process.stderr.readline())
        self.daemon.settings["listen"] = listen
        self.daemon.start()
        self.redis.add(event(7))
        self.assertEqual(self.wait_lines(process, 3)[2].split()[1], "delivered")
        self.end(process)
        self.assertEqual(process.stderr.read(), "hookwheel deliveries: it answers again\n")

    def test_what_cannot_begin_does_not_go_on(self):
        result = run("deliveries", "tail", daemon=self.daemon, HOOKWHEEL_API_TOKEN="x" * 20)
        self.assertEqual((result.returncode, len(result.stderr.splitlines())), (1, 1))
        result = run("deliveries", "tail", HOOKWHEEL_URL="http://127.0.0.1:1",
                     HOOKWHEEL_API_TOKEN=TOKEN)
        self.assertEqual((result.returncode, len(result.stderr.splitlines())), (1, 1))


class TokensAndTypes(Manage):
    def test_a_token_is_shown_once_and_works(self):
        made = self.fields("tokens", "create", "--account", "acct_1", "--scopes",
                           "webhooks:manage,events:read", "--name", "ci", "--expires", "30d")
        self.assertIn("shown this once", self.error)
        self.assertRegex(made["expires"], r"\(in (30|29)d\)$")
        listed = self.call("tokens", "list", "--account", "acct_1")
        self.assertIn(made["id"], listed)
        self.assertNotIn(made["token"], listed)
        own = {"HOOKWHEEL_API_TOKEN": made["token"]}
        self.assertEqual(self.fields("webhooks", "create", "--url", self.receiver.url(),
                                     **own)["account"], "acct_1")
        self.refused(1, "403 forbidden", "deliveries:read", args=["deliveries", "list"], **own)
        self.refused(1, "403 forbidden", args=["tokens", "list"], **own)
        self.call("tokens", "delete", made["id"])
        self.wait_until(lambda: run("webhooks", "list", daemon=self.daemon, **own).returncode == 1,
                        20, "the token is of no use")
        self.refused(2, "--account", args=["tokens", "create", "--scopes", "events:read"])
        self.refused(2, "--expires", args=["tokens", "create", "--account", "a", "--scopes", "b",
                                           "--expires", "soon"])

    def test_the_catalogue(self):
        self.call("types", "set", "order.paid", "--group", "Orders", "--description",
                  "An order was paid.", "--title", "Paid", "--required-scope", "orders:read")
        type_ = self.daemon.expect(200, "GET", "/v1/event-types/order.paid")
        self.assertEqual((type_["group"], type_["title"], type_["required_scope"]),
                         ("Orders", "Paid", "orders:read"))
        self.assertEqual(self.json("types", "get", "order.paid"), type_)
        self.assertIn("order.paid  Orders  Paid", self.call("types", "list"))
        self.refused(1, "400 invalid_request", "supported_event_types: order.paid",
                     args=["webhooks", "create", "--url", self.receiver.url(), "--event-types",
                           "order.lost"])
        self.call("types", "delete", "order.paid")
        self.refused(1, "404", args=["types", "get", "order.paid"])
        self.refused(2, "--group", args=["types", "set", "a.b", "--description", "x"])


def on_terminal(daemon, args, width, **env):
    """Exit code and what a terminal of that width gets."""
    ours, theirs = pty.openpty()
    fcntl.ioctl(theirs, termios.TIOCSWINSZ, struct.pack("HHHH", 40, width, 0, 0))
    process = subprocess.Popen([str(PROGRAM), *args], stdin=theirs, stdout=theirs, stderr=theirs,
                               env=variables(daemon, **dict({"TERM": "xterm"}, **env)))
    os.close(theirs)
    out = b""
    while True:
        try:
            data = os.read(ours, 65536)
        except OSError:  # the other side is closed
            break
        if not data:
            break
        out += data
    os.close(ours)
    return process.wait(DEADLINE_S), out.decode()


class Terminals(Manage):
    def shown(self, width, **env):
        code, text = on_terminal(self.daemon, ["webhooks", "list"], width, **env)
        self.assertEqual(code, 0, text)
        return text.replace("\r\n", "\n").splitlines()

    def test_tables_fit_and_have_colour_only_where_it_is_wanted(self):
        webhook = self.daemon.create_webhook(self.receiver.url("/" + "x" * 300), name="N" * 90)
        for width in (80, 140):
            lines = self.shown(width, NO_COLOR="1")
            self.assertEqual([line for line in lines if "\x1b" in line or len(line) > width], [])
            self.assertIn(webhook["id"], lines[1])
            self.assertIn("\u2026", lines[1])
        self.assertIn("NAME", lines[0])
        self.assertIn("\x1b[32mactive\x1b[0m", self.shown(80)[1])
        self.assertNotIn("\x1b", self.shown(80, TERM="dumb")[1])
        self.assertNotIn("\x1b", run("webhooks", "list", daemon=self.daemon).stdout)

    def test_json_is_json_there_too(self):
        webhook = self.daemon.create_webhook(self.receiver.url(), name="caf\u00e9 \u009b1m")
        code, text = on_terminal(self.daemon, ["webhooks", "get", webhook["id"], "--json"], 80)
        self.assertEqual((code, json.loads(text)["name"]), (0, "caf\u00e9 \u009b1m"))
        self.assertNotIn("\u009b", text)


class Reaching(Case):
    """Where the API is, and whose token is used."""

    def test_the_token_of_the_data_folder(self):
        daemon = self.start_daemon(data_dir=self.path("hookwheel-data"), api_token=None)
        env = {"HOOKWHEEL_URL": "http://" + daemon.addresses["api"]}
        self.assertEqual(run("webhooks", "list", cwd=self.folder, **env).returncode, 0)
        token = pathlib.Path(self.path("hookwheel-data"), "root-token")
        for args in (["--data-dir", self.path("hookwheel-data")], ["--api-token-file", str(token)],
                     ["--api-token", token.read_text().strip()]):
            self.assertEqual(run("webhooks", "list", *args, **env).returncode, 0)
        self.assertEqual(run("webhooks", "list", HOOKWHEEL_API_TOKEN_FILE=str(token),
                             **env).returncode, 0)
        result = run("webhooks", "list", "--data-dir", self.path("nowhere"), **env)
        self.assertEqual(result.returncode, 2)
        self.assertIn("HOOKWHEEL_API_TOKEN", result.stderr)
        result = run("webhooks", "list", "--api-token", "a", "--api-token-file", "b", **env)
        self.assertEqual(result.returncode, 2)
        result = run("webhooks", "list", "--api-token", "a\r\nx: y", **env)
        self.assertEqual(result.returncode, 2)

    def test_https_and_a_path_in_front(self):
        body = b'{"data":[],"has_more":false,"next_cursor":null,"prev_cursor":null}'
        answer = b"HTTP/1.1 200 OK\r\ncontent-length: %d\r\n\r\n%s" % (len(body), body)

        def script(connection):
            connection.read_request()
            connection.send(answer)
        server = self.start_scripted(script)
        env = {"HOOKWHEEL_URL": server.url("/engine/"), "HOOKWHEEL_API_TOKEN": TOKEN}
        self.assertEqual(run("webhooks", "list", HOOKWHEEL_CA_FILE=authority().ca,
                             **env).returncode, 0)
        request = server.requests[0]
        self.assertEqual((request.path, request.headers["authorization"], request.headers["host"]),
                         ("/engine/v1/webhooks", "Bearer " + TOKEN,
                          "localhost:{}".format(server.port)))
        result = run("webhooks", "list", **env)  # an authority that it does not know
        self.assertEqual((result.returncode, len(result.stderr.splitlines())), (1, 1))
        self.assertEqual(len(server.requests), 1)

    def test_what_is_no_engine_is_one_line(self):
        hostile = rb'{"error":{"code":"\u001b[2J","message":"\u0007\n"}}'
        answers = [b"HTTP/1.1 200 OK\r\ncontent-length: 6\r\n\r\n<html>",
                   b"HTTP/1.1 502 Bad Gateway\r\ncontent-length: 0\r\n\r\n",
                   b"HTTP/1.1 500 x\r\ncontent-length: %d\r\n\r\n%s" % (len(hostile), hostile),
                   b"220 smtp.example\r\n", b""]
        for answer in answers:
            def script(connection, answer=answer):
                connection.read_request()
                connection.send(answer)
            server = self.start_scripted(script, certificate=None)
            result = run("webhooks", "list", HOOKWHEEL_API_TOKEN=TOKEN,
                         HOOKWHEEL_URL="http://127.0.0.1:{}".format(server.port))
            self.assertEqual((result.returncode, result.stdout), (1, ""), answer)
            self.assertEqual(len(result.stderr.splitlines()), 1, result.stderr)
            self.assertEqual([c for c in CONTROLS if c in result.stderr], [])

    def test_health_asks_where_the_daemon_listens(self):
        daemon = self.start_daemon(data_dir=self.path("data"))
        address = daemon.addresses["api"]
        everywhere = "0.0.0.0:" + address.rpartition(":")[2]
        for listen in (address, everywhere):
            result = run("health", HOOKWHEEL_LISTEN=listen)
            self.assertEqual((result.returncode, result.stderr), (0, ""))
        daemon.terminate()
        result = run("health", HOOKWHEEL_LISTEN=address)
        self.assertEqual((result.returncode, len(result.stderr.splitlines())), (1, 1))


class Help(unittest.TestCase):
    def test_every_verb_says_what_it_takes(self):
        for family in ("webhooks", "deliveries", "consumers", "tokens", "types"):
            bare, asked = run(family), run(family, "--help")
            self.assertEqual((bare.returncode, bare.stdout, asked.returncode, asked.stderr),
                             (2, "", 0, ""))
            self.assertEqual(bare.stderr, asked.stdout)
            verbs = [line.split()[0] for line in asked.stdout.split("\n\n")[2].splitlines()]
            self.assertGreaterEqual(len(verbs), 3)
            for verb in verbs:
                result = run(family, verb, "--help")
                self.assertEqual((result.returncode, result.stderr), (0, ""))
                self.assertIn("Usage: hookwheel {} {}".format(family, verb), result.stdout)
                self.assertIn("\nExample:\n  hookwheel {} {}".format(family, verb), result.stdout)
                self.assertIn("--json", result.stdout)

    def complete(self, *words):
        """What bash would offer for the last of these words."""
        script = ('source <("$1" completion bash); shift; COMP_WORDS=("$@"); '
                  'COMP_CWORD=$(($# - 1)); _hookwheel; printf "%s\\n" "${COMPREPLY[@]}"')
        result = subprocess.run(["bash", "-c", script, "bash", str(PROGRAM), "hookwheel", *words],
                                capture_output=True, text=True, timeout=DEADLINE_S,
                                env=environment({}), cwd=os.path.dirname(__file__))
        self.assertEqual((result.returncode, result.stderr), (0, ""))
        return set(result.stdout.split())

    def test_completion(self):
        commands = self.complete("")
        self.assertLessEqual({"serve", "webhooks", "deliveries", "tokens", "completion"}, commands)
        self.assertNotIn("health", commands)
        self.assertEqual(self.complete("web"), {"webhooks"})
        self.assertEqual(self.complete("webhooks", "re"), {"recover", "resume"})
        self.assertEqual(self.complete("webhooks", "rotate", "wh_x", "--o"), {"--overlap"})
        self.assertIn("--idempotency-key", self.complete("webhooks", "create", "--"))
        self.assertNotIn("--idempotency-key", self.complete("webhooks", "update", "--"))
        self.assertEqual(self.complete("webhooks", "create", "--level", ""), {"user", "progress"})
        self.assertEqual(self.complete("webhooks", "create", "--level", "=", "p"), {"progress"})
        self.assertEqual(self.complete("webhooks", "create", "--name", ""), set())
        self.assertEqual(self.complete("deliveries", "list", "--status", "d"),
                         {"delivering", "delivered", "dead_letter"})
        self.assertIn("--since", self.complete("deliveries", "list", "--json", "--s"))
        self.assertEqual(self.complete("updates", "--fo"), {"--follow"})
        self.assertIn("--cursor", self.complete("updates", "--follow", "--json", "--"))
        self.assertEqual(self.complete("consumers", "p"), {"pull", "pending"})
        self.assertEqual(self.complete("consumers", "pull", "x", "--v"), {"--visibility"})
        self.assertIn("--backfill-from", self.complete("webhooks", "resume", "wh_x", "--"))
        self.assertEqual(self.complete("webhooks", "backfill", "wh_x", "--u"), {"--until"})
        self.assertEqual(self.complete("serve", "--log-level", "w"), {"warn"})
        self.assertEqual(self.complete("send", "--fi"), {"--file"})
        self.assertEqual(self.complete("send", "--file", "test_cl"), {"test_cli.py"})
        self.assertEqual(self.complete("completion", ""), {"bash"})
        self.assertEqual(self.complete("nonsense", ""), set())
        self.assertEqual(run("completion").returncode, 2)
        self.assertEqual(run("completion", "fish").returncode, 2)


if __name__ == "__main__":
    unittest.main()
