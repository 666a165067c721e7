"""GET /v1/updates/stream: the feed as server-sent events."""

import json
import socket
import time
import unittest

from kit.api import ApiCase, Plain
from kit.case import SANITIZED, event, scaled
from kit.feed import ids_of, read, read_all, read_pages, trim
from kit.sse import Stream, stream_path

WAKE_S = 2 if SANITIZED else 0.5
SOON_S = 5 if SANITIZED else 2
FEED = "hookwheel:{s0}:led:default"
KiB = 1024


def names_of(messages):
    return [json.loads(message.data)["id"] for message in messages]


class StreamCase(ApiCase):
    def open(self, daemon=None, **query):
        stream = Stream(daemon or self.daemon, **query)
        self.addCleanup(stream.socket.close)
        return stream

    def add_numbered(self, n, first=0, **fields):
        names = ["e{}".format(i) for i in range(first, first + n)]
        self.redis.add_many([event(i, id=name, **fields) for i, name in enumerate(names, first)])
        return names

    def end_of_feed(self):
        return read_pages(self.daemon, limit=200)[-1].next_cursor

    def ask(self, token=None, headers=None, **query):
        more = {} if token is None else {"token": token}
        return self.daemon.call("GET", stream_path(**query), headers=headers, **more)


class Messages(StreamCase):
    def test_head(self):
        stream = self.open()
        self.assertEqual(stream.head.headers["content-type"].split(";")[0], "text/event-stream")
        self.assertEqual(stream.head.headers["cache-control"], "no-store")
        self.assertIsNone(stream.head.headers["content-length"])
        stream.read_until(lambda: stream.parser.retry_ms is not None, 5, "retry")
        self.assertGreater(stream.parser.retry_ms, 0)

    def test_what_is_kept_then_what_comes(self):
        names = self.add_numbered(250)
        self.wait_accepted()
        stream = self.open()
        messages = stream.take(250)
        names += self.add_numbered(50, first=250)
        messages += stream.take(50)
        self.assertEqual(names_of(messages), names)
        items = read_all(self.daemon)
        self.assertEqual([m.id for m in messages], [item.cursor for item in items])
        self.assertEqual([m.data.encode() for m in messages], [item.record for item in items])

    def test_bytes_and_names(self):
        payloads = ['{"a" :\r\n [1, 2.50, 1E+400]}', '"caf\u00e9 \\u00e9 \U0001f600 \u2028"',
                    '"data: x\\n\\nid: 7"', '{"raw":1}', " ", "null", '": "', '"\\r\\n"']
        kinds = ["message", "error", "a.b", "a" * 128, "order.created", "open", "retry", "id"]
        self.redis.add_many([event(payload=payload, type=kind, subject="data: x", level="progress")
                             for payload, kind in zip(payloads, kinds) if payload != " "])
        self.wait_accepted()
        stream = self.open()
        items = read_all(self.daemon)
        self.assertEqual(len(items), 7)
        messages = stream.take(7)
        self.assertEqual([m.data.encode() for m in messages], [item.record for item in items])
        self.assertEqual([m.type for m in messages], [kind for payload, kind
                                                      in zip(payloads, kinds) if payload != " "])

    def test_it_comes_at_once(self):
        stream, slowest = self.open(), 0
        for n in range(10):
            began = time.monotonic()
            self.redis.add(event(id="w{}".format(n)))
            message, = stream.take(1)
            slowest = max(slowest, time.monotonic() - began)
            self.assertEqual(names_of([message]), ["w{}".format(n)])
        print("written within {:.0f} ms".format(slowest * 1000))
        self.assertLess(slowest, WAKE_S)

    def test_accepted_by_another_instance(self):
        other = self.start_daemon()
        accepted = "hookwheel_events_accepted_total"
        streams = [self.open(), self.open(other)]
        n, slowest = 0, 0
        while n < 10 or not 3 <= other.metric(accepted) <= n - 3:
            self.assertLess(n, 200, "both take their share")
            began = time.monotonic()
            self.redis.add(event(id="w{}".format(n)))
            for stream in streams:
                self.assertEqual(names_of(stream.take(1)), ["w{}".format(n)])
            slowest = max(slowest, time.monotonic() - began)
            n += 1
        self.assertLess(slowest, WAKE_S)

    def test_heartbeats(self):
        """Comment lines, so that what is between knows that both ends live."""
        stream = self.open()
        stream.read_until(lambda: stream.parser.n_comments >= 2, 65,
                          lambda: "{} comments".format(stream.parser.n_comments))
        self.redis.add(event(id="after"))
        self.assertEqual(names_of(stream.take(1)), ["after"])

    def test_head_request(self):
        with Plain(self.daemon) as connection:
            connection.ask("HEAD", "/v1/updates/stream")
            answer = connection.answer(has_body=False)
            self.assertEqual((answer.status, answer.headers["content-type"].split(";")[0]),
                             (200, "text/event-stream"))
            if answer.headers.get("connection") == "close":
                self.assertTrue(connection.is_closed())
            else:
                connection.ask("GET", "/v1/webhooks")
                self.assertEqual(connection.answer().status, 200)

    def test_what_the_client_says_meanwhile(self):
        """Is not kept, and not answered."""
        stream, rss = self.open(), self.daemon.rss_mib()
        stream.socket.settimeout(10)
        for _ in range(200):
            stream.socket.sendall(b"GET /v1/webhooks HTTP/1.1\r\nhost: tests\r\n\r\n" * 1000)
        self.redis.add(event(id="after"))
        self.assertEqual(names_of(stream.take(1)), ["after"])
        if not SANITIZED:
            self.assertLess(self.daemon.rss_mib() - rss, 2)

    def test_large_ones(self):
        n_events = scaled(60)
        text = "x" * (200 * KiB)
        self.redis.add_many([event(id="e{}".format(n), payload='"{}"'.format(text))
                             for n in range(n_events)])
        stream = self.open()
        messages = stream.take(n_events, 30)
        self.assertEqual(names_of(messages), ["e{}".format(n) for n in range(n_events)])
        self.assertEqual({json.loads(m.data)["data"] for m in messages}, {text})

    def test_many_while_they_come(self):
        n_events = scaled(5000)
        stream = self.open()
        names = self.add_numbered(n_events)
        self.assertEqual(names_of(stream.take(n_events, 60)), names)


class Places(StreamCase):
    def test_resume(self):
        """Cut at every place, over and over: no gap, no repeat."""
        names = self.add_numbered(40)
        self.wait_accepted()
        seen, last_id = [], None
        for n in (1, 2, 3, 5, 8, 13):
            with Stream(self.daemon, last_event_id=last_id) as stream:
                messages = stream.take(n)
                seen += names_of(messages)
                last_id = messages[-1].id
        names += self.add_numbered(20, first=40)
        stream = self.open(last_event_id=last_id)
        self.assertEqual(seen + names_of(stream.take(28)), names)

    def test_resume_while_events_come(self):
        n_events = scaled(2000)
        seen, last_id, n_added = [], None, 0
        names = []
        while len(seen) < n_events:
            if n_added < n_events:
                names += self.add_numbered(100, first=n_added)
                n_added += 100
            with Stream(self.daemon, last_event_id=last_id) as stream:
                messages = stream.take(min(70, n_added - len(seen)))
            seen += names_of(messages)
            last_id = messages[-1].id
        self.assertEqual(seen, names[:len(seen)])

    def test_cursor_of_a_page_and_the_other_way_round(self):
        names = self.add_numbered(10)
        self.wait_accepted()
        page = read(self.daemon, limit=4)
        for place in ({"cursor": page.next_cursor}, {"last_event_id": page.next_cursor}):
            messages = self.open(**place).take(6)
            self.assertEqual(names_of(messages), names[4:])
        self.assertEqual(ids_of(read_all(self.daemon, cursor=messages[1].id)), names[6:])

    def test_last_event_id_is_the_newer_word(self):
        """A browser comes back with the URL that it began with."""
        names = self.add_numbered(10)
        self.wait_accepted()
        items = read_all(self.daemon)
        stream = self.open(cursor=items[1].cursor, last_event_id=items[6].cursor)
        self.assertEqual(names_of(stream.take(3)), names[7:])

    def test_bad_ones(self):
        self.add_numbered(3)
        self.wait_accepted()
        good = self.end_of_feed()
        for text in ("x", good[:-1], good + "A", "!", "A" * 129):
            with self.subTest(text):
                self.check_error(self.ask(cursor=text), 400, "invalid_request", "cursor")
                reply = self.ask(headers={"last-event-id": text})
                self.assertEqual(self.check_error(reply, 400, "invalid_request")
                                 ["details"]["field"].lower(), "last-event-id")
        self.check_error(self.ask(cursor=""), 400, "invalid_request", "cursor")
        with Plain(self.daemon) as connection:
            connection.ask("GET", stream_path(), headers=["last-event-id: " + good] * 2)
            answer = connection.answer()
            self.assertEqual(answer.status, 400)

    def test_expired_ones(self):
        self.daemon.terminate()
        self.daemon = self.start_daemon(feed_max=10)
        start = read(self.daemon).next_cursor
        names = self.add_numbered(100)
        self.wait_accepted()
        trim(self, FEED, 10)
        for reply in (self.ask(cursor=start), self.ask(headers={"last-event-id": start})):
            error = self.check_error(reply, 410, "cursor_expired")
            stream = self.open(last_event_id=error["details"]["oldest_cursor"])
            self.assertEqual(names_of(stream.take(10)), names[90:])

    def test_redis_emptied_meanwhile(self):
        """The stream does not go on as if nothing were; its last place is a 410 from then on."""
        self.add_numbered(10)
        stream = self.open()
        last_id = stream.take(10)[-1].id
        self.redis.call("FLUSHALL")
        self.daemon.wait_ready()
        self.redis.add(event(id="new"))
        self.wait_accepted()
        rest = [m for m in stream.take_rest(30) if m.type != "error"]
        self.assertEqual(rest, [])
        self.wait_until(lambda: self.ask(cursor=last_id).status == 410, 20, "it is expired")
        self.assertEqual(names_of(self.open().take(1)), ["new"])


class Filters(StreamCase):
    def test_types_and_subject(self):
        entries = [("e{}".format(n), "order.t{}".format(n % 3), "s{}".format(n % 2))
                   for n in range(60)]
        half = [event(id=name, type=kind, subject=its) for name, kind, its in entries]
        self.redis.add_many(half[:30])
        self.wait_accepted()
        for types, subject in ((None, "s1"), ("order.t1", None), ("order.t0,order.t2", "s0")):
            wanted = [name for name, kind, its in entries
                      if (types is None or kind in types.split(",")) and subject in (None, its)]
            with Stream(self.daemon, types=types, subject=subject) as stream:
                n_now = len([name for name in wanted if int(name[1:]) < 30])
                self.assertEqual(names_of(stream.take(n_now)), wanted[:n_now])
                stream.check_silent(0.2)
        stream = self.open(types="order.t1")
        stream.take(10)
        self.redis.add_many(half[30:])
        self.assertEqual(names_of(stream.take(10)),
                         [name for name, kind, _ in entries[30:] if kind == "order.t1"])

    def test_bad_queries(self):
        for name, value in (("types", "a,,b"), ("subject", ""), ("account", "a b"),
                            ("surprise", "1"), ("limit", "5"), ("wait", "5")):
            with self.subTest(name):
                self.check_error(self.ask(**{name: value}), 400, "invalid_request", name)

    def test_accounts(self):
        self.redis.add_many([event(id="mine"), event(id="other", account="acct_2")])
        self.wait_accepted()
        token = self.daemon.issue("acct_2", "events:read")
        for more in ({"token": token}, {"account": "acct_2"}):
            stream = self.open(**more)
            self.assertEqual(names_of(stream.take(1)), ["other"])
            stream.check_silent(0.2)
        self.check_error(self.ask(token=token, account="default"), 400, "invalid_request",
                         "account")

    def test_what_may_be_read(self):
        self.daemon.put_type("order.created", "orders:read")
        self.daemon.put_type("order.paid", "paid:read")
        token = self.daemon.issue("default", "orders:read")
        stream = self.open(token=token)
        self.redis.add_many([event(id="a"), event(id="b", type="order.paid"), event(id="c"),
                             event(id="d", type="unheard.of")])
        self.assertEqual(names_of(stream.take(2)), ["a", "c"])
        stream.check_silent(0.2)
        self.check_forbidden(self.ask(token=token, types="order.paid"), "paid:read")
        self.check_forbidden(self.ask(token=self.daemon.issue("default", "deliveries:read")),
                             "events:read")
        self.check_error(self.daemon.call("GET", stream_path(), token=None), 401, "unauthorized")

    def test_catalogue_as_it_is_now(self):
        """What may be read is asked at each event, not once."""
        self.daemon.put_type("order.created", "orders:read")
        stream = self.open(token=self.daemon.issue("default", "orders:read"))
        self.redis.add(event(id="a"))
        self.assertEqual(names_of(stream.take(1)), ["a"])
        self.daemon.put_type("order.created", "orders:secret")
        self.redis.add(event(id="hidden"))
        stream.check_silent(0.5)
        self.daemon.put_type("order.created", "orders:read")
        self.redis.add(event(id="c"))
        self.assertEqual(names_of(stream.take(1)), ["c"])


class Ends(StreamCase):
    def test_token_is_deleted(self):
        issued = self.daemon.expect(201, "POST", "/v1/tokens",
                                    {"account": "default", "scopes": ["events:read"]})
        stream = self.open(token=issued["token"])
        other = self.open()
        self.redis.add(event(id="a"))
        self.assertEqual(names_of(stream.take(1)), ["a"])
        self.daemon.expect(204, "DELETE", "/v1/tokens/" + issued["id"])
        self.redis.add(event(id="hidden"))
        rest = stream.take_rest(30)
        self.assertNotIn("hidden", "".join(m.data for m in rest))
        self.assertEqual(names_of(other.take(2)), ["a", "hidden"])

    def test_token_is_deleted_while_nothing_comes(self):
        issued = self.daemon.expect(201, "POST", "/v1/tokens",
                                    {"account": "default", "scopes": ["events:read"]})
        stream = self.open(token=issued["token"])
        self.daemon.expect(204, "DELETE", "/v1/tokens/" + issued["id"])
        stream.take_rest(40)

    def test_drain(self):
        """At once, whole to the last byte, and its id is good for the next one."""
        names = self.add_numbered(10)
        streams = [self.open() for _ in range(5)]
        for stream in streams:
            last_id = stream.take(10)[-1].id
        began = time.monotonic()
        self.daemon.terminate()
        self.assertLess(time.monotonic() - began, SOON_S)
        for stream in streams:
            self.assertEqual(stream.take_rest(5), [])
            if stream.body.is_chunked:
                self.assertTrue(stream.body.is_complete)
        self.daemon.start()
        names += self.add_numbered(10, first=10)
        self.assertEqual(names_of(self.open(last_event_id=last_id).take(10)), names[10:])

    def test_client_goes(self):
        before = self.daemon.open_files_at_rest()
        streams = [Stream(self.daemon) for _ in range(50)]
        self.assertGreaterEqual(self.daemon.open_files(), before + 50)
        for stream in streams:
            stream.socket.close()
        self.wait_until(lambda: self.daemon.open_files() <= before, 5,
                        lambda: "{} open, {} before".format(self.daemon.open_files(), before))
        self.redis.add(event(id="after"))
        self.assertEqual(names_of(self.open().take(1)), ["after"])

    def test_client_goes_in_mid_event(self):
        """While more waits for it than its socket takes."""
        before = self.daemon.open_files_at_rest()
        text = "x" * (200 * KiB)
        self.redis.add_many([event(payload='"{}"'.format(text)) for _ in range(20)])
        self.wait_accepted()
        for _ in range(10):
            stream = Stream(self.daemon, receive_buffer=4096)
            stream.socket.close()
        self.wait_until(lambda: self.daemon.open_files() <= before, 5,
                        lambda: "{} open, {} before".format(self.daemon.open_files(), before))


class Faults(StreamCase):
    def test_redis_is_killed_and_comes_back(self):
        stream = self.open()
        names = self.add_numbered(10)
        self.assertEqual(names_of(stream.take(10)), names)
        for turn in range(1, 3):
            self.redis.kill_hard()
            self.redis.start()
            self.daemon.wait_ready()
            more = self.add_numbered(10, first=10 * turn)
            self.assertEqual(names_of(stream.take(10, 30)), more)
        self.assertFalse(stream.is_over)

    def test_redis_is_away_for_a_while(self):
        stream = self.open()
        self.add_numbered(10)
        stream.take(10)
        self.redis.kill_hard()
        self.wait_until(lambda: self.ask().status == 503, 20, "Redis is missed")
        stream.check_silent(2)
        self.redis.start()
        self.daemon.wait_ready()
        self.redis.add(event(id="after"))
        self.assertEqual(names_of(stream.take(1, 30)), ["after"])

    def test_instance_is_killed(self):
        """The other one goes on from the id."""
        other = self.start_daemon()
        n_events = scaled(1000)
        names = self.add_numbered(n_events)
        stream = self.open(other)
        messages = stream.take(n_events // 2, 30)
        other.kill_hard()
        rest = stream.take_rest(10)
        seen = names_of(messages + rest)
        more = self.open(last_event_id=(messages + rest)[-1].id).take(n_events - len(seen), 30)
        self.assertEqual(sorted(seen + names_of(more)), sorted(names))
        self.assertEqual(len(set(seen + names_of(more))), n_events)


class Slow(StreamCase):
    """Readers that stop reading are cut off, bounded meanwhile; nobody else notices."""

    N_SLOW = 10
    N_EVENTS = scaled(250)
    TEXT = "x" * (200 * KiB)
    EACH_MIB = 3  # what a slow one may cost

    def publish(self, reader):
        """One by one, the reader beside it; how long one took at most."""
        slowest = 0
        for n in range(self.N_EVENTS):
            began = time.monotonic()
            self.redis.add(event(id="e{}".format(n), payload='"{}"'.format(self.TEXT)))
            self.assertEqual(names_of(reader.take(1)), ["e{}".format(n)])
            slowest = max(slowest, time.monotonic() - began)
        return slowest

    def test_ten_of_them(self):
        reader = self.open()
        before = self.daemon.open_files_at_rest()
        rss = self.daemon.rss_mib()
        slow = [self.open(receive_buffer=4096) for _ in range(self.N_SLOW)]
        slowest = self.publish(reader)
        grown = self.daemon.rss_mib() - rss
        print("others within {:.0f} ms; grown by {:.1f} MiB of {:.0f}".format(
            slowest * 1000, grown, self.N_SLOW * self.N_EVENTS * 0.2))
        self.assertLess(slowest, WAKE_S)
        if not SANITIZED:
            self.assertLess(grown, self.EACH_MIB * self.N_SLOW + 16)
        self.wait_until(lambda: self.daemon.open_files() <= before, 90,
                        lambda: "{} open, {} before".format(self.daemon.open_files(), before))
        self.redis.add(event(id="last"))
        self.assertEqual(names_of(reader.take(1)), ["last"])
        for stream in slow[:3]:
            self.check_resumes(stream)

    def check_resumes(self, stream):
        """What it has, to its end; then on from its last id."""
        had = stream.take_rest(20)
        self.assertLess(len(had), self.N_EVENTS)
        last_id = had[-1].id if had else None
        with Stream(self.daemon, last_event_id=last_id) as again:
            rest = again.take(self.N_EVENTS + 1 - len(had), 60)
        self.assertEqual(names_of(had + rest),
                         ["e{}".format(n) for n in range(self.N_EVENTS)] + ["last"])

    def test_one_that_reads_a_little(self):
        """Slower than events come, but reading: it gets all of them, in order."""
        n_events = scaled(40)
        self.redis.add_many([event(id="e{}".format(n), payload='"{}"'.format(self.TEXT))
                             for n in range(n_events)])
        stream = self.open(receive_buffer=4096)
        names = []
        for _ in range(n_events):
            names += names_of(stream.take(1, 30))
        self.assertEqual(names, ["e{}".format(n) for n in range(n_events)])


if __name__ == "__main__":
    unittest.main()
