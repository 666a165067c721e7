"""Asks GET /v1/webhooks 100 times a second over one connection until SIGTERM, then prints how long
the answers took, each from the moment it was planned for.

    ask.py PORT TOKEN
"""

import http.client
import json
import signal
import sys
import time

EVERY_S = 0.01


def ask_until_told(port, token):
    took = []
    connection = http.client.HTTPConnection("127.0.0.1", port, timeout=30)
    signal.signal(signal.SIGTERM, lambda *_: done(took))
    planned = time.monotonic()
    while True:
        time.sleep(max(0, planned - time.monotonic()))
        connection.request("GET", "/v1/webhooks", headers={"authorization": "Bearer " + token})
        response = connection.getresponse()
        response.read()
        if response.status != 200:
            sys.exit("status {}".format(response.status))
        took.append((time.monotonic() - planned) * 1000)
        planned += EVERY_S


def done(took):
    took = sorted(took)
    print(json.dumps({"n": len(took), "p50": round(took[len(took) // 2], 2),
                      "p99": round(took[len(took) * 99 // 100], 2), "max": round(took[-1], 2)}))
    sys.stdout.flush()
    sys.exit(0)


ask_until_told(int(sys.argv[1]), sys.argv[2])
