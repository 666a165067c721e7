"""Conditions with a deadline; no test sleeps for luck."""

import time

STEP_S = 0.02


class Late(AssertionError):
    """A deadline has passed."""


def wait_until(condition, deadline_s, what, step_s=STEP_S):
    """The first true value of condition(); Late, saying what was awaited, when there is none.

    `what` is a sentence, or a function that makes one at the end.
    """
    end = time.monotonic() + deadline_s
    while True:
        value = condition()
        if value:
            return value
        if time.monotonic() >= end:
            text = what() if callable(what) else what
            raise Late("not within {:g} s: {}".format(deadline_s, text))
        time.sleep(step_s)
