"""`hookwheel serve`, its log, its signals and its API."""

import http.client
import json
import os
import pathlib
import signal
import subprocess

from kit import openapi
from kit.metrics import Metrics
from kit.waiting import wait_until

BUILD = pathlib.Path(os.environ["HOOKWHEEL_BUILD_DIR"])
PROGRAM = BUILD / "hookwheel"
TOKEN = "root-token-of-the-tests"
LOG_TAIL = 60  # lines shown where something failed

# What the sanitizers write when they have found something.
FINDINGS = ("AddressSanitizer", "LeakSanitizer", "UndefinedBehaviorSanitizer", "runtime error:")


def is_sanitized():
    for line in (BUILD / "CMakeCache.txt").read_text().splitlines():
        if line.startswith("HOOKWHEEL_SANITIZE:"):
            return line.split("=", 1)[1] not in ("", "OFF")
    return False


def environment(settings):
    """This process' environment without Hookwheel's variables, and these settings."""
    env = {name: value for name, value in os.environ.items() if not name.startswith("HOOKWHEEL_")}
    env.setdefault("UBSAN_OPTIONS", "print_stacktrace=1:halt_on_error=1")
    for name, value in settings.items():
        if value is not None:
            env["HOOKWHEEL_" + name.upper()] = str(value)
    return env


class Reply:
    """An answer that keeps to proto/openapi.yaml; there are no others."""

    def __init__(self, response, asked):
        self.status = response.status
        self.headers = response.headers
        # A stream has no end; kit.sse reads those.
        is_stream = (self.headers["content-type"] or "").startswith("text/event-stream")
        self.body = b"" if is_stream else response.read()
        openapi.document().check(asked, self)

    def json(self):
        return json.loads(self.body)

    def error(self):
        return self.json()["error"]


class Daemon:
    """One instance.  Settings by their variables' names in lower case: timeout="1s"."""

    def __init__(self, log_path, arguments=(), own_group=False, **settings):
        self.log_path = log_path
        self.arguments = list(arguments)
        self.own_group = own_group
        self.settings = dict({"listen": "127.0.0.1:0", "log_format": "json",
                              "api_token": TOKEN}, **settings)
        self.process = None
        self.addresses = {}

    # --- its life

    def start(self, wait="ready"):
        """wait: "ready", "listening" or None."""
        self.addresses = {}
        self._log_from = os.path.getsize(self.log_path) if os.path.exists(self.log_path) else 0
        with open(self.log_path, "ab") as log:
            self.process = subprocess.Popen([str(PROGRAM), "serve", *self.arguments],
                                            env=environment(self.settings), stderr=log, stdout=log,
                                            stdin=subprocess.DEVNULL,
                                            start_new_session=self.own_group)
        if wait is not None:
            wait_until(self._listens, 30, self._story("the daemon listens"))
        if wait == "ready":
            self.wait_ready()
        return self

    def _listens(self):
        self._check_alive()
        wanted = 2 if self.settings.get("ops_listen") else 1
        for event in self.events("listening"):
            self.addresses[event["subject"]] = event["address"]
        return len(self.addresses) >= wanted

    def _check_alive(self):
        if self.process.poll() is not None:
            raise AssertionError("the daemon ended with {}\n{}".format(self.process.returncode,
                                                                       self.log_tail()))

    def check_sound(self):
        """It runs, or has ended in a way that a test asks for."""
        if self.process is not None and self.process.poll() not in (None, 0, 2, -9):
            self._check_alive()

    def is_running(self):
        return self.process is not None and self.process.poll() is None

    def wait_ready(self, deadline_s=30):
        wait_until(lambda: self.readiness()[0] == 200, deadline_s,
                   lambda: "/readyz says 200; it says {}\n{}".format(self.readiness(),
                                                                          self.log_tail()))

    def terminate(self, deadline_s=30):
        """SIGTERM; it has to end with 0."""
        self.process.send_signal(signal.SIGTERM)
        self.wait_exit(deadline_s)

    def wait_exit(self, deadline_s=30, code=0):
        wait_until(lambda: self.process.poll() is not None, deadline_s,
                   self._story("the daemon ends"))
        if self.process.returncode != code:
            raise AssertionError("the daemon ended with {}, not {}\n{}".format(
                self.process.returncode, code, self.log_tail()))

    def kill_hard(self):
        self.process.send_signal(signal.SIGKILL)
        self.process.wait(30)

    def pause(self):
        self.process.send_signal(signal.SIGSTOP)

    def resume(self):
        self.process.send_signal(signal.SIGCONT)

    def end(self):
        """For tidying up: however it has to be."""
        if self.is_running():
            self.resume()
            self.process.terminate()
            try:
                self.process.wait(20)
            except subprocess.TimeoutExpired:
                self.process.kill()
                self.process.wait()

    def rss_mib(self):
        with open("/proc/{}/status".format(self.process.pid), encoding="ascii") as status:
            for line in status:
                if line.startswith("VmRSS:"):
                    return int(line.split()[1]) / 1024
        raise AssertionError("no VmRSS")

    def open_files(self):
        return len(os.listdir("/proc/{}/fd".format(self.process.pid)))

    def open_files_at_rest(self):
        """Once what was asked before is closed on its side too: that it has seen by the time of a
        second answer, as its loop looks at all that has come before it turns again."""
        host, _, port = self.addresses["ops" if "ops" in self.addresses else "api"].rpartition(":")
        connection = http.client.HTTPConnection(host.strip("[]"), int(port), timeout=20)
        try:
            for _ in range(3):
                connection.request("GET", "/healthz")
                connection.getresponse().read()
            return self.open_files() - 1
        finally:
            connection.close()

    # --- its log

    def log(self):
        if not os.path.exists(self.log_path):
            return ""
        with open(self.log_path, encoding="utf-8", errors="replace") as log:
            return log.read()

    def log_tail(self):
        lines = self.log().splitlines()
        return "--- {}\n{}\n".format(os.path.basename(self.log_path), "\n".join(lines[-LOG_TAIL:]))

    def events(self, name):
        """Log lines of that event since the last start."""
        with open(self.log_path, encoding="utf-8", errors="replace") as log:
            log.seek(self._log_from)
            lines = [line for line in log.read().splitlines() if line.startswith("{")]
        found = [json.loads(line) for line in lines if '"event":"{}"'.format(name) in line]
        return [event for event in found if event["event"] == name]

    def findings(self):
        return [line for line in self.log().splitlines() if any(word in line for word in FINDINGS)]

    def _story(self, what):
        return lambda: "{}\n{}".format(what, self.log_tail())

    # --- its API

    def call(self, method, path, body=None, headers=None, token=TOKEN, door="api", timeout_s=20):
        """`body`: an object becomes JSON; bytes are sent as they are."""
        host, _, port = self.addresses[door].rpartition(":")
        connection = http.client.HTTPConnection(host.strip("[]"), int(port), timeout=timeout_s)
        sent = {"authorization": "Bearer " + token} if token else {}
        if body is not None:
            sent["content-type"] = "application/json"
            if not isinstance(body, bytes):
                body = json.dumps(body).encode()
        sent.update(headers or {})
        try:
            connection.request(method, path, body, sent)
            return Reply(connection.getresponse(),
                         openapi.Asked(method, path, sent, body, door))
        finally:
            connection.close()

    def expect(self, status, method, path, body=None, **more):
        reply = self.call(method, path, body, **more)
        if reply.status != status:
            raise AssertionError("{} {}: {} {}".format(method, path, reply.status, reply.body))
        return reply.json() if reply.body else None

    def patch(self, webhook, token=TOKEN, **members):
        return self.expect(200, "PATCH", "/v1/webhooks/" + webhook["id"], members, token=token)

    def issue(self, account, *scopes, **members):
        """The text of a new token."""
        body = dict(members, account=account, scopes=list(scopes))
        return self.expect(201, "POST", "/v1/tokens", body)["token"]

    def put_type(self, name, required_scope=None, group="Tests"):
        body = {"group": group, "description": "Of the tests."}
        if required_scope is not None:
            body["required_scope"] = required_scope
        reply = self.call("PUT", "/v1/event-types/" + name, body)
        if reply.status not in (200, 201):
            raise AssertionError("PUT {}: {} {}".format(name, reply.status, reply.body))
        return reply.json()

    def send(self, **members):
        """POST /v1/events of one; its id."""
        return self.expect(202, "POST", "/v1/events", members)["data"][0]["id"]

    def _ops(self, path):
        return self.call("GET", path, token=None, door="ops" if "ops" in self.addresses else "api")

    def readiness(self):
        """(status, object)"""
        try:
            reply = self._ops("/readyz")
        except OSError:
            self._check_alive()
            return 0, {}
        return reply.status, reply.json()

    def metrics(self):
        reply = self._ops("/metrics")
        if reply.status != 200:
            raise AssertionError("/metrics: {} {}".format(reply.status, reply.body))
        return Metrics(reply.body.decode())

    def metric(self, name, **labels):
        return self.metrics().value(name, **labels)

    def create_webhook(self, url, **members):
        return self.expect(201, "POST", "/v1/webhooks", dict(members, url=url))

    def webhook(self, webhook):
        return self.expect(200, "GET", "/v1/webhooks/" + webhook["id"])

    def deliveries(self, **query):
        """All pages."""
        found, cursor = [], None
        while True:
            asked = dict(query, limit=200, **({"cursor": cursor} if cursor else {}))
            text = "&".join("{}={}".format(name, value) for name, value in asked.items())
            page = self.expect(200, "GET", "/v1/deliveries?" + text)
            found += page["data"]
            cursor = page["next_cursor"]
            if not page["has_more"]:
                return found

    def delivery(self, delivery_id):
        return self.expect(200, "GET", "/v1/deliveries/" + delivery_id)
