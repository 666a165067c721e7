"""An HTTPS receiver for bad manners: a Python function decides what happens on a connection.

    def garbage(connection):
        connection.read_request()
        connection.send(b"HTP/1.1 2OO\r\n\r\n")

    receiver = Scripted(garbage)

The function runs in a thread of its own for each connection, which closes when it returns.
`certificate` names one of certificates.py; None is plain TCP.
"""

import socket
import ssl
import struct
import threading
import time

from kit import certificates

OK = b"HTTP/1.1 200 OK\r\ncontent-length: 2\r\n\r\nok"


class Gone(Exception):
    """The other side has closed."""


class Request:
    def __init__(self, head, body):
        lines = head.decode("latin-1").split("\r\n")
        self.line = lines[0]
        self.path = lines[0].split(" ")[1]
        self.headers = {}
        for line in lines[1:]:
            name, _, value = line.partition(":")
            self.headers[name.lower()] = value.strip()
        self.body = body
        self.at = time.monotonic()

    @property
    def attempt(self):
        return int(self.headers["x-hookwheel-attempt"])


class Connection:
    def __init__(self, server, raw, number):
        self.server = server
        self.raw = raw
        self.socket = raw
        self.number = number  # 1 is the first that this server took
        self.buffer = b""

    def handshake(self, context):
        self.socket = context.wrap_socket(self.raw, server_side=True)

    def read_request(self):
        """The next request; Gone when there is none."""
        while b"\r\n\r\n" not in self.buffer:
            self._more()
        head, self.buffer = self.buffer.split(b"\r\n\r\n", 1)
        request = Request(head, b"")
        n_bytes = int(request.headers.get("content-length", "0"))
        while len(self.buffer) < n_bytes:
            self._more()
        request.body, self.buffer = self.buffer[:n_bytes], self.buffer[n_bytes:]
        with self.server.lock:
            self.server.requests.append(request)
        return request

    def _more(self):
        data = self.socket.recv(65536)
        if not data:
            raise Gone()
        self.buffer += data

    def send(self, data):
        self.socket.sendall(data)

    def drip(self, data, pause_s=0.0):
        """Byte by byte, each in a record (and segment) of its own."""
        for at in range(len(data)):
            self.send(data[at:at + 1])
            if pause_s and self.server.closed.wait(pause_s):
                return

    def reset(self):
        """RST instead of FIN."""
        self.socket.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, struct.pack("ii", 1, 0))
        self.close()

    def farewell(self):
        """TLS's close_notify, answered or not, then FIN."""
        self.socket.settimeout(2)
        try:
            self.socket.unwrap()
        except OSError:
            pass
        self.close()

    def close(self):
        """FIN; TLS's close_notify is left out, as many servers do."""
        self.socket.close()

    def wait(self, seconds):
        """Doing nothing; ends early with the test."""
        self.server.closed.wait(seconds)

    def wait_for_close(self):
        """Until the other side has gone."""
        try:
            while self.socket.recv(65536):
                pass
        except OSError:
            pass


class Scripted:
    def __init__(self, script, certificate="good", host="localhost", receive_buffer=None,
                 backlog=128):
        self.script = script
        self.context = certificate and certificates.authority().context(certificate)
        self.host = host
        self.requests = []
        self.n_connections = 0
        self.errors = []  # of handshakes that the other side broke off
        self.lock = threading.Lock()
        self.closed = threading.Event()
        self.open = set()
        self.listener = socket.socket(socket.AF_INET, socket.SOCK_STREAM)
        self.listener.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        if receive_buffer:
            self.listener.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, receive_buffer)
        self.listener.bind(("127.0.0.1", 0))
        self.port = self.listener.getsockname()[1]
        self.listener.listen(backlog)
        self.acceptor = None
        if script is not None:  # without one nothing is ever taken from the backlog
            self.acceptor = threading.Thread(target=self._accept, daemon=True)
            self.acceptor.start()

    def url(self, path="/hook"):
        return "https://{}:{}{}".format(self.host, self.port, path)

    def close(self):
        self.closed.set()
        self._end_accepting()
        self.listener.close()
        with self.lock:
            left = list(self.open)
        for connection in left:
            try:
                connection.socket.shutdown(socket.SHUT_RDWR)
            except OSError:
                pass

    def _end_accepting(self):
        """Closing wakes nobody: the thread would go on with whatever gets the same number next."""
        try:
            self.listener.shutdown(socket.SHUT_RDWR)
        except OSError:
            pass
        if self.acceptor is not None:
            self.acceptor.join(5)

    def _accept(self):
        while True:
            try:
                raw, _ = self.listener.accept()
            except OSError:
                return
            raw.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
            raw.settimeout(60)
            with self.lock:
                self.n_connections += 1
                connection = Connection(self, raw, self.n_connections)
                self.open.add(connection)
            threading.Thread(target=self._serve, args=(connection,), daemon=True).start()

    def _serve(self, connection):
        try:
            if self.context is not None:
                connection.handshake(self.context)
            self.script(connection)
        except (Gone, ConnectionError, ssl.SSLError, socket.timeout, OSError) as error:
            self.errors.append(error)
        finally:
            with self.lock:
                self.open.discard(connection)
            connection.close()


def always(answer):
    """A script: the same bytes for every request, on connections that stay open."""
    def script(connection):
        while True:
            connection.read_request()
            connection.send(answer)
    return script


def once(answer):
    """A script: one answer, then the connection closes."""
    def script(connection):
        connection.read_request()
        connection.send(answer)
    return script


def held(release, is_over=None):
    """A script for plain TCP: handshakes hang until the event `release` is set; those of
    connections that are made after the event `is_over` do not.  After it all is well."""
    context = certificates.authority().context("good")

    def script(connection):
        if is_over is None or not is_over.is_set():
            while not release.wait(0.1) and not connection.server.closed.is_set():
                pass
        connection.handshake(context)
        always(OK)(connection)
    return script
