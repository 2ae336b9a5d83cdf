"""The prose is true: paths exist, Python blocks run, every module and public name is described."""

import ast
import importlib
import inspect
import re
import subprocess
import sys
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[1]
PAGES = sorted(
    path
    for path in [*ROOT.glob("*.md"), *ROOT.glob("[a-z]*/**/*.md")]
    if not {"build", "runs", ".venv"} & set(path.relative_to(ROOT).parts)
)
PUBLIC_PACKAGES = ("dlplug", "dlplug.ops", "dlplug.nn", "dlplug.optim", "dlplug.plugin")
BUILT_OFFLINE = "--no-build-isolation"
PATH_IN_BACKTICKS = re.compile(r"`((?:dlplug|csrc|plugins|tests|configs)/[\w./*-]*)`")


@pytest.mark.parametrize("page", PAGES, ids=lambda page: str(page.relative_to(ROOT)))
def test_paths_in_backticks_exist(page):
    """A path that a page names is there, seen from the root or from the page itself."""
    missing = [
        path
        for path in PATH_IN_BACKTICKS.findall(page.read_text())
        if not any(list(base.glob(path.rstrip("/"))) for base in (ROOT, page.parent))
    ]
    assert missing == []


@pytest.mark.parametrize("page", PAGES, ids=lambda page: str(page.relative_to(ROOT)))
def test_python_blocks_run(page, tmp_path):
    """Each Python block of a page runs in a fresh interpreter, after the blocks before it."""
    blocks = re.findall(r"^```python\n(.*?)^```", page.read_text(), re.M | re.S)
    if not blocks:
        return
    script = tmp_path / "blocks.py"
    script.write_text("\n".join(blocks))
    done = subprocess.run([sys.executable, str(script)], capture_output=True, text=True, cwd=ROOT)
    assert done.returncode == 0, done.stderr


def test_installing_a_folder_needs_no_network():
    """Wherever it is told: pip would fetch what it builds with, unless told to use what is here."""
    texts = [*PAGES, *(ROOT / "dlplug" / "templates").rglob("README.md.template")]
    folder = re.compile(r"^pip install .*(?:-e |\./|plugins/).*$", re.M)
    lines = {text: folder.findall(text.read_text()) for text in texts}
    assert len([text for text, found in lines.items() if found]) > 5
    isolated = [line for found in lines.values() for line in found if BUILT_OFFLINE not in line]
    assert isolated == []


@pytest.mark.parametrize(
    "path", sorted((ROOT / "dlplug").rglob("*.py")), ids=lambda p: str(p.relative_to(ROOT))
)
def test_every_module_says_what_it_is_for(path):
    """Each module opens with a docstring."""
    assert ast.get_docstring(ast.parse(path.read_text()))


@pytest.mark.parametrize("package", PUBLIC_PACKAGES)
def test_all_lists_exactly_the_public_names(package):
    """`__all__` is sorted, complete and importable, and each name has a docstring of its own."""
    module = importlib.import_module(package)
    exported = {name: getattr(module, name) for name in module.__all__}
    assert sorted(module.__all__) == list(module.__all__)
    for name, value in exported.items():
        if inspect.isclass(value) or inspect.isfunction(value):
            assert value.__doc__, f"{package}.{name} has no docstring"
    defined_here = {
        name
        for name, value in vars(module).items()
        if not name.startswith("_")
        and (inspect.isclass(value) or inspect.isfunction(value))
        and value.__module__.startswith("dlplug")
    }
    assert defined_here <= set(exported)
