"""Say which layer's gradients vanish, explode or are no numbers."""

import math
import sys

import lightning
import torch
from lightning.pytorch.callbacks import Callback
from torch import Tensor

from dlplug.callbacks.network.blocks import blocks_of, norm
from dlplug.errors import InvalidValueError, RunError

ACTIONS = ("warn", "stop")


class GradientAlarm(Callback):
    """Watch the gradient of each block in every step, before any clipping.

    - *not finite*: a block's gradient holds NaN or infinity. The block nearest to the output is
      named, since the backward pass goes on from there. With 16-mixed precision single such steps
      are normal, and only a whole window of them counts.
    - *exploding*: a block's gradient norm is above ``exploding``.
    - *vanishing*: a block's gradient norm stays below ``vanishing`` times the largest block's for a
      whole window.

    The norms stay on the device and are read once in ``window`` steps, so an alarm can come that
    much later than its step, which it names. Each block is warned of once for each kind.

    Args:
        action: ``warn`` prints on standard error; ``stop`` ends the training with an error, and the
            last checkpoint stays.
        vanishing: Share of the largest block's norm, in ``[0, 1)``; 0 to ignore.
        exploding: Norm of a block's gradient; > 0.
        window: Optimizer steps between two readings; >= 1.
    Raises:
        InvalidValueError: a value out of range.
    """

    def __init__(
        self,
        action: str = "warn",
        vanishing: float = 1e-6,
        exploding: float = 1e3,
        window: int = 20,
    ):
        if action not in ACTIONS:
            raise InvalidValueError(
                f"gradient_alarm: action = {action!r}", known=", ".join(ACTIONS)
            )
        if not 0 <= vanishing < 1 or not exploding > 0 or window < 1:
            raise InvalidValueError(
                f"gradient_alarm: vanishing = {vanishing:g}, exploding = {exploding:g}, window ="
                f" {window}; vanishing must be in [0, 1), exploding above 0, window 1 or more"
            )
        self.action = action
        self.vanishing = vanishing
        self.exploding = exploding
        self.window = window
        self.told: set[tuple[str, str]] = set()
        self._steps: list[int] = []
        self._norms: list[Tensor] = []
        self._losses: list[Tensor] = []
        self._loss: Tensor | None = None
        self._blocks: list[str] = []

    def on_before_backward(self, trainer, pl_module, loss: Tensor) -> None:
        """Keep the loss: a gradient of NaN may come from it."""
        self._loss = loss.detach()

    def on_before_optimizer_step(
        self, trainer: lightning.Trainer, pl_module: lightning.LightningModule, optimizer
    ) -> None:
        """Keep the norms, on their device; read them when the window is full."""
        parameters = dict(pl_module.named_parameters())
        blocks = blocks_of(pl_module)
        if list(blocks) != self._blocks:  # something was frozen or thawed
            self._read(trainer)
            self._blocks = list(blocks)
        norms = [norm(parameters[n].grad for n in names).float() for names in blocks.values()]
        device = self._loss.device if self._loss is not None else norms[0].device
        self._steps.append(trainer.global_step + 1)
        self._norms.append(torch.stack([n.to(device) for n in norms]))
        loss = torch.zeros((), device=device) if self._loss is None else self._loss.float()
        self._losses.append(loss)
        if len(self._steps) >= self.window:
            self._read(trainer)

    def on_train_epoch_end(self, trainer: lightning.Trainer, pl_module) -> None:
        """Read what the last window of an epoch holds."""
        self._read(trainer)

    def _read(self, trainer: lightning.Trainer) -> None:
        if not self._steps:
            return
        norms, losses = torch.stack(self._norms).tolist(), torch.stack(self._losses).tolist()
        steps, self._steps, self._norms, self._losses = self._steps, [], [], []
        scaled = trainer.precision == "16-mixed"
        for kind, block, text in alarms(
            self._blocks, steps, norms, losses, self.vanishing, self.exploding, scaled
        ):
            if (kind, block) not in self.told:
                self.told.add((kind, block))
                self._tell(trainer, text)

    def _tell(self, trainer: lightning.Trainer, text: str) -> None:
        if self.action == "stop":
            raise RunError(text, fix=FIX)
        if trainer.is_global_zero:
            print(f"gradient_alarm: {text}; {FIX}", file=sys.stderr, flush=True)


FIX = (
    "lower optimizer.lr, warm it up, set trainer.gradient_clip_val, or look at that layer's"
    " normalisation and initialisation"
)


def alarms(
    blocks: list[str],
    steps: list[int],
    norms: list[list[float]],
    losses: list[float],
    vanishing: float,
    exploding: float,
    scaled: bool = False,
) -> list[tuple[str, str, str]]:
    """What is wrong within a window: kind, block and the sentence for it.

    Args:
        blocks: Names, from the input to the output.
        steps: Numbers of the steps, counted from 1.
        norms: Of each block's gradient, for each step.
        losses: For each step.
        vanishing: See `GradientAlarm`.
        exploding: See `GradientAlarm`.
        scaled: Whether single steps may be infinite, because the loss scale is being found.
    """
    found = []
    broken = [
        not (math.isfinite(loss) and all(map(math.isfinite, row)))
        for row, loss in zip(norms, losses, strict=True)
    ]
    if any(broken) and (not scaled or all(broken)):
        at = broken.index(True)
        spoilt = [block for block, n in zip(blocks, norms[at], strict=True) if not math.isfinite(n)]
        # Without one, `FiniteSteps` has taken the gradient away already.
        text = f"the loss is {losses[at]} in step {steps[at]}"
        if spoilt:
            loss = losses[at]
            text = f"the gradient of {spoilt[-1]} is not finite in step {steps[at]}" + (
                "" if math.isfinite(loss) else f"; the loss itself is {loss}"
            )
        found.append(("not finite", spoilt[-1] if spoilt else "loss", text))
    sound = [i for i, is_broken in enumerate(broken) if not is_broken]
    for column, block in enumerate(blocks):
        high = next((i for i in sound if norms[i][column] > exploding), None)
        if high is not None:
            text = f"the gradient of {block} explodes in step {steps[high]}: norm"
            found.append(("exploding", block, f"{text} {norms[high][column]:.3g}"))
        largest = [max(norms[i]) for i in sound]
        is_low = [norms[i][column] < vanishing * m for i, m in zip(sound, largest, strict=True)]
        if sound and all(is_low):
            last = sound[-1]
            found.append(
                (
                    "vanishing",
                    block,
                    f"the gradient of {block} vanishes until step {steps[last]}: norm"
                    f" {norms[last][column]:.3g}, and {largest[-1]:.3g} in the largest block",
                )
            )
    return found
