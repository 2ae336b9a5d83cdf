"""SIGTERM and Ctrl-C in every phase: saved within the step, exit 143 or 130, and gone on exactly.

A second signal ends the process at once, and leaves a checkpoint to go on from.
"""

import signal
from pathlib import Path

from dlplug.run.folder import Run
from dlplug.storage.checkpoint import read_checkpoint
from tests.chaos.fingerprint import difference, fingerprint
from tests.chaos.outcome import Outcome
from tests.chaos.processes import start
from tests.chaos.progress import report
from tests.chaos.signal_fault import FAULT, FIRED

STEPS_PER_EPOCH, SAVE_INTERVAL = 10, 4  # optimizer steps
CONFIG = f"""
seed_everything: 5
name: told
architecture: {{name: mlp, hidden: [32], dropout: 0.2}}
optimizer: {{name: adamw, lr: 3.0e-3}}
scheduler: {{name: warmup_cosine, warmup: 0.1}}
data: {{name: digits, batch_size: 32}}
callbacks:
- {{name: ema, decay: 0.9}}
- {{name: checkpoint, every_n_steps: {SAVE_INTERVAL}}}
- class_path: tests.chaos.signal_fault.SignalFault
trainer: {{max_epochs: 3, limit_train_batches: {STEPS_PER_EPOCH}, accelerator: cpu}}
"""
FIT = ["fit", "--config", "told.yaml", "--resume", "auto", "--trust", "tests.chaos.signal_fault"]
PATIENCE = 120  # seconds without an end
# Phase, after which step at the earliest, how many signals. 30 is after the training.
CASES = (
    ("training", 13, 1),
    ("validation", 30, 1),
    ("save", 8, 1),
    ("data wait", 5, 1),
    ("validation", 10, 1),
    ("training", 17, 2),
    ("test", 30, 1),
    ("save", 30, 1),
    ("validation", 20, 2),
)
SIGNALS = ("SIGTERM", "SIGINT")


def inject(count: int, folder: Path) -> Outcome:
    """Send ``count`` signals, of both kinds in turn, in all phases."""
    fired = contained = 0
    expected = None
    for index in range(count):
        name = SIGNALS[index % 2]
        phase, step, times = CASES[index // 2 % len(CASES)]
        if expected is None:
            whole = folder / "whole"
            assert train(whole, None) == 0
            expected = fingerprint(run_in(whole))
        place = folder / f"told-{index}"
        code = train(place, f"{name}, {phase}, {step}, {times}")
        fired += (place / FIRED).exists()
        holds = code == goal(name, times) and is_saved(place, phase, times)
        # What is left of the training, with the same words.
        holds = holds and train(place, None) == 0
        contained += holds and not difference(fingerprint(run_in(place)), expected)
        report(index + 1)
    return Outcome(fired, contained)


def goal(name: str, times: int) -> int:
    """Code that says so: of a second signal, the signal itself."""
    signum = signal.Signals[name]
    return 128 + signum if times == 1 else -signum


def is_saved(place: Path, phase: str, times: int) -> bool:
    """Whether the run says that it was interrupted, and has saved the step it was in."""
    run, step = run_in(place), int((place / FIRED).read_text())
    saved = read_checkpoint(run.last)["global_step"]
    if times == 2:  # nobody has noted it
        return saved % SAVE_INTERVAL == 0 or saved % STEPS_PER_EPOCH == 0
    # In a batch, its step; between two, that of the next one, of which a training has no 31st.
    is_over = step == 30 or phase == "test"
    return run.status["status"] == "interrupted" and saved == (30 if is_over else step + 1)


def train(place: Path, fault: str | None) -> int:
    """Train, or go on, until the end or the fault; gives the exit code."""
    place.mkdir(exist_ok=True)
    (place / "told.yaml").write_text(CONFIG)
    (place / FAULT).unlink(missing_ok=True)
    if fault:
        (place / FAULT).write_text(fault)
    return start(FIT, place, place.parent / "cache").wait(PATIENCE)


def run_in(place: Path) -> Run:
    """The only run of a folder."""
    (run,) = Run.of_name(place / "runs", "told")
    return run
