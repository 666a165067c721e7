"""What the tests stand on: a real redis-server, the real daemon, receivers that misbehave.

    case.py          the test case: makes and ends everything, prints the daemons' logs on failure
    api.py           the test case of the API, pages, and a connection for bytes of one's own
    waiting.py       conditions with a deadline
    redis.py         redis-server and a small RESP client
    daemon.py        `hookwheel serve` and its API
    feed.py          pages of the feed with each record's own bytes, and one who reads on
    sse.py           server-sent events
    crowd.py         thousands who read one feed at once
    readme.py        README.md: its code, as it stands there
    openapi.py       proto/openapi.yaml; every answer of the API is held against it
    metrics.py       the Prometheus text format, read
    receiver.py      HTTPS receiver for volume, with rules by path; its process is receiving.py
    scripted.py      HTTPS receiver for bad manners: one Python function a connection
    names.py         a name server that takes orders
    certificates.py  a certificate authority and what it has signed, good and bad
    signing.py       Standard Webhooks signatures, written from the specification

Nothing here shares code with the engine: a misunderstanding would have to be made twice.
"""
