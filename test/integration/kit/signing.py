"""Standard Webhooks signatures, from the specification: https://www.standardwebhooks.com"""

import base64
import hashlib
import hmac
import os
import time

TOLERANCE_S = 300


def make_secret():
    return "whsec_" + base64.b64encode(os.urandom(32)).decode()


def key_of(secret):
    if not secret.startswith("whsec_"):
        raise ValueError("a secret begins with whsec_")
    return base64.b64decode(secret[len("whsec_"):], validate=True)


def signature(key, event_id, timestamp, body):
    signed = "{}.{}.".format(event_id, timestamp).encode() + body
    return "v1," + base64.b64encode(hmac.digest(key, signed, "sha256")).decode()


def is_genuine(key, headers, body):
    timestamp = headers.get("webhook-timestamp", "")
    if not timestamp.isdigit() or abs(time.time() - int(timestamp)) > TOLERANCE_S:
        return False
    good = signature(key, headers.get("webhook-id", ""), timestamp, body)
    return any(hmac.compare_digest(good, one)
               for one in headers.get("webhook-signature", "").split(" "))


def body_hex(key, body):
    return hmac.new(key, body, hashlib.sha256).hexdigest()
