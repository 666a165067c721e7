"""A name server that takes orders, over UDP.

    server.answer("a.example.test", ["127.0.0.1"], ttl_s=60)
    server.refuse("b.example.test", names.NXDOMAIN)
    server.ignore("c.example.test")

questions holds (name, kind) of everything that was asked, in order.  Names without an order get
NXDOMAIN.
"""

import ipaddress
import socket
import struct
import threading
import time

A, AAAA = 1, 28
SERVFAIL, NXDOMAIN, REFUSED = 2, 3, 5


class NameServer:
    def __init__(self):
        self.orders = {}
        self.questions = []
        self.socket = socket.socket(socket.AF_INET, socket.SOCK_DGRAM)
        self.socket.bind(("127.0.0.1", 0))
        self.port = self.socket.getsockname()[1]
        self.address = "127.0.0.1:{}".format(self.port)
        self.is_closed = False
        self.thread = threading.Thread(target=self._run, daemon=True)
        self.thread.start()

    def close(self):
        self.is_closed = True
        with socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as waker:
            waker.sendto(b"", ("127.0.0.1", self.port))
        self.thread.join(5)
        self.socket.close()

    def answer(self, name, addresses, ttl_s=60, delay_s=0):
        self.orders[name] = {"addresses": addresses, "ttl_s": ttl_s, "delay_s": delay_s, "code": 0}

    def refuse(self, name, code):
        self.orders[name] = {"addresses": [], "ttl_s": 0, "delay_s": 0, "code": code}

    def ignore(self, name):
        self.orders[name] = None

    def asked(self, name, kind=A):
        return sum(1 for question in self.questions if question == (name, kind))

    def _run(self):
        while True:
            packet, sender = self.socket.recvfrom(4096)
            if self.is_closed:
                return
            if len(packet) < 17:
                continue
            name, kind, end = read_question(packet)
            self.questions.append((name, kind))
            order = self.orders.get(name, {"addresses": [], "ttl_s": 0, "delay_s": 0,
                                           "code": NXDOMAIN})
            if order is None:
                continue
            reply = make_reply(packet, end, kind, order)
            if order["delay_s"]:
                threading.Thread(target=self._late, args=(reply, sender, order["delay_s"]),
                                 daemon=True).start()
            else:
                self.socket.sendto(reply, sender)

    def _late(self, reply, sender, delay_s):
        time.sleep(delay_s)  # the order, not a hope
        try:
            self.socket.sendto(reply, sender)
        except OSError:
            pass  # the test is over


def read_question(packet):
    """(name, kind, where the question ends); RFC 1035 4.1.2"""
    at, labels = 12, []
    while packet[at]:
        labels.append(packet[at + 1:at + 1 + packet[at]].decode("ascii").lower())
        at += 1 + packet[at]
    return ".".join(labels), struct.unpack_from("!H", packet, at + 1)[0], at + 5


def make_reply(query, end, kind, order):
    wanted = {A: 4, AAAA: 6}.get(kind)
    addresses = [ipaddress.ip_address(text) for text in order["addresses"]]
    packed = [address.packed for address in addresses if address.version == wanted]
    head = query[:2] + struct.pack("!HHHHH", 0x8180 | order["code"], 1, len(packed), 0, 0)
    records = b"".join(b"\xc0\x0c" + struct.pack("!HHIH", kind, 1, order["ttl_s"], len(data)) + data
                       for data in packed)
    return head + query[12:end] + records
