"""Server-sent events, read as the HTML standard says (9.2.6), over a socket of one's own."""

import collections
import email.parser
import socket
import time

from kit import openapi
from kit.api import asked, head
from kit.daemon import TOKEN

Message = collections.namedtuple("Message", "id type data")


class Parser:
    """Bytes of a stream in; out come its messages.  Lines end with LF, CR or CR LF."""

    def __init__(self):
        self.last_id = ""
        self.retry_ms = None
        self.n_comments = 0
        self._rest = b""
        self._type = ""
        self._data = []

    def take(self, data):
        """The messages that are complete now."""
        lines = (self._rest + data).replace(b"\r\n", b"\n").split(b"\n")
        self._rest = lines.pop()
        if any(b"\r" in line for line in lines):
            raise AssertionError("a lone CR: {!r}".format(lines))
        found = [self._line(line.decode()) for line in lines]
        return [message for message in found if message is not None]

    def _line(self, line):
        if not line:
            return self._dispatch()
        name, _, value = line.partition(":")
        value = value[1:] if value.startswith(" ") else value
        if not name:
            self.n_comments += 1
        elif name == "data":
            self._data.append(value)
        elif name == "event":
            self._type = value
        elif name == "id":
            self.last_id = value
        elif name == "retry":
            self.retry_ms = int(value)
        else:
            raise AssertionError("no such field: " + line[:200])
        return None

    def _dispatch(self):
        message = Message(self.last_id, self._type or "message", "\n".join(self._data))
        is_one = bool(self._data)
        self._type, self._data = "", []
        return message if is_one else None


class Body:
    """What comes behind a head: in chunks, or up to the end of the connection."""

    def __init__(self, is_chunked):
        self.is_chunked = is_chunked
        self.is_complete = False  # the last chunk was there
        self._rest = b""

    def take(self, data):
        if not self.is_chunked:
            return data
        self._rest += data
        out = b""
        while not self.is_complete:
            line, found, behind = self._rest.partition(b"\r\n")
            if not found:
                break
            n_bytes = int(line.split(b";")[0], 16)
            if len(behind) < n_bytes + 2:
                break
            if behind[n_bytes:n_bytes + 2] != b"\r\n":
                raise AssertionError("not the end of a chunk: {!r}".format(behind[:n_bytes + 2]))
            out += behind[:n_bytes]
            self._rest = behind[n_bytes + 2:]
            self.is_complete = n_bytes == 0
        return out


class Headed:
    """The head of an answer, in the form that kit.openapi looks at."""

    def __init__(self, text):
        line, _, rest = text.partition("\r\n")
        self.status = int(line.split(" ")[1])
        self.headers = email.parser.Parser().parsestr(rest, headersonly=True)
        self.body = b""

    def is_chunked(self):
        return (self.headers["transfer-encoding"] or "").lower() == "chunked"


def stream_path(**query):
    return asked("/v1/updates/stream", query)


class Stream:
    """One that is open, 200; its messages are read one after another."""

    def __init__(self, daemon, token=TOKEN, last_event_id=None, receive_buffer=None, **query):
        host, _, port = daemon.addresses["api"].rpartition(":")
        self.parser = Parser()
        self.is_over = False
        self._messages = collections.deque()
        self.socket = socket.socket()
        if receive_buffer:
            self.socket.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, receive_buffer)
        self.socket.connect((host, int(port)))
        sent = ["accept: text/event-stream"]
        if last_event_id is not None:
            sent.append("last-event-id: " + last_event_id)
        path = stream_path(**query)
        self.socket.sendall(head("GET", path, sent, token))
        self._read_head(openapi.Asked("GET", path, {}, None))

    def __enter__(self):
        return self

    def __exit__(self, *_):
        self.socket.close()

    def _read_head(self, question):
        text, end = b"", time.monotonic() + 10
        while b"\r\n\r\n" not in text:
            data = self._receive(end)
            if not data:
                raise AssertionError("no head: {!r}".format(text))
            text += data
        text, rest = text.split(b"\r\n\r\n", 1)
        self.head = Headed(text.decode("latin-1"))
        if self.head.status != 200:
            raise AssertionError("{} {!r} {!r}".format(question, text, rest))
        openapi.document().check(question, self.head)
        self.body = Body(self.head.is_chunked())
        self._parse(rest)

    def _receive(self, end):
        """b"": over; None: nothing in time."""
        self.socket.settimeout(max(end - time.monotonic(), 0.001))
        try:
            return self.socket.recv(65536)
        except socket.timeout:
            return None
        except ConnectionResetError:
            return b""

    def _parse(self, data):
        self._messages += self.parser.take(self.body.take(data))
        self.is_over = self.is_over or self.body.is_complete

    def _read(self, end):
        """false: nothing in time, or it is over."""
        data = self._receive(end)
        if data == b"":
            self.is_over = True
        elif data is not None:
            self._parse(data)
        return bool(data)

    @property
    def last_id(self):
        return self.parser.last_id

    def take(self, n, deadline_s=10):
        """The next n."""
        self.read_until(lambda: len(self._messages) >= n, deadline_s,
                        lambda: "{} messages; {} came".format(n, len(self._messages)))
        return [self._messages.popleft() for _ in range(n)]

    def read_until(self, condition, deadline_s, what):
        end = time.monotonic() + deadline_s
        while not condition():
            if self.is_over or (not self._read(end) and time.monotonic() >= end):
                raise AssertionError("{}: not within {} s: {}".format(
                    "it is over" if self.is_over else "it goes on", deadline_s,
                    what() if callable(what) else what))

    def take_rest(self, deadline_s):
        """Up to its end, which has to come."""
        self.read_until(lambda: self.is_over, deadline_s, "the end")
        rest = list(self._messages)
        self._messages.clear()
        return rest

    def check_silent(self, for_s):
        """No message comes meanwhile, nor its end."""
        end = time.monotonic() + for_s
        while time.monotonic() < end and not self.is_over:
            self._read(end)
        if self._messages or self.is_over:
            raise AssertionError("{} came; over: {}".format(list(self._messages), self.is_over))
