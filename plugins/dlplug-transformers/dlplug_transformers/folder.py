"""A folder that `save_pretrained` wrote: config.json, safetensors, tokenizer.json."""

import json
import sys
from pathlib import Path
from typing import Any

import torch
from torch import nn

from dlplug.data.text.file_tokenizer import FileTokenizer
from dlplug.errors import DataError, InvalidValueError

NAME = "architecture transformers.auto"
CONFIG = "config.json"
WEIGHTS = ("model.safetensors", "model.safetensors.index.json")
# Some trainings leave these out of the network that is saved, and they are learned anew.
OPTIONAL = ("pooler",)


def read_config(folder: Path) -> dict[str, Any]:
    """The settings in a folder.

    Raises:
        DataError: there are none.
    """
    path = folder / CONFIG
    try:
        found = json.loads(path.read_text(encoding="utf-8"))
    except FileNotFoundError as error:
        names = sorted(p.name for p in folder.iterdir())[:20] if folder.is_dir() else []
        raise DataError(
            f"{NAME}: {folder} has no {CONFIG}",
            known=", ".join(names) or None,
            fix="give a folder that save_pretrained has written",
        ) from error
    except (OSError, ValueError) as error:
        raise DataError(f"{NAME}: {path} is no JSON: {error}") from error
    if not isinstance(found, dict) or "model_type" not in found:
        raise DataError(f"{NAME}: {path} has no model_type")
    return found


def check_weights(folder: Path) -> None:
    """The weights are in a form that cannot run code.

    Raises:
        DataError: there are none, or only pickles.
    """
    if any((folder / name).is_file() for name in WEIGHTS):
        return
    pickles = sorted(p.name for p in folder.glob("*") if p.suffix in (".bin", ".pt", ".pth"))
    if pickles:
        raise DataError(
            f"{NAME}: {folder} has its weights in {pickles[0]} alone, a pickle, which can run code"
            " when it is read",
            known=" or ".join(WEIGHTS),
            fix="convert it where you trust it: model.save_pretrained(folder), which writes"
            " safetensors",
        )
    raise DataError(
        f"{NAME}: {folder} has no weights",
        known=" or ".join(WEIGHTS),
        fix="set architecture.pretrained: false to train from random weights",
    )


def padding_of(folder: Path, vocab_size: int) -> int:
    """The number by which the network calls padding, which is token 0 in the data.

    Raises:
        DataError: the folder has no tokenizer.
        InvalidValueError: the data's tokens are those of another one.
    """
    tokenizer = FileTokenizer.read(folder)
    if tokenizer.vocab_size != vocab_size:
        raise InvalidValueError(
            f"{NAME}: the data has {vocab_size} tokens, the tokenizer of {folder}"
            f" {tokenizer.vocab_size}",
            fix=f"set data.tokenizer: {folder}, or architecture.pretrained: false",
        )
    return tokenizer.padding


def load(auto: type, folder: Path, config: Any) -> nn.Module:
    """The network with the folder's weights; a line on standard error says what is new.

    Args:
        auto: An Auto class of transformers.
        folder: With safetensors.
        config: The library's settings.
    Raises:
        DataError: the weights are damaged, or of another network.
    """
    try:
        network, info = auto.from_pretrained(
            folder,
            config=config,
            local_files_only=True,
            use_safetensors=True,
            trust_remote_code=False,
            output_loading_info=True,
            dtype=torch.get_default_dtype(),
        )
    # Damaged files and other sizes are told by errors of several libraries.
    except Exception as error:
        told = " ".join(str(error).split()) or type(error).__name__
        raise DataError(f"{NAME}: the weights of {folder} cannot be loaded: {told}") from error
    new = sorted(info["missing_keys"])
    body = f"{network.base_model_prefix}."
    lacking = [n for n in new if n.startswith(body) and not any(o in n for o in OPTIONAL)]
    if lacking:
        raise DataError(
            f"{NAME}: the weights of {folder} lack {lacking[0]!r}"
            + (f" and {len(lacking) - 1} more" if len(lacking) > 1 else ""),
            fix="give the folder of a network with this config.json",
        )
    loaded = len(network.state_dict()) - len(new)
    left = f"; new: {', '.join(new)}" if new else ""
    print(f"{loaded} tensors are loaded from {folder}{left}", file=sys.stderr)
    return network


def make_room(network: nn.Module, vocab_size: int, padding: int) -> None:
    """A row for padding, where neither the tokenizer nor the network has one, as GPT-2.

    Args:
        network: With the folder's weights; ``padding`` becomes its own.
        vocab_size: Number of the data's tokens.
        padding: From `padding_of`.
    Raises:
        InvalidValueError: the tokenizer has other tokens that the network lacks.
    """
    rows = network.get_input_embeddings().num_embeddings
    if vocab_size > rows + (padding == rows):
        raise InvalidValueError(
            f"{NAME}: the folder's tokenizer has {vocab_size} tokens, its network rows for {rows}",
            fix="give a folder whose tokenizer belongs to its network",
        )
    if vocab_size > rows:
        network.resize_token_embeddings(vocab_size, mean_resizing=False)
    network.config.pad_token_id = padding
