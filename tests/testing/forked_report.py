"""The conformance kit's question what imports cost, without the imports that all trainings make."""

import subprocess
from types import SimpleNamespace

import pytest

from tests import forked


@pytest.fixture
def forked_report(tmp_path_factory, monkeypatch):
    """Forks what asks, for tests in which what imports cost is not the subject.

    It begins with the libraries that the server has imported, and then imports the modules of a
    distribution as ever. Other questions of the kit are asked in fresh interpreters.
    """
    from dlplug.testing import imports

    script = tmp_path_factory.mktemp("report") / "report.py"
    script.write_text(imports.SCRIPT)

    def run(command: list[str], **options) -> subprocess.CompletedProcess:
        if command[1:] == ["-c", imports.SCRIPT]:
            command = [forked.python(), str(script)]
        return subprocess.run(command, **options)

    monkeypatch.setattr(imports, "subprocess", SimpleNamespace(run=run))
