"""Fake installed distributions: metadata folders and modules in a temporary folder on sys.path.

Another test folder gets the fixtures with
``from tests.plugin.fakes import fake_distribution, private_memory`` in its conftest.
"""

import importlib
import json
import sys
from collections.abc import Iterable, Mapping
from pathlib import Path
from textwrap import dedent

import pytest

Lines = Mapping[str, str] | Iterable[tuple[str, str]]


class FakeDistributions:
    """Installs distributions that exist for one test only.

    Args:
        root: Folder for them, one sub-folder per folder of ``sys.path``.
        monkeypatch: Takes the folders off ``sys.path`` again.
    """

    def __init__(self, root: Path, monkeypatch: pytest.MonkeyPatch):
        self.root = root
        self._monkeypatch = monkeypatch

    def __call__(
        self,
        name: str,
        version: str = "1.0",
        *,
        entry_points: Mapping[str, Lines] | str | None = None,
        modules: Mapping[str, str] | None = None,
        requires: Iterable[str] = (),
        extras: Iterable[str] = (),
        summary: str = "",
        folder: str = "site",
        form: str = "dist-info",
    ) -> Path:
        """Install one distribution.

        Args:
            name: As in its metadata.
            version: As in its metadata.
            entry_points: ``{group: {name: value}}``, pairs where a name comes twice, or the text
                of the file.
            modules: Source by dotted name; packages are made as needed.
            requires: Requires-Dist lines.
            extras: Provides-Extra lines.
            summary: Its Summary.
            folder: Which folder of ``sys.path``; the one used last comes first.
            form: ``dist-info`` or ``egg-info``.
        Returns:
            The folder of ``sys.path``.
        """
        site = self.root / folder
        if str(site) not in sys.path:
            self._monkeypatch.syspath_prepend(site)
        stem = name.replace("-", "_")
        info = site / (f"{stem}-{version}.dist-info" if form == "dist-info" else f"{stem}.egg-info")
        info.mkdir(parents=True)
        fields = [("Metadata-Version", "2.4"), ("Name", name), ("Version", version)]
        fields += [("Summary", summary)] if summary else []
        fields += [("Requires-Dist", line) for line in requires]
        fields += [("Provides-Extra", line) for line in extras]
        text = "".join(f"{key}: {value}\n" for key, value in fields)
        (info / ("METADATA" if form == "dist-info" else "PKG-INFO")).write_text(text)
        if entry_points is not None:
            (info / "entry_points.txt").write_text(_entry_points_text(entry_points))
        for module, source in (modules or {}).items():
            self._write_module(site, module, source)
        # The finders' caches compare times of folders, which are too coarse for a test.
        importlib.invalidate_caches()
        return site

    def record_folder(self, name: str, folder: Path, is_editable: bool = True) -> None:
        """Write down, as pip does, that a distribution was installed from a folder."""
        (info,) = self.root.glob(f"*/{name.replace('-', '_')}-*.dist-info")
        kind = {"editable": True} if is_editable else {}
        text = json.dumps({"url": folder.as_uri(), "dir_info": kind})
        (info / "direct_url.json").write_text(text)

    def _write_module(self, site: Path, module: str, source: str) -> None:
        *packages, last = module.split(".")
        folder = site
        for package in packages:
            folder /= package
            folder.mkdir(exist_ok=True)
            (folder / "__init__.py").touch()
        (folder / f"{last}.py").write_text(dedent(source))

    def forget_modules(self) -> None:
        """Take what was imported from here out of ``sys.modules``."""
        for name, module in list(sys.modules.items()):
            if str(getattr(module, "__file__", None) or "").startswith(f"{self.root}/"):
                del sys.modules[name]


def _entry_points_text(entry_points: Mapping[str, Lines] | str) -> str:
    if isinstance(entry_points, str):
        return dedent(entry_points)
    parts = []
    for group, lines in entry_points.items():
        pairs = lines.items() if isinstance(lines, Mapping) else lines
        parts.append("\n".join([f"[{group}]", *(f"{name} = {value}" for name, value in pairs)]))
    return "\n\n".join(parts) + "\n"


@pytest.fixture
def fake_distribution(tmp_path, monkeypatch):
    """Call it to install a distribution for the length of a test; see `FakeDistributions`."""
    fakes = FakeDistributions(tmp_path / "installed", monkeypatch)
    yield fakes
    fakes.forget_modules()


@pytest.fixture(autouse=True)
def private_memory(tmp_path, monkeypatch):
    """What is remembered and disabled stands in folders of the test; no rule is inherited."""
    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path / "cache"))
    monkeypatch.setenv("XDG_CONFIG_HOME", str(tmp_path / "settings"))
    monkeypatch.setenv("DLPLUG_PLUGIN_FILES", "")  # so that it is taken back afterwards
    monkeypatch.delenv("DLPLUG_BLOCK", raising=False)
    monkeypatch.delenv("DLPLUG_ALLOW", raising=False)
    return tmp_path / "cache"
