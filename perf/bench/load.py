"""What gives the parts something to do: wrk, events on a schedule, questions on a schedule."""

import json
import os
import re
import signal
import subprocess
import sys

from parts import BODY_BYTES, STREAM, TOKEN

HERE = os.path.dirname(os.path.abspath(__file__))
OFFER = os.path.join(HERE, os.pardir, "offer.py")
ASK = os.path.join(HERE, "ask.py")
END_S = 30  # a program that was told to end has ended by then

WRK = """
wrk.method = "POST"
wrk.body = string.rep("x", {body_bytes})
wrk.headers["content-type"] = "application/json"
"""


def output_of(*words):
    """The line of JSON that a program ends with."""
    done = subprocess.run([str(word) for word in words], stdin=subprocess.DEVNULL,
                          stdout=subprocess.PIPE, check=False)
    if done.returncode != 0:
        raise AssertionError("{} ended with {}".format(words[0], done.returncode))
    return json.loads(done.stdout.decode().splitlines()[-1])


def offer(redis, rate, seconds, **more):
    """Events on a schedule; how well it was kept.  more: accounts=, types="""
    words = ["--redis", redis.socket, "--stream", STREAM, "--rate", rate, "--seconds", seconds,
             "--bytes", BODY_BYTES]
    for name, value in more.items():
        words += ["--" + name, value]
    return output_of(sys.executable, "-B", OFFER, *words)


def wrk(url, seconds, folder, connections=64):
    """(requests a second, its own CPU in microseconds for each)"""
    script = os.path.join(folder, "post.lua")
    with open(script, "w", encoding="ascii") as out:
        out.write(WRK.format(body_bytes=BODY_BYTES))
    words = ["wrk", "-t1", "-c", str(connections), "-d", str(seconds), "-s", script, url]
    with subprocess.Popen(words, stdout=subprocess.PIPE) as process:
        says = process.stdout.read().decode()
        _, status, usage = os.wait4(process.pid, 0)
        process.returncode = os.waitstatus_to_exitcode(status)
    found = re.search(r"(\d+) requests in ", says)
    if process.returncode != 0 or found is None or "Non-2xx" in says:
        raise AssertionError("wrk: " + says)
    rate = re.search(r"Requests/sec:\s+([\d.]+)", says)
    spent_us = (usage.ru_utime + usage.ru_stime) * 1e6
    return float(rate.group(1)), spent_us / int(found.group(1))


class Asking:
    """GET /v1/webhooks 100 times a second while the block runs; then `times`."""

    def __init__(self, engine):
        self.words = [sys.executable, "-B", ASK, str(engine.port), TOKEN]
        self.process = None
        self.times = None

    def __enter__(self):
        self.process = subprocess.Popen(self.words, stdout=subprocess.PIPE)
        return self

    def __exit__(self, *_):
        self.process.send_signal(signal.SIGTERM)
        says, _ = self.process.communicate(timeout=END_S)
        self.times = json.loads(says) if says else None
