"""Two processes save together, at the time that the first one's clock tells."""

import pytest

from dlplug.run.folder import Run
from dlplug.storage.checkpoint import read_checkpoint
from tests.run.test_distributed import CONFIG, fit

# By the first process's clock a minute is over at the fourth step, by the other's at every step.
CLOCKS = """
import sys
from pathlib import Path
import dlplug.callbacks.implicit.random_state as random_state
from dlplug.callbacks.checkpoint import Checkpoint
class Clocks(random_state.RandomState):
    @property
    def state_key(self):
        return "RandomState"
    def on_train_start(self, trainer, pl_module):
        super().on_train_start(trainer, pl_module)
        is_first = trainer.is_global_zero
        trainer.checkpoint_callback.interval.clock = lambda: 61.0 * (
            trainer.global_step >= 4 if is_first else trainer.global_step
        )
write = Checkpoint._write_last
def remember(self, trainer, again=False):
    with Path({folder!r}, f"steps-{{trainer.global_rank}}").open("a") as file:
        file.write(f"{{trainer.global_step}} ")
    write(self, trainer, again)
Checkpoint._write_last = remember
import dlplug.run.callbacks as callbacks
callbacks.RandomState = Clocks
from tests.run.fit_script import main
main(*sys.argv[1:])
"""


@pytest.mark.slow
@pytest.mark.parametrize("strategy", ["ddp", "fsdp2"])
def test_the_first_clock_decides_for_all(tmp_path, strategy):
    """Whatever the other one tells; gathering the state needs both at the same step."""
    path, script = tmp_path / "tiny.yaml", tmp_path / "clocks.py"
    path.write_text(CONFIG)
    script.write_text(CLOCKS.format(folder=str(tmp_path)))
    short = ("trainer.max_epochs=1", "trainer.limit_val_batches=1")
    done = fit(path, tmp_path, f"trainer.strategy={strategy}", *short, script=script)
    assert done.returncode == 0, done.stderr
    assert [(tmp_path / f"steps-{rank}").read_text() for rank in (0, 1)] == ["4 10 "] * 2
    run = Run.find("tiny", tmp_path)
    assert read_checkpoint(run.previous)["global_step"] == 4
    assert read_checkpoint(run.last)["global_step"] == 10
