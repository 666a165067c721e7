"""Offers events to a Redis stream on a schedule of its own, however long each one takes.

    offer.py --redis SOCKET --stream KEY --rate R --seconds S [--bytes 1024] [--accounts N]
             [--types N]

Event k is planned for k/R seconds after the start, and its payload says so:
{"at":<planned, unix microseconds>,"text":"xxx..."}, --bytes long.  What is due is sent in one
write; replies are read as they come, and nothing waits for them before the end.

Accounts are acct_0, acct_1, ... (with one: none is named), types order.created_0, ... (with
one: order.created): event k is of account k % accounts and type k // accounts % types.

At the end one line of JSON; behind_ms is how long after its planned moment an event was
handed to the socket, so how far the offering itself can be trusted.  Exit code 1 if Redis refused
an event or went away.
"""

import argparse
import array
import json
import math
import os
import select
import socket
import sys
import time

BATCH_MAX = 500     # events in one write, when it has fallen behind
LAST_REPLIES_S = 30
AT_DIGITS = 16      # unix microseconds, from 2001 to 2286


def bulk(text):
    return b"$%d\r\n%s\r\n" % (len(text), text)


class Events:
    """What XADD of event k looks like on the wire."""

    def __init__(self, stream, n_bytes, n_accounts, n_types):
        head, tail = b'{"at":', b',"text":"%s"}'
        room = n_bytes - len(head) - AT_DIGITS - len(tail % b"")
        if room < 0:
            sys.exit(f"offer.py: --bytes: at least {n_bytes - room}")
        start = bulk(b"payload") + b"$%d\r\n" % n_bytes + head
        self.end = tail % (b"x" * room) + b"\r\n"
        self.starts = [self.command(stream, account, kind) + start
                       for kind in self.names(b"order.created", n_types)
                       for account in self.names(b"acct", n_accounts)]
        self.n_starts = len(self.starts)

    @staticmethod
    def names(stem, n):
        return [b"%s_%d" % (stem, i) for i in range(n)] if n > 1 else [stem]

    def command(self, stream, account, kind):
        words = [b"XADD", stream.encode(), b"*", b"type", kind]
        if account != b"acct":
            words += [b"account", account]
        return b"*%d\r\n" % (len(words) + 2) + b"".join(map(bulk, words))

    def wire(self, k, at_us):
        return b"%s%d%s" % (self.starts[k % self.n_starts], at_us, self.end)


class Redis:
    """A connection that takes bytes without waiting and counts the replies."""

    def __init__(self, path):
        self.socket = socket.socket(socket.AF_UNIX)
        self.socket.connect(path)
        self.socket.setblocking(False)
        self.unsent = bytearray()
        self.cut = b""          # of a reply, the part that has arrived
        self.n_taken = self.n_refused = 0
        self.complaint = None

    def send(self, wire):
        self.unsent += wire
        self.push()

    def push(self):
        while self.unsent:
            try:
                del self.unsent[:self.socket.send(self.unsent)]
            except BlockingIOError:
                return

    def read(self):
        """Every reply is two lines, $LENGTH and the id, or one that begins with '-'."""
        try:
            data = self.socket.recv(1 << 20)
        except BlockingIOError:
            return
        if not data:
            raise ConnectionError("Redis has closed the connection")
        *lines, self.cut = (self.cut + data).split(b"\r\n")
        for line in lines:
            if line.startswith(b"$"):
                self.n_taken += 1
            elif line.startswith(b"-"):
                self.n_refused += 1
                self.complaint = self.complaint or line[1:].decode(errors="replace")

    def rest(self, seconds):
        """Sleep, but go on writing what the socket did not take.  Replies wake nobody."""
        if self.unsent:
            select.select([], [self.socket], [], max(0, seconds))
            self.push()
        else:
            time.sleep(max(0, seconds))

    def wait_for(self, n_replies):
        deadline = time.monotonic() + LAST_REPLIES_S
        while self.n_taken + self.n_refused < n_replies:
            left = deadline - time.monotonic()
            if left <= 0:
                raise ConnectionError(f"Redis does not answer within {LAST_REPLIES_S} s")
            select.select([self.socket], [self.socket] if self.unsent else [], [], left)
            self.push()
            self.read()


def offer(redis, events, rate, n_events):
    """Returns how late each event was, in microseconds, and how long it all took, in seconds."""
    behind_us = array.array("q")
    start_us = time.time_ns() // 1000 + 1000
    period_us = 1e6 / rate
    sent = 0
    while sent < n_events:
        now_us = time.time_ns() // 1000
        due = min(n_events, int((now_us - start_us) / period_us) + 1, sent + BATCH_MAX)
        if due <= sent:
            redis.rest((start_us + sent * period_us - now_us) / 1e6)
            continue
        planned_us = [start_us + int(k * period_us) for k in range(sent, due)]
        redis.send(b"".join(events.wire(k, at_us)
                            for k, at_us in enumerate(planned_us, sent)))
        now_us = time.time_ns() // 1000
        behind_us.extend(now_us - at_us for at_us in planned_us)
        sent = due
        redis.read()
    return behind_us, (time.time_ns() // 1000 - start_us) / 1e6


def rank(ordered, fraction):
    return ordered[max(0, math.ceil(len(ordered) * fraction) - 1)] / 1000


def positive(text):
    value = float(text)
    if value <= 0:
        raise argparse.ArgumentTypeError("must be more than 0")
    return value


def count(text):
    value = int(text)
    if value < 1:
        raise argparse.ArgumentTypeError("must be at least 1")
    return value


def arguments():
    parser = argparse.ArgumentParser(description=__doc__.partition("\n")[0])
    parser.add_argument("--redis", required=True, metavar="SOCKET")
    parser.add_argument("--stream", required=True, metavar="KEY")
    parser.add_argument("--rate", required=True, type=positive, help="events a second")
    parser.add_argument("--seconds", required=True, type=positive)
    parser.add_argument("--bytes", default=1024, type=count, help="of a payload")
    parser.add_argument("--accounts", default=1, type=count)
    parser.add_argument("--types", default=1, type=count)
    return parser.parse_args()


def main():
    says = arguments()
    events = Events(says.stream, says.bytes, says.accounts, says.types)
    n_events = max(1, round(says.rate * says.seconds))
    try:
        redis = Redis(says.redis)
        behind_us, took_s = offer(redis, events, says.rate, n_events)
        redis.wait_for(n_events)
    except OSError as error:
        sys.exit(f"offer.py: {says.redis}: {error}")
    behind_us = sorted(behind_us)
    used = os.times()
    print(json.dumps({
        "offered": redis.n_taken, "refused": redis.n_refused,
        "achieved_per_s": round(n_events / took_s, 1),
        "behind_ms": {"p50": rank(behind_us, 0.5), "p99": rank(behind_us, 0.99),
                      "max": rank(behind_us, 1)},
        "cpu_share": round((used.user + used.system) / took_s, 3),
    }), flush=True)
    if redis.n_refused:
        sys.exit(f"offer.py: Redis refused {redis.n_refused} events: {redis.complaint}")


if __name__ == "__main__":
    main()
