"""``python -m tests.fuzz``: random calls of the CPU ops, compared with the fallback in float64.

Each call is a function of op, seed and number: shapes, strides, dtypes, values, options, backend
and instruction set. It is made with 1 and with 2 threads, which must give the same bits, and must
change nothing that is not its own; some calls are wrong, and every backend must refuse them with
one error. A failure prints the line that repeats it. Exit code 1 when there is one.
"""

import argparse
import sys
import time

from dlplug import ops
from tests.fuzz.campaign import run
from tests.fuzz.families import FAMILIES


def main(arguments: list[str] | None = None) -> int:
    parser = argparse.ArgumentParser(prog="python -m tests.fuzz", description=__doc__)
    parser.add_argument("--op", nargs="+", choices=FAMILIES, default=list(FAMILIES), metavar="NAME")
    parser.add_argument("--calls", type=int, default=10_000, help="of each op (%(default)s)")
    parser.add_argument("--first", type=int, default=0, help="number of the first call")
    parser.add_argument("--seed", type=int, default=0)
    parser.add_argument("--seconds", type=float, help="stop after as many, for all ops together")
    parser.add_argument("--only", type=int, metavar="NUMBER", help="one call, with its traceback")
    options = parser.parse_args(arguments)
    if not ops.isas():
        parser.error("no CPU kernels are compiled: see python -m dlplug doctor")
    first, calls = options.first, options.calls
    if options.only is not None:
        first, calls = options.only, 1
    end = time.monotonic() + options.seconds if options.seconds else None
    failures = 0
    for name in options.op:
        failures += run(name, options.seed, range(first, first + calls), end, say)
    return 1 if failures else 0


def say(line: str) -> None:
    print(line, flush=True)


if __name__ == "__main__":
    sys.exit(main())
