"""Who may import whom: the layers of the package, read from the source without importing it."""

import ast
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[1]
PACKAGE = ROOT / "dlplug"

# Each layer may import itself and the layers below it, listed from the bottom up.
LAYERS = [
    {"errors", "torchvision_guard"},
    {"ops"},
    {"nn", "optim"},
    {"bench"},
    {"architectures", "losses", "schedulers", "metrics", "transforms"},
    {"storage", "processes"},
    {"data", "tasks", "callbacks", "loggers"},
    {"config", "run"},
    {"diagnostics", "templates"},
    {"testing"},
    {"cli", "__main__"},
]
# Stands beside the layers: needs nothing but errors, and everything above ops may use it.
PLUGIN = "plugin"
LIGHTNING_MAY_BE_USED_BY = {
    "data",
    "tasks",
    "callbacks",
    "loggers",
    "processes",
    "config",
    "run",
    "diagnostics",
    "testing",
    "cli",
}
TORCH_MUST_NOT_BE_USED_BY = {"errors", PLUGIN, "__init__", "__main__"}


def top_of(path: Path) -> str:
    return path.relative_to(PACKAGE).parts[0].removesuffix(".py")


def level(top: str) -> int:
    return next(i for i, layer in enumerate(LAYERS) if top in layer)


def imports_of(path: Path, source: str | None = None) -> set[str]:
    """Every module that a file imports, inside functions too, as absolute dotted names."""
    names = set()
    for node in ast.walk(ast.parse(source or path.read_text())):
        if isinstance(node, ast.Import):
            names |= {alias.name for alias in node.names}
        elif isinstance(node, ast.ImportFrom):
            package = path.relative_to(ROOT).with_suffix("").parts[: -node.level or None]
            base = ".".join(package) if node.level else ""
            module = ".".join(part for part in (base, node.module) if part)
            names |= {module} | {f"{module}.{alias.name}" for alias in node.names}
    return names


def violations(path: Path, source: str | None = None) -> list[str]:
    top = top_of(path)
    found = []
    for name in sorted(imports_of(path, source)):
        parts = name.split(".")
        if parts[0] in {"lightning", "pytorch_lightning"} and top not in LIGHTNING_MAY_BE_USED_BY:
            found.append(f"{top} imports {name}")
        if parts[0] == "torch" and top in TORCH_MUST_NOT_BE_USED_BY:
            found.append(f"{top} imports {name}")
        if parts[0] != "dlplug" or len(parts) == 1 or top == "__init__":
            continue
        target = parts[1]
        if not (PACKAGE / target).is_dir() and not (PACKAGE / f"{target}.py").is_file():
            continue  # a name of dlplug/__init__.py, not a module
        if target == PLUGIN:
            allowed = top == PLUGIN or level(top) > level("ops")
        elif top == PLUGIN:
            allowed = target == "errors"
        else:
            allowed = level(target) <= level(top)
        if not allowed:
            found.append(f"{top} imports {name}")
    return found


FILES = sorted(path for path in PACKAGE.rglob("*.py"))


@pytest.mark.parametrize("path", FILES, ids=lambda path: str(path.relative_to(PACKAGE)))
def test_imports_point_downwards(path):
    """No module imports one of a higher layer, and heavy libraries stay in their layers."""
    assert violations(path) == []


@pytest.mark.parametrize(
    ("top", "line"),
    [
        ("errors", "import torch"),
        ("ops", "from dlplug.nn import LayerNorm"),
        ("nn", "import lightning"),
        ("ops", "import dlplug.plugin"),
        ("plugin", "from dlplug.ops import attention"),
        ("config", "def f():\n    from dlplug.cli import main"),
        ("losses", "from ..tasks import classification"),
        ("diagnostics", "from dlplug.testing import conformance"),
    ],
)
def test_a_forbidden_import_is_noticed(top, line):
    """The check above can fail: each forbidden direction is reported."""
    assert violations(PACKAGE / top / "some_module.py", line)


def module_graph() -> dict[str, set[str]]:
    names = {
        ".".join(path.relative_to(ROOT).with_suffix("").parts).removesuffix(".__init__")
        for path in FILES
    }
    graph = {}
    for path in FILES:
        name = ".".join(path.relative_to(ROOT).with_suffix("").parts).removesuffix(".__init__")
        tree = ast.parse(path.read_text())
        top_level = [n for n in tree.body if isinstance(n, ast.Import | ast.ImportFrom)]
        source = "\n".join(ast.unparse(node) for node in top_level)
        graph[name] = {n for n in imports_of(path, source or "pass") if n in names} - {name}
    return graph


def cycles(graph: dict[str, set[str]]) -> list[list[str]]:
    """Modules that import each other while they load, as paths that end where they began."""
    found, done = [], set()

    def visit(node, path):
        if node in path:
            found.append([*path[path.index(node) :], node])
        elif node not in done:
            for target in sorted(graph.get(node, ())):
                visit(target, [*path, node])
            done.add(node)

    for node in graph:
        visit(node, [])
    return found


def test_no_module_imports_itself_in_a_circle():
    """The modules form no import cycle at load time (a package's own parts included)."""
    graph = module_graph()
    # `from dlplug.ops import _library` names the package as well; a part may name its own package.
    trimmed = {
        name: {t for t in targets if not name.startswith(f"{t}.")}
        for name, targets in graph.items()
    }
    assert cycles(trimmed) == []


def test_a_circle_is_noticed():
    """The cycle check can fail."""
    assert cycles({"a": {"b"}, "b": {"c"}, "c": {"a"}}) == [["a", "b", "c", "a"]]
