"""Plugin files are importable by name, in this process and in its children."""

import importlib
import json
import multiprocessing
import os
import pickle
import py_compile
import subprocess
import sys
from concurrent.futures import ProcessPoolExecutor
from importlib.machinery import EXTENSION_SUFFIXES
from pathlib import Path

import pytest

from dlplug.errors import PluginError
from dlplug.plugin.files import VARIABLE, enter, entered, path_of
from dlplug.plugin.hashes import tree_hash

SOURCE = "class Net:\n    number = {}\n"


@pytest.fixture
def path(tmp_path):
    """A file with one class."""
    path = tmp_path / "my_net.py"
    path.write_text(SOURCE.format(1))
    return path


def net(path):
    return importlib.import_module(enter("my_net", path, tree_hash(path))).Net


def test_a_file_is_imported_under_its_name(path):
    """Whatever else is called like it; nothing is on sys.path, and no cache is written."""
    value = net(path)
    assert value.number == 1 and value.__module__ == "dlplug.plugin.files.my_net"
    assert entered() == {"my_net": [str(path), tree_hash(path)]}
    assert path_of(value.__module__) == path and path_of("my_net") is None
    assert os.listdir(path.parent) == ["my_net.py"]


def test_a_folder_is_a_package(tmp_path):
    """Its modules import each other."""
    folder = tmp_path / "my_nets"
    folder.mkdir()
    (folder / "__init__.py").write_text("from .layers import Net\n")
    (folder / "layers.py").write_text(SOURCE.format(2))
    module = importlib.import_module(enter("my_nets", folder, tree_hash(folder)))
    assert module.Net.number == 2
    assert path_of("dlplug.plugin.files.my_nets.layers") == folder


def folder_of(tmp_path, init):
    folder = tmp_path / "my_nets"
    folder.mkdir()
    (folder / "__init__.py").write_text(init)
    return folder


def imported(folder):
    return importlib.import_module(enter("my_nets", folder, tree_hash(folder)))


def test_a_cache_does_not_decide_what_a_module_is(tmp_path):
    """Not below a folder either: its time and size can be those of the file."""
    folder = folder_of(tmp_path, "from .layers import Net\n")
    layers = folder / "layers.py"
    layers.write_text(SOURCE.format(6))
    py_compile.compile(str(layers), invalidation_mode=py_compile.PycInvalidationMode.UNCHECKED_HASH)
    layers.write_text(SOURCE.format(5))
    assert imported(folder).Net.number == 5


@pytest.mark.parametrize(
    "place", ["layers.so", f"layers{EXTENSION_SUFFIXES[0]}", "layers.pyc", "__pycache__/layers.py"]
)
def test_what_the_hash_does_not_cover_is_not_imported(tmp_path, place):
    """Compiled modules, and whatever lies in a cache."""
    below = ".__pycache__" if "/" in place else ""
    folder = folder_of(tmp_path, f"from {below or '.'} import layers\n")
    file = folder / place
    file.parent.mkdir(exist_ok=True)
    file.write_text(SOURCE.format(7))
    before = tree_hash(folder)
    with pytest.raises(ImportError, match=r"layers\S* is none of the Python files of"):
        imported(folder)
    assert tree_hash(folder) == before


def test_a_link_to_another_folder_is_not_imported(tmp_path):
    """Its files are not part of the hash; a folder without __init__.py is."""
    folder = folder_of(tmp_path, "from .inner.layers import Net\n")
    (tmp_path / "inner").mkdir()
    (tmp_path / "inner" / "layers.py").write_text(SOURCE.format(8))
    (folder / "inner").symlink_to(tmp_path / "inner")
    with pytest.raises(ImportError, match="is none of the Python files of"):
        imported(folder)
    (folder / "inner").unlink()
    (tmp_path / "inner").rename(folder / "inner")
    assert imported(folder).Net.number == 8


def test_a_link_to_a_file_is_that_file(tmp_path):
    """It is imported, and its content is part of the hash."""
    folder = folder_of(tmp_path, "from .layers import Net\n")
    (tmp_path / "shared.py").write_text(SOURCE.format(11))
    (folder / "layers.py").symlink_to(tmp_path / "shared.py")
    before = tree_hash(folder)
    assert imported(folder).Net.number == 11
    (tmp_path / "shared.py").write_text(SOURCE.format(12))
    assert tree_hash(folder) != before and imported(folder).Net.number == 12


def test_a_folder_is_hashed_once(tmp_path, monkeypatch):
    """However many modules it has: each further one is compared by its own file alone."""
    names = [f"layers{number}" for number in range(8)]
    folder = folder_of(tmp_path, "from . import " + ", ".join(names))
    for name in names:
        (folder / f"{name}.py").write_text(SOURCE.format(1))
    module, read = enter("my_nets", folder, tree_hash(folder)), []
    monkeypatch.setattr(
        Path, "read_bytes", lambda path, whole=Path.read_bytes: read.append(path) or whole(path)
    )
    assert importlib.import_module(module).layers7.Net.number == 1
    assert sorted(map(str, {*read})) == sorted(map(str, folder.glob("*.py")))
    assert max(read.count(path) for path in read) <= 2


def test_a_submodule_that_changes_is_refused(tmp_path):
    """When it is imported late, too."""
    folder = folder_of(tmp_path, "")
    (folder / "layers.py").write_text(SOURCE.format(9))
    imported(folder)
    (folder / "layers.py").write_text(SOURCE.format(10))
    with pytest.raises(ImportError, match="has changed since this program began to use it"):
        importlib.import_module("dlplug.plugin.files.my_nets.layers")


@pytest.mark.parametrize("text", ["{", "[]", "3", '{"a": 1}', '{"a": ["x"]}', '{"a": ["x", 3]}'])
def test_a_variable_that_says_something_else_is_told(monkeypatch, text):
    """With what to do about it."""
    monkeypatch.setenv(VARIABLE, text)
    with pytest.raises(PluginError, match="which dlplug has not written") as caught:
        entered()
    assert caught.value.fix.startswith(f"unset {VARIABLE}")


def test_changed_code_takes_the_place_of_the_old(path):
    """When it is entered anew, as by the next experiment of a notebook."""
    old = net(path)
    path.write_text(SOURCE.format(3))
    assert net(path).number == 3 and old.number == 1


def test_code_that_changes_while_it_is_used_is_refused(path):
    """The processes of one training run the same code."""
    enter("my_net", path, tree_hash(path))
    path.write_text(SOURCE.format(4))
    with pytest.raises(ImportError, match="has changed since this program began to use it"):
        importlib.import_module("dlplug.plugin.files.my_net")


def test_what_was_not_entered_is_not_there():
    """By Python's own message."""
    with pytest.raises(ModuleNotFoundError, match=r"dlplug\.plugin\.files\.no_net"):
        importlib.import_module("dlplug.plugin.files.no_net")


def number_of(value):
    return value.number


@pytest.mark.parametrize("method", ["fork", "spawn", "forkserver"])
def test_a_worker_has_the_class(path, method):
    """However it is started: what it gets is pickled by name."""
    context = multiprocessing.get_context(method)
    with ProcessPoolExecutor(1, mp_context=context) as pool:
        assert pool.submit(number_of, net(path)).result() == 1


def test_a_new_process_needs_the_variable_only(path):
    """As the processes of a training, which start programs of their own."""
    pickled = pickle.dumps(net(path)).hex()
    code = f"import pickle; print(pickle.loads(bytes.fromhex('{pickled}')).number)"
    root = str(Path(__file__).parents[2])

    def run(environment):
        line = [sys.executable, "-c", code]
        given = os.environ | {"PYTHONPATH": root} | environment
        return subprocess.run(line, capture_output=True, text=True, env=given)

    assert run({}).stdout == "1\n"
    assert json.loads(os.environ[VARIABLE])
    assert "No module named" in run({VARIABLE: ""}).stderr
