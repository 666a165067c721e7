"""Settings, and a start that cannot succeed: one clear line, exit code 2; what can heal heals."""

import os
import pathlib
import socket
import subprocess
import threading
import unittest

from kit.case import Case, event
from kit.daemon import PROGRAM, environment
from kit.redis import RedisServer


def run(*arguments, timeout_s=30, **settings):
    """A command that ends by itself: (exit code, standard output, standard error)."""
    done = subprocess.run([str(PROGRAM), *arguments], env=environment(settings), check=False,
                          stdin=subprocess.DEVNULL, stdout=subprocess.PIPE, stderr=subprocess.PIPE,
                          universal_newlines=True, timeout=timeout_s)
    return done.returncode, done.stdout, done.stderr


def free_port():
    with socket.socket() as one:
        one.bind(("127.0.0.1", 0))
        return one.getsockname()[1]


class OldRedis(threading.Thread):
    """Speaks enough RESP to be asked for its version."""

    def __init__(self, info):
        super().__init__(daemon=True)
        self.info = info.encode()
        self.listener = socket.socket()
        self.listener.bind(("127.0.0.1", 0))
        self.listener.listen()
        self.url = "redis://127.0.0.1:{}/0".format(self.listener.getsockname()[1])
        self.start()

    def run(self):
        while True:
            try:
                client, _ = self.listener.accept()
            except OSError:
                return
            threading.Thread(target=self.serve, args=(client,), daemon=True).start()

    def serve(self, client):
        with client, client.makefile("rb") as reader:
            while True:
                try:
                    words = self.read(reader)
                    if words is None:
                        return
                    client.sendall(self.reply(words))
                except (OSError, ValueError):
                    return

    def read(self, reader):
        line = reader.readline()
        if not line:
            return None
        words = []
        for _ in range(int(line[1:])):
            words.append(reader.read(int(reader.readline()[1:]) + 2)[:-2])
        return words

    def reply(self, words):
        name = words[0].upper()
        if name == b"INFO":
            return b"$%d\r\n%s\r\n" % (len(self.info), self.info)
        if name == b"PING":
            return b"+PONG\r\n"
        if name in (b"SELECT", b"AUTH", b"CLIENT"):
            return b"+OK\r\n"
        return b"-ERR unknown command\r\n"

    def close(self):
        self.listener.close()


class SettingsCase(Case):
    def check_refused(self, words, *arguments, **settings):
        """One line on standard error that says what is wrong; exit code 2."""
        settings.setdefault("data_dir", self.path("data"))
        settings.setdefault("listen", "127.0.0.1:0")
        settings.setdefault("log_format", "text")
        code, out, err = run("serve", *arguments, **settings)
        self.assertEqual((code, out), (2, ""), err)
        self.assertEqual(len(err.strip().splitlines()), 1, err)
        for word in words:
            self.assertIn(word, err)
        return err


class Reading(SettingsCase):
    def test_bad_values(self):
        cases = [
            ("timeout", "10", "HOOKWHEEL_TIMEOUT"), ("timeout", "0s", "HOOKWHEEL_TIMEOUT"),
            ("timeout", "-1s", "HOOKWHEEL_TIMEOUT"), ("timeout", "1w", "HOOKWHEEL_TIMEOUT"),
            ("retry_schedule", "1m,,5m", "HOOKWHEEL_RETRY_SCHEDULE"),
            ("retry_schedule", "1m,5x", "HOOKWHEEL_RETRY_SCHEDULE"),
            ("retry_jitter", "1.5", "HOOKWHEEL_RETRY_JITTER"),
            ("retry_jitter", "x", "HOOKWHEEL_RETRY_JITTER"),
            ("disable_after", "ten", "HOOKWHEEL_DISABLE_AFTER"),
            ("max_webhooks", "0", "HOOKWHEEL_MAX_WEBHOOKS"),
            ("max_in_flight", "-5", "HOOKWHEEL_MAX_IN_FLIGHT"),
            ("max_payload", "256KB", "HOOKWHEEL_MAX_PAYLOAD"),
            ("redis_fsync", "sometimes", "HOOKWHEEL_REDIS_FSYNC"),
            ("log_level", "loud", "HOOKWHEEL_LOG_LEVEL"),
            ("log_format", "xml", "HOOKWHEEL_LOG_FORMAT"),
            ("allow_http_localhost", "maybe", "HOOKWHEEL_ALLOW_HTTP_LOCALHOST"),
            ("feed_max", "99999999999999999999", "HOOKWHEEL_FEED_MAX"),
        ]
        for name, value, variable in cases:
            with self.subTest(name + "=" + value):
                self.check_refused([variable], **{name: value})

    def test_values_that_make_no_sense_together_or_alone(self):
        cases = [
            ({"redis_url": "http://127.0.0.1/"}, "redis"),
            ({"redis_url": "redis://host:port/0"}, "redis"),
            ({"listen": "8420"}, "listen"),
            ({"listen": "127.0.0.1:99999"}, "listen"),
            ({"allow_networks": "10.0.0.0/33"}, "networks"),
            ({"allow_networks": "internal"}, "networks"),
            ({"key_prefix": "a b"}, "prefix"),
            ({"api_token": "short"}, "token"),
            ({"api_token": "a-token-that-is-long", "api_token_file": "/dev/null"}, "token"),
            ({"ca_file": "/nowhere/ca.pem"}, "/nowhere/ca.pem"),
        ]
        for settings, word in cases:
            with self.subTest(str(settings)):
                self.check_refused([word], **settings)

    def test_secrets_are_not_repeated(self):
        err = self.check_refused([], redis_url="redis://user:hunter2secret@host:port/0")
        self.assertNotIn("hunter2secret", err)
        err = self.check_refused([], api_token="s3cret")
        self.assertNotIn("s3cret", err)

    def test_unknown_flags_and_words(self):
        self.check_refused(["--no-such-flag"], "--no-such-flag")
        self.check_refused(["--timeout"], "--timeout")
        self.check_refused(["--timeout"], "--timeout", "soon")
        self.check_refused(["surplus"], "surplus")
        code, _, err = run("fly")
        self.assertEqual((code, len(err.splitlines())), (2, 1))

    def test_flag_wins_and_empty_is_absent(self):
        good = {"data_dir": self.path("data")}
        self.assertEqual(run("serve", "--check", "--timeout", "5s", timeout="bad", **good)[0], 2)
        self.assertEqual(run("serve", "--check", "--timeout=5s", timeout="7s", **good)[0], 0)
        self.assertEqual(run("serve", "--check", timeout="", log_level="", **good)[0], 0)

    def test_check_leaves_nothing_behind(self):
        code, out, err = run("serve", "--check", data_dir=self.path("data"))
        self.assertEqual((code, err), (0, ""))
        self.assertEqual(len(out.splitlines()), 1)
        self.assertFalse(os.path.exists(self.path("data")))
        self.check_refused(["HOOKWHEEL_TIMEOUT"], "--check", timeout="x")
        self.check_refused(["/nowhere/ca.pem"], "--check", ca_file="/nowhere/ca.pem")

    def test_help_names_every_setting_with_its_default(self):
        code, out, err = run("serve", "--help", timeout="bad")
        self.assertEqual((code, err), (0, ""))
        spec = pathlib.Path(os.environ["HOOKWHEEL_SOURCE_DIR"], "README.md").read_text("utf-8")
        rows = [line.split("|") for line in spec.splitlines() if line.startswith("| `HOOKWHEEL_")]
        self.assertGreater(len(rows), 30)
        for row in rows:
            name = row[1].strip(" `")
            self.assertIn("--" + name[len("HOOKWHEEL_"):].lower().replace("_", "-"), out)
        for default in ("10s", "1m,5m,30m,120m", "127.0.0.1:8420", "10000", "256KiB"):
            self.assertIn(default, out)

    def test_version(self):
        code, out, _ = run("version")
        self.assertEqual(code, 0)
        self.assertRegex(out, r"^hookwheel \d+\.\d+\.\d+\n$")


class Tokens(SettingsCase):
    def test_unreadable_token_file(self):
        self.check_refused(["/nowhere/token"], api_token_file="/nowhere/token")
        self.check_refused([self.folder], api_token_file=self.folder)
        empty = self.path("empty")
        open(empty, "w").close()
        self.check_refused([empty], api_token_file=empty)

    @unittest.skipIf(os.geteuid() == 0, "root reads everything")
    def test_token_file_of_another_user(self):
        path = self.path("token")
        with open(path, "w", encoding="ascii") as file:
            file.write("a-token-that-is-long-enough")
        os.chmod(path, 0)
        self.check_refused([path], api_token_file=path)

    def test_token_from_a_file(self):
        path = self.path("token")
        with open(path, "w", encoding="ascii") as file:
            file.write("a-token-that-is-long-enough\n")
        self.start_redis()
        daemon = self.start_daemon(api_token=None, api_token_file=path)
        daemon.expect(200, "GET", "/v1/webhooks", token="a-token-that-is-long-enough")

    def test_another_root_token_is_turned_away(self):
        self.start_redis()
        first = self.start_daemon()
        other = "another-token-of-these-tests"
        second = self.make_daemon(api_token=other, log_format="text").start(wait=None)
        second.wait_exit(20, code=2)
        self.assertIn("token", second.log())
        self.assertNotIn(other, second.log())
        self.assertTrue(first.is_running())
        first.terminate()
        third = self.make_daemon(api_token=other, arguments=["--replace-root-token"]).start()
        third.expect(200, "GET", "/v1/webhooks", token=other)
        third.terminate()
        self.make_daemon(api_token=other).start()


class Surroundings(SettingsCase):
    def test_port_in_use(self):
        with socket.socket() as holder:
            holder.bind(("127.0.0.1", 0))
            holder.listen()
            address = "127.0.0.1:{}".format(holder.getsockname()[1])
            self.start_redis()
            self.check_refused([address, "in use"], listen=address, redis_url=self.redis.url,
                               api_token="a-token-that-is-long-enough")
            self.check_refused([address, "in use"], ops_listen=address, redis_url=self.redis.url,
                               api_token="a-token-that-is-long-enough")

    def test_missing_redis_heals(self):
        """Not there at the start, gone later: not ready, trying, and ready by itself."""
        port = free_port()
        os.mkdir(self.path("redis"))
        self.redis = RedisServer(self.path("redis"), port=port)
        self.addCleanup(self.redis.stop)
        receiver = self.start_receiver()
        daemon = self.start_daemon("listening", redis_url="redis://127.0.0.1:{}".format(port))
        status, body = daemon.readiness()
        self.assertEqual(status, 503)
        self.assertIn("Redis", body["reason"])
        self.assertEqual(daemon.call("GET", "/healthz", token=None).status, 200)
        self.assertEqual(daemon.call("POST", "/v1/webhooks", {"url": receiver.url()}).status, 503)
        self.assertEqual(daemon.metric("hookwheel_redis_connected"), 0)
        self.redis.start()
        daemon.wait_ready()
        receiver.rule(secret=daemon.create_webhook(receiver.url())["secret"])
        self.redis.add(event(1))
        self.wait_requests(receiver, 1, 10)
        self.assertEqual(daemon.metric("hookwheel_redis_connected"), 1)
        self.wait_settled(daemon)
        self.redis.stop()
        self.wait_until(lambda: daemon.readiness()[0] == 503, 20, "not ready")
        self.redis.start()
        daemon.wait_ready()
        self.redis.add(event(2))
        self.wait_requests(receiver, 2, 10)

    def test_stops_while_redis_is_missing(self):
        daemon = self.start_daemon("listening",
                                   redis_url="redis://127.0.0.1:{}".format(free_port()))
        daemon.terminate(15)

    def check_refusing(self, words, **settings):
        daemon = self.make_daemon(log_format="text", log_level="warn", **settings)
        daemon.start(wait=None).wait_exit(20, code=2)
        lines = daemon.log().strip().splitlines()
        self.assertEqual(len(lines), 1, lines)
        for word in words:
            self.assertIn(word, lines[0])

    def test_redis_that_is_too_old(self):
        server = OldRedis("# Server\r\nredis_version:6.0.16\r\nredis_mode:standalone\r\n"
                          "run_id:{}\r\n# Persistence\r\nloading:0\r\naof_enabled:1\r\n"
                          "# Replication\r\nrole:master\r\n".format("a" * 40))
        self.addCleanup(server.close)
        self.check_refusing(["6.0.16", "6.2"], redis_url=server.url)

    def test_redis_that_evicts(self):
        self.start_redis(settings=["--maxmemory", "100mb", "--maxmemory-policy", "allkeys-lru"])
        self.check_refusing(["allkeys-lru", "noeviction"])

    def test_redis_that_begins_to_evict(self):
        """Met while running, it is not the end: not ready, and ready once it is mended."""
        self.start_redis()
        daemon = self.start_daemon()
        self.redis.call("CONFIG", "SET", "maxmemory-policy", "allkeys-lru")
        self.redis.call("CONFIG", "SET", "maxmemory", "100mb")
        self.redis.call("CLIENT", "KILL", "TYPE", "normal", "SKIPME", "yes")
        self.wait_until(lambda: "allkeys-lru" in str(daemon.readiness()[1].get("reason")), 60,
                        lambda: "not ready, with the reason; {}".format(daemon.readiness()))
        self.assertEqual(daemon.readiness()[0], 503)
        self.redis.call("CONFIG", "SET", "maxmemory-policy", "noeviction")
        self.redis.call("CLIENT", "KILL", "TYPE", "normal", "SKIPME", "yes")
        daemon.wait_ready(60)

    def test_password(self):
        self.start_redis()
        self.redis.call("CONFIG", "SET", "requirepass", "secret-of-redis")
        path = self.redis.socket
        wrong = self.start_daemon("listening", redis_url="unix://:not-the-secret@" + path)
        self.wait_until(lambda: "password" in str(wrong.readiness()[1].get("reason")).lower(), 10,
                        lambda: "not ready, with the reason; {}".format(wrong.readiness()))
        right = self.start_daemon(redis_url="unix://:secret-of-redis@" + path)
        for daemon in (wrong, right):
            daemon.terminate()
            self.assertNotIn("secret", daemon.log())

    def check_durability(self, fsync, level):
        self.start_redis(fsync=fsync)
        daemon = self.start_daemon()
        self.assertEqual(daemon.readiness()[1]["redis"]["durability"], level)
        self.assertEqual(daemon.metric("hookwheel_redis_durability", level=level), 1)
        self.assertTrue(daemon.events("redis_durability"))

    def test_durability_always(self):
        self.check_durability("always", "always")

    def test_durability_every_second(self):
        self.check_durability("everysec", "everysec")

    def test_durability_none(self):
        self.check_durability("no", "none")


if __name__ == "__main__":
    unittest.main()
