"""``dlplug check gradients``: autograd against finite differences."""

from dlplug.cli.answer import print_answer
from dlplug.cli.diagnosis import experiment_or_config
from dlplug.cli.options import Option
from dlplug.cli.verb import SHARED, read_arguments
from dlplug.plugin import Registry

ABOUT = (
    "Compare the gradient of some weights in every parameter with finite differences of the loss,"
    " in float64, and name the parameters that no gradient reaches. Exit code 1 when they disagree"
    " or something is not reached."
)
EXAMPLES = (
    "--config configs/digits_mlp.yaml",
    "--config configs/mnist_vit.yaml --weights 2 --records 4",
)
OPTIONS = (
    *SHARED,
    Option("weights", "compared in each parameter tensor; default 3", "N"),
    Option("records", "of the first training batch, at most; default 8", "N"),
    Option("tolerance", "largest relative error that is good; default 1e-4", "ERROR"),
)
ROWS_SHOWN = 20


def main(arguments: list[str], registry: Registry) -> int:
    """Compare, say what is wrong; returns the exit code."""
    parsed = read_arguments("check gradients", ABOUT, EXAMPLES, OPTIONS, arguments, registry)
    if parsed is None:
        return 0
    weights, records = parsed.number("weights", 3), parsed.number("records", 8)
    tolerance = parsed.number("tolerance", 1e-4, float)
    experiment = experiment_or_config(parsed, registry)
    if experiment is None:
        return 0
    from dlplug.diagnostics.gradients import check_gradients

    found = check_gradients(experiment, weights=weights, records=records, tolerance=tolerance)
    rows = [
        (
            c.parameter.removeprefix("architecture."),
            str(list(c.index)),
            f"{c.autograd:.6g}",
            f"{c.difference:.6g}",
            f"{c.error:.1e}",
            "ok" if c.error <= tolerance else "BAD",
        )
        for c in found.worst[:ROWS_SHOWN]
    ]
    more = len(found.worst) - len(rows)
    verdict = "the gradients are right" if found.ok else "the gradients are NOT right"
    lines = [
        *([f"and {more} parameters more, all better than the last one shown"] if more > 0 else []),
        f"{verdict}: {found.checked} weights of {len(found.worst)} parameters compared",
        *([f"frozen: {', '.join(found.frozen)}"] if found.frozen else []),
        *(f"- {reason}" for reason in found.reasons),
    ]
    columns = [
        ("parameter", "left"),
        ("index", "left"),
        ("autograd", "right"),
        ("difference", "right"),
        ("error", "right"),
        ("", "left"),
    ]
    print_answer(parsed, {"command": "check gradients"} | found.to_dict(), columns, rows, lines)
    return 0 if found.ok else 1
