"""``dlplug ablate``: what each part of a config is worth."""

from pathlib import Path

from dlplug.cli.answer import print_answer
from dlplug.cli.diagnosis import experiment_or_config
from dlplug.cli.options import Option, Parsed
from dlplug.cli.verb import SHARED, read_arguments
from dlplug.errors import InvalidValueError
from dlplug.plugin import Registry

ABOUT = (
    "Train the config and variants that remove or change one thing at a time, with the same seeds,"
    " and compare a metric of the validation split. Every training is a run of its own under"
    " runs/NAME-ablate-VARIANT/; what has finished is not trained again."
)
EXAMPLES = (
    "--config configs/digits_mlp.yaml",
    "--config configs/digits_mlp.yaml --remove optimizer.weight_decay --set architecture.dropout=0"
    " --seeds 0,1,2,3,4",
)
OPTIONS = (
    *SHARED,
    Option(
        "remove",
        "take one thing away: callbacks.ema, optimizer.weight_decay, scheduler; may be repeated;"
        " without this and --set, every regulariser in the config",
        "KEY",
        True,
    ),
    Option("set", "one other value: architecture.dropout=0.3; may be repeated", "KEY=VALUE", True),
    Option("seeds", "of each variant; default 0,1,2", "N,N,..."),
    Option("metric", "to compare; default val_ and the config's first metric", "NAME"),
    Option("output", "where the picture goes; default NAME-ablation.png", "FILE.png"),
)


def main(arguments: list[str], registry: Registry) -> int:
    """Train, compare, draw; returns the exit code."""
    parsed = read_arguments("ablate", ABOUT, EXAMPLES, OPTIONS, arguments, registry)
    if parsed is None:
        return 0
    seeds = _seeds(parsed.get("seeds", "0,1,2"))
    experiment = experiment_or_config(parsed, registry)
    if experiment is None:
        return 0
    from dlplug.diagnostics.ablation import ablate, draw_ablation
    from dlplug.diagnostics.picture import check_picture_path

    path = check_picture_path(Path(parsed.get("output", f"{experiment.name}-ablation.png")))
    found = ablate(
        experiment,
        _variants(parsed, experiment),
        seeds=seeds,
        metric=parsed.get("metric"),
        trust=parsed.get("trust", []),
    )
    draw_ablation(found, path, f"{experiment.name}: one thing at a time, {len(seeds)} seeds each")
    rows = [
        (
            o.variant,
            f"{o.mean:.4f}",
            "" if o.spread is None else f"{o.spread:.4f}",
            "" if o.difference is None else f"{o.difference:+.4f}",
            "" if o.uncertainty is None else f"± {o.uncertainty:.4f}",
            o.verdict,
        )
        for o in found.outcomes
    ]
    columns = [
        ("variant", "left"),
        (found.metric, "right"),
        ("spread", "right"),
        ("difference", "right"),
        ("95 %", "right"),
        ("than the base", "left"),
    ]
    lines = [f"picture      {path}", f"runs         runs/{experiment.name}-ablate-*"]
    answer = {"command": "ablate", "ok": True, "picture": str(path)} | found.to_dict()
    print_answer(parsed, answer, columns, rows, lines)
    return 0


def _seeds(text: str) -> list[int]:
    try:
        return [int(part) for part in text.split(",")]
    except ValueError:
        raise InvalidValueError(
            f"--seeds must be whole numbers with commas, got '{text}'",
            where="command line",
            fix="--seeds 0,1,2",
        ) from None


def _variants(parsed: Parsed, experiment) -> list:
    from dlplug.diagnostics.variants import change, regularisers, removal

    given, resolved = experiment.given, experiment.resolved
    keys, changes = parsed.get("remove", []), parsed.get("set", [])
    if not keys and not changes:
        keys = regularisers(given, resolved)
        if not keys:
            raise InvalidValueError(
                "the config has no regulariser that is known by name",
                fix="--remove KEY or --set KEY=VALUE says what to compare",
            )
    return [*(removal(key, given, resolved) for key in keys), *(change(text) for text in changes)]
