"""Configs: YAML files and overrides become a checked experiment.

`load` does all of it; `compose` and `resolve` are its two halves, for callers that need to look at
the config before names are found. Importing this package loads neither torch nor Lightning.
"""

from collections.abc import Iterable
from dataclasses import replace
from pathlib import Path
from typing import TYPE_CHECKING

from dlplug.config.composed import Composed, compose
from dlplug.config.renewal import renewed
from dlplug.config.settings import read_plugin_control
from dlplug.config.slots import SLOTS
from dlplug.plugin import Registry

if TYPE_CHECKING:
    from dlplug.config.experiment import Experiment
    from dlplug.data.spec import DataSpec

__all__ = ["SLOTS", "Composed", "compose", "load", "resolve"]


def load(
    files: Iterable[str | Path],
    overrides: Iterable[tuple[str, object]] = (),
    registry: Registry | None = None,
    *,
    trust: Iterable[str] = (),
    data_spec: "DataSpec | None" = None,
    one_device: bool = False,
) -> "Experiment":
    """Read, compose and check a config.

    Args:
        files: YAML files; a later one is laid over the earlier ones.
        overrides: Pairs of dotted key and value, laid over the files; a string is read as YAML.
        registry: Where names are looked up; None for everything that is installed. The config's
            section ``plugins`` narrows it further.
        trust: Modules that class paths may lead into, besides torch, Lightning and the plugins.
        data_spec: What the data knows, when that is known already; the data module is then not
            built before it is asked for.
        one_device: Whether one device will be used whatever number the trainer's ``devices`` say,
            without its strategy.
    Raises:
        DlplugError: Anything that is wrong, with file, line and fix.
    """
    registry = registry or Registry.discover()
    config = compose(files, overrides, lambda tree: renewed(tree, registry))
    return resolve(config, registry, trust=trust, data_spec=data_spec, one_device=one_device)


def resolve(
    config: Composed,
    registry: Registry | None = None,
    *,
    trust: Iterable[str] = (),
    data_spec: "DataSpec | None" = None,
    one_device: bool = False,
) -> "Experiment":
    """The second half of `load`: find what a composed config names, and check every value."""
    from dlplug.config.resolver import resolve as find_and_check

    registry = registry or Registry.discover()
    control = read_plugin_control(config.get("plugins"))
    registry.add_files(control.files)
    if control.block or control.allow is not None or control.strict:
        registry.restrict(block=control.block, allow=control.allow, strict=control.strict)
    if registry.files():
        config = config.with_plugin_files(registry.files())
    registry.load_hooks()
    plain = config.tree.plain()
    upgraded = registry.fold("dlplug_upgrade_config", config=plain)
    if upgraded != plain:
        config = config.rewritten(upgraded, "upgraded by a plugin")
    # Again: hooks offer names, and one of them may have written an old one.
    config = replace(config, tree=renewed(config.tree, registry))
    return find_and_check(config, registry, trust, data_spec, one_device)
