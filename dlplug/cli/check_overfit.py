"""``dlplug check overfit``: learn one batch by heart."""

from dlplug.cli.answer import print_answer
from dlplug.cli.diagnosis import experiment_or_config
from dlplug.cli.options import Option
from dlplug.cli.verb import SHARED, read_arguments
from dlplug.plugin import Registry

ABOUT = (
    "Train on one small batch until its loss is near zero or all of it is right, with dropout,"
    " augmentation and the schedule turned off. A model that cannot do that is broken, or its data"
    " or settings are. Exit code 1 when it cannot, with what speaks for which reason."
)
EXAMPLES = (
    "--config configs/digits_mlp.yaml",
    "--config configs/mnist_vit.yaml --records 8 --steps 500",
)
OPTIONS = (
    *SHARED,
    Option("records", "of the first training batch, at most; default 32", "N"),
    Option("steps", "optimizer steps at most; default 300", "N"),
    Option("tolerance", "share of the first loss that is near zero; default 0.02", "SHARE"),
)


def main(arguments: list[str], registry: Registry) -> int:
    """Train on one batch, say whether it was learned; returns the exit code."""
    parsed = read_arguments("check overfit", ABOUT, EXAMPLES, OPTIONS, arguments, registry)
    if parsed is None:
        return 0
    steps, records = parsed.number("steps", 300), parsed.number("records", 32)
    tolerance = parsed.number("tolerance", 0.02, float)
    experiment = experiment_or_config(parsed, registry)
    if experiment is None:
        return 0
    from dlplug.diagnostics.overfit import TURNED_OFF, check_overfit

    found = check_overfit(experiment, steps=steps, records=records, tolerance=tolerance)
    verdict = "learned by heart" if found.ok else "NOT learned"
    right = "" if found.accuracy is None else f", accuracy {found.accuracy:.3f}"
    lines = [
        f"{verdict}: {found.records} records in {found.steps} steps, loss {found.first_loss:.4g} ->"
        f" {found.last_loss:.4g} (near zero: {found.target_loss:.2g}){right}",
        f"turned off: {TURNED_OFF}",
        *(f"- {reason}" for reason in found.reasons),
    ]
    course = found.course[:: max(1, len(found.course) // 8)]
    rows = [(str(step), f"{loss:.4g}") for step, loss in course]
    columns = [("step", "right"), ("loss", "right")]
    print_answer(parsed, {"command": "check overfit"} | found.to_dict(), columns, rows, lines)
    return 0 if found.ok else 1
