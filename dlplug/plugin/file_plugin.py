"""A Python file that nobody packaged as a plugin: what it offers, read without importing it.

At its top level stands a table, from kind to classes or functions of the file::

    dlplug_components = {"architecture": MyNet, "losses": {"soft_dice": SoftDice}}

A class alone, or in a list, is called by its own name. Hooks are functions under
``@dlplug.hookimpl``, as in a module of hooks.
"""

import ast
import os
import re
import shlex
from collections.abc import Iterable, Iterator
from pathlib import Path

from dlplug.errors import PluginError, UnknownKeyError, suggestion
from dlplug.plugin.component import HOOKS_KIND, Component
from dlplug.plugin.files import enter
from dlplug.plugin.hashes import tree_hash
from dlplug.plugin.names import name_problem, one_line
from dlplug.plugin.plugin import Plugin
from dlplug.plugin.spec import PRESETS, kind_of

TABLE = "dlplug_components"
EXAMPLE = f'{TABLE} = {{"architecture": MyNet}}'
DIGITS = 12
"""Of the hash that stands in the place of a version."""

_Definition = ast.ClassDef | ast.FunctionDef | ast.AsyncFunctionDef


def label_of(path: str | Path) -> str:
    """What stands in place of a distribution: ``my_model.py``, or ``my_models/`` of a folder."""
    path = Path(os.path.abspath(path))
    return f"{path.name}/" if path.is_dir() else path.name


def module_of(path: str | Path) -> str:
    """Name of its module below `dlplug.plugin.files`."""
    return re.sub(r"\W", "_", Path(os.path.abspath(path)).stem)


def refuse_twins(path: str | Path, others: Iterable[str], where: str) -> None:
    """Two files must not be one module.

    Args:
        path: Of a file that is to become a plugin.
        others: Those that are plugins already.
        where: Who names it, for messages.
    Raises:
        PluginError: it and another one would be.
    """
    module = module_of(path)
    twin = next((other for other in others if module_of(other) == module), None)
    if twin is not None:
        raise PluginError(
            f"two plugin files would be one module, {module!r}: {twin} and {path}",
            where=where,
            fix="rename one of them: the name stands in configs and runs",
        )


def read_file_plugin(path: str | Path, where: str) -> Plugin:
    """The plugin that a file, or a folder with an ``__init__.py``, is; imports nothing of it.

    Args:
        path: Relative to the working folder.
        where: Who names it, for messages: ``command line``, or file and line of a config.
    Raises:
        PluginError: there is no such file, it is not Python, or it offers nothing.
    """
    path = Path(os.path.abspath(path))
    source = path / "__init__.py" if path.is_dir() else path
    tree = _parse(source, path, where)
    if bad := next((c for c in path.name if c in ":," or not c.isprintable()), None):
        raise PluginError(
            f"a plugin file cannot be called {path.name!r}: {bad!r} stands between names",
            where=where,
            fix="rename it: its name is part of what configs and --block say",
        )
    digest = tree_hash(path)
    module = enter(module_of(path), path, digest)
    plugin = Plugin(label_of(path), digest[:DIGITS], str(path.parent), file=str(path))
    plugin.summary = _first_line(tree)
    reader = _Reader(source, plugin, module, tree)
    plugin.entries = [*reader.components(), *reader.hooks()]
    if not plugin.entries:
        raise PluginError(
            f"{plugin.name} offers nothing: it has no table {TABLE}, and no hook",
            where=str(source),
            fix=f"write at its end, for example: {_table_for(tree)}",
        )
    return plugin


def _parse(source: Path, path: Path, where: str) -> ast.Module:
    if source == path and path.suffix != ".py" and path.exists():
        raise PluginError(f"'{path}' is no Python file", where=where, fix="name a file *.py")
    try:
        return ast.parse(source.read_bytes())
    except (FileNotFoundError, NotADirectoryError):
        nearby = sorted(p.name for p in path.parent.glob("*.py")) if source == path else []
        what = f"no plugin file '{source}'" if source == path else f"'{path}' has no __init__.py"
        raise PluginError(
            what, where=where, known=", ".join(nearby) or None, fix=suggestion(path.name, nearby)
        ) from None
    except OSError as error:
        raise PluginError(
            f"cannot read '{source}': {error.strerror}", where=where, fix="make it readable"
        ) from error
    except (SyntaxError, ValueError, RecursionError, MemoryError) as error:
        # The last two: an expression is nested too deeply.
        line = f", line {error.lineno}" if getattr(error, "lineno", None) else ""
        raise PluginError(
            f"{path.name} is not Python: "
            + (getattr(error, "msg", None) or str(error) or "it is nested too deeply"),
            where=f"{source}{line}",
            fix=f"correct it; python {shlex.quote(str(source))} shows the place",
        ) from None


class _Reader:
    def __init__(self, source: Path, plugin: Plugin, module: str, tree: ast.Module):
        self.source, self.plugin, self.module, self.tree = source, plugin, module, tree
        definitions = [node for node in tree.body if isinstance(node, _Definition)]
        self.definitions = {node.name: node for node in definitions}

    def components(self) -> Iterator[Component]:
        for node in self.tree.body:
            targets = node.targets if isinstance(node, ast.Assign) else [getattr(node, "target", 0)]
            if any(isinstance(target, ast.Name) and target.id == TABLE for target in targets):
                yield from self._table(node.value)

    def hooks(self) -> Iterator[Component]:
        for node in self.definitions.values():
            marks = [ast.unparse(mark).partition("(")[0] for mark in node.decorator_list]
            if any(mark.rpartition(".")[2] == "hookimpl" for mark in marks):
                yield self._component(HOOKS_KIND, "hooks", "", node)
                return  # one entry stands for the whole module

    def _table(self, table: ast.expr | None) -> Iterator[Component]:
        if not isinstance(table, ast.Dict):
            raise self._wrong(table, f"{TABLE} is no mapping from kind to classes", EXAMPLE)
        for key, value in zip(table.keys, table.values, strict=True):
            word = getattr(key, "value", None)
            if not isinstance(word, str):
                raise self._wrong(key or value, f"a key of {TABLE} is no word", EXAMPLE)
            try:
                kind = kind_of(word).plural
            except UnknownKeyError as error:
                raise self._wrong(key, error.what, error.fix, error.known) from None
            if kind == PRESETS:
                raise self._wrong(
                    key, "a plugin file has no presets", "name the YAML file itself: --config FILE"
                )
            for name, node in self._named(value, word):
                if fault := name_problem(name):
                    raise self._wrong(node, fault, None)
                yield self._component(kind, name, self._target(node, word), node)

    def _named(self, value: ast.expr, word: str) -> Iterator[tuple[str, ast.expr]]:
        if isinstance(value, ast.Dict):
            for key, node in zip(value.keys, value.values, strict=True):
                if not isinstance(getattr(key, "value", None), str):
                    raise self._wrong(
                        key or node, f"a name in {TABLE}[{word!r}] is no word", EXAMPLE
                    )
                yield key.value, node
            return
        for node in value.elts if isinstance(value, ast.List | ast.Tuple) else [value]:
            yield self._target(node, word).rpartition(".")[2], node

    def _target(self, node: ast.expr, word: str) -> str:
        text = node.value if isinstance(node, ast.Constant) else ast.unparse(node)
        if not isinstance(text, str) or not all(part.isidentifier() for part in text.split(".")):
            raise self._wrong(
                node,
                f"{ast.unparse(node)} in {TABLE}[{word!r}] is no name of a class or function",
                "define it above, as a function if it needs arguments, and write its name here",
            )
        return text

    def _component(self, kind: str, name: str, target: str, node: ast.AST) -> Component:
        plugin, defined = self.plugin, self.definitions.get(target)
        full = f"{self.module}:{target}" if target else self.module
        component = Component(kind, name, plugin.name, plugin.version, full)
        component.summary = _first_line(defined) if defined else ""
        component.file, component.declared = plugin.file, f"{self.source}, line {node.lineno}"
        return component

    def _wrong(
        self, node: ast.AST | None, what: str, fix: str | None, known: str | None = None
    ) -> PluginError:
        line = f", line {node.lineno}" if node is not None else ""
        return PluginError(what, where=f"{self.source}{line}", known=known, fix=fix)


def _table_for(tree: ast.Module) -> str:
    """What a file without a table probably lacks: classes are networks, or losses."""
    kinds = {}
    for node in tree.body:
        if isinstance(node, ast.ClassDef):
            calls = [d for d in node.body if getattr(d, "name", "") in ("forward", "__call__")]
            takes = {argument.arg for call in calls for argument in call.args.args}
            # The last one is more often the whole than a part of it.
            kinds["loss" if takes & {"target", "targets"} else "architecture"] = node.name
    if not kinds:
        return EXAMPLE
    return TABLE + " = {" + ", ".join(f'"{kind}": {name}' for kind, name in kinds.items()) + "}"


def _first_line(node: ast.AST) -> str:
    return one_line((ast.get_docstring(node) or "").partition("\n")[0])
