"""The table of faults: one module each, ``tests/chaos/<name>.py``."""

from dataclasses import dataclass
from importlib import import_module
from pathlib import Path

from tests.chaos.outcome import Outcome


@dataclass(frozen=True)
class Fault:
    """One kind of fault.

    Args:
        name: Of its module.
        sentence: What is done, and what must hold after it.
        quick: How often with ``--quick``.
        full: How often without.
    """

    name: str
    sentence: str
    quick: int
    full: int

    def inject(self, count: int, folder: Path) -> Outcome:
        """Do it ``count`` times.

        Raises:
            ModuleNotFoundError: there is no such module.
        """
        return import_module(f"{__package__}.{self.name}").inject(count, folder)


FAULTS = (
    Fault(
        "kills",
        "`kill -9` of a training at a random moment, with 0 and 2 loader workers: it goes on and"
        " ends with the same bits",
        quick=2,
        full=50,
    ),
    Fault(
        "signals",
        "SIGTERM and Ctrl-C in every phase: saved within the step, the exit code says so, and the"
        " training goes on exactly",
        quick=8,
        full=18,  # every signal in every phase
    ),
    Fault(
        "kills_in_save",
        "`kill -9` within the save of a checkpoint: no file is torn, and one is left to go on from",
        quick=10,
        full=100,
    ),
    Fault(
        "failing_disk",
        "one call to the disk fails, each of a save in turn: one error, and a checkpoint to go on"
        " from",
        quick=30,
        full=240,  # more than a save has calls, times the ways of saving
    ),
    Fault(
        "full_disk",
        "a full disk: the error names the bytes, and the checkpoint that was there stays",
        quick=12,
        full=48,
    ),
    Fault(
        "corrupt_checkpoints",
        "flipped bits, cut and grown files, zeros: found before anything is unpickled",
        quick=200,
        full=200,
    ),
    Fault(
        "corrupt_records",
        "damaged image files: refused by name, or set aside with the same bits for any number of"
        " workers and after a resume",
        quick=5,
        full=50,
    ),
    Fault(
        "hostile_files",
        "checkpoints, configs and data made to run code: refused, and nothing of them runs",
        quick=40,
        full=147,  # all that there are
    ),
    Fault(
        "killed_workers",
        "`kill -9` of a loader worker: named within 10 s, and the training ends with the same bits",
        quick=6,
        full=20,
    ),
    Fault(
        "non_finite",
        "NaN and infinity in data, layers, loss and gradients: no weight is ever spoilt, and too"
        " many in a row end the run with the last good state",
        quick=8,
        full=100,
    ),
    Fault(
        "loss_spikes",
        "poisoned records that make the loss jump: the run goes back, skips them and ends as well"
        " as one without",
        quick=2,
        full=10,
    ),
    Fault(
        "dying_ranks",
        "`kill -9` of one of two processes: the other names it and ends, and the training goes on"
        " exactly",
        quick=1,
        full=5,
    ),
    Fault(
        "hanging_ranks",
        "one of two processes hangs: it is named within the bound, and no process is left behind",
        quick=1,
        full=8,
    ),
)
