"""updates, consumers, webhooks backfill: the feed from the shell, as programs are run."""

import json
import re
import signal
import subprocess
import threading

from kit.case import Case, event
from kit.daemon import PROGRAM, TOKEN
from test_manage import CONTROLS, Manage, on_terminal, run, variables

HUGE = '{"n":12345678901234567890123,"x":1.10,"y":1e999,"z":"\\u0000"}'


class Feed(Manage):
    def add(self, n, first=0, **fields):
        self.redis.add_many([event(i, id="e_{}".format(i), **fields)
                             for i in range(first, first + n)])
        self.wait_until(lambda: self.redis.length() == 0, 20, "they are accepted")

    def body(self, path):
        reply = self.daemon.call("GET", path)
        self.assertEqual(reply.status, 200, reply.body)
        return reply.body.decode()

    def records(self, text):
        return [json.loads(line) for line in text.splitlines()]

    def ids(self, *args):
        return [record["id"] for record in self.records(self.call(*args, "--json"))]

    def next_cursor(self):
        """What the command has said last."""
        last = self.error.splitlines()[-1]
        self.assertTrue(last.startswith("next cursor: f"), self.error)
        return last.split()[2]


class Updates(Feed):
    def test_a_table_oldest_first(self):
        self.assertEqual(self.call("updates"), "")
        self.assertEqual(self.error.splitlines()[0], "No events.")
        start = self.next_cursor()
        self.add(3, subject='a "b" \\c', timestamp="2026-03-09T12:00:00Z")
        lines = self.call("updates", "--cursor", start).splitlines()
        self.assertEqual(lines[0].split(), ["TIME", "(UTC)", "TYPE", "SUBJECT", "EVENT", "DATA"])
        self.assertEqual([re.split("  +", line) for line in lines[1:]], [
            ["2026-03-09T12:00:00.000Z", "order.created", 'a "b" \\c', "e_%d" % i, '{"n":%d}' % i]
            for i in range(3)])
        self.assertEqual(self.next_cursor(), json.loads(self.body("/v1/updates"))["next_cursor"])
        self.assertEqual(self.call("updates", "--cursor", self.next_cursor()), "")

    def test_json_is_the_record_to_the_byte(self):
        self.redis.add({"type": "a.b", "payload": HUGE, "id": "huge"})
        self.add(2)
        lines = self.call("updates", "--json").splitlines()
        self.assertEqual(self.error, "")
        self.assertEqual('{"data":[' + ",".join(lines), self.body("/v1/updates").split('],"next')[0])
        self.assertIn('"data":' + HUGE, lines[0])
        self.assertIn(HUGE, self.call("updates", "--limit", "1"))

    def test_pages_and_filters(self):
        self.add(5, subject="s 1")
        self.add(5, first=5, type="order.paid")
        every = ["e_%d" % i for i in range(10)]
        self.assertEqual(self.ids("updates"), every)
        self.assertEqual(self.ids("updates", "--limit", "4"), every[:4])
        self.assertEqual(self.ids("updates", "--limit", "3", "--all"), every)
        self.assertEqual(self.ids("updates", "--types", "order.paid,a.b"), every[5:])
        self.assertEqual(self.ids("updates", "--subject", "s 1"), every[:5])
        self.assertEqual(self.ids("updates", "--account", "acct_2"), [])
        self.call("updates", "--limit", "4")
        self.assertIn("--all", self.error)
        self.assertEqual(self.ids("updates", "--cursor", self.next_cursor()), every[4:])

    def test_what_is_asked_wrong_is_one_line(self):
        self.refused(1, "hookwheel updates: 400 invalid_request: ", args=["updates", "--cursor", "x"])
        self.refused(1, "400", "types", args=["updates", "--types", "a b"])
        self.refused(1, "401", args=["updates"], HOOKWHEEL_API_TOKEN="x" * 20)
        self.refused(2, "hookwheel updates: ", "--limit", args=["updates", "--limit", "0"])
        self.refused(2, "hookwheel updates: --new", args=["updates", "--new"])
        self.refused(2, "unknown flag --webhook", args=["updates", "--webhook", "wh_x"])
        self.refused(2, "hookwheel updates: ", args=["updates", "list"])
        self.refused(2, "--cursor", args=["updates", "--follow", "--cursor", "f" * 200])
        result = run("updates", "--help")
        self.assertEqual((result.returncode, result.stderr), (0, ""))
        self.assertIn("Usage: hookwheel updates [flags]", result.stdout)
        self.daemon.terminate()
        self.refused(1, "http://", "refused", args=["updates"])

    def test_an_expired_cursor_names_the_oldest(self):
        self.add(1)
        self.call("updates")
        cursor = self.next_cursor()
        self.daemon.terminate()
        self.redis.call("FLUSHALL")
        self.daemon.start()
        self.add(2, first=1)
        for args in (["updates", "--cursor", cursor], ["updates", "--follow", "--cursor", cursor]):
            self.refused(1, "410 cursor_expired", "(oldest_cursor: f", args=args)
        oldest = self.error.split("(oldest_cursor: ")[1].rstrip(")\n")
        self.assertEqual(self.ids("updates", "--cursor", oldest), ["e_1", "e_2"])

    def test_what_an_event_holds_does_not_reach_the_terminal_as_it_is(self):
        self.redis.add({"type": "a.b", "id": "evil", "subject": "s",
                        "payload": '"\\u001b[2J \u009b1m \x7f \u202e' + "x" * 3000 + '"'})
        self.wait_until(lambda: self.redis.length() == 0, 20, "it is accepted")
        for words in (["updates"], ["updates", "--json"], ["consumers", "pull", "a"]):
            code, text = on_terminal(self.daemon, words, 200)
            plain = text.replace("\r\n", "\n").replace("\x1b[1m", "").replace("\x1b[0m", "")
            self.assertEqual((code, [c for c in CONTROLS + ["\u009b", "\u202e"] if c in plain]),
                             (0, []), plain)
            self.assertIn("evil", plain)
        self.assertIn("\u2026", text)
        code, text = on_terminal(self.daemon, ["updates", "--json"], 80)
        record = json.loads(text.replace("\r\n", ""))
        self.assertEqual(record["data"], "\x1b[2J \u009b1m \x7f \u202e" + "x" * 3000)
        code, text = on_terminal(self.daemon, ["updates"], 80, NO_COLOR="1")
        self.assertEqual([line for line in text.split("\r\n")[:2] if len(line) > 80], [])
        self.assertIn("\\x9b", self.call("updates"))


class Follow(Feed):
    def follow(self, *args):
        process = subprocess.Popen([str(PROGRAM), "updates", "--follow", *args], text=True,
                                   stdout=subprocess.PIPE, stderr=subprocess.PIPE,
                                   env=variables(self.daemon))
        self.addCleanup(process.stdout.close)
        self.addCleanup(process.stderr.close)
        self.addCleanup(process.wait)
        self.addCleanup(process.kill)
        process.lines = []

        def read():
            for line in process.stdout:
                process.lines.append(line)
        process.reader = threading.Thread(target=read)
        process.reader.start()
        self.addCleanup(process.reader.join)
        self.addCleanup(process.kill)
        return process

    def wait_lines(self, process, n):
        self.wait_until(lambda: len(process.lines) >= n, 20,
                        lambda: "{} lines; there are {}".format(n, process.lines))
        return process.lines

    def end(self, process, number=signal.SIGINT):
        process.send_signal(number)
        self.assertEqual(process.wait(20), 0)
        process.reader.join(20)
        return process.stderr.read()

    def test_what_is_kept_then_what_comes(self):
        self.add(3)
        process = self.follow()
        self.wait_lines(process, 4)
        self.assertEqual(process.lines[0].split()[0], "TIME")
        for i in range(3, 8):
            self.add(1, first=i)
            self.assertIn("e_%d" % i, self.wait_lines(process, i + 2)[i + 1])
        said = self.end(process)
        self.assertEqual(said, "next cursor: {}\n".format(
            json.loads(self.body("/v1/updates"))["next_cursor"]))

    def test_from_a_cursor_with_filters_none_left_out(self):
        self.add(2)
        self.call("updates")
        process = self.follow("--json", "--cursor", self.next_cursor(), "--types", "order.paid",
                              "--limit", "7")
        for i in range(0, 300, 50):
            self.add(25, first=2 + i)
            self.add(25, first=2 + i + 25, type="order.paid")
        self.wait_lines(process, 150)
        self.assertEqual(self.end(process, signal.SIGTERM), "")
        wanted = ["e_%d" % (2 + i) for i in range(300) if i % 50 >= 25]
        self.assertEqual([json.loads(line)["id"] for line in process.lines], wanted)

    def test_only_what_is_new(self):
        self.add(250)
        process = self.follow("--new", "--json")

        def is_waiting():  # a long poll answers when it is over: until then this is all there is
            return self.daemon.metric("hookwheel_http_requests_total", route="GET /v1/updates",
                                      status="200") >= 2
        self.wait_until(is_waiting, 20, "it has read what is kept")
        self.add(2, first=250)
        self.wait_lines(process, 2)
        self.end(process)
        self.assertEqual([json.loads(line)["id"] for line in process.lines], ["e_250", "e_251"])

    def test_an_engine_that_goes_away_is_waited_for(self):
        self.add(1)
        process = self.follow("--json")
        self.wait_lines(process, 1)
        self.daemon.settings["listen"] = self.daemon.addresses["api"]
        self.daemon.kill_hard()
        self.assertTrue(process.stderr.readline().startswith("hookwheel updates: http://"))
        self.daemon.start()
        self.add(2, first=1)
        self.wait_lines(process, 3)
        self.daemon.terminate()
        self.daemon.start()
        self.add(2, first=3)
        self.wait_lines(process, 5)
        said = self.end(process).splitlines()
        self.assertEqual([json.loads(line)["id"] for line in process.lines],
                         ["e_%d" % i for i in range(5)])
        self.assertIn("hookwheel updates: it answers again", said)
        self.assertLessEqual(len(said), 3)  # the second time is told as the first was

    def test_what_cannot_begin_does_not_go_on(self):
        for env in ({"HOOKWHEEL_API_TOKEN": "x" * 20}, {"HOOKWHEEL_URL": "http://127.0.0.1:1"}):
            result = run("updates", "--follow", daemon=self.daemon, **env)
            self.assertEqual((result.returncode, len(result.stderr.splitlines())), (1, 1))

    def test_nobody_reads(self):
        self.add(1)
        process = subprocess.Popen([str(PROGRAM), "updates", "--follow", "--json"],
                                   stdout=subprocess.PIPE, stderr=subprocess.PIPE,
                                   env=variables(self.daemon))
        self.addCleanup(process.stderr.close)
        self.addCleanup(process.wait)
        self.addCleanup(process.kill)
        process.stdout.readline()
        process.stdout.close()
        self.add(1, first=1)
        self.assertEqual((process.wait(20), process.stderr.read()), (1, b""))

    def test_nobody_reads_and_nothing_comes(self):
        for args in (["updates", "--follow"], ["deliveries", "tail"]):
            process = subprocess.Popen([str(PROGRAM), *args], stdout=subprocess.PIPE,
                                       stderr=subprocess.PIPE, env=variables(self.daemon))
            self.addCleanup(process.stderr.close)
            self.addCleanup(process.wait)
            self.addCleanup(process.kill)
            process.stdout.close()
            self.assertEqual((process.wait(20), process.stderr.read()), (1, b""))


class Scripted(Case):
    """What answers is no engine."""

    def test_one_line_and_no_table(self):
        answers = [b"<html>", b"{}x", b"[" * 200 + b"]" * 200, b'{"data":"\xff"}']
        for body in answers:
            def script(connection, body=body):
                connection.read_request()
                connection.send(b"HTTP/1.1 200 OK\r\ncontent-length: %d\r\n\r\n%s"
                                % (len(body), body))
            server = self.start_scripted(script, certificate=None)
            for args in (["updates"], ["updates", "--follow"], ["consumers", "pull", "a"]):
                result = run(*args, HOOKWHEEL_API_TOKEN=TOKEN,
                             HOOKWHEEL_URL="http://127.0.0.1:{}".format(server.port))
                self.assertEqual((result.returncode, result.stdout), (1, ""), body)
                self.assertEqual(len(result.stderr.splitlines()), 1, result.stderr)

    def test_one_that_answers_a_long_poll_at_once_is_not_asked_all_the_time(self):
        body = b'{"data":[],"next_cursor":"fx","has_more":false}'
        answer = b"HTTP/1.1 200 OK\r\ncontent-length: %d\r\n\r\n%s" % (len(body), body)

        def script(connection):
            connection.read_request()
            connection.send(answer)
        server = self.start_scripted(script, certificate=None)
        process = subprocess.Popen([str(PROGRAM), "updates", "--follow"], stdout=subprocess.PIPE,
                                   stderr=subprocess.PIPE, text=True, env=variables(
                                       HOOKWHEEL_API_TOKEN=TOKEN,
                                       HOOKWHEEL_URL="http://127.0.0.1:{}".format(server.port)))
        self.addCleanup(process.kill)
        self.wait_until(lambda: len(server.requests) >= 3, 20, "it asks again")
        times = [request.at for request in server.requests[:3]]
        process.send_signal(signal.SIGINT)
        self.assertEqual((process.communicate(timeout=20), process.returncode),
                         (("", "next cursor: fx\n"), 0))
        self.assertGreaterEqual(times[2] - times[0], 1.5)
        self.assertIn("cursor=fx&wait=30", server.requests[1].path)


class Consumers(Feed):
    def test_pulled_shown_and_acknowledged(self):
        self.assertEqual(self.call("consumers", "list"), "")
        self.assertEqual(self.error, "No consumers.\n")
        self.add(6)
        lines = self.call("consumers", "pull", "shop", "--limit", "2").splitlines()
        self.assertEqual(lines[0].split(), ["TIME", "(UTC)", "TYPE", "SUBJECT", "EVENT", "DATA"])
        self.assertEqual([line.split()[3] for line in lines[1:]], ["e_0", "e_1"])
        self.assertEqual(self.error,
                         "acknowledge: hookwheel consumers ack shop --events e_0,e_1\n")
        self.assertEqual(self.ids("consumers", "pull", "shop", "--limit", "3"),
                         ["e_2", "e_3", "e_4"])
        self.assertEqual(self.fields("consumers", "ack", "shop", "--events", "e_0,e_3"),
                         {"acknowledged": "2"})
        pending = ["e_1", "e_2", "e_4"]
        self.assertEqual(self.ids("consumers", "pending", "shop"), pending)
        self.assertEqual(self.ids("consumers", "pending", "shop", "--limit", "1", "--all"), pending)
        self.call("consumers", "pending", "shop", "--limit", "1")
        more = self.error.rpartition("There are more: --all, or ")[2].split()
        self.assertEqual(self.ids("consumers", "pending", "shop", *more), pending[1:])
        record = self.records(self.call("consumers", "pending", "shop", "--json"))[1]
        self.assertEqual(self.json("consumers", "ack", "shop", "--cursor", record["cursor"]),
                         {"acknowledged": 2})
        (consumer,) = self.json("consumers", "list")["data"]
        cells = self.call("consumers", "list").splitlines()[1].split()
        self.assertEqual(cells[:4], ["shop", "1", "1", "0"])
        self.assertEqual(cells[-1], consumer["position"])
        self.assertEqual(self.call("consumers", "delete", "shop"), "")
        self.refused(1, "404 not_found", args=["consumers", "pending", "shop"])

    def test_what_is_not_acknowledged_comes_again(self):
        self.add(1)
        pull = ["consumers", "pull", "shop", "--visibility"]
        self.assertEqual(self.ids(*pull, "1s"), ["e_0"])
        self.wait_until(lambda: self.ids(*pull, "1h") == ["e_0"], 20, "it comes again")
        self.assertEqual(self.call(*pull, "1h"), "")
        self.assertEqual(self.error, "No events.\n")

    def test_what_it_may_not_read_is_no_end(self):
        self.daemon.put_type("order.paid", "money")
        narrow = {"HOOKWHEEL_API_TOKEN": self.daemon.issue("default", "money")}
        self.add(1100)
        self.add(1, first=1100, type="order.paid")
        result = run("consumers", "pull", "shop", "--json", daemon=self.daemon, **narrow)
        self.assertEqual([record["id"] for record in self.records(result.stdout)], ["e_1100"])

    def test_how_to_acknowledge_many_is_said_in_short(self):
        self.add(30)
        self.call("consumers", "pull", "shop", "--limit", "11")
        self.assertEqual(self.error,
                         "acknowledge: hookwheel consumers ack shop --events ID,ID,...\n")

    def test_where_it_begins_and_whose_it_is(self):
        self.add(3, account="acct_1")
        second = self.records(self.call("updates", "--account", "acct_1", "--json"))[1]
        of = ["--account", "acct_1"]
        self.assertEqual(self.ids("consumers", "pull", "late", "--from", second["cursor"], *of),
                         ["e_2"])
        self.assertEqual(self.ids("consumers", "pull", "late"), [])  # the other account's
        self.call("consumers", "pull", "new", *of)
        self.assertIn("ack new --account acct_1 --events e_0,e_1,e_2\n", self.error)
        self.assertIn("late", self.call("consumers", "list", *of))
        self.assertEqual(self.ids("consumers", "pending", "late", *of), ["e_2"])
        self.assertEqual(self.json("consumers", "ack", "late", "--events", "e_2", *of),
                         {"acknowledged": 1})
        self.call("consumers", "delete", "late", *of)
        self.refused(1, "404", args=["consumers", "delete", "late", *of])

    def test_what_is_asked_wrong_is_one_line(self):
        self.refused(2, "--events", args=["consumers", "ack", "shop"])
        self.refused(2, "--events", args=["consumers", "ack", "shop", "--events", "a", "--cursor",
                                          "b"])
        self.refused(2, "--visibility", args=["consumers", "pull", "shop", "--visibility", "13h"])
        self.refused(2, "wants NAME", args=["consumers", "pull"])
        self.refused(2, "unknown verb", args=["consumers", "get"])
        self.refused(1, "400", args=["consumers", "pull", "a b"])
        self.refused(1, "400", args=["consumers", "pull", "shop", "--from", "x"])


class Backfill(Feed):
    def test_kept_events_are_queued(self):
        self.add(5)
        cursors = [record["cursor"] for record in self.records(self.call("updates", "--json"))]
        url = self.receiver.url()
        self.receiver.rule("/hook", status=204)
        made = self.json("webhooks", "create", "--url", url)
        backfill = ["webhooks", "backfill", made["id"]]
        self.assertEqual(self.fields(*backfill, "--from", cursors[0], "--until", cursors[2]),
                         {"queued": "2"})
        self.assertEqual(self.json(*backfill, "--from", "start"), {"count": 5})
        self.wait_requests(self.receiver, 7, 20)
        self.refused(2, "--from", args=backfill)
        self.refused(1, "400", args=[*backfill, "--from", "x"])
        self.refused(1, "404", args=["webhooks", "backfill", "wh_x", "--from", "start"])

    def test_one_that_is_created_gets_them(self):
        self.add(3)
        self.receiver.rule("/hook", status=204)
        self.call("webhooks", "create", "--url", self.receiver.url(), "--backfill-from", "start")
        self.wait_requests(self.receiver, 3, 20)
        self.wait_settled(self.daemon)
        self.assertEqual({request.id for request in self.receiver.requests()},
                         {"e_0", "e_1", "e_2"})

    def test_one_that_was_disabled_gets_them(self):
        for verb in (["resume"], ["update", "--url", self.receiver.url("/new")]):
            self.receiver.rule("/gone", status=410)
            self.receiver.rule("/new", status=204)
            webhook = self.daemon.create_webhook(self.receiver.url("/gone"))
            first = self.redis.call("INCRBY", "test:n", 4) - 4
            self.add(1, first=first)
            self.wait_until(lambda: self.daemon.webhook(webhook)["status"] == "disabled", 20,
                            "it is disabled")
            self.add(3, first=first + 1)
            self.receiver.rule("/gone", status=204)
            shown = self.fields("webhooks", verb[0], webhook["id"], *verb[1:], "--backfill-from",
                                "disabled")
            self.assertEqual(shown["status"], "active")
            path = "/gone" if len(verb) == 1 else "/new"
            self.wait_until(lambda: {"e_%d" % i for i in range(first + 1, first + 4)} <= {
                request.id for request in self.receiver.requests(path)
                if request.status == 204}, 20, "they are delivered")
            self.refused(1, "409", args=["webhooks", "resume", webhook["id"], "--backfill-from",
                                         "disabled"])
            self.call("webhooks", "delete", webhook["id"])
