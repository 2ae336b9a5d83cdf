"""What the hostile payloads have in common: where they are kept, and how one is offered."""

import contextlib
import io
import itertools
import re
import sys
import traceback
from dataclasses import dataclass, field
from pathlib import Path

from dlplug.cli import main

CONFIG = """
seed_everything: 3
architecture: {name: mlp, hidden: [16]}
data: {name: digits, batch_size: 64}
trainer: {max_epochs: 1, limit_train_batches: 4, limit_val_batches: 1, accelerator: cpu}
"""
CANARY = "canary"
MODULE = "stranger_module"
"""Makes its canary when it is imported; it lies beside the config and can be imported."""


@dataclass(frozen=True)
class Payload:
    """Something hostile, and the command that reads it.

    Args:
        name: Of the payload, for a report.
        folder: With its files; if anything of it runs, the file ``canary`` appears in there.
        arguments: Of the command line.
        text: Must stand in the error.
        naive: Python code that reads it carelessly, so that the canary appears; None where there is
            nothing that could run.
        code: Exit code that is right.
    """

    name: str
    folder: Path
    arguments: tuple[str, ...]
    text: str
    naive: str | None = None
    code: int = 2

    @property
    def canary(self) -> Path:
        """Exists when something of the payload ran."""
        return self.folder / CANARY


@dataclass
class Victim:
    """A folder in which somebody works, with a config and a good run.

    Args:
        folder: Empty.
    """

    folder: Path
    counter: itertools.count = field(default_factory=itertools.count)

    def __post_init__(self):
        (self.folder / "digits.yaml").write_text(CONFIG)

    @property
    def run(self) -> Path:
        """The good run."""
        return self.folder / "runs" / "digits" / "1"

    def new(self, name: str) -> Path:
        """An empty folder for a payload."""
        path = self.folder / "payloads" / f"{next(self.counter)}-{name}"
        path.mkdir(parents=True)
        return path


@dataclass(frozen=True)
class Answer:
    """What the command line said to a payload."""

    code: int | None
    out: str
    err: str

    def is_right_for(self, payload: Payload) -> bool:
        """The right code, one error with the expected text, and nothing of the payload has run."""
        errors = re.findall(r"^\w+Error: ", self.err, re.M)
        return (
            self.code == payload.code
            and len(errors) == (1 if payload.code else 0)
            and "Traceback" not in self.err
            and payload.text in self.err
            and not payload.canary.exists()
        )


def write_module(folder: Path) -> None:
    """Put `MODULE` into a payload's folder."""
    text = f"open({str(folder / CANARY)!r}, 'w').close()\nclass Model: pass\n"
    (folder / f"{MODULE}.py").write_text(text)


def offer(payload: Payload) -> Answer:
    """Run the command in this process, where the payload's modules can be imported.

    An exception that is no error of dlplug's is code None.
    """
    out, err = io.StringIO(), io.StringIO()
    sys.path.insert(0, str(payload.folder))  # as `python -m` does with the working folder
    with contextlib.redirect_stdout(out), contextlib.redirect_stderr(err):
        try:
            code = main(list(payload.arguments))
        except (Exception, SystemExit):
            code = None
            traceback.print_exc()
        finally:
            sys.path.remove(str(payload.folder))
            sys.modules.pop(MODULE, None)
    return Answer(code, out.getvalue(), err.getvalue())
