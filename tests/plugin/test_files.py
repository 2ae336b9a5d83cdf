"""Plugin files are importable by name, in this process and in its children."""

import importlib
import json
import multiprocessing
import os
import pickle
import subprocess
import sys
from concurrent.futures import ProcessPoolExecutor
from pathlib import Path

import pytest

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
