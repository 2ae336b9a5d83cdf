"""What happens to one of two processes in the middle of a training."""

import os
import signal
import threading
import time
from pathlib import Path

import lightning

FIRED = "fired.txt"
FAULT = "DLPLUG_CHAOS_FAULT"


class RankFault(lightning.Callback):
    """Do it once in a folder, so that the training can go on when it is started again.

    The variable `FAULT` holds rank, optimizer step and how, as in ``1 6 kill``: ``kill`` the
    process (SIGKILL), ``stop`` it as a whole (SIGSTOP), or let its main thread ``wait`` for what
    never comes, as for data. The config says nothing of it, since a checkpoint holds the config.
    """

    def on_train_batch_end(self, trainer, pl_module, outputs, batch, batch_idx) -> None:
        rank, step, how = os.environ.get(FAULT, "-1 0 kill").split()
        is_here = (trainer.global_rank, trainer.global_step) == (int(rank), int(step))
        if not is_here or Path(FIRED).exists():
            return
        Path(FIRED).write_text(str(time.time()))
        if how == "wait":
            threading.Event().wait()
        os.kill(os.getpid(), signal.SIGKILL if how == "kill" else signal.SIGSTOP)
