"""Listing stays cheap with hundreds of plugins: what it does for each is counted, not timed."""

import json
import subprocess
import sys
from collections import Counter
from importlib import metadata
from pathlib import Path

import pytest

from dlplug.cli import main
from dlplug.plugin import Registry

NUMBER = 300
DESCRIPTION = "A long description.\n" * 200


@pytest.fixture
def many(tmp_path, monkeypatch):
    """300 distributions with two components each, none of which has any code."""
    site = tmp_path / "site"
    for i in range(NUMBER):
        info = site / f"acme_{i}-1.0.dist-info"
        info.mkdir(parents=True)
        (info / "METADATA").write_text(
            f"Metadata-Version: 2.4\nName: acme-{i}\nVersion: 1.0\nSummary: Plugin {i}.\n"
            f"Requires-Dist: torch>=2\nRequires-Dist: numpy\n\n{DESCRIPTION}"
        )
        (info / "entry_points.txt").write_text(
            f"[dlplug.architectures]\nnet_{i} = acme_{i}.net:Net\n"
            f"[dlplug.losses]\nloss_{i} = acme_{i}.loss:Loss\n[dlplug.api]\nmajor = v1\n"
        )
    monkeypatch.syspath_prepend(site)
    return site


def test_each_plugin_is_read_a_fixed_number_of_times(many, monkeypatch, capsys):
    """Its metadata once, its entry points twice; the whole list of folders once."""
    reads, searches = Counter(), Counter()
    read_text, search = Path.read_text, metadata.FastPath.children

    def counted_read(path, *arguments, **keywords):
        reads[path.name] += path.is_relative_to(many)
        return read_text(path, *arguments, **keywords)

    def counted_search(folder):
        searches[folder.root] += 1
        return search(folder)

    monkeypatch.setattr(Path, "read_text", counted_read)
    monkeypatch.setattr(metadata.FastPath, "children", counted_search)
    assert main(["plugins", "list", "--json"]) == 0
    listed = json.loads(capsys.readouterr().out.splitlines()[-1])
    assert len(listed["plugins"]) == NUMBER + 1 and not listed["problems"]
    assert reads["METADATA"] == NUMBER and reads["entry_points.txt"] == 2 * NUMBER
    assert searches[str(many)] == 1, searches


def test_what_is_installed_is_asked_once_for_each_requirement(many, monkeypatch):
    """Not once for each plugin that requires it."""
    asked = Counter()
    monkeypatch.setattr(
        "dlplug.plugin.plugin.is_installed", lambda name: asked.update([name]) or True
    )
    assert len(Registry.discover().plugins()) == NUMBER + 1
    assert set(asked) == {"torch", "numpy"} and set(asked.values()) == {1}


def test_names_are_found_without_importing_anything(many):
    """The list, completion and a wrong name."""
    code = (
        "import sys\n"
        "from dlplug.cli import main\n"
        "for line in ('plugins list', '__complete zsh -- fit --loss loss_2', 'fit --loss los_2'):\n"
        "    main(line.split())\n"
        "heavy = {'torch', 'lightning', 'numpy', 'yaml'}\n"
        "print(sorted(heavy & sys.modules.keys() | {m for m in sys.modules if 'acme' in m}))\n"
    )
    done = subprocess.run(
        [sys.executable, "-c", code],
        capture_output=True,
        text=True,
        env={"PYTHONPATH": f"{many}:{Path(__file__).parents[2]}", "HOME": str(many)},
    )
    *_, last = done.stdout.splitlines()
    assert "loss_299" in done.stdout and "did you mean 'loss_2'" in done.stderr
    assert last in ("[]", "['yaml']")
