"""The plugins in the folder ``plugins`` keep the rules."""

import subprocess

import pytest

from tests.plugin.packages import every_package


@pytest.mark.slow
@every_package
def test_a_plugin_keeps_every_rule(package, tmp_path):
    """Installed as its pyproject says, each component and module of hooks."""
    package.require()
    done = subprocess.run(
        [package.python(), "-m", "dlplug", "plugins", "check", package.name],
        cwd=tmp_path,
        env=package.install(tmp_path / "site"),
        capture_output=True,
        text=True,
    )
    assert done.returncode == 0, done.stdout[-5000:] + done.stderr[-1000:]
    assert "ok: loads" in done.stdout and ", 0 failed" in done.stdout
