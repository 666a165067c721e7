"""Thousands who read one feed at once: long polls and streams over epoll, in this process.

Nobody is parsed more than is needed to time an event: each event has a mark in its payload, and
a client has it when the mark is among its bytes.
"""

import collections
import re
import resource
import select
import socket
import time

from kit.api import head
from kit.feed import updates
from kit.sse import stream_path

AT_ONCE = 200  # connections that are being made at a time
LENGTH = re.compile(rb"content-length: (\d+)", re.I)
NEXT = re.compile(rb'"next_cursor":"([^"]+)"')
MARK = re.compile(rb'"mark":"([^"]+)"')


class Client:
    def __init__(self, address):
        self.socket = socket.socket()
        self.socket.connect(address)
        self.socket.setblocking(False)
        self.buffer = b""

    def take(self, data):
        """The marks in what is there now."""
        self.buffer += data
        return self._complete()


class Stream(Client):
    """What is behind the last line's end is kept until the rest of it is there."""

    def __init__(self, address, cursor):
        super().__init__(address)
        self.is_open = False
        self.socket.sendall(head("GET", stream_path(cursor=cursor)))

    def _complete(self):
        lines, end, self.buffer = self.buffer.rpartition(b"\n")
        if not self.is_open and end:
            if not lines.startswith(b"HTTP/1.1 200"):
                raise AssertionError("a stream: {!r}".format(lines[:500]))
            self.is_open = True
        return MARK.findall(lines)


class Poll(Client):
    """Asks again with each answer's cursor."""

    WAIT_S = 30

    def __init__(self, address, cursor):
        super().__init__(address)
        self.n_answers = 0
        self._ask(cursor)

    def _ask(self, cursor):
        self.socket.sendall(head("GET", updates(cursor=cursor, wait=self.WAIT_S)))

    def _complete(self):
        top, found, body = self.buffer.partition(b"\r\n\r\n")
        if not found or len(body) < int(LENGTH.search(top).group(1)):
            return []
        if not top.startswith(b"HTTP/1.1 200"):
            raise AssertionError("a poll: {!r}".format(self.buffer[:500]))
        self.buffer = b""
        self.n_answers += 1
        self._ask(NEXT.search(body).group(1).decode())
        return MARK.findall(body)


class Crowd:
    """pump() is to be called whenever the test waits."""

    def __init__(self, daemon):
        _, hard = resource.getrlimit(resource.RLIMIT_NOFILE)
        resource.setrlimit(resource.RLIMIT_NOFILE, (hard, hard))
        host, _, port = daemon.addresses["api"].rpartition(":")
        self.address = (host, int(port))
        self.epoll = select.epoll()
        self.clients = {}
        self.times = collections.defaultdict(dict)  # mark -> {client: when it had it}
        self.n_twice = 0

    def close(self):
        for client in self.clients.values():
            client.socket.close()
        self.epoll.close()

    def add(self, kind, n, cursor):
        for i in range(n):
            client = kind(self.address, cursor)
            self.clients[client.socket.fileno()] = client
            self.epoll.register(client.socket.fileno(), select.EPOLLIN)
            if i % AT_ONCE == 0:
                self.pump(0)

    def pump(self, for_s):
        """What there is now; without any, what comes within that time."""
        for number, _ in self.epoll.poll(for_s):
            self._read(number, self.clients[number])

    def _read(self, number, client):
        data = client.socket.recv(65536)
        if not data:
            raise AssertionError("a client was cut off; it had {!r}".format(client.buffer[-200:]))
        for mark in client.take(data):
            had = self.times[mark.decode()]
            self.n_twice += number in had
            had[number] = time.monotonic()

    def pump_until(self, condition, deadline_s, what):
        end = time.monotonic() + deadline_s
        while not condition():
            if time.monotonic() >= end:
                raise AssertionError("not within {} s: {}".format(deadline_s, what()))
            self.pump(0.01)

    def wait_open(self, deadline_s):
        """Every stream has its head.  (A long poll says nothing yet.)"""
        streams = [client for client in self.clients.values() if isinstance(client, Stream)]
        self.pump_until(lambda: all(client.is_open for client in streams), deadline_s,
                        lambda: "{} streams open".format(len(streams)))

    def wait_mark(self, mark, deadline_s):
        """When the last of all had it."""
        self.pump_until(lambda: len(self.times[mark]) == len(self.clients), deadline_s,
                        lambda: "{} reaches all {}; {} have it".format(
                            mark, len(self.clients), len(self.times[mark])))
        return max(self.times[mark].values())
