"""What a plugin may provide: the kinds of component, and the version of this agreement.

An entry point in the group ``dlplug.<plural>`` offers a component of that kind; one in the group
``dlplug`` offers a module of hooks, and one in ``dlplug.index`` such a module that costs nothing;
``dlplug.api`` states the version a plugin was written for; ``dlplug.renamed`` and
``dlplug.renamed_parameters`` keep old names alive.
"""

from dataclasses import dataclass

from dlplug.errors import UnknownKeyError, suggestion

API_MAJOR = 1
"""Grows only when a plugin that follows the rules would break; read without any import."""

HOOK_GROUP = "dlplug"
INDEX_GROUP = "dlplug.index"
"""Modules of hooks that import no library, so that listing may ask them for their names."""
API_GROUP = "dlplug.api"
RENAMED_GROUP = "dlplug.renamed"
RENAMED_PARAMETERS_GROUP = "dlplug.renamed_parameters"
PRESETS = "presets"
"""The kind whose entry points name files, not classes: nothing is imported for them."""
CORE = "dlplug"
"""The distribution that owns the built-in components: ``dlplug:vit``."""


@dataclass(frozen=True)
class Kind:
    """One kind of component.

    Args:
        plural: Ends the entry-point group, ``dlplug.<plural>``.
        singular: The word for one of them.
        slot: The config's top-level key that takes it; None where none does.
        summary: What such a component is, and how it is called, in one line.
    """

    plural: str
    singular: str
    slot: str | None
    summary: str

    @property
    def group(self) -> str:
        """The entry-point group, such as ``dlplug.losses``."""
        return f"dlplug.{self.plural}"


_KINDS = (
    Kind(
        "architectures",
        "architecture",
        "architecture",
        "nn.Module class, or a function that returns one",
    ),
    Kind(
        "losses", "loss", "loss", "class whose instance is loss(output, target), or such a function"
    ),
    Kind("callbacks", "callback", "callbacks", "lightning Callback class"),
    Kind("datamodules", "data", "data", "LightningDataModule class with a data_spec"),
    Kind("tasks", "task", "task", "LightningModule class: what is learned, over any architecture"),
    Kind(
        "metrics", "metric", "metrics", "torchmetrics Metric class, or a function that returns one"
    ),
    Kind(
        "optimizers",
        "optimizer",
        "optimizer",
        "class or function whose first parameter is the parameters",
    ),
    Kind(
        "schedulers",
        "scheduler",
        "scheduler",
        "class or function whose first parameter is the optimizer",
    ),
    Kind("transforms", "transform", None, "class or function on a batch or sample tensor"),
    Kind("loggers", "logger", "loggers", "lightning Logger class"),
    Kind("commands", "command", None, "function(argv, registry) -> exit code, one more verb"),
    Kind(PRESETS, "preset", None, "package.folder:name of a YAML file, laid under --config"),
)

KINDS: dict[str, Kind] = {kind.plural: kind for kind in _KINDS}
_BY_WORD = {word: kind for kind in _KINDS for word in (kind.plural, kind.singular)}


def kind_of(word: str) -> Kind:
    """The kind called ``word``, in its plural or singular form.

    Raises:
        UnknownKeyError: there is no such kind.
    """
    if word not in _BY_WORD:
        raise UnknownKeyError(
            f"no kind of component named {word!r}",
            known=", ".join(KINDS),
            fix=suggestion(word, _BY_WORD),
        )
    return _BY_WORD[word]


def is_ours(group: str) -> bool:
    """Whether an entry-point group is meant for dlplug, be it one that does not exist."""
    return f"{group}.".startswith(f"{HOOK_GROUP}.")


def group_problem(group: str) -> str | None:
    """Why ``group`` is no entry-point group of this version, or None when it is one."""
    groups = [kind.group for kind in _KINDS]
    others = (HOOK_GROUP, API_GROUP, INDEX_GROUP, RENAMED_GROUP, RENAMED_PARAMETERS_GROUP)
    if group in (*others, *groups):
        return None
    # Without the common prefix, which would make any two groups look near.
    word = group.removeprefix("dlplug.")
    # 'dlplug.data' is the slot's word: exact, though no near match by letters.
    exact = f"did you mean '{_BY_WORD[word].group}'?" if word in _BY_WORD else None
    words = (*KINDS, *(other.removeprefix("dlplug.") for other in others[2:]))
    hint = exact or suggestion(word, words, prefix="dlplug.")
    return f"this dlplug has no entry-point group {group!r}" + (f"; {hint}" if hint else "")
