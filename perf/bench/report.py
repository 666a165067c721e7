"""What was measured: the table, its bars, and a line of JSON each."""

import collections
import json

Bar = collections.namedtuple("Bar", "figure sign bound aim")


def at_least(figure, bound, aim=None):
    return Bar(figure, ">=", bound, aim)


def at_most(figure, bound, aim=None):
    return Bar(figure, "<=", bound, aim)


def is_met(value, sign, bound):
    return value >= bound if sign == ">=" else value <= bound


def verdict(bar, value):
    """">= 0.33 ok, aim 0.5 missed" """
    words = []
    for name, bound in (("", bar.bound), ("aim ", bar.aim)):
        if bound is not None:
            sign = "" if name else bar.sign + " "
            word = "ok" if is_met(value, bar.sign, bound) else "missed"
            words.append("{}{}{} {}".format(name, sign, bound, word))
    return ", ".join(words)


def shown(value):
    if isinstance(value, dict):
        return ", ".join("{} {}".format(name, shown(part)) for name, part in value.items())
    if isinstance(value, float):
        return "{:,.0f}".format(value) if abs(value) >= 1000 else "{:.4g}".format(value)
    return "{:,}".format(value) if isinstance(value, int) else str(value)


def rounded(value):
    """For JSON: no more digits than a measurement has."""
    if isinstance(value, dict):
        return {name: rounded(part) for name, part in value.items()}
    return float("{:.5g}".format(value)) if isinstance(value, float) else value


class Report:
    """is_quick: small sizes prove nothing, so nothing is held against its bar.  wrk_per_s: of this
    run, for the scenarios that do not measure it themselves; None: not known."""

    def __init__(self, is_quick, wrk_per_s):
        self.is_quick = is_quick
        self.wrk_per_s = wrk_per_s
        self.lines = []

    def add(self, scenario, variant, figures):
        """variant: what distinguishes several measurements of one scenario, {} for a single one."""
        row = dict({"scenario": scenario.name}, **variant)
        if self.wrk_per_s is not None:
            figures = dict({"wrk_per_s": self.wrk_per_s}, **figures)
        print(" ".join([scenario.name] + ["{}={}".format(*pair) for pair in variant.items()]))
        bars = {} if self.is_quick else {bar.figure: bar for bar in scenario.bars}
        missed = []
        for name, value in figures.items():
            text = verdict(bars[name], value) if name in bars else ""
            print("    {:<26} {:<10} {}".format(name, shown(value), text).rstrip(), flush=True)
            if name in bars and not is_met(value, bars[name].sign, bars[name].bound):
                missed.append(name)
        self.lines.append(json.dumps(dict(row, quick=self.is_quick, **rounded(figures),
                                          missed=missed)))

    def close(self):
        for line in self.lines:
            print(line)
