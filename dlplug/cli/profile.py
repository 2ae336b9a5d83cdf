"""``dlplug profile``: where a training's time and memory go."""

from dlplug.cli.answer import print_answer
from dlplug.cli.diagnosis import experiment_or_config
from dlplug.cli.options import Option
from dlplug.cli.verb import SHARED, read_arguments
from dlplug.plugin import Registry

ABOUT = (
    "Train some batches under a clock: how much of the time is data, forward, backward, optimizer,"
    " callbacks; which modules take how much time and memory. Nothing is kept."
)
EXAMPLES = (
    "--config configs/digits_mlp.yaml",
    "--config configs/mnist_vit.yaml --steps 10 --top 15",
)
OPTIONS = (
    *SHARED,
    Option("steps", "batches measured, after three to warm up; default 20", "N"),
    Option("top", "modules shown, the slowest first; default 10", "N"),
)


def main(arguments: list[str], registry: Registry) -> int:
    """Measure, print; returns the exit code."""
    parsed = read_arguments("profile", ABOUT, EXAMPLES, OPTIONS, arguments, registry)
    if parsed is None:
        return 0
    steps, top = parsed.number("steps", 20), parsed.number("top", 10)
    experiment = experiment_or_config(parsed, registry)
    if experiment is None:
        return 0
    from dlplug.diagnostics.memory import mebibytes
    from dlplug.diagnostics.profiling import profile

    found = profile(experiment, steps=steps)
    forward = sum(cost.seconds for cost in found.modules) or 1.0
    rows = [
        (
            cost.name,
            cost.type,
            f"{cost.parameters:,}",
            f"{1000 * cost.seconds:.2f}",
            f"{cost.seconds / forward:.0%}",
            mebibytes(cost.kept_bytes),
        )
        for cost in found.modules[: max(top, 0)]
    ]
    columns = [
        ("module", "left"),
        ("class", "left"),
        ("parameters", "right"),
        ("forward ms", "right"),
        ("share", "right"),
        ("kept", "right"),
    ]
    total = found.step_seconds or 1.0
    lines = [
        f"one batch of {found.batch_size} records on {found.device}: {1000 * total:.2f} ms,"
        f" {found.batch_size / total:,.0f} records/s, mean of {found.steps}",
        *(
            f"  {name:<11}{1000 * seconds:9.2f} ms {seconds / total:5.0%}  {_bar(seconds / total)}"
            for name, seconds in found.parts.items()
        ),
        "memory",
        *(f"  {name:<11}{mebibytes(size):>12}" for name, size in found.memory.items()),
        *(f"- {hint}" for hint in found.hints),
    ]
    print_answer(parsed, {"command": "profile", "ok": True} | found.to_dict(), columns, rows, lines)
    return 0


def _bar(share: float) -> str:
    return "#" * round(40 * share)
