"""What fit, validate, test and predict have in common on the command line."""

from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING

from dlplug.cli.answer import print_json
from dlplug.cli.options import COMMON, JSON, Option, Parsed, parse
from dlplug.config.slots import SLOTS
from dlplug.errors import ConfigError
from dlplug.plugin import Registry

if TYPE_CHECKING:
    from dlplug.config.experiment import Experiment
    from dlplug.data.spec import DataSpec
    from dlplug.run.folder import Run
    from dlplug.run.result import Result

CONFIG = Option("config", "a YAML file; a later one is laid over the earlier ones", "FILE", True)
PRINT_CONFIG = Option("print_config", "print the config with every default, and stop")
TRUST = Option("trust", "let class paths in the config lead into this module", "MODULE", True)
RUN = Option("run", "runs/NAME/NUMBER, or NAME for its newest run, or latest", "RUN")
CKPT_PATH = Option("ckpt_path", "another checkpoint than the run's best", "FILE")
ANY_SPLIT = Option(
    "any_split", "take the same data divided otherwise than for the training; the result says so"
)
PRESET = Option("preset", "a plugin's YAML, laid under --config; may be repeated", "PRESET", True)
SHARED = (CONFIG, PRESET, PRINT_CONFIG, TRUST, JSON)


def read_arguments(
    verb: str,
    about: str,
    examples: Sequence[str],
    options: Sequence[Option],
    arguments: list[str],
    registry: Registry,
) -> Parsed | None:
    """Options and overrides of a verb; None after a help page was printed.

    Args:
        verb: The command.
        about: What it does, for its help page.
        examples: Arguments of the examples on it.
        options: The verb's options.
        arguments: What follows the command.
        registry: What is installed.
    """
    from dlplug.cli.component_help import help_text, take_help_request

    request = take_help_request(arguments)
    if request is not None:
        print(help_text(*request, registry))
        return None
    parsed = parse(arguments, (*options, *COMMON), SLOTS)
    if parsed.get("help"):
        from dlplug.cli.help_page import verb_page

        print(verb_page(verb, about, options, examples, registry))
        return None
    return parsed


def chosen_run(parsed: Parsed) -> "Run | None":
    """The run that ``--run`` means.

    Raises:
        RunError: There is none.
    """
    if parsed.get("run") is None:
        return None
    from dlplug.run.folder import Run

    return Run.find(parsed.get("run"))


def load_experiment(
    parsed: Parsed,
    registry: Registry,
    run: "Run | None",
    data_spec: "DataSpec | None" = None,
    one_device: bool = False,
) -> "Experiment":
    """The experiment of a run, presets and config files, each over the one before, then overrides.

    Args:
        parsed: Names them.
        registry: Where names are looked up.
        run: Whose resolved config is the first file, or None.
        data_spec, one_device: See `dlplug.config.load`.
    Raises:
        DlplugError: Anything that is wrong with it.
    """
    from dlplug.config import load

    files = [] if run is None else [run.resolved]
    where = "command line, --preset"
    presets = [registry.find("presets", name, where=where) for name in parsed.get("preset", [])]
    files += [preset.load(where=where) for preset in presets]
    files += parsed.get("config", [])
    trust = parsed.get("trust", [])
    experiment = load(
        files, parsed.overrides, registry, trust=trust, data_spec=data_spec, one_device=one_device
    )
    experiment.presets = presets
    return experiment


def weights_of(parsed: Parsed, run: "Run | None") -> Path:
    """The checkpoint that ``--ckpt_path`` names, else the run's."""
    return Path(parsed.get("ckpt_path") or run.weights)


def spec_of_checkpoint(path: Path) -> "DataSpec | None":
    """What a checkpoint knows of its data, so that no training data is needed; None if nothing.

    Raises:
        CheckpointError: The file is missing or damaged.
    """
    from dlplug.storage.checkpoint import read_outline
    from dlplug.tasks.checkpoint import saved_spec

    return saved_spec(read_outline(path), str(path))


def print_config(parsed: Parsed, experiment: "Experiment") -> int:
    """Print the resolved config, as YAML or with ``--json`` as JSON; returns the exit code."""
    if parsed.get("json"):
        print_json(experiment.resolved)
    else:
        print(experiment.to_yaml(), end="")
    return 0


def report(parsed: Parsed, result: "Result") -> int:
    """Print what a verb has done; returns the exit code."""
    if not result.is_main:
        return 0
    if parsed.get("json"):
        print_json(result.to_dict())
        return 0
    from dlplug.run.report import print_result

    print_result(result)
    return 0


def require_weights(verb: str, parsed: Parsed) -> None:
    """Refuse to evaluate without knowing which weights, before anything slow is done.

    Raises:
        ConfigError: Neither a run, nor a config with a checkpoint.
    """
    if parsed.get("run") is not None:
        return
    has_config = parsed.get("config") or parsed.get("preset") or parsed.overrides
    if parsed.get("ckpt_path") is not None and has_config:
        return
    raise ConfigError(
        f"{verb} needs a run, or a config and a checkpoint",
        where="command line",
        fix=f"{verb} --run NAME, or {verb} --config FILE --ckpt_path FILE",
    )
