"""The architecture `transformers.auto`: a network of transformers, by folder or by settings."""

from pathlib import Path
from typing import Any

import torch
from torch import nn

# No public names yet: `package:` paths here, and the tokenizer of a folder in folder.py.
from dlplug.data.paths import resolve_path
from dlplug.errors import InvalidValueError
from dlplug.nn.absent import PADDING
from dlplug_transformers.folder import check_weights, load, make_room, padding_of
from dlplug_transformers.heads import auto_class
from dlplug_transformers.network import Network, wrapped
from dlplug_transformers.pooled import MeanPooled
from dlplug_transformers.quiet import quiet
from dlplug_transformers.settings import NAME, check_length, made, settings_of


def auto(
    num_outputs: int,
    vocab_size: int,
    sequence_length: int | None = None,
    per_position: bool = False,
    is_causal: bool = False,
    path: str | None = None,
    config: dict[str, Any] | None = None,
    pretrained: bool = True,
    pooling: str | None = None,
) -> Network:
    """A network of the library transformers, with the last layer that the task needs.

    One output for a text gives its ``AutoModelForSequenceClassification``; outputs for each
    position ``AutoModelForCausalLM`` where no position sees the later ones, else
    ``AutoModelForMaskedLM`` for outputs of each token, ``AutoModelForTokenClassification`` for
    others. Only local files are read, and of weights only safetensors.

    Args:
        num_outputs: Outputs of a text, or of a position.
        vocab_size: Number of tokens; token 0 is padding.
        sequence_length: Tokens of the longest record; None where it is not known.
        per_position: Outputs for each position, instead of the whole.
        is_causal: A position sees none of the later ones.
        path: A folder that ``save_pretrained`` has written, or ``package:NAME/inner/path``; the
            data must use its tokenizer: ``data.tokenizer`` with the same path.
        config: Settings by transformers' own names, with ``model_type``, such as ``{model_type:
            gpt2, n_embd: 64}``, for random weights. With ``path``, changes of its settings that
            leave the weights' shapes, such as ``{hidden_dropout_prob: 0.2}``.
        pretrained: Take the weights of ``path``; false for its settings with random weights,
            whatever the tokenizer.
        pooling: ``mean`` for a text's outputs from the mean of all its tokens, as sentence encoders
            are trained; None for the library's own way, mostly from the first or the last token.
    Raises:
        InvalidValueError: settings that contradict each other, the data, or the library.
        UnknownKeyError: a setting that the network does not have.
        DataError: a file of the folder is missing, damaged, or could run code.
    """
    settings = dict(config or {})
    _check_arguments(path, settings, pretrained)
    _check_pooling(pooling, per_position)
    folder = None if path is None else _folder(path)
    has_weights = folder is not None and pretrained
    is_vocabulary = per_position and num_outputs == vocab_size
    cls = auto_class(per_position, is_causal, is_vocabulary)
    with quiet():
        found = settings_of(folder, settings, cls)
        if hasattr(found, "is_decoder"):
            found.is_decoder = is_causal
        if not is_vocabulary:
            found.num_labels = num_outputs
        if has_weights:
            padding = padding_of(folder, vocab_size)
            network = _loaded(cls, folder, found)
            make_room(network, vocab_size, padding)
        else:
            padding = PADDING
            found.vocab_size, found.pad_token_id = vocab_size, padding
            network = made(cls.from_config, f"the network {found.model_type}", found)
    check_length(network, sequence_length)
    if pooling == "mean":
        network = MeanPooled(network, num_outputs)
    # Loaded networks are set to evaluate; Lightning trains with the modes that it finds.
    network.train()
    return wrapped(network, padding, vocab_size if is_vocabulary else None, is_causal)


def _check_arguments(path: str | None, settings: dict[str, Any], pretrained: bool) -> None:
    if path is None and not settings:
        raise InvalidValueError(
            f"{NAME} needs a path or a config",
            known="path: ./folder, or config: {model_type: bert, hidden_size: 128, ...}",
        )
    if path is None and not pretrained:
        raise InvalidValueError(
            f"{NAME}: pretrained = false without a path",
            fix="delete pretrained: the weights of a config are random anyway",
        )


def _check_pooling(pooling: str | None, per_position: bool) -> None:
    if pooling not in (None, "mean"):
        raise InvalidValueError(f"{NAME}: pooling = {pooling!r}", known="mean, or none given")
    if pooling is not None and per_position:
        raise InvalidValueError(
            f"{NAME}: pooling = {pooling!r} gives one output for a text, and the task needs one for"
            " each position",
            fix="delete architecture.pooling",
        )


def _folder(path: str) -> Path:
    folder = resolve_path(path)
    if not folder.is_dir():
        raise InvalidValueError(
            f"{NAME}: path = {path!r} is a file",
            fix="give the folder that save_pretrained has written",
        )
    return folder


def _loaded(cls: type, folder: Path, found: Any) -> nn.Module:
    check_weights(folder)
    # On meta there is no memory to load weights into.
    if torch.get_default_device().type == "meta":
        return made(cls.from_config, f"the network {found.model_type}", found)
    return load(cls, folder, found)
