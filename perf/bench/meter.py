"""What processes and the machine use of the processors, from /proc."""

import os
import time

FULL_PERCENT = 95  # from here on something is said to be saturated


def cpu_us(pid):
    """Time on a processor of all its threads, user and system."""
    total_ns = 0
    for thread in os.listdir("/proc/{}/task".format(pid)):
        with open("/proc/{}/task/{}/schedstat".format(pid, thread), encoding="ascii") as file:
            total_ns += int(file.read().split()[0])
    return total_ns / 1000


def memory_mib(pid, name):
    """name: VmRSS, or VmHWM for the largest that VmRSS ever was."""
    with open("/proc/{}/status".format(pid), encoding="ascii") as status:
        for line in status:
            if line.startswith(name + ":"):
                return int(line.split()[1]) / 1024
    raise LookupError(name)


def machine_ticks():
    """(busy, all) of all processors together."""
    with open("/proc/stat", encoding="ascii") as file:
        ticks = [int(word) for word in file.readline().split()[1:9]]
    idle = ticks[3] + ticks[4]  # idle, and waiting for a disk
    return sum(ticks) - idle, sum(ticks)


class Meter:
    """From its making to stop().  Parts by name; one may be started in between, none may end."""

    def __init__(self, **parts):
        self.parts = parts
        self.cpu_us = {name: part.cpu_us() for name, part in parts.items()}
        self.machine = machine_ticks()
        self.began = time.monotonic()
        self.seconds = 0
        self.peak_mib = {}

    def stop(self):
        self.seconds = time.monotonic() - self.began
        for name, part in self.parts.items():
            self.cpu_us[name] = part.cpu_us() - self.cpu_us[name]
            self.peak_mib[name] = part.peak_mib()
        busy, total = machine_ticks()
        self.machine = (busy - self.machine[0]) / max(1, total - self.machine[1])
        return self

    def per(self, n):
        """Microseconds of each part for each of n."""
        return {name: spent / n for name, spent in self.cpu_us.items()}

    def busy_percent(self):
        """The machine's is of all its processors, a process' of one.  "others" is what is none of
        the parts': the kernel's own threads, and whoever else was at work."""
        percent = {name: spent / self.seconds / 1e4 for name, spent in self.cpu_us.items()}
        machine = self.machine * 100
        others = max(0, machine * os.cpu_count() - sum(percent.values()))
        return dict({"machine": machine}, **percent, others=others)

    def saturated(self):
        full = [name for name, busy in self.busy_percent().items() if busy >= FULL_PERCENT]
        return ", ".join(full) or "nothing"
