"""The README's section on the feed as it stands there: the agent loop in both languages, through
outages of each side, and the examples for the shell."""

import http.client
import http.server
import json
import os
import signal
import subprocess
import sys
import threading
import time

from kit import readme, signing
from kit.case import Case, event
from kit.daemon import PROGRAM, TOKEN, environment

DEADLINE_S = 30
NEVER_S = 3600  # longer than any test: only a doorbell has it look
LISTENS = "0A"  # a socket's state in /proc/net/tcp


class Relay:
    """Between the daemon and the program: passes doorbells on, or loses them."""

    def __init__(self):
        relay = self

        class Handler(http.server.BaseHTTPRequestHandler):
            def do_POST(self):
                body = self.rfile.read(int(self.headers["content-length"]))
                self.send_response(relay.answer(dict(self.headers), body))
                self.end_headers()

            def log_message(self, *_):
                pass

        self.port = None  # the program's, while it is up
        self.is_lossy = False
        self.statuses = []
        self.server = http.server.ThreadingHTTPServer(("127.0.0.1", 0), Handler)
        self.thread = threading.Thread(target=self.server.serve_forever)
        self.thread.start()

    def url(self):
        return "http://localhost:{}/doorbell".format(self.server.server_address[1])

    def answer(self, headers, body):
        status = 500 if self.is_lossy else self.pass_on(self.port, headers, body)
        self.statuses.append(status)
        return status

    def pass_on(self, port, headers, body):
        try:
            return ring(port, headers, body) if port else 502
        except (OSError, http.client.HTTPException):
            return 502  # it went down

    def close(self):
        self.server.shutdown()
        self.thread.join()
        self.server.server_close()


def ring(port, headers, body):
    """The status that the program answers."""
    connection = http.client.HTTPConnection("127.0.0.1", port, timeout=DEADLINE_S)
    try:
        connection.request("POST", "/doorbell", body, headers)
        response = connection.getresponse()
        response.read()
        return response.status
    finally:
        connection.close()


def listening_port(pid):
    """The TCP port that this process listens on; None: not yet."""
    folder = "/proc/{}/fd".format(pid)
    inodes = set()
    for name in os.listdir(folder):
        try:
            inodes.add(os.readlink(os.path.join(folder, name)))
        except FileNotFoundError:  # closed meanwhile
            pass
    with open("/proc/net/tcp", encoding="ascii") as table:
        rows = [line.split() for line in table][1:]
    ports = [int(row[1].split(":")[1], 16) for row in rows
             if row[3] == LISTENS and "socket:[{}]".format(row[9]) in inodes]
    return ports[0] if ports else None


class Agent:
    """The program, in a folder of its own that stays when it is started again."""

    def __init__(self, command, folder, env):
        self.command = command
        self.folder = folder
        self.env = env
        self.process = None
        self.runs = []  # for each start: the ids handled, in order
        self.said = []  # on standard error

    def start(self, kill_at=None):
        """kill_at: SIGKILL as soon as it has said of so many that they are handled."""
        self.process = subprocess.Popen(self.command, cwd=self.folder, env=self.env, text=True,
                                        stdout=subprocess.PIPE, stderr=subprocess.PIPE)
        self.runs.append([])
        self.readers = [threading.Thread(target=self._read_handled, args=(self.runs[-1], kill_at)),
                        threading.Thread(target=self._read_said)]
        for reader in self.readers:
            reader.start()

    def _read_handled(self, ids, kill_at):
        for line in self.process.stdout:
            word, event_id = line.split()
            assert word == "handled", line
            ids.append(event_id)
            if len(ids) == kill_at:
                self.process.kill()

    def _read_said(self):
        for line in self.process.stderr:
            self.said.append(line)

    def handled(self):
        return [event_id for ids in self.runs for event_id in ids]

    def kill_hard(self):
        self.process.kill()
        self.wait_end()

    def wait_end(self):
        self.process.wait(DEADLINE_S)
        for reader in self.readers:
            reader.join(DEADLINE_S)
        self.process.stdout.close()
        self.process.stderr.close()

    def end(self):
        if self.process is not None and not self.process.stdout.closed:
            self.kill_hard()


class Recipe(Case):
    """The program in one of its languages; a class below says which."""

    SETTINGS = {}

    def setUp(self):
        super().setUp()
        self.start_redis()
        self.daemon = self.start_daemon(allow_http_localhost=1, **self.SETTINGS)

    def make_agent(self, poll_every_s=NEVER_S):
        self.relay = Relay()
        self.addCleanup(self.relay.close)
        webhook = self.daemon.create_webhook(self.relay.url())
        self.secret = webhook["secret"]
        program = self.path(self.FILE)
        with open(program, "w", encoding="utf-8") as file:
            file.write(readme.program(self.FIRST_LINE, self.LANGUAGE))
        env = dict(environment({}), HOOKWHEEL_URL="http://" + self.daemon.addresses["api"],
                   HOOKWHEEL_API_TOKEN=TOKEN, WEBHOOK_SECRET=self.secret, PORT="0",
                   POLL_EVERY_S=str(poll_every_s))
        self.agent = Agent([*self.COMMAND, program], self.folder, env)
        self.addCleanup(self.agent.end)
        self.ids = []

    def start_agent(self):
        """Up, and through with its first look."""
        self.agent.start()
        self.relay.port = self.wait_until(lambda: listening_port(self.agent.process.pid),
                                          DEADLINE_S,
                                          lambda: "it listens; it said {}".format(self.agent.said))

    def kill_agent(self):
        self.relay.port = None
        self.agent.kill_hard()

    def add(self, n=1):
        first = len(self.ids)
        self.redis.add_many([event(i, id="e_{}".format(i)) for i in range(first, first + n)])
        self.ids += ["e_{}".format(i) for i in range(first, first + n)]

    def wait_handled(self, ids=None):
        """And its cursor kept: killed now, it handles none of them again."""
        wanted = set(self.ids if ids is None else ids)
        self.wait_until(lambda: wanted <= set(self.agent.handled()) and self.is_past_the_last(),
                        DEADLINE_S, lambda: "{} is handled; it was {}; it said {}".format(
                            wanted, self.agent.runs, self.agent.said))

    def is_past_the_last(self):
        try:
            with open(self.path("agent.cursor"), encoding="ascii") as file:
                cursor = file.read()
        except FileNotFoundError:
            return False
        reply = self.daemon.call("GET", "/v1/updates?cursor=" + cursor)
        return reply.status == 200 and not reply.json()["data"]


class Loop:
    """What holds in every language."""

    def test_events_come_while_it_is_down_up_and_unheard_and_it_goes_on_where_it_was(self):
        self.make_agent()
        self.add(3)  # before it was ever there
        self.wait_until(lambda: self.relay.statuses == [502] * 3, DEADLINE_S, "nobody is there")
        self.start_agent()
        self.wait_handled()
        self.add(5)
        self.wait_handled()
        self.relay.is_lossy = True
        self.add()
        self.wait_until(lambda: 500 in self.relay.statuses, DEADLINE_S, "its doorbell is lost")
        self.relay.is_lossy = False
        self.add()  # its doorbell is heard: both are read
        self.wait_handled()
        self.kill_agent()
        self.add(4)
        self.wait_until(lambda: self.relay.statuses.count(502) >= 7, DEADLINE_S, "it is down")
        self.start_agent()
        self.wait_handled()
        self.assertEqual(self.agent.runs, [self.ids[:10], self.ids[10:]])
        self.assertEqual(self.agent.said, [])

    def test_without_a_doorbell_it_looks_every_few_minutes(self):
        self.make_agent(poll_every_s=1)
        self.relay.is_lossy = True
        self.start_agent()
        for _ in range(3):
            self.add()
            self.wait_handled()
        self.assertEqual(set(self.relay.statuses), {500})

    def test_killed_at_any_moment_it_handles_every_event(self):
        self.make_agent()
        self.add(1500)
        kills = (1, 7, 60, 110)
        for kill_at in kills:
            self.agent.start(kill_at)
            self.agent.wait_end()
        self.start_agent()
        self.wait_handled()
        handled = self.agent.handled()
        self.assertEqual(list(dict.fromkeys(handled)), self.ids)
        self.assertLessEqual(len(handled), 1500 + len(kills))  # again only the one it was at
        self.assertGreater(len(self.agent.runs[-1]), 0)

    def test_who_cannot_sign_does_not_wake_it(self):
        self.make_agent()
        self.start_agent()
        key, body, now = signing.key_of(self.secret), b'{"n":1}', int(time.time())

        def status(event_id="evt_1", at=now, sent=body, **more):
            headers = {"webhook-id": event_id, "webhook-timestamp": str(at),
                       "webhook-signature": signing.signature(key, event_id, at, body)}
            headers.update({name.replace("_", "-"): value for name, value in more.items()})
            return ring(self.relay.port, {n: v for n, v in headers.items() if v is not None}, sent)

        self.relay.is_lossy = True
        self.add()
        self.wait_until(lambda: 500 in self.relay.statuses, DEADLINE_S, "its doorbell is lost")
        self.assertEqual(status(sent=b'{"n":2}'), 401)
        self.assertEqual(status(at=now - 600), 401)
        self.assertEqual(status(webhook_id="evt_2"), 401)
        for name in ("webhook_id", "webhook_timestamp", "webhook_signature"):
            for value in (None, "", "x", "-1", "\u00e9".encode("latin-1"), "1e400"):
                self.assertEqual(status(**{name: value}), 401, (name, value))
        self.assertEqual(self.agent.handled(), [])
        self.assertEqual(status(), 204)
        self.wait_handled()
        self.assertEqual(status(webhook_signature="v1,old v2,new " + signing.signature(
            key, "evt_1", now, body)), 204)
        self.assertEqual(self.agent.said, [])

    def test_an_engine_that_goes_away_is_waited_for(self):
        self.make_agent()
        self.start_agent()
        self.add()
        self.wait_handled()
        self.daemon.settings["listen"] = self.daemon.addresses["api"]
        self.daemon.terminate()
        self.kill_agent()
        self.start_agent()  # and finds nobody
        self.wait_until(lambda: "again" in "".join(self.agent.said), DEADLINE_S, "it says so")
        self.redis.add(event(1, id="e_1"))
        self.ids.append("e_1")
        self.daemon.start()
        self.wait_handled()
        self.assertEqual(self.agent.runs, [["e_0"], ["e_1"]])


class Missed:
    SETTINGS = {"feed_max": 10}

    def kept(self):
        page = self.daemon.expect(200, "GET", "/v1/updates?limit=200")
        return [record["id"] for record in page["data"]]

    def wait_trimmed(self):
        """An event is five seconds old when it goes; every feed is looked at after a start."""
        added_at = time.monotonic()
        self.wait_until(lambda: self.kept()[-1:] == self.ids[-1:], DEADLINE_S, "all are accepted")
        self.wait_until(lambda: time.monotonic() > added_at + 6, DEADLINE_S, "they are old enough")
        self.daemon.settings["listen"] = self.daemon.addresses["api"]
        self.daemon.terminate()
        self.daemon.start()
        self.wait_until(lambda: self.kept() == self.ids[-10:], DEADLINE_S, "the feed is trimmed")

    def test_events_that_are_gone_are_told_and_what_is_kept_is_read(self):
        self.make_agent()
        self.start_agent()
        self.add()
        self.wait_handled()
        self.kill_agent()
        self.add(40)
        self.wait_trimmed()
        self.start_agent()
        self.wait_handled(self.ids[-1:])
        self.wait_until(lambda: self.agent.said, DEADLINE_S, "it says so")
        self.assertIn("events were missed", self.agent.said[0])
        self.add()
        self.wait_handled(self.ids[-1:])
        self.assertEqual(self.agent.runs, [self.ids[:1], self.ids[-11:]])
        self.assertEqual(len(self.agent.said), 1)


class InPython(Recipe):
    LANGUAGE, FILE, FIRST_LINE = "python", "agent.py", "# agent.py"
    COMMAND = [sys.executable, "-B", "-W", "error"]


class InNode(Recipe):
    LANGUAGE, FILE, FIRST_LINE = "js", "agent.mjs", "// agent.mjs"
    COMMAND = ["node"]


class PythonLoop(Loop, InPython):
    pass


class NodeLoop(Loop, InNode):
    pass


class PythonMissed(Missed, InPython):
    pass


class NodeMissed(Missed, InNode):
    pass


class Shell(Case):
    """The examples with curl and with `hookwheel`."""

    def setUp(self):
        super().setUp()
        self.start_redis()
        self.daemon = self.start_daemon()
        whole = readme.section("## Read the feed")
        self.blocks = readme.blocks(whole[:whole.index("### The agent loop")], "sh")
        folder = self.path("bin")
        os.mkdir(folder)
        os.symlink(PROGRAM, os.path.join(folder, "hookwheel"))
        self.env = dict(environment({}), HOOKWHEEL_URL="http://" + self.daemon.addresses["api"],
                        HOOKWHEEL_API_TOKEN=TOKEN, PATH=folder + ":" + os.environ["PATH"])

    def block(self, word):
        """The first that has that word, with the function that all of them use."""
        return self.blocks[0] + next(block for block in self.blocks[1:] if word in block)

    def run_block(self, word):
        done = subprocess.run(["bash", "-euo", "pipefail", "-c", self.block(word)], env=self.env,
                              capture_output=True, text=True, timeout=60, check=False)
        self.assertEqual((done.returncode, done.stderr), (0, ""))
        return self.objects(done.stdout)

    def objects(self, text):
        decoder, found = json.JSONDecoder(), []
        while text.strip():
            thing, end = decoder.raw_decode(text.lstrip())
            text = text.lstrip()[end:]
            found.append(thing)
        return found

    def enqueue(self, n=3):
        self.redis.add_many([event(i, id="evt_{}".format(i)) for i in range(n)])
        self.wait_until(lambda: self.redis.length() == 0, 20, "they are accepted")

    def test_polls(self):
        self.enqueue()
        (page,) = self.run_block("types=")
        self.assertEqual([record["id"] for record in page["data"]], ["evt_0", "evt_1", "evt_2"])
        self.assertEqual(page["next_cursor"], page["data"][-1]["cursor"])

    def test_long_polls(self):
        self.enqueue()
        process = subprocess.Popen(["bash", "-euo", "pipefail", "-c", self.block("wait=")],
                                   env=self.env, stdout=subprocess.PIPE, text=True)
        self.addCleanup(process.stdout.close)
        self.addCleanup(process.wait)
        self.addCleanup(process.kill)
        self.wait_until(lambda: self.daemon.metric("hookwheel_http_requests_total",
                                                   route="GET /v1/updates", status="200") >= 1,
                        20, "it has polled")
        self.redis.add(event(7, id="evt_7"))
        (page,) = self.objects(process.stdout.read())
        self.assertEqual([record["id"] for record in page["data"]], ["evt_7"])

    def test_streams(self):
        self.enqueue()
        process = subprocess.Popen(["bash", "-c", self.block("stream")], env=self.env, text=True,
                                   stdout=subprocess.PIPE, start_new_session=True)
        self.addCleanup(process.stdout.close)
        self.addCleanup(process.wait)
        self.addCleanup(os.killpg, process.pid, signal.SIGKILL)
        seen = []
        while len(seen) < 3:
            line = process.stdout.readline()
            self.assertTrue(line, "the stream has ended after {}".format(seen))
            if line.startswith("data:"):
                seen.append(json.loads(line[len("data:"):])["id"])
        self.assertEqual(seen, ["evt_0", "evt_1", "evt_2"])

    def test_consumers(self):
        self.enqueue()
        pulled, acknowledged, pending, consumers = self.run_block("/ack")
        self.assertEqual([record["id"] for record in pulled["data"]], ["evt_0", "evt_1", "evt_2"])
        self.assertEqual(acknowledged, {"acknowledged": 2})
        self.assertEqual([record["id"] for record in pending["data"]], ["evt_0"])
        self.assertEqual([(one["name"], one["lag"], one["handed_out"], one["skipped"])
                          for one in consumers["data"]], [("mailer", 0, 1, 0)])
