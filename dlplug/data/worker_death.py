"""How a worker process ended, and what that usually means."""

import signal
from multiprocessing.process import BaseProcess
from pathlib import Path

# Where Linux counts the processes that it has killed for memory: of the machine, of the container.
OOM_COUNTERS = ("/proc/vmstat", "/sys/fs/cgroup/memory.events")
# Between the closing of a process's files and its exit status, in seconds.
EXIT_SECONDS = 5.0
REASONS = {
    signal.SIGKILL: "by somebody, or by the kernel for want of memory",
    signal.SIGBUS: "often a full /dev/shm",
    signal.SIGSEGV: "a fault in a library, perhaps met by one record",
}


class WorkerDeath(Exception):
    """A worker has ended although there was work left.

    Args:
        number: Of the worker, from 0.
        process: That was it.
        oom_kills: What `oom_kills` said when the worker was started.
    """

    def __init__(self, number: int, process: BaseProcess, oom_kills: int):
        super().__init__(number, process.pid)
        self.number = number
        self.pid = process.pid
        process.join(EXIT_SECONDS)
        self.exit_code = process.exitcode
        self.oom_kills = oom_kills

    def __str__(self) -> str:
        who = f"worker {self.number} (process {self.pid})"
        if self.exit_code is None or self.exit_code >= 0:
            return f"{who} ended with exit code {self.exit_code}"
        number = -self.exit_code
        name = signal.Signals(number).name if number in set(signal.Signals) else f"signal {number}"
        reason = REASONS.get(number)
        if number == signal.SIGKILL and oom_kills() > self.oom_kills:
            reason = "the kernel has run out of memory meanwhile"
        return f"{who} was killed by {name}" + (f" ({reason})" if reason else "")


class StuckWorker(WorkerDeath):
    """A worker had to be killed, since it would never have begun; arguments as above."""

    def __str__(self) -> str:
        return (
            f"worker {self.number} (process {self.pid}) did not come up: another thread held a lock"
            " when it was forked"
        )


def oom_kills() -> int:
    """Processes that the kernel has killed for want of memory so far; 0 where it does not tell."""
    total = 0
    for path in OOM_COUNTERS:
        try:
            lines = Path(path).read_text().splitlines()
        except OSError:
            continue
        total += sum(int(line.split()[1]) for line in lines if line.startswith("oom_kill "))
    return total
