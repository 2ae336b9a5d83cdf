"""``dlplug tune batch-size``: speed and memory of growing batches."""

import sys
from pathlib import Path

from dlplug.cli.answer import print_answer
from dlplug.cli.diagnosis import experiment_or_config
from dlplug.cli.options import Option
from dlplug.cli.verb import SHARED, read_arguments
from dlplug.plugin import Registry

ABOUT = (
    "Train a few steps with a batch size that doubles, until the records or the memory end, and"
    " suggest the smallest size that has nine tenths of the best speed. Nothing is kept but the"
    " picture. Exit code 1 when nothing fits."
)
EXAMPLES = (
    "--config configs/digits_mlp.yaml",
    "--config configs/mnist_vit.yaml --max 256 --memory_limit 4GB",
)
OPTIONS = (
    *SHARED,
    Option("min", "first batch size; default 8", "N"),
    Option("max", "last batch size; default as many as there are records", "N"),
    Option("steps", "optimizer steps measured for each size; default 10", "N"),
    Option("memory_limit", "such as 4GB; default what the device has", "SIZE"),
    Option("output", "where the picture goes; default batch_size.png", "FILE.png"),
)


def main(arguments: list[str], registry: Registry) -> int:
    """Measure, draw, suggest; returns the exit code."""
    parsed = read_arguments("tune batch-size", ABOUT, EXAMPLES, OPTIONS, arguments, registry)
    if parsed is None:
        return 0
    smallest, largest = parsed.number("min", 8), parsed.number("max", None)
    steps = parsed.number("steps", 10)
    experiment = experiment_or_config(parsed, registry)
    if experiment is None:
        return 0
    from dlplug.diagnostics.batch_size import draw_batch_sizes, try_batch_sizes
    from dlplug.diagnostics.memory import bytes_of, mebibytes
    from dlplug.diagnostics.picture import check_picture_path

    path = check_picture_path(Path(parsed.get("output", "batch_size.png")))
    limit = parsed.get("memory_limit")
    found = try_batch_sizes(
        experiment,
        smallest=smallest,
        largest=largest,
        steps=steps,
        memory_limit=None if limit is None else bytes_of(limit),
        progress=lambda text: print(text, file=sys.stderr, flush=True),
    )
    fits = found.suggestion is not None
    answer = {"command": "tune batch-size", "ok": fits} | found.to_dict()
    lines = [f"ended        {found.ended}"]
    if fits:
        draw_batch_sizes(found, path, f"{experiment.name}: batch sizes on {found.device}")
        answer["picture"] = str(path)
        lines = [
            f"suggestion   --data.batch_size {found.suggestion}",
            f"largest      {found.largest} ({found.ended})",
            "another batch size wants another learning rate: tune lr",
            f"picture      {path}",
        ]
    rows = [
        (
            str(m.batch_size),
            "" if m.memory is None else f"{m.samples_per_second:,.0f}",
            "" if m.memory is None else f"{1000 * m.step_seconds:.1f}",
            "" if m.memory is None else mebibytes(m.memory),
            m.remark or ("suggested" if m.batch_size == found.suggestion else ""),
        )
        for m in found.tried
    ]
    columns = [
        ("batch size", "right"),
        ("records/s", "right"),
        ("ms/step", "right"),
        ("memory", "right"),
        ("", "left"),
    ]
    print_answer(parsed, answer, columns, rows, lines)
    return 0 if fits else 1
