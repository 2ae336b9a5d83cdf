"""A data loader that goes on when a worker process has been killed, or does not come up."""

import copy
import os
import queue
import sys
from collections.abc import Callable, Sequence
from functools import partial
from multiprocessing.connection import wait
from typing import Any

from torch.utils.data._utils import MP_STATUS_CHECK_INTERVAL, signal_handling
from torchdata.stateful_dataloader import StatefulDataLoader
from torchdata.stateful_dataloader.stateful_dataloader import _StatefulMultiProcessingDataLoaderIter

from dlplug.data.worker_birth import Births
from dlplug.data.worker_death import EXIT_SECONDS, WorkerDeath, oom_kills
from dlplug.errors import DataError

# Of one pass through the data. A record that kills whoever reads it would do so for ever.
RESTARTS = 3


class RestartingLoader(StatefulDataLoader):
    """Batches of a map-style data set; arguments as for `StatefulDataLoader`.

    When a worker process is killed, all of them are started again behind the last batch that was
    handed out: the same batches follow. torch's own loader raises from a signal handler, that is
    in the middle of whatever the training does just then; and it waits for ever for a worker that
    is stuck in its fork (see `Births`), where here all are started again as well.
    """

    def _get_iterator(self):
        if self.num_workers == 0:
            return super()._get_iterator()
        state, self.next_iter_state = self.next_iter_state, None
        return RestartingIterator(self, state)


class RestartingIterator(_StatefulMultiProcessingDataLoaderIter):
    """One pass through the data.

    Args:
        loader: Whose batches.
        state: Where to begin, or None.
    Raises:
        DataError: more than `RESTARTS` workers have died or did not come up.
    """

    def __init__(self, loader: RestartingLoader, state: dict[str, Any] | None):
        # Not the loader itself, which holds this iterator: a cycle would keep processes alive.
        self._origin = copy.copy(loader)
        self._origin._iterator = None
        self._worker_start = loader.worker_init_fn
        self._deaths = 0
        self._oom_kills = oom_kills()
        self._start(state)

    def __next__(self) -> Any:
        while True:
            try:
                self._check_workers()
                return super().__next__()
            except WorkerDeath as death:
                self._count(death)
            # Workers have a seed, which the state holds: the loader's next pass draws its own.
            generator = self._origin.generator.get_state()
            self._start(self.state_dict())
            self._origin.generator.set_state(generator)

    def _start(self, state: dict[str, Any] | None) -> None:
        generator = self._origin.generator.get_state()
        while True:
            try:
                self._build(state)
                return
            except WorkerDeath as death:
                self._count(death)
                self._origin.generator.set_state(generator)

    def _build(self, state: dict[str, Any] | None) -> None:
        self._births = Births()
        self._origin.worker_init_fn = self._births.announcing(self._worker_start)
        try:
            super().__init__(self._origin, state)
        except RuntimeError:
            # torch's signal handler, in the moment before `_reset` takes over.
            self._check_workers()
            raise

    def _count(self, death: WorkerDeath) -> None:
        self._end_workers()
        self._deaths += 1
        position = getattr(self, "_num_yielded", 0) + 1
        if self._deaths > RESTARTS:
            raise DataError(
                f"{self._deaths} workers that read ahead have died in one pass through the data;"
                f" at batch {position}, {death}",
                fix="data.num_workers: 0 reads in the training process and shows what fails; where"
                " memory is short, take fewer workers or a smaller data.batch_size",
            ) from death
        print(f"data: {death}; all start again at batch {position}", file=sys.stderr, flush=True)

    def _reset(self, loader, first_iter: bool = False, **arguments) -> None:
        if first_iter:
            # From here on we look after the processes; see the class.
            signal_handling._remove_worker_pids(id(self))
            self._worker_pids_set = False
            if not self._pin_memory:
                guard(self._worker_result_queue._reader, [w.sentinel for w in self._workers])
            self._births.wait_for(self._workers, self._oom_kills)
        super()._reset(loader, first_iter, **arguments)

    def _check_workers(self, seconds: float = 0.0) -> None:
        """All workers are alive, unless they have been told to end.

        Args:
            seconds: To wait for the end of one that has closed its files.
        """
        if self._shutdown:
            return
        ended = wait([w.sentinel for w in self._workers], seconds)
        for number, worker in enumerate(self._workers):
            if worker.sentinel in ended:
                raise WorkerDeath(number, worker, self._oom_kills)

    def _try_get_data(self, timeout: float = MP_STATUS_CHECK_INTERVAL) -> tuple[bool, Any]:
        if not self._pin_memory:
            wait([self._worker_result_queue._reader, *(w.sentinel for w in self._workers)], timeout)
        self._check_workers()
        try:
            return True, self._data_queue.get(timeout=timeout if self._pin_memory else 0.0)
        except queue.Empty:
            return False, None
        except Exception as error:
            # The memory of a batch is fetched from the worker that made it.
            self._check_workers(EXIT_SECONDS)
            raise DataError(
                f"a batch could not be fetched from a worker: {type(error).__name__}: {error}",
                fix="where files are short (ulimit -n), raise the limit or lower data.num_workers",
            ) from error

    def _get_data(self) -> Any:
        try:
            return super()._get_data()
        except RuntimeError:
            # The thread that pins memory has met the end of a worker.
            self._check_workers(EXIT_SECONDS)
            raise

    def _shutdown_workers(self) -> None:
        if all(worker.is_alive() for worker in self._workers):
            super()._shutdown_workers()
        else:
            self._end_workers()

    def _end_workers(self) -> None:
        """Without asking: one that was killed may hold the locks by which the others are asked."""
        if self._shutdown:
            return
        self._shutdown = True
        for worker in self._workers:
            worker.kill()
        for worker in self._workers:
            worker.join()
        if self._pin_memory:
            self._pin_memory_thread_done_event.set()
        for channel in self._index_queues:
            channel.cancel_join_thread()
            channel.close()


def guard(connection: Any, sentinels: Sequence[int]) -> None:
    """Let nobody wait for the rest of a message whose sender has been killed.

    Args:
        connection: The end of a pipe that is read.
        sentinels: Become ready when a process ends.
    """

    def read(handle: int, size: int) -> bytes:
        return os.read(handle, size) if handle in wait([handle, *sentinels]) else b""

    receive: Callable = connection._recv
    connection._recv = partial(receive, read=read)
