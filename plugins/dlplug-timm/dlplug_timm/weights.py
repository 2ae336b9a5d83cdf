"""A model with weights from a local file, read without running any code of it."""

from collections.abc import Callable
from pathlib import Path
from pickle import UnpicklingError

import torch
from safetensors import SafetensorError
from safetensors.torch import load_file
from timm.models import get_model_traits
from torch import Tensor, nn

from dlplug.errors import CheckpointError

Weights = dict[str, Tensor]
SHOWN = 5
"""Keys in a message, of each sort."""
WRAPPERS = ("state_dict_ema", "model_ema", "state_dict", "model")
"""Under which training programs put the weights, timm's own among them; the averaged ones first."""
SUFFIXES = (".safetensors", ".pth", ".pt", ".bin", ".ckpt", ".tar")
PREFIXES = ("architecture.", "module.", "_orig_mod.")
"""Before each name: a dlplug checkpoint's, and what data parallelism and torch.compile add."""


def read_weights(path: str) -> Weights:
    """The weights in a file, by the model's own names.

    Args:
        path: ``.safetensors``, or what ``torch.save`` wrote: weights, or a checkpoint with them,
            also one of a dlplug run.
    Raises:
        CheckpointError: it is missing, damaged, would run code, or holds no weights.
    """
    file = Path(path).expanduser()
    if not file.is_file():
        nearby = sorted(p.name for p in file.parent.glob("*") if p.suffix in SUFFIXES)
        raise CheckpointError(
            f"no weights file '{path}'",
            known=", ".join(nearby[:SHOWN]) or None,
            fix="give the path of a .safetensors or .pth file on this machine",
        )
    try:
        if file.suffix == ".safetensors":
            content = load_file(file)
        else:
            content = torch.load(file, map_location="cpu", weights_only=True)
    except (SafetensorError, UnpicklingError, RuntimeError, EOFError, OSError, ValueError) as error:
        raise CheckpointError(
            f"cannot read weights from '{path}': {str(error).splitlines()[0]}",
            fix="save the weights alone: torch.save(model.state_dict(), file), or as safetensors",
        ) from error
    weights = _unwrapped(content)
    if not weights:
        raise CheckpointError(
            f"'{path}' holds no weights", fix="name a file with the state_dict of a model"
        )
    return weights


def load_weights(
    name: str, path: str, in_channels: int, create: Callable[..., nn.Module]
) -> nn.Module:
    """Build a model with the weights of a file.

    A head of another width keeps its new weights. timm adapts the first convolution to other
    channels, and positions to another image size. Everything else has to fit, key by key.

    Args:
        name: timm's.
        path: The file.
        in_channels: Channels of the images that it will be given.
        create: Builds the model; takes further arguments of ``timm.create_model``.
    Raises:
        CheckpointError: the file cannot be read, or holds another model; names the keys.
    """
    weights = read_weights(path)
    fresh = create()
    state, source = fresh.state_dict(), dict(weights)
    for key in _head_keys(fresh):
        if key in state and (key not in source or source[key].shape != state[key].shape):
            # A weight of the model itself, so that timm compares all keys with what it has.
            source[key] = state[key].clone()
    channels = _channels(fresh, source, in_channels)
    # What timm would compare with its own files, which this is not.
    overlay = {
        "state_dict": source,
        "num_classes": fresh.num_classes,
        "label_offset": 0,
        "custom_load": False,
        "source": "timm",
        "hf_hub_id": None,
        "input_size": (channels, *fresh.pretrained_cfg["input_size"][1:]),
    }
    try:
        return create(pretrained=True, pretrained_cfg_overlay=overlay)
    except (RuntimeError, KeyError, IndexError) as error:
        told = _differences(state, weights) or str(error).splitlines()[0]
        raise CheckpointError(
            f"the weights in '{path}' do not fit timm.{name}: {told}",
            known=f"the file has {len(weights)} tensors: {_some(list(weights))}",
            fix="name the architecture that they were trained with, or a file of this one",
        ) from error


def _unwrapped(content: object) -> Weights:
    while isinstance(content, dict):
        inner = next((content[key] for key in WRAPPERS if isinstance(content.get(key), dict)), None)
        if inner is None:
            break
        content = inner
    if not isinstance(content, dict):
        return {}
    weights = {key: value for key, value in content.items() if isinstance(value, Tensor)}
    for prefix in PREFIXES:
        # Beside an architecture, a run's checkpoint holds the states of its task.
        named = {k.removeprefix(prefix): v for k, v in weights.items() if k.startswith(prefix)}
        if named and (prefix == PREFIXES[0] or len(named) == len(weights)):
            weights = named
    return weights


def _head_keys(model: nn.Module) -> list[str]:
    heads = model.pretrained_cfg.get("classifier") or ()
    heads = (heads,) if isinstance(heads, str) else heads
    return [f"{head}.{part}" for head in heads for part in ("weight", "bias")]


def _channels(model: nn.Module, weights: Weights, in_channels: int) -> int:
    """Channels of the images that the weights were trained with, by their first convolution."""
    first = get_model_traits(model).get("first_conv", model.pretrained_cfg.get("first_conv"))
    for layer in (first,) if isinstance(first, str) else first or ():
        expected, found = (s.get(f"{layer}.weight") for s in (model.state_dict(), weights))
        if expected is not None and found is not None and found.ndim == expected.ndim == 4:
            # A stem that folds pixels into channels has a multiple of the image's.
            return max(1, in_channels * found.shape[1] // expected.shape[1])
    return in_channels


def _differences(state: Weights, weights: Weights) -> str:
    missing = [key for key in state if key not in weights]
    unknown = [key for key in weights if key not in state]
    shapes = [
        f"{key} {tuple(weights[key].shape)} instead of {tuple(state[key].shape)}"
        for key in state.keys() & weights.keys()
        if weights[key].shape != state[key].shape
    ]
    parts = (("missing", missing), ("unknown", unknown), ("of another shape", sorted(shapes)))
    return "; ".join(f"{len(keys)} {word}: {_some(keys)}" for word, keys in parts if keys)


def _some(keys: list[str]) -> str:
    more = f", ... {len(keys) - SHOWN} more" if len(keys) > SHOWN else ""
    return ", ".join(keys[:SHOWN]) + more
