"""The Prometheus text format, as far as the tests need it."""

import re

SAMPLE = re.compile(r'^([a-zA-Z_:][a-zA-Z0-9_:]*)(?:\{(.*)\})? (\S+)$')
LABEL = re.compile(r'([a-zA-Z_][a-zA-Z0-9_]*)="((?:[^"\\]|\\.)*)"')


class Metrics:
    def __init__(self, text):
        self.text = text
        self.samples = {}
        for line in text.splitlines():
            if not line or line.startswith("#"):
                continue
            match = SAMPLE.match(line)
            if match is None:
                raise ValueError("not a sample: " + line)
            name, labels, value = match.groups()
            self.samples[name, frozenset(LABEL.findall(labels or ""))] = float(value)

    def value(self, name, **labels):
        return self.samples[name, frozenset(labels.items())]

    def has(self, name):
        return any(key[0] == name for key in self.samples)

    def total(self, name):
        """Over all labels."""
        found = [value for key, value in self.samples.items() if key[0] == name]
        if not found:
            raise KeyError(name)
        return sum(found)
