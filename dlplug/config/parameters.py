"""What a component can be told: its parameters with types, defaults and descriptions."""

import inspect
import re
import sys
import typing
from collections.abc import Iterable
from dataclasses import dataclass

from dlplug.config.kinds import COMPONENT_WORDS, TRAITS
from dlplug.config.types import is_plain, is_untyped, members, type_text
from dlplug.errors import PluginError

NO_DEFAULT = inspect.Parameter.empty
NAMED = (inspect.Parameter.POSITIONAL_OR_KEYWORD, inspect.Parameter.KEYWORD_ONLY)
# Such as :class:`~torch.optim.Adam`, of which the last word is meant for reading.
ROLE = re.compile(r":\w+:`~?(?:[\w.]*\.)?(\w+)`")
PLAIN_DEFAULTS = (str, int, float, bool)


@dataclass(frozen=True)
class Parameter:
    """One parameter of a class or function.

    Attributes:
        name: Its name.
        hint: Its type; ``inspect.Parameter.empty`` when it has none that can be read.
        default: Its default; `NO_DEFAULT` when it is required.
        doc: Its description in the docstring; empty if there is none.
    """

    name: str
    hint: object
    default: object
    doc: str

    @property
    def is_required(self) -> bool:
        """Whether a call without it fails."""
        return self.default is NO_DEFAULT

    @property
    def component_kind(self) -> str | None:
        """Plural of the kind whose names it takes, or None when it takes plain values.

        Its name must be the word of a kind, and its type must leave room for an object.
        """
        kind = COMPONENT_WORDS.get(self.name)
        if kind is None:
            return None
        if is_untyped(self.hint):
            return None if isinstance(self.default, PLAIN_DEFAULTS) else kind
        return None if is_plain(_without_bare_containers(self.hint)) else kind

    def __str__(self) -> str:
        if is_untyped(self.hint):
            return f"{self.name}" if self.is_required else f"{self.name} = {self.default!r}"
        return f"{self.name}: {type_text(self.hint)}"


def component_parameters(kind: str, target: object) -> list[Parameter]:
    """The parameters of a component that a config may set.

    Args:
        kind: Plural.
        target: Its class or function.
    """
    traits = TRAITS[kind]
    return parameters_of(target, traits.supplied, traits.num_passed(target))


def parameters_of(target: object, skip: Iterable[str] = (), skip_first: int = 0) -> list[Parameter]:
    """The parameters by which ``target`` can be called with keywords.

    jsonargparse reads them from the signature and the docstring, and follows ``*args`` and
    ``**kwargs`` into the functions and base classes that they are passed on to.

    Args:
        target: A class or function.
        skip: Names that the caller fills himself.
        skip_first: How many leading parameters the caller passes by position.
    Raises:
        PluginError: ``target`` has no signature that Python can read.
    """
    try:
        found = _read(target)
    except Exception as error:
        raise PluginError(
            f"cannot read the parameters of {getattr(target, '__name__', target)!r}: {error}"
        ) from error
    skip = set(skip)
    return [
        Parameter(data.name, _hint(data), data.default, _prose(data.doc))
        for data in found[skip_first:]
        if data.name not in skip and (data.kind in NAMED or data.kind is None)
    ]


def _read(target: object) -> list:
    # The parameter resolver is not among jsonargparse's exported names; building a whole parser
    # to read it back would lose the types of dataclass parameters.
    from jsonargparse._parameter_resolvers import ParamData, get_signature_parameters

    if inspect.isclass(target) or inspect.isroutine(target):
        return get_signature_parameters(target)
    # A functools.partial or a callable object, of which jsonargparse sees no parameters.
    signature = inspect.signature(target)
    return [
        ParamData(p.name, p.annotation, p.default, p.kind) for p in signature.parameters.values()
    ]


def takes_anything(target: object) -> bool:
    """Whether ``**kwargs`` of the signature may accept names beyond those that can be found.

    Those of a class that hands them to a base class without ``**kwargs`` are all found.
    """
    try:
        if not _has_keywords(target):
            return False
        if not inspect.isclass(target):
            return True
        first, *bases = (base for base in target.__mro__ if "__init__" in vars(base))
        if first.__module__ == "torch.nn.modules.module":
            return False  # nn.Module's own constructor takes keywords to refuse them
        closed = next(base for base in bases if base is object or not _has_keywords(base))
        known = set() if closed is object else set(inspect.signature(closed).parameters)
    except (TypeError, ValueError):
        return False
    return not known or not known <= {parameter.name for parameter in parameters_of(target)}


def _has_keywords(target: object) -> bool:
    kinds = [parameter.kind for parameter in inspect.signature(target).parameters.values()]
    return inspect.Parameter.VAR_KEYWORD in kinds


def _hint(data) -> object:
    hint = data.annotation
    if isinstance(hint, str):
        # One name that cannot be resolved leaves all the hints of a signature as text.
        owner = data.parent or data.component
        names = vars(sys.modules.get(getattr(owner, "__module__", ""), typing))
        try:
            hint = eval(hint, dict(names))
        except Exception:
            return NO_DEFAULT
    if data.default is None and not is_untyped(hint) and type(None) not in members(hint):
        return typing.Optional[hint]  # noqa: UP045 - `|` refuses some hints
    return hint


def _prose(doc: str | None) -> str:
    """A docstring's text on one line, without the markup of Sphinx."""
    text = ROLE.sub(r"\1", " ".join((doc or "").split()))
    return text.replace("``", "")


def _without_bare_containers(hint: object) -> object:
    """The hint with ``list`` and ``dict`` of unknown content as unknown."""
    parts = [typing.Any if part in (list, tuple, dict, set) else part for part in members(hint)]
    return parts[0] if len(parts) == 1 else typing.Union[tuple(parts)]  # noqa: UP007 - `|` refuses some
