"""What the README quotes is what is there: the table of settings, the embedding example."""

import http.client
import os
import pathlib
import pty
import signal
import subprocess
import tempfile
import threading
import unittest

from kit.metrics import Metrics
from kit.redis import RedisServer
from kit.waiting import wait_until

SOURCE = pathlib.Path(os.environ["HOOKWHEEL_SOURCE_DIR"])
BUILD = pathlib.Path(os.environ["HOOKWHEEL_BUILD_DIR"])
PROGRAM = BUILD / "hookwheel"
EXAMPLE = BUILD / "test" / "embed_example"
TOKEN = "token-of-the-embedding-example"


class Example:
    """The embedding example, running.  It has a terminal, so that it writes line by line."""

    def __init__(self, folder, redis_url):
        env = dict(os.environ, REDIS_URL=redis_url, API_TOKEN=TOKEN)
        ours, its = pty.openpty()
        self.process = subprocess.Popen([str(EXAMPLE)], cwd=folder, env=env, stdout=its, stderr=its,
                                        stdin=subprocess.DEVNULL)
        os.close(its)
        self.text = ""
        self._reader = threading.Thread(target=self._read, args=(ours,))
        self._reader.start()

    def _read(self, terminal):
        with open(terminal, "rb", buffering=0) as file:
            try:
                while chunk := file.read(4096):
                    self.text += chunk.decode(errors="replace")
            except OSError:  # EIO: nobody has the other end any more
                pass

    def lines(self):
        return self.text.splitlines()

    def wait_for_line(self, start):
        """The first whole line that begins like this."""
        def found():
            if self.process.poll() is not None and start not in self.text:
                raise AssertionError("it ended with {}:\n{}".format(self.process.returncode, self.text))
            whole = self.text[:self.text.rfind("\n") + 1].splitlines()
            return next((line for line in whole if line.startswith(start)), None)
        return wait_until(found, 30, lambda: "a line {!r} in:\n{}".format(start, self.text))

    def wait(self):
        code = self.process.wait(30)
        self._reader.join(30)
        return code

    def close(self):
        if self.process.poll() is None:
            self.process.kill()
        self.wait()


def get(port, path, token=None):
    """Status and body."""
    connection = http.client.HTTPConnection("127.0.0.1", port, timeout=30)
    try:
        connection.request("GET", path, headers={"authorization": "Bearer " + token} if token else {})
        response = connection.getresponse()
        return response.status, response.read().decode()
    finally:
        connection.close()


def n_accepted(port):
    return Metrics(get(port, "/metrics")[1]).value("hookwheel_events_accepted_total")


class Readme(unittest.TestCase):
    maxDiff = None

    @classmethod
    def setUpClass(cls):
        cls.text = (SOURCE / "README.md").read_text()

    def test_settings_are_those_of_the_program(self):
        begin = "<!-- settings: printed by `hookwheel serve --help-markdown` -->\n"
        quoted = self.text.split(begin)[1].split("<!-- end of settings -->")[0]
        printed = subprocess.run([PROGRAM, "serve", "--help-markdown"], check=True,
                                 stdout=subprocess.PIPE, text=True).stdout
        self.assertEqual(quoted, printed)

    def test_embedding_example_is_the_one_that_the_tests_run(self):
        example = (SOURCE / "test/support/embed_example.c").read_text()
        self.assertIn("```c\n" + example + "```\n", self.text)

    def test_embedding_example_takes_events_serves_its_api_and_drains(self):
        with tempfile.TemporaryDirectory(prefix="hookwheel-test-") as folder:
            redis = RedisServer(folder)
            self.addCleanup(redis.kill_hard)
            redis.start()
            example = Example(folder, redis.url)
            self.addCleanup(example.close)
            port = int(example.wait_for_line("API on port ").split()[-1])
            example.wait_for_line("ready")
            self.assertEqual(get(port, "/v1/webhooks", TOKEN)[0], 200)
            self.assertEqual(get(port, "/v1/webhooks", "another-token-altogether")[0], 401)
            redis.add({"type": "order.created", "payload": "{}"})
            wait_until(lambda: n_accepted(port) == 1, 30, "the event is accepted")
            example.process.send_signal(signal.SIGTERM)
            self.assertEqual(example.wait(), 0, example.text)
            self.assertEqual(example.lines()[-3:], ["draining", "drained", "stopped"])
            redis.stop()

    def test_embedding_example_says_why_it_cannot_start(self):
        with tempfile.TemporaryDirectory(prefix="hookwheel-test-") as folder:
            example = Example(folder, "http://not-a-redis/")
            self.addCleanup(example.close)
            self.assertEqual(example.wait(), 2)
            self.assertIn("redis_url", example.text)

    def test_every_metric_of_the_program_is_named(self):
        exposition = (SOURCE / "engine/api/exposition.c").read_text()
        names = {word for word in exposition.split('"') if word.startswith("hookwheel_")}
        self.assertGreater(len(names), 20)
        for name in sorted(names):
            self.assertIn("`" + name, self.text)


if __name__ == "__main__":
    unittest.main()
