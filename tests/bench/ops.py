"""``python -m tests.bench.ops [WORD ...]``: time the cases whose name contains every word."""

import argparse
import json

import torch

from dlplug import ops
from tests.bench import adamw, attention, norms, timing
from tests.bench.ops_record import KIND
from tests.bench.page import write_record
from tests.bench.record import surroundings

MODULES = [adamw, attention, norms]


def main(arguments=None) -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("words", nargs="*", help="such as layer_norm 4096 bfloat16")
    parser.add_argument("--seconds", type=float, default=1.0, help="time per case (default 1)")
    parser.add_argument("--threads", type=int, default=torch.get_num_threads())
    parser.add_argument("--json", action="store_true", help="one JSON object as the last line")
    parser.add_argument("--record", metavar="NAME", help="keep it in tests/bench/results")
    options = parser.parse_args(arguments)
    torch.set_num_threads(options.threads)
    print(f"torch {torch.__version__}, {options.threads} threads, {ops.current_isa()}")
    rows = []
    for module in MODULES:
        for case in module.cases():
            if all(word in case.name for word in options.words):
                rows.append(timing.report(case, options.seconds))
                print(format_row(rows[-1]), flush=True)
    record = {
        "kind": KIND,
        **surroundings(),
        "isa": ops.current_isa(),
        "threads": options.threads,
        "rows": rows,
    }
    if options.record:
        write_record(options.record, record)
    if options.json:
        print(json.dumps(record))


def format_row(row: dict) -> str:
    peers = "  ".join(
        f"{name} {row['ms'][name]:.4g} ms ({ratio:.2f}x)"
        for name, ratio in row["ratio"].items()
        if name != "dlplug"
    )
    rate = f"  {row['GB/s']} GB/s" if "GB/s" in row else ""
    return f"{row['case']:<46} {row['ms']['dlplug']:.4g} ms{rate}  | {peers}"


if __name__ == "__main__":
    main()
