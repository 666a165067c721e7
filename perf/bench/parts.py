"""The programs a measurement stands on: Redis, nginx, the sink, the engine.  All on this machine,
each with its files in the stand's folder.
"""

import contextlib
import http.client
import json
import os
import random
import socket
import subprocess

import meter
from kit.certificates import authority
from kit.metrics import Metrics
from kit.redis import Redis, RedisError
from kit.waiting import wait_until

TOKEN = "root-token-of-perf"
STREAM = "hookwheel:events"
START_S = 30   # any program has started by then
LOG_TAIL = 20  # lines shown where something failed
LOOK_S = 0.05  # how often the engine's numbers are looked at: it works for each look

# Payloads that make records of BODY_BYTES in the account "default".  They differ, as real ones do:
# Redis's Lua takes longer over many strings that are nearly the same.
BODY_BYTES = 1024
ENVELOPE_BYTES = 144
TEXT_BYTES = BODY_BYTES - ENVELOPE_BYTES - len('{"text":""}')
TEXT = random.Random(1).randbytes(1 << 19).hex()
CHUNK = 10_000  # enqueued at once

NGINX = """
worker_processes 1;
daemon off;
master_process off;
pid {folder}/nginx.pid;
error_log {folder}/nginx.log;
events {{ worker_connections 16384; }}
http {{
    access_log off;
    keepalive_requests 1000000000;
    keepalive_timeout {keepalive_s}s;
    client_body_buffer_size 64k;
    client_body_temp_path {folder}/t1;
    proxy_temp_path {folder}/t2;
    fastcgi_temp_path {folder}/t3;
    uwsgi_temp_path {folder}/t4;
    scgi_temp_path {folder}/t5;
    server {{
        {listen}
        ssl_protocols {protocols};
        ssl_certificate {certificate};
        ssl_certificate_key {key};
        location / {{ return 204; }}
    }}
}}
"""


class Part:
    """A program; it may be started again after it was stopped."""

    def __init__(self, folder, *words, env=None):
        self.words = [str(word) for word in words]
        self.env = env
        self.name = os.path.basename(self.words[0])
        self.log_path = os.path.join(folder, self.name + ".out")
        self.process = None

    def start(self):
        with open(self.log_path, "ab") as log:
            self.process = subprocess.Popen(self.words, env=self.env, stdin=subprocess.DEVNULL,
                                            stdout=log, stderr=log)

    def stop(self, deadline_s=START_S):
        if self.process is None:
            return
        self.process.terminate()
        try:
            self.process.wait(deadline_s)
        except subprocess.TimeoutExpired:
            self.process.kill()
            self.process.wait()
        self.process = None

    def wait_until(self, condition, deadline_s, what, step_s=0.02):
        """The first true value of condition(); this program must live that long."""
        def check():
            if self.process.poll() is not None:
                raise AssertionError("{} ended with {}\n{}".format(
                    self.name, self.process.returncode, self.log_tail()))
            return condition()
        return wait_until(check, deadline_s, lambda: what + "\n" + self.log_tail(), step_s)

    def log_lines(self):
        with open(self.log_path, encoding="utf-8", errors="replace") as log:
            return log.read().splitlines()

    def log_objects(self):
        """The lines that are JSON, and whole."""
        return [json.loads(line) for line in self.log_lines()
                if line.startswith("{") and line.endswith("}")]

    def log_tail(self):
        return "\n".join(self.log_lines()[-LOG_TAIL:])

    def cpu_us(self):
        return meter.cpu_us(self.process.pid) if self.process else 0

    def rss_mib(self):
        return meter.memory_mib(self.process.pid, "VmRSS")

    def peak_mib(self):
        return meter.memory_mib(self.process.pid, "VmHWM")


def payload_of(number):
    at = number * 7919 % (len(TEXT) - TEXT_BYTES)
    return '{"text":"' + TEXT[at:at + TEXT_BYTES] + '"}'


class RedisServer(Part):
    def __init__(self, folder, fsync):
        self.socket = os.path.join(folder, "redis.sock")
        super().__init__(folder, "redis-server", "--port", 0, "--unixsocket", self.socket,
                         "--dir", folder, "--save", "", "--appendonly", "yes",
                         "--appendfsync", fsync, "--auto-aof-rewrite-min-size", "1gb")
        self.client = None

    def start(self):
        super().start()
        self.wait_until(self._answers, START_S, "redis-server answers")
        self.client = Redis(self.socket, timeout_s=120)

    def _answers(self):
        with contextlib.suppress(OSError, RedisError):
            client = Redis(self.socket)
            client.close()
            return True
        return False

    def stop(self, deadline_s=START_S):
        if self.client is not None:
            self.client.close()
        super().stop(deadline_s)

    def enqueue(self, n, account=None, event_type="order.created", payload=None):
        """So many events at once."""
        words = ["XADD", STREAM, "*", "type", event_type]
        words += ["account", account] if account else []
        for at in range(0, n, CHUNK):
            numbers = range(at, min(at + CHUNK, n))
            events = [words + ["payload", payload or payload_of(i)] for i in numbers]
            for reply in self.client.pipeline(events):
                if isinstance(reply, RedisError):
                    raise reply

    def info(self, section):
        """{name: text}"""
        lines = self.client.call("INFO", section).decode().splitlines()
        return dict(line.split(":", 1) for line in lines if ":" in line)


class Nginx(Part):
    """Answers everything with 204, on n_ports of 127.0.0.1."""

    def __init__(self, folder, n_ports, keepalive_s, protocols):
        self.ports = free_ports(n_ports)
        config = os.path.join(folder, "nginx.conf")
        super().__init__(folder, "nginx", "-p", folder, "-c", config)
        listen = "\n        ".join("listen 127.0.0.1:{} ssl;".format(port) for port in self.ports)
        with open(config, "w", encoding="ascii") as out:
            out.write(NGINX.format(folder=folder, listen=listen, keepalive_s=keepalive_s,
                                   protocols=protocols, certificate=authority().path("good.pem"),
                                   key=authority().path("good.key")))

    def start(self):
        super().start()
        self.wait_until(lambda: is_open(self.ports[-1]), START_S, "nginx listens")

    def url(self, i=0):
        return "https://localhost:{}/".format(self.ports[i])


class Sink(Part):
    """perf_sink: paths that answer at once, late, with 500, or never, and what came to them."""

    def __init__(self, folder, build, n_ports):
        super().__init__(folder, os.path.join(build, "perf", "perf_sink"),
                         "--cert", authority().path("good.pem"),
                         "--key", authority().path("good.key"), "--ports", n_ports)
        self.ports, self.control = [], None

    def start(self):
        super().start()
        [says] = self.wait_until(self.log_objects, START_S, "the sink listens")
        self.ports, self.control = says["ports"], says["control"]

    def url(self, path, i=0):
        return "https://localhost:{}{}".format(self.ports[i], path)

    def _ask(self, method, path):
        connection = http.client.HTTPConnection("127.0.0.1", self.control, timeout=60)
        try:
            connection.request(method, path)
            return connection.getresponse().read()
        finally:
            connection.close()

    def stats(self):
        """All that it knows; to be asked when nothing is under way."""
        return json.loads(self._ask("GET", "/stats"))

    def received(self, group):
        """How many, cheaply."""
        groups = json.loads(self._ask("GET", "/counts"))["groups"]
        return groups[group]["received"] if group in groups else 0

    def wait_received(self, group, n, deadline_s):
        self.wait_until(lambda: self.received(group) >= n, deadline_s,
                        "{} requests to {}".format(n, group), step_s=LOOK_S)

    def reset(self):
        self._ask("POST", "/reset")


class Engine(Part):
    """One instance.  Settings by their variables' names in lower case: timeout="1s"."""

    def __init__(self, folder, build, redis, **settings):
        settings = dict({"redis_url": "unix://" + redis.socket, "api_token": TOKEN,
                         "listen": "127.0.0.1:0", "ca_file": authority().ca,
                         "allow_networks": "127.0.0.1,::1", "data_dir": folder,
                         "drain_timeout": "1s"}, **settings)
        env = {name: value for name, value in os.environ.items()
               if not name.startswith("HOOKWHEEL_")}
        env.update({"HOOKWHEEL_" + name.upper(): str(value) for name, value in settings.items()})
        super().__init__(folder, os.path.join(build, "hookwheel"), "serve", env=env)
        self.connection = None

    def start(self):
        """Until it is ready."""
        with contextlib.suppress(FileNotFoundError):
            os.remove(self.log_path)
        super().start()
        self.connection = self.wait_until(self._dial, START_S, "the engine listens")
        self.wait_until(lambda: self._ask("GET", "/readyz")[0] == 200, START_S,
                        "the engine is ready")

    def _dial(self):
        for event in self.log_objects():
            if event.get("event") == "listening":
                return http.client.HTTPConnection(event["address"], timeout=60)
        return None

    @property
    def port(self):
        return self.connection.port

    def stop(self, deadline_s=START_S):
        if self.connection is not None:
            self.connection.close()
        super().stop(deadline_s)

    def _ask(self, method, path, body=None):
        headers = {"authorization": "Bearer " + TOKEN}
        if body is not None:
            headers["content-type"] = "application/json"
            body = json.dumps(body)
        self.connection.request(method, path, body, headers)
        response = self.connection.getresponse()
        return response.status, response.read()

    def call(self, method, path, body=None):
        status, answer = self._ask(method, path, body)
        if status >= 300:
            raise AssertionError("{} {}: {} {}".format(method, path, status, answer.decode()))
        return json.loads(answer)

    def create_webhook(self, url, **members):
        return self.call("POST", "/v1/webhooks", dict(members, url=url))["id"]

    def move_webhook(self, webhook_id, url):
        self.call("PATCH", "/v1/webhooks/" + webhook_id, {"url": url})

    def metrics(self):
        return Metrics(self._ask("GET", "/metrics")[1].decode())

    def delivered(self):
        return self.metrics().value("hookwheel_deliveries_total", status="delivered")

    def in_flight(self):
        return int(self.metrics().value("hookwheel_deliveries_in_flight"))

    def handshakes(self):
        """{"full": n, "resumed": n} since its start"""
        metrics = self.metrics()
        return {kind: int(metrics.value("hookwheel_tls_handshakes_total", kind=kind))
                for kind in ("full", "resumed")}

    def wait_delivered(self, n, deadline_s):
        self.wait_until(lambda: self.delivered() >= n, deadline_s,
                        "{} deliveries have their record".format(n), step_s=LOOK_S)


def is_open(port):
    with socket.socket() as probe:
        return probe.connect_ex(("127.0.0.1", port)) == 0


def free_ports(n):
    """Below those that the system gives to outgoing connections, so that none of them is taken
    before it is bound."""
    candidates = list(range(10000, 32768))
    random.shuffle(candidates)
    held = []
    try:
        while len(held) < n:
            probe = socket.socket()
            try:
                probe.bind(("127.0.0.1", candidates.pop()))
            except OSError:
                probe.close()
            else:
                held.append(probe)
        return [each.getsockname()[1] for each in held]
    finally:
        for each in held:
            each.close()
