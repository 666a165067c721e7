"""The feed as its readers see it: pages whose records keep their bytes, and one who reads on."""

import collections
import http.client
import json
import threading
import time

from kit.api import asked
from kit.daemon import TOKEN

YOUNG_S = 5  # nothing younger is trimmed
PAUSE_S = 0.02  # before an instance that has gone is asked again


class Item(collections.namedtuple("Item", "cursor record")):
    """`record`: its bytes, without the cursor that a page has put at their end."""

    @property
    def object(self):
        return json.loads(self.record)

    @property
    def id(self):
        return self.object["id"]


class Page:
    def __init__(self, body):
        whole = json.loads(body)
        self.items = list(items_of(body.decode()))
        self.next_cursor = whole["next_cursor"]
        self.has_more = whole["has_more"]
        if [one["cursor"] for one in whole["data"]] != [item.cursor for item in self.items]:
            raise AssertionError("not the page's records: {!r}".format(body[:500]))

    @property
    def ids(self):
        return [item.id for item in self.items]


def items_of(text):
    """Cut out of the text, so that every byte of a record is what was sent."""
    front = '{"data":['
    if not text.startswith(front):
        raise AssertionError("not a page: " + text[:200])
    decoder = json.JSONDecoder()
    at = len(front)
    while text[at] != "]":
        value, end = decoder.raw_decode(text, at)
        yield item_of(value["cursor"], text[at:end])
        at = end + 1 if text[end] == "," else end


def item_of(cursor, text):
    tail = ',"cursor":"{}"}}'.format(cursor)
    if not text.endswith(tail):
        raise AssertionError("cursor is not the last member: ..." + text[-200:])
    return Item(cursor, (text[:-len(tail)] + "}").encode())


def updates(**query):
    return asked("/v1/updates", query)


def read(daemon, token=TOKEN, timeout_s=40, **query):
    """A page."""
    reply = daemon.call("GET", updates(**query), token=token, timeout_s=timeout_s)
    if reply.status != 200:
        raise AssertionError("{}: {} {}".format(updates(**query), reply.status, reply.body))
    return Page(reply.body)


def read_pages(daemon, cursor=None, token=TOKEN, **query):
    """Every page from there on."""
    pages = []
    while True:
        pages.append(read(daemon, token, cursor=cursor, **query))
        cursor = pages[-1].next_cursor
        if not pages[-1].has_more:
            return pages


def read_all(daemon, cursor=None, token=TOKEN, **query):
    """Every item from there on."""
    query.setdefault("limit", 200)
    return [item for page in read_pages(daemon, cursor, token, **query) for item in page.items]


def ids_of(items):
    return [item.id for item in items]


def trim(case, key, n_kept):
    """Until so many are left, once the newest is not young any more.  A feed that is not added to
    is looked at when its instance starts, and then once a minute: so it starts again."""
    def is_old():
        newest, = case.redis.call("XREVRANGE", key, "+", "-", "COUNT", 1)
        return time.time() * 1000 > int(newest[0].split(b"-")[0]) + YOUNG_S * 1000
    case.wait_until(is_old, 2 * YOUNG_S, "nothing is young")
    case.daemon.terminate()
    case.daemon.start()
    case.wait_until(lambda: case.redis.length(key) == n_kept, 20,
                    lambda: "{} are kept".format(case.redis.length(key)))


class Poller:
    """Reads on all the time, with its cursor, at each of the instances in turn; one that is away
    or says 503 is passed over.  Until the end of its `with`."""

    def __init__(self, daemons, **query):
        self.daemons = daemons
        self.query = dict({"wait": 1, "limit": 200}, **query)
        self.items = []
        self.n_passed_over = 0
        self.error = None
        self._is_over = threading.Event()
        self._thread = threading.Thread(target=self._run)

    def __enter__(self):
        self._thread.start()
        return self

    def __exit__(self, *_):
        self._is_over.set()
        self._thread.join()

    def ids(self):
        if self.error is not None:
            raise AssertionError("the poller: {}".format(self.error))
        return ids_of(list(self.items))

    def _run(self):
        turn = 0
        while not self._is_over.is_set() and self.error is None:
            turn += 1
            self._ask(self.daemons[turn % len(self.daemons)])

    def _ask(self, daemon):
        try:
            reply = daemon.call("GET", updates(**self.query), timeout_s=20)
        except (OSError, KeyError, http.client.HTTPException):  # ended; its address is not known
            self._pass_over()
            return
        except AssertionError as error:
            self.error = error
            return
        if reply.status == 503:
            self._pass_over()
        elif reply.status == 200:
            page = Page(reply.body)
            self.items += page.items
            self.query["cursor"] = page.next_cursor
        else:
            self.error = "{} {}".format(reply.status, reply.body)

    def _pass_over(self):
        self.n_passed_over += 1
        self._is_over.wait(PAUSE_S)


class Asker:
    """One question of a thread's own, and when its answer was there."""

    def __init__(self, daemon, token=TOKEN, **query):
        self.reply = None
        self.error = None
        self.began_at = time.monotonic()
        self.ended_at = None
        self._thread = threading.Thread(target=self._run, args=(daemon, token, query))
        self._thread.start()

    def _run(self, daemon, token, query):
        try:
            self.reply = daemon.call("GET", updates(**query), token=token, timeout_s=40)
        except Exception as error:  # it is told to whoever waits
            self.error = error
        self.ended_at = time.monotonic()

    def answer(self, deadline_s):
        self._thread.join(deadline_s)
        if self._thread.is_alive():
            raise AssertionError("no answer within {} s".format(deadline_s))
        if self.error is not None:
            raise AssertionError("no answer: {!r}".format(self.error))
        return self.reply

    def page(self, deadline_s):
        reply = self.answer(deadline_s)
        if reply.status != 200:
            raise AssertionError("{} {}".format(reply.status, reply.body))
        return Page(reply.body)
