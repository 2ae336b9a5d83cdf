"""An experiment with one thing taken away or changed: the variants of an ablation."""

import re
from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from typing import Any

from dlplug.config.merging import element_name
from dlplug.config.slots import COMPONENT_SLOTS
from dlplug.config.tree import PYTHON, from_plain
from dlplug.errors import InvalidValueError, suggestion

# What a value is when the thing is not there. Leaving the key out would give its default, which
# may well regularise (AdamW's weight decay).
NEUTRAL: dict[str, object] = {
    "weight_decay": 0.0,
    "label_smoothing": 0.0,
    "dropout": 0.0,
    "stochastic_depth": 0.0,
    "shift": 0,
    "gradient_clip_val": None,
}
# Callbacks that change what is learned, not only what is seen of it.
REGULARISING = ("ema", "swa", "early_stopping")


@dataclass(frozen=True)
class Variant:
    """A config to run.

    Args:
        name: Short, fit for a folder: ``no-ema``, ``dropout-0``.
        overrides: Pairs of dotted key and value, over the base config.
    """

    name: str
    overrides: tuple[tuple[str, Any], ...] = ()


BASE = Variant("base")


def neutral_of(key: str) -> tuple[bool, object]:
    """Whether an argument's neutral value is known, and which it is."""
    word = key.rpartition(".")[2]
    if "dropout" in word:
        return True, 0.0
    return word in NEUTRAL, NEUTRAL.get(word)


def removal(key: str, given: Mapping[str, Any], resolved: Mapping[str, Any]) -> Variant:
    """The config without a callback, a transform, a schedule or the effect of an argument.

    Args:
        key: ``callbacks.ema``, ``data.transforms.random_shift``, ``scheduler``,
            ``optimizer.weight_decay``.
        given: The config as written.
        resolved: The same with every default.
    Raises:
        InvalidValueError: it is not there, or it is not known what its absence means.
    """
    *parents, word = key.split(".")
    name = f"no-{word}"
    holder, found = _at(resolved, parents), _at(resolved, [*parents, word])
    if isinstance(holder, list):
        names = [_name(element) for element in holder]
        if word not in names:
            raise _missing(key, [".".join([*parents, n]) for n in names])
        written = _at(given, parents)
        kept = [element for element in written if _name(element) != word]
        return Variant(name, ((".".join(parents), kept),))
    if found is None:
        known = [".".join([*parents, str(word)]) for word in holder or ()]
        raise _missing(key, known)
    if not parents and key in COMPONENT_SLOTS and not COMPONENT_SLOTS[key].is_list:
        if key != "scheduler":
            raise InvalidValueError(f"there is no training without {key}", fix=f"--set {key}=NAME")
        return Variant(name, ((key, None),))
    if isinstance(found, list):
        return Variant(name, ((key, []),))
    is_known, value = neutral_of(key)
    if not is_known:
        raise InvalidValueError(
            f"it is not known which value of {key} means that it is not there",
            where="--remove",
            known=f"{', '.join(NEUTRAL)}, elements of callbacks and data.transforms, scheduler",
            fix=f"--set {key}=VALUE",
        )
    return Variant(name, ((key, value),))


def change(text: str) -> Variant:
    """``architecture.dropout=0.3``: a variant with another value.

    Raises:
        InvalidValueError: it is not a key, an equals sign and a value.
    """
    key, has_value, value = text.partition("=")
    if not key or not has_value:
        raise InvalidValueError(f"--set {text} is no KEY=VALUE", fix="--set architecture.dropout=0")
    return Variant(_slug(f"{key.rpartition('.')[2]}-{value}"), ((key, value),))


def regularisers(given: Mapping[str, Any], resolved: Mapping[str, Any]) -> list[str]:
    """Keys of everything in a config that is there against overfitting, and is in effect."""
    keys = []
    for slot in ("architecture", "loss", "optimizer", "data", "trainer"):
        for word, value in (resolved.get(slot) or {}).items():
            is_known, neutral = neutral_of(word)
            if is_known and value is not None and value != neutral:
                keys.append(f"{slot}.{word}")
    transforms = (resolved.get("data") or {}).get("transforms") or []
    keys += [f"data.transforms.{_name(element)}" for element in transforms]
    callbacks = [_name(element) for element in resolved.get("callbacks") or []]
    return keys + [f"callbacks.{name}" for name in callbacks if name in REGULARISING]


def distinct(variants: Iterable[Variant]) -> list[Variant]:
    """With a number behind a name that is there already.

    Raises:
        InvalidValueError: two variants are the same.
    """
    found: list[Variant] = []
    for variant in variants:
        if any(variant.overrides == other.overrides for other in found):
            raise InvalidValueError(f"the variant {variant.name} is named twice")
        names = {other.name for other in found}
        name, number = variant.name, 1
        while name in names:
            number += 1
            name = f"{variant.name}-{number}"
        found.append(Variant(name, variant.overrides))
    return found


def _at(config: Any, path: list[str]) -> Any:
    for part in path:
        if not isinstance(config, Mapping):
            return None
        config = config.get(part)
    return config


def _name(element: Any) -> str | None:
    return element_name(from_plain(element, PYTHON))


def _missing(key: str, known: list[str]) -> InvalidValueError:
    return InvalidValueError(
        f"the config has no {key} to remove",
        where="--remove",
        known=", ".join(known) or None,
        fix=suggestion(key, known),
    )


def _slug(text: str) -> str:
    return re.sub(r"[^A-Za-z0-9._]+", "-", text).strip("-._") or "variant"
