"""Worker processes that are forked and never come up."""

from collections.abc import Callable, Sequence
from functools import partial
from multiprocessing import Pipe
from multiprocessing.connection import Connection, wait
from multiprocessing.process import BaseProcess
from pathlib import Path

from dlplug.data.worker_death import StuckWorker, WorkerDeath

# Seconds between two looks at a worker that has not told anything yet.
LOOK = 0.2
# In one and the same sleep. What a worker does before it tells never sleeps for 2 s at a stretch.
LOOKS = 10


class Births:
    """Have each worker tell that it has come up, before it runs anything else.

    A fork copies every lock and only one thread: a lock that another thread held in that moment is
    never released in the child. Python before 3.10.15 and 3.11.10 itself takes one there
    (python/cpython#112275), which threads of torch hold for an instant when they begin to run
    Python, as gloo's do after a collective; libraries have others. Such a worker has read nothing,
    and another fork is as good as the first.

    It is told from a slow one by the kernel: it stays in the same sleep. One that waits for the
    processor does not sleep, and one that waits for files sleeps many times. Where the kernel does
    not say (other than Linux), and for workers that are not forked, nobody is judged.
    """

    def __init__(self):
        self._reader, self._writer = Pipe(duplex=False)

    def announcing(self, start: Callable[[int], object] | None) -> Callable[[int], None]:
        """What is to be a loader's ``worker_init_fn``: tell, then do ``start``."""
        return partial(_announce, self._writer, start)

    def wait_for(self, workers: Sequence[BaseProcess], oom_kills: int) -> None:
        """Return when all have come up; called once.

        Args:
            workers: In the order of their numbers.
            oom_kills: What `worker_death.oom_kills` said before they were started.
        Raises:
            StuckWorker: one will never come up; it has been killed.
            WorkerDeath: one has ended.
        """
        missing = dict(enumerate(workers))
        looks = dict.fromkeys(missing, 0)
        sleeps: dict[int, int | None] = dict.fromkeys(missing)
        with self._reader, self._writer:
            while missing:
                ready = wait([self._reader, *(w.sentinel for w in missing.values())], LOOK)
                if self._reader in ready:
                    del missing[self._reader.recv()]
                    continue
                for number, worker in missing.items():
                    if worker.sentinel in ready:
                        raise WorkerDeath(number, worker, oom_kills)
                    sleep = _sleep(worker.pid) if worker._popen.method == "fork" else None
                    is_same = sleep is not None and sleep == sleeps[number]
                    looks[number] = looks[number] + 1 if is_same else 0
                    sleeps[number] = sleep
                    if looks[number] >= LOOKS:
                        worker.kill()
                        raise StuckWorker(number, worker, oom_kills)


def _announce(writer: Connection, start: Callable[[int], object] | None, number: int) -> None:
    """In the worker. So short a message is written whole or not at all."""
    writer.send(number)
    writer.close()
    if start is not None:
        start(number)


def _sleep(pid: int) -> int | None:
    """How often a process had slept before its present sleep; None when it does not sleep."""
    try:
        lines = Path(f"/proc/{pid}/status").read_text().splitlines()
    except OSError:
        return None
    fields = dict(line.split(":", 1) for line in lines if ":" in line)
    if not fields.get("State", "").strip().startswith("S"):
        return None
    count = fields.get("voluntary_ctxt_switches")
    return None if count is None else int(count)
