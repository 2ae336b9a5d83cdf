"""The thread with which Lightning's launcher looks after the processes that it started."""

import threading

NAME = "child-process-observer"


def hold_back(seconds: float) -> None:
    """Let it wait before it kills.

    Lightning 2.6.6 kills all processes, the first one included, up to 5 s after one has died:
    without a word, and before the run's record is written. As a last resort it is still good.

    Args:
        seconds: Between the death that it sees and the kill.
    """
    for thread in threading.enumerate():
        if thread.name == NAME and not hasattr(thread, "kill"):
            thread.kill = thread._terminate_all
            thread._terminate_all = lambda kill=thread.kill: (
                threading.Event().wait(seconds),
                kill(),
            )
