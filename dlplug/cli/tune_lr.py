"""``dlplug tune lr``: learning-rate range test."""

from pathlib import Path

from dlplug.cli.answer import print_answer
from dlplug.cli.diagnosis import experiment_or_config
from dlplug.cli.options import Option
from dlplug.cli.verb import SHARED, read_arguments
from dlplug.plugin import Registry

ABOUT = (
    "Train a few steps with a learning rate that grows from step to step, draw the loss against it,"
    " and suggest the rate at which the loss falls steepest. Nothing is kept but the picture. Exit"
    " code 1 when the loss never falls."
)
EXAMPLES = (
    "--config configs/digits_mlp.yaml",
    "--config configs/digits_mlp.yaml --min 1e-5 --max 0.3 --steps 200",
)
OPTIONS = (
    *SHARED,
    Option("min", "first learning rate; default 1e-6", "RATE"),
    Option("max", "last learning rate; default 1", "RATE"),
    Option("steps", "optimizer steps; default 100", "N"),
    Option("output", "where the picture goes; default lr_finder.png", "FILE.png"),
)
ROWS_SHOWN = 10


def main(arguments: list[str], registry: Registry) -> int:
    """Sweep, draw, suggest; returns the exit code."""
    parsed = read_arguments("tune lr", ABOUT, EXAMPLES, OPTIONS, arguments, registry)
    if parsed is None:
        return 0
    low, high = parsed.number("min", 1e-6, float), parsed.number("max", 1.0, float)
    steps = parsed.number("steps", 100)
    experiment = experiment_or_config(parsed, registry)
    if experiment is None:
        return 0
    from dlplug.diagnostics.lr_range import draw_sweep, lr_range_test
    from dlplug.diagnostics.picture import check_picture_path

    path = check_picture_path(Path(parsed.get("output", "lr_finder.png")))
    sweep = lr_range_test(experiment, lowest=low, highest=high, steps=steps)
    draw_sweep(sweep, path, f"{experiment.name}: learning-rate range test")
    is_found = sweep.suggestion is not None
    lines = [
        f"suggestion   --optimizer.lr {sweep.suggestion:g}"
        if is_found
        else "no suggestion: the loss never falls; raise --max or --steps, or ask check overfit",
        f"the loss is smallest at {sweep.lowest:.2g}; a tenth of that is the other common choice"
        + {"swept": "", "diverged": "; then it diverges", "not finite": "; then it is not finite"}[
            sweep.ended
        ],
        f"picture      {path}",
    ]
    answer = {"command": "tune lr", "ok": is_found, "picture": str(path)} | sweep.to_dict()
    count = len(sweep.smoothed)
    shown = sorted({round(i * (count - 1) / (ROWS_SHOWN - 1)) for i in range(ROWS_SHOWN)})
    rows = [
        (f"{sweep.rates[i]:.2e}", f"{sweep.losses[i]:.4g}", f"{sweep.smoothed[i]:.4g}")
        for i in (shown if count else ())
    ]
    columns = [("learning rate", "right"), ("loss", "right"), ("smoothed", "right")]
    print_answer(parsed, answer, columns, rows, lines)
    return 0 if is_found else 1
