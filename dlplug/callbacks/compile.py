"""Compile the architecture for the training."""

import lightning
import torch
from lightning.pytorch.callbacks import Callback

from dlplug.callbacks.network.patterns import architecture_of
from dlplug.errors import InvalidValueError

MODES = ("default", "reduce-overhead", "max-autotune", "max-autotune-no-cudagraphs")


class Compile(Callback):
    """Run the architecture through ``torch.compile`` while fitting.

    It is compiled in place: names of weights, checkpoints and averages stay as without. The first
    batches take long, and so does each new shape unless ``dynamic`` is set.

    Args:
        mode: Of the backend inductor: ``default``, ``reduce-overhead`` (CUDA graphs),
            ``max-autotune`` or ``max-autotune-no-cudagraphs``.
        fullgraph: Whether code that cannot be compiled as a whole is an error.
        dynamic: Whether one compilation serves all shapes; None to find out.
        backend: ``inductor``, which needs a C++ compiler, or another one of torch's.
    Raises:
        InvalidValueError: an unknown mode or backend, or a mode for a backend that has none.
    """

    def __init__(
        self,
        mode: str = "default",
        fullgraph: bool = False,
        dynamic: bool | None = None,
        backend: str = "inductor",
    ):
        if mode not in MODES:
            raise InvalidValueError(f"compile: mode = {mode!r}", known=", ".join(MODES))
        if backend != "inductor" and mode != "default":
            raise InvalidValueError(f"compile: the backend {backend} has no mode {mode!r}")
        self.mode = mode
        self.fullgraph = fullgraph
        self.dynamic = dynamic
        self.backend = backend

    def setup(
        self, trainer: lightning.Trainer, pl_module: lightning.LightningModule, stage: str
    ) -> None:
        """Compile at the first batch."""
        if stage != "fit":
            return
        known = torch.compiler.list_backends(exclude_tags=())
        if self.backend not in known:
            raise InvalidValueError(f"compile: backend = {self.backend!r}", known=", ".join(known))
        named = {} if self.mode == "default" else {"mode": self.mode}
        architecture_of(pl_module).compile(
            fullgraph=self.fullgraph, dynamic=self.dynamic, backend=self.backend, **named
        )

    def teardown(self, trainer, pl_module, stage: str) -> None:
        """Leave the architecture as it was."""
        architecture_of(pl_module)._compiled_call_impl = None
