"""``dlplug bench ops``: the fused ops beside what would run in their place."""

from dlplug.cli.group import Form, run_form
from dlplug.cli.options import JSON, Option
from dlplug.plugin import Registry

OPTIONS = (
    Option("quick", "a small set of rows, in about a minute, without compiled peers"),
    Option("only", "rows whose names contain these words; may be repeated", "NAME", True),
    Option("device", "cpu (default) or cuda, with rows of that size", "DEVICE"),
    Option("threads", "may be repeated; default: all cores, and 1", "N", True),
    Option("record", "keep the results in tests/bench/results, in a checkout", "NAME"),
    Option("resume", "leave out what the record has from this commit and machine"),
    JSON,
)
FORMS = {
    "ops": Form(
        "dlplug.cli.bench_ops:main",
        "Time the fused ops beside PyTorch's own, in one interleaved run: ratios, share of what"
        " the machine can do, errors, memory",
        "[OPTION]...",
        OPTIONS,
    )
}


def main(arguments: list[str], registry: Registry) -> int:
    """Run one of them; returns the exit code."""
    return run_form("bench", FORMS, arguments, registry)
