"""``dlplug fit``: train."""

from dlplug.cli.notes import shown_notes
from dlplug.cli.options import LOCK_FILE, LOCKED, RESUME, Option
from dlplug.cli.verb import (
    ANY_SPLIT,
    CKPT_PATH,
    RUN,
    SHARED,
    load_experiment,
    print_config,
    read_arguments,
    report,
)
from dlplug.errors import ConfigError
from dlplug.plugin import Registry

ABOUT = "Train from a config, in a new folder runs/NAME/NUMBER/, then test the best weights once."
EXAMPLES = (
    "--config configs/digits_mlp.yaml --name first --trainer.max_epochs 5",
    "--data digits --architecture mlp --optimizer.lr 3e-3",
    "--config configs/digits_mlp.yaml --print_config",
    "--run latest",
)
AUTO = "auto"
OPTIONS = (
    *SHARED,
    Option(RUN.name, f"go on with this run, under its own config: {RUN.summary}", RUN.value),
    RESUME,
    Option(CKPT_PATH.name, "start a new run from the state in this checkpoint", CKPT_PATH.value),
    ANY_SPLIT,
    LOCKED,
    LOCK_FILE,
)


def main(arguments: list[str], registry: Registry) -> int:
    """Train, print the metrics; returns the exit code."""
    parsed = read_arguments("fit", ABOUT, EXAMPLES, OPTIONS, arguments, registry)
    if parsed is None:
        return 0
    run, resume = parsed.get("run"), parsed.get("resume")
    starts = [name for name in ("run", "resume", "ckpt_path") if parsed.get(name) is not None]
    if len(starts) > 1:
        raise ConfigError(
            " and ".join(f"--{name}" for name in starts) + " exclude each other",
            where="command line",
            fix="--run goes on with a run under its own config, --resume under the one given here,"
            " --ckpt_path starts a new run; keep one",
        )
    if parsed.get("any_split") and not starts:
        raise ConfigError(
            "--any_split is for a training that goes on, and this one begins",
            where="command line",
            fix="leave it out, or name what goes on by --run, --resume or --ckpt_path",
        )
    checks = [f"--{name}" for name in ("locked", "lock") if parsed.get(name) is not None]
    if checks and parsed.get("print_config"):
        raise ConfigError(
            f"--print_config trains nothing, so that {checks[0]} would say nothing",
            where="command line",
            fix=f"leave one of them out; {LOCKED.elsewhere}",
        )
    has_config = parsed.get("config") or parsed.get("preset")
    continued = None
    if run is not None or (resume not in (None, AUTO) and not has_config):
        from dlplug.run.folder import Run

        continued = Run.find(run or resume)
    experiment = load_experiment(parsed, registry, continued)
    if parsed.get("print_config"):
        return print_config(parsed, experiment)
    from dlplug.cli.plugins_lock import lock_command
    from dlplug.run import verbs
    from dlplug.run.lock import LOCK

    locked = parsed.get("lock", parsed.get("locked", False))
    lock = LOCK if isinstance(locked, bool) else locked
    with shown_notes():
        result = verbs.fit(
            experiment,
            name=experiment.name if "name" in dict(parsed.overrides) else None,
            resume=str(continued.path) if continued else resume,
            ckpt_path=parsed.get("ckpt_path"),
            locked=locked,
            any_split=parsed.get("any_split", False),
            relock=lock_command(parsed, registry, lock, [continued.resolved] if continued else []),
            progress=True,
        )
    return report(parsed, result)
