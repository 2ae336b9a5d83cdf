"""``python -m tests.chaos``: inject faults into trainings and see that each is contained.

Exit code 1 when one is not.
"""

import argparse
import json
import sys

from rich.console import Console

from tests.bench.page import write_record
from tests.bench.record import read_record
from tests.chaos import campaign
from tests.chaos.faults import FAULTS
from tests.chaos.record import console_table, markdown_table, merge, name_of


def main(arguments: list[str] | None = None) -> int:
    parser = argparse.ArgumentParser(prog="python -m tests.chaos", description=__doc__)
    names = [fault.name for fault in FAULTS]
    parser.add_argument("--only", nargs="+", metavar="NAME", choices=names, help=", ".join(names))
    parser.add_argument("--quick", action="store_true", help="a few of each, as in the tests")
    parser.add_argument("--record", metavar="NAME", help="keep it in tests/bench/results")
    parser.add_argument("--json", action="store_true", help="one JSON object as the last line")
    parser.add_argument("--show", metavar="NAME", help="print a recorded table as Markdown")
    options = parser.parse_args(arguments)
    if options.show:
        print(markdown_table(read_record(name_of(options.show))), end="")
        return 0
    if options.record and options.quick:
        parser.error("--record is for full counts, not for --quick")
    faults = [fault for fault in FAULTS if fault.name in (options.only or names)]
    rows = campaign.run(faults, options.quick, say)
    Console(highlight=False).print(console_table(rows))
    if options.record:
        name = name_of(options.record)
        write_record(name, merge(read_record(name), rows))
    if options.json:
        print(json.dumps(merge(None, rows)))
    return 0 if all(map(campaign.is_contained, rows)) else 1


def say(line: str) -> None:
    """On standard error: standard output is for the results."""
    print(line, file=sys.stderr, flush=True)


if __name__ == "__main__":
    sys.exit(main())
