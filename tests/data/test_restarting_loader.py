"""RestartingLoader: killed workers, at every moment, and the batches that follow all the same."""

import os
import signal
from multiprocessing.connection import wait

import pytest
import torch
from torch.utils.data import Dataset

from dlplug.data.loader import as_is, evaluation_loader, training_loader
from dlplug.data.restarting_loader import RESTARTS, RestartingLoader
from dlplug.data.worker_death import WorkerDeath, oom_kills
from dlplug.errors import DataError


class Numbers(Dataset):
    """Record i is the number i; whoever reads a batch with the record ``deadly`` is killed.

    Args:
        deadly: A record, or None.
        once: A file, without which nobody is killed; it vanishes with the first one. None for
            always.
        width: Bytes beside each record.
    """

    def __init__(self, deadly=None, once=None, width=0):
        self.deadly, self.once, self.width = deadly, once, width

    def __len__(self):
        return 40

    def __getitems__(self, positions):
        if self.deadly in positions and self._is_due():
            os.kill(os.getpid(), signal.SIGKILL)
        return torch.tensor(positions), bytes(self.width * len(positions))

    def _is_due(self):
        if self.once is None:
            return True
        try:
            os.unlink(self.once)
        except FileNotFoundError:
            return False
        return True


def loader_of(dataset=None, epoch=0):
    return training_loader(
        dataset or Numbers(), 4, num_workers=2, seed=5, epoch=epoch, rank=0, world_size=1
    )


def order(batches):
    return [batch.tolist() for batch, _ in batches]


def kill(worker, number=signal.SIGKILL):
    os.kill(worker.pid, number)
    worker.join()


@pytest.mark.parametrize("batches", [0, 1, 5, 9, 10])
@pytest.mark.parametrize("number", [0, 1])
def test_a_worker_is_killed_between_batches(batches, number, capfd):
    """The same batches follow; standard error says which worker, which signal, and where."""
    loader = loader_of()
    iterator = iter(loader)
    seen = [next(iterator) for _ in range(batches)]
    victim = iterator._workers[number]
    kill(victim)
    seen += iterator
    assert order(seen) == order(loader_of())
    assert capfd.readouterr().err == (
        f"data: worker {number} (process {victim.pid}) was killed by SIGKILL (by somebody, or by"
        f" the kernel for want of memory); all start again at batch {batches + 1}\n"
    )


def test_a_worker_is_killed_while_it_reads(tmp_path, capfd):
    """What it was reading is read again."""
    once = tmp_path / "once"
    once.touch()
    record = order(loader_of())[3][0]
    assert order(loader_of(Numbers(record, once))) == order(loader_of())
    assert not once.exists()
    assert "was killed by SIGKILL" in capfd.readouterr().err


def test_a_worker_is_killed_while_it_writes(capfd):
    """Nobody waits for the rest of a batch that was written half."""
    iterator = iter(loader_of(Numbers(width=2**20)))
    # A pipe holds 64 KiB: both workers stop in the middle of what they write.
    wait([iterator._worker_result_queue._reader])
    for worker in iterator._workers:
        kill(worker)
    assert order(iterator) == order(loader_of())
    assert "start again at batch 1" in capfd.readouterr().err


def test_a_message_without_an_end_is_given_up():
    """A worker that dies when the first half of its message has been read is noticed too."""
    iterator = iter(loader_of(Numbers(width=2**20)))
    reader = iterator._worker_result_queue._reader
    wait([reader])
    for worker in iterator._workers:
        kill(worker)
    with pytest.raises((EOFError, OSError)):
        reader.recv_bytes()


def test_the_dead_are_noticed_only_where_batches_are_asked_for():
    """No signal handler raises in the middle of something else, such as an optimizer's step."""
    iterator = iter(loader_of())
    next(iterator)
    handler = signal.getsignal(signal.SIGCHLD)
    assert callable(handler)  # torch's, which raises for the workers that it looks after
    for worker in iterator._workers:
        kill(worker)
    handler(signal.SIGCHLD, None)
    assert len(order(iterator)) == 9


def test_all_workers_die_at_once(capfd):
    """One is named, and one restart is counted."""
    iterator = iter(loader_of())
    for _ in range(RESTARTS):
        next(iterator)
        for worker in iterator._workers:
            kill(worker)
    assert len(order(iterator)) == 10 - RESTARTS
    assert capfd.readouterr().err.count("start again") == RESTARTS


def test_a_record_that_kills_its_reader_ends_the_training():
    """After some restarts: a DataError with signal and place, and no process is left."""
    record = order(loader_of())[6][0]
    iterator = iter(loader_of(Numbers(record)))
    with pytest.raises(DataError) as error:
        list(iterator)
    assert f"{RESTARTS + 1} workers that read ahead have died" in str(error.value)
    assert "was killed by SIGKILL" in str(error.value)
    assert "data.num_workers: 0" in str(error.value)
    assert not any(worker.is_alive() for worker in iterator._workers)


def test_a_worker_dies_at_its_start(tmp_path, capfd):
    """A death before the first batch is one like any other."""
    once = tmp_path / "once"
    once.touch()
    loader = loader_of()
    loader.worker_init_fn = lambda _: Numbers(0, once).__getitems__([0])
    assert order(loader) == order(loader_of())
    assert "start again at batch 1" in capfd.readouterr().err


def test_the_position_is_saved_and_loaded_as_ever():
    """A state taken after a restart leads to the rest of the epoch, in another process too."""
    iterator = iter(loader := loader_of())
    next(iterator)
    kill(iterator._workers[0])
    next(iterator)
    state = loader.state_dict()
    rest = order(iterator)
    resumed = loader_of()
    resumed.load_state_dict(state)
    iterator = iter(resumed)
    kill(iterator._workers[1])
    assert order(iterator) == rest


# torchdata 0.11 calls torch.set_vital, which torch 2.13 deprecates.
@pytest.mark.filterwarnings("ignore:'set_vital' is deprecated")
def test_the_next_epoch_has_the_same_seed():
    """Workers of an epoch after a death draw the numbers that they would have drawn."""
    seeds = []
    for is_killed in (False, True):
        generator = torch.Generator().manual_seed(5)
        loader = RestartingLoader(
            Numbers(), 4, num_workers=2, collate_fn=as_is, generator=generator
        )
        iterator = iter(loader)
        next(iterator)
        if is_killed:
            kill(iterator._workers[0])
        list(iterator)
        iterator = iter(loader)
        seeds.append(iterator._base_seed)
    assert seeds[0] == seeds[1]


def test_evaluation_goes_on_too(capfd):
    """Every record once."""
    loader = evaluation_loader(Numbers(), 4, num_workers=2, rank=0, world_size=1)
    iterator = iter(loader)
    first = next(iterator)
    kill(iterator._workers[1])
    assert [row for part in order([first, *iterator]) for row in part] == list(range(40))
    assert "start again at batch 2" in capfd.readouterr().err


def test_files_that_cannot_be_fetched_are_named():
    """An error of the way to the workers is no death: it says what to look at."""
    iterator = iter(loader_of())

    def fail(timeout):
        raise OSError(24, "Too many open files")

    iterator._data_queue.get = fail
    iterator._check_workers = lambda seconds=0.0: None
    with pytest.raises(DataError, match="Too many open files") as error:
        next(iterator)
    assert "ulimit -n" in str(error.value)


class Ended:
    """A process that is over."""

    pid = 17

    def __init__(self, exitcode):
        self.exitcode = exitcode

    def join(self, seconds):
        pass


@pytest.mark.parametrize(
    ("code", "text"),
    [
        (-signal.SIGKILL, "worker 1 (process 17) was killed by SIGKILL (by somebody, or"),
        (-signal.SIGBUS, "was killed by SIGBUS (often a full /dev/shm)"),
        (-signal.SIGSEGV, "was killed by SIGSEGV (a fault in a library"),
        (-signal.SIGTERM, "worker 1 (process 17) was killed by SIGTERM"),
        (-99, "was killed by signal 99"),
        (3, "worker 1 (process 17) ended with exit code 3"),
    ],
)
def test_the_way_a_worker_ended_is_named(code, text):
    """Signal and likely reason, or the exit code."""
    assert text in str(WorkerDeath(1, Ended(code), oom_kills()))


def test_an_out_of_memory_kill_is_told_from_others(tmp_path, monkeypatch):
    """By the kernel's own counters, before and after."""
    counter = tmp_path / "vmstat"
    counter.write_text("nr_free_pages 12\noom_kill 4\n")
    monkeypatch.setattr("dlplug.data.worker_death.OOM_COUNTERS", (str(counter), "/none"))
    death = WorkerDeath(0, Ended(-9), oom_kills())
    assert "by somebody" in str(death)
    counter.write_text("oom_kill 5\n")
    assert "the kernel has run out of memory meanwhile" in str(death)
