"""One worker of a named consumer, a process of its own that may be killed at any moment:

    python3 -m kit.worker JSON

It pulls, works for a moment, acknowledges in pieces, and goes on until it is killed.  What it
does is a line of JSON each on its stdout, written before the next thing is begun.
"""

import http.client
import json
import random
import sys
import time


def tell(**what):
    sys.stdout.write(json.dumps(what) + "\n")
    sys.stdout.flush()


class Worker:
    def __init__(self, orders):
        self.orders = orders
        self.random = random.Random(orders["seed"])
        host, _, port = orders["address"].rpartition(":")
        self.connection = http.client.HTTPConnection(host, int(port), timeout=20)

    def ask(self, method, what, body=None):
        self.connection.request(method, "/v1/consumers/{}/{}".format(self.orders["name"], what),
                                json.dumps(body) if body is not None else None,
                                {"authorization": "Bearer " + self.orders["token"],
                                 "content-type": "application/json"})
        response = self.connection.getresponse()
        text = response.read()
        if response.status != 200:
            raise AssertionError("{} {}: {} {}".format(method, what, response.status, text))
        return json.loads(text)

    def pull(self):
        asked_at = time.monotonic()
        page = self.ask("GET", "events?limit={}&visibility_seconds={}".format(
            self.random.randint(1, self.orders["limit"]), self.orders["visibility_s"]))
        ids = [one["id"] for one in page["data"]]
        tell(pulled=ids, asked_at=asked_at, answered_at=time.monotonic())
        return ids

    def acknowledge(self, ids):
        tell(acknowledging=ids)
        tell(acknowledged=self.ask("POST", "ack", {"event_ids": ids})["acknowledged"])

    def turn(self):
        ids = self.pull()
        time.sleep(self.random.uniform(0, self.orders["work_s"]))
        self.random.shuffle(ids)
        while ids:
            n = self.random.randint(1, len(ids))
            self.acknowledge(ids[:n])
            ids = ids[n:]


if __name__ == "__main__":
    worker = Worker(json.loads(sys.argv[1]))
    while True:
        worker.turn()
