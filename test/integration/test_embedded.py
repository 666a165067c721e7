"""The embedded Redis: never two servers on one folder, nothing lost, whoever is killed."""

import os
import signal
import threading
import unittest

from kit.case import Case, scaled
from kit.redis import Redis


def servers_in(folder):
    """Process ids of the redis-servers that run in that folder, dying ones included."""
    found = []
    for name in os.listdir("/proc"):
        if not name.isdigit():
            continue
        try:
            with open("/proc/{}/comm".format(name), encoding="utf-8") as comm:
                if comm.read().startswith("redis") and os.readlink(
                        "/proc/{}/cwd".format(name)) == folder:
                    found.append(int(name))
        except OSError:
            pass  # it has ended meanwhile
    return found


class Watch(threading.Thread):
    """Looks for servers all the time; remembers the most it has seen at once."""

    def __init__(self, folder):
        super().__init__(daemon=True)
        self.folder = folder
        self.most = 0
        self.over = threading.Event()

    def run(self):
        while not self.over.wait(0.003):
            self.most = max(self.most, len(servers_in(self.folder)))

    def stop(self):
        self.over.set()
        self.join(10)


class Embedded(Case):
    def setUp(self):
        super().setUp()
        self.data = os.path.realpath(self.path("data"))
        self.watch = Watch(self.data)
        self.watch.start()
        self.addCleanup(self.end_watch)
        self.receiver = self.start_receiver()

    def end_watch(self):
        self.watch.stop()
        for pid in servers_in(self.data):
            os.kill(pid, signal.SIGKILL)
        self.assertEqual(self.watch.most, 1, "servers on one folder at once")

    def server(self):
        """Process id of the server there; waits for it."""
        return self.wait_until(lambda: servers_in(self.data), 10, "a server runs")[0]

    def wait_no_server(self):
        self.wait_until(lambda: not servers_in(self.data), 30, "the server has ended")

    def client(self):
        client = Redis(os.path.join(self.data, "redis.sock"))
        self.addCleanup(client.close)
        return client

    def subscribe(self, daemon, **rule):
        self.secret = daemon.create_webhook(self.receiver.url())["secret"]
        self.receiver.rule(secret=self.secret, **rule)

    def enqueue(self, ids):
        replies = self.client().pipeline(
            [["XADD", "hookwheel:events", "*", "type", "a", "payload", "1", "id", one]
             for one in ids])
        self.assertEqual([r for r in replies if not isinstance(r, bytes)], [])

    def wait_all(self, ids, deadline_s=60):
        def missing():
            return set(ids) - {r.id for r in self.receiver.requests() if r.status == 204}
        self.wait_until(lambda: not missing(), deadline_s,
                        lambda: "all arrive; {} have not".format(len(missing())))
        self.assert_clean(self.receiver.requests())

    def test_starts_and_stops_with_the_daemon(self):
        daemon = self.start_daemon()
        pid = self.server()
        self.assertNotEqual(os.getsid(pid), os.getsid(daemon.process.pid))
        self.assertEqual(os.stat(self.data).st_mode & 0o777, 0o700)
        self.subscribe(daemon)
        self.enqueue(["e1"])
        self.wait_all(["e1"])
        daemon.terminate()
        self.assertEqual(servers_in(self.data), [])
        daemon.start()
        self.assertEqual(len(daemon.expect(200, "GET", "/v1/webhooks")["data"]), 1)
        self.assertEqual(len(daemon.deliveries(status="delivered")), 1)

    def test_kill_of_the_daemon_loses_nothing(self):
        n_events = scaled(3000)
        ids = ["e{}".format(n) for n in range(n_events)]
        daemon = self.start_daemon()
        self.subscribe(daemon, delay_s=0.005)
        self.enqueue(ids)
        for turn in range(1, 5):
            self.wait_requests(self.receiver, n_events * turn // 6, 60)
            daemon.kill_hard()
            daemon.start()
        self.wait_all(ids)

    def test_server_ends_with_a_killed_daemon(self):
        daemon = self.start_daemon()
        self.server()
        daemon.kill_hard()
        self.wait_no_server()

    def test_ctrl_c_drains_before_redis_goes(self):
        """A terminal sends SIGINT to the whole foreground group."""
        daemon = self.start_daemon(own_group=True)
        self.subscribe(daemon, hang=True)
        self.enqueue(["e{}".format(n) for n in range(20)])
        self.wait_requests(self.receiver, 20, 20)
        os.killpg(os.getpgid(daemon.process.pid), signal.SIGINT)
        self.wait_until(lambda: daemon.events("draining"), 10, "it drains")
        self.assertEqual(len(servers_in(self.data)), 1)
        self.receiver.rule(secret=self.secret)
        self.receiver.answer_all()
        daemon.wait_exit(20)
        self.assertEqual(servers_in(self.data), [])
        daemon.start()
        self.wait_delivery(daemon, "delivered", n=20)
        self.assertEqual(self.receiver.count(), 20)

    def test_killed_server_is_started_again(self):
        n_events = scaled(3000)
        ids = ["e{}".format(n) for n in range(n_events)]
        daemon = self.start_daemon()
        self.subscribe(daemon, delay_s=0.005)
        self.enqueue(ids)
        for turn in range(1, 4):
            self.wait_requests(self.receiver, n_events * turn // 6, 60)
            pid = self.server()
            os.kill(pid, signal.SIGKILL)
            self.wait_until(lambda pid=pid: servers_in(self.data) not in ([], [pid]), 20,
                            "another server runs")
        self.wait_all(ids)
        self.assertTrue(daemon.events("redis_embedded"))
        extra = len(self.receiver.requests()) - n_events
        self.assertEqual(extra, 0, "Redis' death alone repeats nothing")
        daemon.wait_ready()

    def test_second_daemon_is_turned_away(self):
        daemon = self.start_daemon()
        other = self.make_daemon().start(wait=None)
        other.wait_exit(10, code=2)
        lines = other.log().strip().splitlines()
        self.assertEqual(len(lines), 1, lines)
        self.assertIn(str(daemon.process.pid), lines[0])
        self.assertIn("data", lines[0])
        self.assertTrue(daemon.is_running())
        self.assertEqual(daemon.readiness()[0], 200)

    def test_server_left_behind_is_waited_for(self):
        """It hangs when its daemon is killed; the next daemon must not open the folder before it
        has ended."""
        daemon = self.start_daemon()
        self.subscribe(daemon)
        left = self.server()
        os.kill(left, signal.SIGSTOP)
        daemon.kill_hard()
        daemon.start("listening")
        self.wait_until(lambda: daemon.events("redis_embedded"), 10, "it says what it waits for")
        self.assertEqual(daemon.readiness()[0], 503)
        self.assertEqual(servers_in(self.data), [left])
        os.kill(left, signal.SIGCONT)
        self.wait_until(lambda: servers_in(self.data) not in ([], [left]), 30,
                        "a server of its own runs")
        daemon.wait_ready()
        self.enqueue(["e1"])
        self.wait_all(["e1"])

    def test_long_path(self):
        """Longer than the address of a unix socket can be."""
        long = os.path.join(self.folder, "d" * 80, "e" * 80)
        os.makedirs(os.path.dirname(long))
        daemon = self.start_daemon(data_dir=long)
        self.subscribe(daemon)
        daemon.terminate()
        self.start_daemon()  # the watch's own folder has to see one too

    def test_token_is_made_once_and_kept(self):
        daemon = self.start_daemon(api_token=None)
        path = os.path.join(self.data, "root-token")
        self.assertEqual(os.stat(path).st_mode & 0o777, 0o600)
        with open(path, encoding="ascii") as file:
            token = file.read().strip()
        self.assertGreaterEqual(len(token), 32)
        daemon.expect(200, "GET", "/v1/webhooks", token=token)
        self.assertEqual(daemon.call("GET", "/v1/webhooks").status, 401)
        daemon.terminate()
        daemon.start()
        daemon.expect(200, "GET", "/v1/webhooks", token=token)
        self.assertNotIn(token, daemon.log())


if __name__ == "__main__":
    unittest.main()
