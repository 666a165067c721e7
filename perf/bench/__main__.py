"""Runs scenarios one after another; perf/README.md says what their figures mean."""

import argparse
import os
import shutil
import signal
import sys
import traceback

ROOT = os.path.dirname(os.path.dirname(os.path.dirname(os.path.abspath(__file__))))
sys.path.append(os.path.join(ROOT, "test", "integration"))  # kit: a client of Redis, certificates

# Each enters its scenarios, in the order of the README.
import throughput  # noqa: E402,F401
import latency  # noqa: E402,F401
import origins  # noqa: E402,F401
import scale  # noqa: E402,F401
import cost  # noqa: E402,F401
import scenario  # noqa: E402
from report import Report  # noqa: E402


def arguments():
    listed = "\n".join("  {:<10} {}".format(one.name, one.says) for one in scenario.ALL.values())
    parser = argparse.ArgumentParser(
        prog="perf/run.sh", description="Measures Hookwheel on this machine.",
        epilog="scenarios:\n" + listed, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--build", required=True, help=argparse.SUPPRESS)
    parser.add_argument("--quick", action="store_true",
                        help="small sizes: does everything still run? no bars")
    parser.add_argument("names", nargs="*", metavar="scenario", help="none: all of them")
    given = parser.parse_args()
    unknown = [name for name in given.names if name not in scenario.ALL]
    if unknown:
        parser.error("no scenario {}; there are: {}".format(unknown[0], " ".join(scenario.ALL)))
    return given


def missing_programs(names):
    needed = {program for name in names for program in scenario.ALL[name].needs}
    return sorted(program for program in needed if shutil.which(program) is None)


def measure(one, run, report):
    """False: it could not be run to its end."""
    try:
        for variant, figures in one.measure(run):
            report.add(one, variant, figures)
    except Exception:  # pylint: disable=broad-except
        print("{}: not measured".format(one.name), flush=True)
        traceback.print_exc()
        return False
    return True


def main():
    given = arguments()
    signal.signal(signal.SIGTERM, lambda *_: sys.exit(143))  # and every part is stopped
    run = scenario.Run(given.build, given.quick)
    names = given.names or scenario.ALL
    missing = missing_programs(names)
    if missing:
        sys.exit("perf: {} missing; on Debian: apt-get install nginx-light wrk".format(
            " and ".join(missing) + (" is" if len(missing) == 1 else " are")))
    report = Report(given.quick, run.reference())
    try:
        all_ran = all([measure(scenario.ALL[name], run, report) for name in names])
    except KeyboardInterrupt:
        all_ran = False
    finally:
        report.close()
    return 0 if all_ran else 1


sys.exit(main())
