"""Let a trained language model continue a text."""

import time
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

import torch
from lightning.fabric import Fabric
from lightning.fabric.utilities.exceptions import MisconfigurationException

from dlplug.data.text.tokenizer import tokenizer_from_plain
from dlplug.errors import ConfigError, InvalidValueError
from dlplug.run.evaluation import task_of
from dlplug.run.parts import name_of
from dlplug.storage.checkpoint import read_checkpoint
from dlplug.tasks.generation import check_sampling, generate
from dlplug.tasks.language_modelling import LanguageModelling

if TYPE_CHECKING:
    from dlplug.config.experiment import Experiment

# What a generator of torch takes.
MAX_SEED = 2**64 - 1


@dataclass
class Generated:
    """A continued text.

    Args:
        prompt: What it continues.
        text: What was added.
        tokens: Number of tokens that were drawn.
        ended: ``end`` where the model ended the text, ``max_tokens`` where it was cut off.
        seconds: Time for drawing.
        checkpoint: Whose weights.
    """

    prompt: str
    text: str
    tokens: int
    ended: str
    seconds: float
    checkpoint: Path

    def to_dict(self) -> dict[str, Any]:
        """Plain data."""
        return {**vars(self), "verb": "generate", "checkpoint": str(self.checkpoint)}


def generate_text(
    experiment: "Experiment",
    checkpoint: Path,
    prompt: str,
    *,
    max_tokens: int = 100,
    temperature: float = 1.0,
    top_k: int | None = None,
    top_p: float | None = None,
    seed: int = 0,
) -> Generated:
    """Continue a prompt with a trained model; no training data is read.

    It runs on one device of the trainer's accelerator, in the trainer's precision.

    Args:
        experiment: Of the run, with the data spec of its checkpoint.
        checkpoint: Whose weights.
        prompt: May be empty where the training texts were documents with a start.
        max_tokens, temperature, top_k, top_p: See `dlplug.tasks.generation.generate`.
        seed: The same seed gives the same text on the same device.
    Raises:
        ConfigError: the run learned something else than to continue texts.
        InvalidValueError: a value out of range, an empty prompt, or a device or precision that this
            machine has not.
    """
    check_sampling(max_tokens, temperature, top_k, top_p)
    if not 0 <= seed <= MAX_SEED:
        raise InvalidValueError(
            f"generate: seed = {seed} is out of range", known=f"0 to {MAX_SEED}"
        )
    spec = experiment.data_spec
    task = task_of(experiment, checkpoint)
    if not isinstance(task, LanguageModelling) or task.objective != "causal":
        raise ConfigError(
            f"the run's task {name_of(experiment, 'task')} did not learn to continue texts",
            known="task language_modelling with objective causal",
        )
    preparation = spec.preparation or {}
    tokenizer = tokenizer_from_plain(preparation.get("tokenizer"))
    tokens = [*preparation.get("prefix", []), *tokenizer.encode(prompt)]
    if not tokens:
        raise InvalidValueError("generate: the prompt is empty", fix='give --prompt "In the"')
    task.load_state_dict(read_checkpoint(checkpoint)["state_dict"])
    fabric = one_device(experiment)
    # In place: what it gives has no `new_cache`.
    fabric.setup_module(task.architecture)
    started = time.monotonic()
    with fabric.autocast():
        drawn = list(
            generate(
                task.architecture,
                tokens,
                max_tokens,
                temperature=temperature,
                top_k=top_k,
                top_p=top_p,
                generator=torch.Generator().manual_seed(seed),
                end_token=spec.end_token,
                # Of the special tokens only the end is ever written.
                banned=(*tokenizer.special_tokens - {spec.end_token}, *spec.sentinels),
                context=spec.sequence_length,
            )
        )
    ended = "end" if drawn[-1] == spec.end_token else "max_tokens"
    # Decoded together with the prompt: a character may have begun in it.
    text = tokenizer.decode([*tokens, *drawn])
    before = tokenizer.decode(tokens)
    text = text.removeprefix(before) if text.startswith(before) else tokenizer.decode(drawn)
    seconds = round(time.monotonic() - started, 3)
    return Generated(prompt, text, len(drawn), ended, seconds, checkpoint)


def one_device(experiment: "Experiment") -> Fabric:
    """One device of the trainer's accelerator, with the trainer's precision.

    It is the first one that the trainer's ``devices`` name (``[2, 3]`` or ``"2,3"``), and any one
    where they are a number.

    Raises:
        InvalidValueError: Lightning refuses the combination, or this machine has no such device.
    """
    chosen = experiment.trainer_arguments
    try:
        return Fabric(
            accelerator=chosen.get("accelerator", "auto"),
            devices=_named(chosen.get("devices"))[:1] or 1,
            precision=chosen.get("precision"),
        )
    except (MisconfigurationException, TypeError, ValueError, RuntimeError) as error:
        raise InvalidValueError(
            f"generate: Lightning refuses the device or precision: {' '.join(str(error).split())}",
            where=f"{experiment.where('trainer')}, trainer",
            known=f"GPUs here: {torch.cuda.device_count()}",
            fix="--trainer.devices 1; where no GPU can do it, with --trainer.accelerator cpu"
            " --trainer.precision 32-true",
        ) from error


def _named(devices: Any) -> list[int]:
    """The devices that Lightning's ``devices`` name by their index; empty for a number of them."""
    if isinstance(devices, str) and "," in devices:
        return [int(part) for part in devices.split(",") if part.strip()]
    return list(devices) if isinstance(devices, (list, tuple)) else []
