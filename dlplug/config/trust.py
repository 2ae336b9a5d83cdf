"""What a config may import: registered components, and subclasses of a slot's base class.

A config or checkpoint may come from anywhere. A prefix of a module name is no boundary, since
``torch`` alone would admit ``torch.hub.load``; so a ``class_path`` must lead into a module that the
user already relies on *and* name a class that the place asks for. Functions are refused.
"""

import importlib
import importlib.util
import inspect
import sys
from collections.abc import Iterable

from dlplug.config.kinds import TRAITS, load_class
from dlplug.errors import ComponentLoadError, InvalidValueError, UntrustedError, suggestion
from dlplug.plugin import Registry
from dlplug.plugin.sources import package_of

TRUSTED = ("torch", "lightning", "torchmetrics", "dlplug")
# Functions without side effects, wanted wherever an activation or initialisation is a parameter.
FUNCTION_MODULES = ("torch.nn.functional", "torch.nn.init")
# Besides components, what an argument may hold as a class: the parts of Lightning's Trainer.
PARTS = (
    "lightning.pytorch.accelerators:Accelerator",
    "lightning.pytorch.strategies:Strategy",
    "lightning.pytorch.plugins:Precision",
    "lightning.pytorch.plugins:LayerSync",
    "lightning.pytorch.profilers:Profiler",
    "lightning.fabric.plugins:CheckpointIO",
    "lightning.fabric.plugins:ClusterEnvironment",
)


class Trust:
    """The modules that may be imported for one experiment.

    Args:
        registry: Its usable components make the packages that hold them trusted.
        modules: What the user trusts besides (``--trust``); submodules are included, and
            functions of these modules are allowed as well.
    """

    def __init__(self, registry: Registry, modules: Iterable[str] = ()):
        self.registry = registry
        self.modules = tuple(modules)
        self._plugin_packages: set[str] | None = None

    def import_class(self, path: str, base: type | None, where: str) -> type:
        """The class (or, in a module named by the user, the function) at an import path.

        Args:
            path: ``package.module.Class``.
            base: What it must descend from; None when the caller checks that himself.
            where: Place in the config, for errors.
        Raises:
            UntrustedError: The module may not be imported, or the object is no such class.
        """
        value = self._import(path, where)
        if self.is_named_by_user(path):
            if callable(value):
                return value
        elif (
            inspect.isclass(value)
            and self._may_import(value.__module__)
            and (base is None or issubclass(value, base))
        ):
            return value
        asked = f"a subclass of {base.__module__}.{base.__name__}" if base else "a class"
        raise UntrustedError(
            f"'{path}' is not {asked}",
            where=where,
            fix="name a class that fits this place; functions come from plugins only",
        )

    def check_nested_class(self, path: str, asked: tuple[type, ...], where: str) -> object:
        """The class inside an argument, if it is asked for there or is a known kind of part.

        A parameter without a type would admit any class, such as one that starts a process.
        """
        known = (*(traits.base for traits in TRAITS.values()), *PARTS)
        bases = (*asked, *map(load_class, known))
        value = self.import_class(path, None, where)
        if not self.is_named_by_user(path) and not issubclass(value, bases):
            raise UntrustedError(
                f"'{path}' is no kind of object that this place asks for",
                where=where,
                known=", ".join(dict.fromkeys(base.__name__ for base in bases)) + " and subclasses",
                fix=f"if you trust it: --trust {path.rpartition('.')[0]}",
            )
        return value

    def check_function(self, text: str, asked: tuple[type, ...], where: str) -> None:
        """Refuse a string that names a function or class, unless calling it is harmless."""
        module, _, name = text.rpartition(".")
        if module in FUNCTION_MODULES or not module or not name.isidentifier():
            return
        if _is_importable(module.partition(".")[0]):
            self.check_nested_class(text, asked, where)

    def check_module(self, path: str, where: str) -> None:
        """Refuse ``path`` if its module may not be imported."""
        if self._may_import(path):
            return
        module = path.rpartition(".")[0] or path
        fix = f"if you trust it: --trust {module}"
        if path.startswith("pytorch_lightning."):
            fix = f"write 'lightning.pytorch.{path.partition('.')[2]}'"
        raise UntrustedError(
            f"'{path}' is not in a trusted module",
            where=where,
            known=", ".join((*TRUSTED, *sorted(self.plugin_packages - set(TRUSTED)))),
            fix=fix,
        )

    def is_named_by_user(self, path: str) -> bool:
        """Whether ``path`` lies in a module given to ``--trust``."""
        return any(path == m or path.startswith(f"{m}.") for m in self.modules)

    @property
    def plugin_packages(self) -> set[str]:
        """Packages that hold components of usable plugins."""
        if self._plugin_packages is None:
            self._plugin_packages = {
                package_of(component.target.partition(":")[0])
                for component in self.registry.components()
                if not component.refuses
            }
        return self._plugin_packages

    def _may_import(self, path: str) -> bool:
        parts = path.split(".")
        prefixes = {".".join(parts[:count]) for count in range(1, len(parts) + 1)}
        return self.is_named_by_user(path) or bool(prefixes & {*TRUSTED, *self.plugin_packages})

    def _import(self, path: str, where: str) -> object:
        module, _, name = path.rpartition(".")
        if not module or not all(part.isidentifier() for part in path.split(".")):
            raise UntrustedError(
                f"'{path}' is not an import path",
                where=where,
                fix="write package.module.Class, or 'name: ...' for a registered component",
            )
        self.check_module(path, where)
        try:
            return getattr(importlib.import_module(module), name)
        except AttributeError:
            known = [n for n, value in vars(sys.modules[module]).items() if inspect.isclass(value)]
            raise InvalidValueError(
                f"module '{module}' has no class '{name}'",
                where=where,
                fix=suggestion(name, known, prefix=f"{module}."),
            ) from None
        except Exception as error:
            raise ComponentLoadError(
                f"cannot import '{path}': {type(error).__name__}: {error}", where=where
            ) from error


def _is_importable(package: str) -> bool:
    try:
        return package.isidentifier() and importlib.util.find_spec(package) is not None
    except (ImportError, ValueError):
        return False
