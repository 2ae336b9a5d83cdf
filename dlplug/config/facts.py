"""What a newcomer wants to know of a component, as plain data: one home for help and schema."""

import inspect
import math
from contextlib import suppress
from dataclasses import asdict, dataclass
from typing import Any

from dlplug.config.docstring import Docstring, plain_text, read_docstring
from dlplug.config.kinds import TRAITS
from dlplug.config.parameters import NAMED, Parameter, component_parameters, takes_anything
from dlplug.config.type_schema import type_schema
from dlplug.config.types import is_untyped, type_text
from dlplug.config.values import NOT_PLAIN, plain_form
from dlplug.config.yaml_dialect import dump_scalar
from dlplug.data.spec import SYNONYMS
from dlplug.errors import PluginError
from dlplug.plugin.names import one_line

# Fields of the data spec that a task's `complete` sets; the others are the data's own.
DECIDED_BY_TASK = ("num_outputs", "per_position", "is_causal", "quantiles")
BY_DATA, BY_TASK, BY_RUN = "data", "task", "run"


@dataclass(frozen=True)
class Argument:
    """One argument of a component; plain data.

    Attributes:
        name: As in a config.
        type: The type for reading.
        default: The default for reading; None when a value is required.
        doc: Its description on one line; empty if there is none.
        kind: Plural of the kind of component it takes, or None.
        filled_by: ``data``, ``task`` or ``run`` where one of them gives the value, else None.
        schema: JSON Schema of its values, with the default.
    """

    name: str
    type: str
    default: str | None
    doc: str
    kind: str | None
    filled_by: str | None
    schema: dict[str, Any]

    @property
    def is_required(self) -> bool:
        """Whether the config has to give a value."""
        return self.default is None and self.filled_by is None


@dataclass(frozen=True)
class Facts:
    """What is known of a component once it was imported; plain data.

    Attributes:
        doc: Its docstring.
        arguments: What a config may set; None when the signature cannot be read.
        is_open: Whether it takes further arguments unchecked, under ``dict_kwargs``.
    """

    doc: Docstring
    arguments: tuple[Argument, ...] | None
    is_open: bool = False

    def to_dict(self) -> dict[str, Any]:
        """As JSON can hold it."""
        return asdict(self)

    @classmethod
    def from_dict(cls, data: dict[str, Any]) -> "Facts":
        """The facts of a `to_dict`.

        Raises:
            Exception: It is none; a damaged file may hold anything.
        """
        doc = Docstring(**{**data["doc"], "references": tuple(data["doc"]["references"])})
        arguments = data["arguments"]
        if arguments is not None:
            arguments = tuple(Argument(**argument) for argument in arguments)
        return cls(doc, arguments, bool(data["is_open"]))


def facts_of(kind: str, target: object) -> Facts:
    """The facts of an imported component; a docstring or signature that is odd costs its part.

    Args:
        kind: Plural.
        target: The class or function.
    """
    doc = read_docstring(target)
    if kind not in TRAITS:
        return Facts(doc, None)  # a command: it reads its own command line
    parameters = _parameters(kind, target)
    if parameters is None:
        return Facts(doc, None)
    filled = dict.fromkeys(TRAITS[kind].known_later, BY_RUN)
    filled |= _filled(parameters) if TRAITS[kind].is_filled else {}
    arguments = tuple(_argument(p, filled.get(p.name)) for p in parameters)
    return Facts(doc, arguments, _is_open(target))


def argument_of(parameter: Parameter, filled_by: str | None = None) -> Argument:
    """A parameter as plain data.

    Args:
        parameter: From a signature.
        filled_by: ``data``, ``task`` or ``run`` where one of them gives the value.
    """
    kind, hint = parameter.component_kind, parameter.hint
    schema = {} if kind else dict(type_schema(hint))
    if schema and filled_by:
        schema = {"anyOf": [schema, {"type": "null"}]}  # null leaves it to them
    default = None
    if not parameter.is_required:
        plain = plain_form(parameter.default)
        default = one_line(_default_text(parameter.default, plain))
        if plain is not NOT_PLAIN and _is_json(plain):
            schema["default"] = plain
    text = f"name of one of the {kind}" if kind else "any" if is_untyped(hint) else type_text(hint)
    doc = one_line(plain_text(parameter.doc))
    return Argument(parameter.name, text, default, doc, kind, filled_by, schema)


def _argument(parameter: Parameter, filled_by: str | None) -> Argument:
    try:
        return argument_of(parameter, filled_by)
    except Exception:
        # A hint or a default of a stranger's class may raise at whatever is asked of it.
        default = None if parameter.is_required else "?"
        return Argument(parameter.name, "any", default, "", None, filled_by, {})


def _is_open(target: object) -> bool:
    # A module without an __init__ of its own has that of nn.Module, which refuses what it takes.
    if getattr(getattr(target, "__init__", None), "__module__", "") == "torch.nn.modules.module":
        return False
    try:
        return takes_anything(target)
    except PluginError:
        return False


def _parameters(kind: str, target: object) -> list[Parameter] | None:
    parameters = None
    with suppress(PluginError):
        parameters = component_parameters(kind, target)
    if parameters:
        return parameters
    try:
        # Without the descriptions, which may be what could not be read; jsonargparse then raises,
        # or finds nothing.
        found = inspect.signature(target).parameters.values()
    except (TypeError, ValueError):
        return parameters
    traits = TRAITS[kind]
    return [
        Parameter(p.name, p.annotation, p.default, "")
        for p in list(found)[traits.num_passed(target) :]
        if p.kind in NAMED and p.name not in traits.supplied
    ]


def _filled(parameters: list[Parameter]) -> dict[str, str]:
    from dlplug.config.filling import decided_by_data

    return {
        parameter.name: BY_TASK if field in DECIDED_BY_TASK else BY_DATA
        for parameter, field in decided_by_data(parameters)
        if SYNONYMS.get(parameter.name, parameter.name) != "preparation"
    }


def _default_text(value: object, plain: object) -> str:
    if plain is NOT_PLAIN:
        return getattr(value, "__name__", type(value).__name__)
    return dump_scalar(plain)


def _is_json(value: object) -> bool:
    if isinstance(value, float):
        return math.isfinite(value)
    if isinstance(value, dict):
        return all(isinstance(k, str) and _is_json(v) for k, v in value.items())
    return all(map(_is_json, value)) if isinstance(value, list) else True
