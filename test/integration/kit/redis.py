"""A redis-server of a test's own, and a client of sixty lines."""

import os
import signal
import socket
import subprocess

from kit.waiting import wait_until

CHUNK = 500  # commands a write of a pipeline


class RedisError(Exception):
    """An error reply."""


class Redis:
    """One connection; call() for one command, pipeline() for many."""

    def __init__(self, path, timeout_s=30):
        self.socket = socket.socket(socket.AF_UNIX, socket.SOCK_STREAM)
        self.socket.settimeout(timeout_s)
        try:
            self.socket.connect(path)
        except OSError:
            self.socket.close()
            raise
        self.reader = self.socket.makefile("rb")

    def close(self):
        self.reader.close()
        self.socket.close()

    def call(self, *words):
        self.socket.sendall(encode(words))
        reply = self._read()
        if isinstance(reply, RedisError):
            raise reply
        return reply

    def pipeline(self, commands):
        """Replies in order; an error reply is a RedisError among them."""
        replies = []
        for at in range(0, len(commands), CHUNK):
            chunk = commands[at:at + CHUNK]
            self.socket.sendall(b"".join(encode(words) for words in chunk))
            replies += [self._read() for _ in chunk]
        return replies

    def _read(self):
        line = self.reader.readline()
        if not line.endswith(b"\r\n"):
            raise ConnectionError("redis closed the connection")
        kind, rest = line[:1], line[1:-2]
        if kind == b"+":
            return rest.decode()
        if kind == b"-":
            return RedisError(rest.decode())
        if kind == b":":
            return int(rest)
        if kind == b"$":
            return self._read_bulk(int(rest))
        if kind == b"*":
            return None if rest == b"-1" else [self._read() for _ in range(int(rest))]
        raise ConnectionError("not RESP: %r" % line)

    def _read_bulk(self, n_bytes):
        if n_bytes < 0:
            return None
        data = self.reader.read(n_bytes + 2)
        if len(data) < n_bytes + 2:
            raise ConnectionError("redis closed the connection")
        return data[:-2]


def encode(words):
    parts = [b"*%d\r\n" % len(words)]
    for word in words:
        if not isinstance(word, bytes):
            word = str(word).encode()
        parts.append(b"$%d\r\n%s\r\n" % (len(word), word))
    return b"".join(parts)


class RedisServer:
    """redis-server with an append-only file, on a unix socket (and a TCP port if asked for)."""

    def __init__(self, folder, fsync="always", port=0, settings=()):
        self.folder = folder
        self.socket = os.path.join(folder, "redis.sock")
        self.url = "unix://" + self.socket
        self.log_path = os.path.join(folder, "redis.log")
        self.process = None
        self._client = None
        self._words = ["redis-server", "--port", str(port), "--bind", "127.0.0.1",
                       "--unixsocket", self.socket, "--dir", folder, "--save", "",
                       "--appendonly", "yes", "--appendfsync", fsync,
                       "--logfile", self.log_path, "--daemonize", "no", *settings]

    def start(self):
        self.process = subprocess.Popen(self._words, stdin=subprocess.DEVNULL,
                                        stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL)
        wait_until(self._answers, 30, "redis-server answers")

    def _answers(self):
        if self.process.poll() is not None:
            raise AssertionError("redis-server ended: " + self.log())
        try:
            client = Redis(self.socket)
        except OSError:
            return False
        try:
            return client.call("PING") == "PONG"
        except (OSError, RedisError):
            return False
        finally:
            client.close()

    def stop(self):
        self._end(signal.SIGTERM)

    def kill_hard(self):
        self._end(signal.SIGKILL)

    def hang(self):
        self.process.send_signal(signal.SIGSTOP)

    def go_on(self):
        self.process.send_signal(signal.SIGCONT)

    def _end(self, number):
        if self._client is not None:
            self._client.close()
            self._client = None
        if self.process is not None and self.process.poll() is None:
            self.process.send_signal(number)
            self.go_on()
            self.process.wait(30)

    def log(self):
        try:
            with open(self.log_path, encoding="utf-8", errors="replace") as file:
                return file.read()
        except OSError:
            return ""

    # What the tests ask of it.

    def connect(self):
        """A connection of one's own: the shared one below is not for threads."""
        return Redis(self.socket)

    def client(self):
        if self._client is None:
            self._client = self.connect()
        return self._client

    def call(self, *words):
        return self.client().call(*words)

    def add(self, fields, stream="hookwheel:events"):
        """One XADD; its entry id."""
        words = [word for pair in fields.items() for word in pair]
        return self.call("XADD", stream, "*", *words).decode()

    def add_many(self, many, stream="hookwheel:events"):
        commands = [["XADD", stream, "*"] + [word for pair in fields.items() for word in pair]
                    for fields in many]
        replies = self.client().pipeline(commands)
        for reply in replies:
            if isinstance(reply, RedisError):
                raise reply
        return [reply.decode() for reply in replies]

    def stream(self, key):
        """[(entry id, {field: value})] as text."""
        return [(entry.decode(), pairs(fields)) for entry, fields in self.call("XRANGE", key, "-", "+")]

    def everything(self):
        """{key: all that is stored there, as bytes}"""
        return {key: b" ".join(flat(self.call(*read_whole(self.call("TYPE", key), key))))
                for key in self.call("KEYS", "*")}

    def length(self, key="hookwheel:events"):
        return self.call("XLEN", key)

    def pending(self, key="hookwheel:events", group="hookwheel"):
        return self.call("XPENDING", key, group)[0]


def read_whole(kind, key):
    """The command that reads all of a key."""
    return {"string": ["GET", key], "hash": ["HGETALL", key], "list": ["LRANGE", key, 0, -1],
            "set": ["SMEMBERS", key], "zset": ["ZRANGE", key, 0, -1, "WITHSCORES"],
            "stream": ["XRANGE", key, "-", "+"]}[kind]


def flat(reply):
    """The strings of a reply, however deep they are."""
    if isinstance(reply, list):
        return [text for part in reply for text in flat(part)]
    return [reply if isinstance(reply, bytes) else str(reply).encode()]


def pairs(words):
    texts = [item.decode(errors="replace") for item in words]
    return dict(zip(texts[::2], texts[1::2]))
