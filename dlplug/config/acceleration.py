"""The key ``accelerate``: dlplug's ops in an architecture that was written without them."""

import logging
from collections.abc import Callable
from dataclasses import dataclass

from dlplug.config.tree import Node
from dlplug.errors import InvalidValueError, OpError, UnknownKeyError, suggestion

KEYS = ("include", "exclude")
KNOWN = "true, false, or a mapping of include and exclude (globs over names of modules)"

logger = logging.getLogger("dlplug.config")


@dataclass(frozen=True)
class Acceleration:
    """What the config says.

    Attributes:
        include: Globs of what may be swapped; None for everything.
        exclude: Globs of what is left alone.
        where: Gives file and line of a dotted key.
    """

    include: tuple[str, ...] | None
    exclude: tuple[str, ...]
    where: Callable[[str], str]

    def plain(self) -> object:
        """As the resolved config says it."""
        given = {"include": self.include, "exclude": self.exclude}
        return {key: list(globs) for key, globs in given.items() if globs} or True

    def apply(self, model: object) -> None:
        """Swap what can be swapped, in place, and log the counts in the first process.

        Args:
            model: The built architecture, a torch.nn.Module.
        Raises:
            InvalidValueError: A glob matches no module.
        """
        from lightning.pytorch.utilities import rank_zero_only

        from dlplug.ops import accelerate

        try:
            report = accelerate(model, include=self.include, exclude=self.exclude)
        except OpError as error:
            key = f"accelerate.{error.what.partition(':')[0]}"
            raise InvalidValueError(
                error.what, where=f"{self.where(key)}, {key}", known=error.known, fix=error.fix
            ) from None
        if rank_zero_only.rank == 0:
            logger.info("accelerate: %s", report.summary())


def read_acceleration(node: Node | None, where: Callable[[str], str]) -> Acceleration | None:
    """The section ``accelerate``; None when it is missing, null or false.

    Raises:
        ConfigError: It has another key, or a value of another type.
    """
    if node is None or node.value is None or node.value is False:
        return None
    if node.value is True:
        return Acceleration(None, (), where)
    if not isinstance(node.value, dict):
        raise InvalidValueError(
            f"accelerate is {node.plain()!r}",
            where=f"{node.origin}, accelerate",
            known=KNOWN,
            fix="write 'accelerate: true', or 'accelerate: {exclude: [head]}'",
        )
    for key, value in node.value.items():
        if key not in KEYS:
            raise UnknownKeyError(
                f"accelerate has no key '{key}'",
                where=f"{value.origin}, accelerate.{key}",
                known=", ".join(KEYS),
                fix=suggestion(str(key), KEYS),
            )
    include, exclude = (_globs(node.value.get(key), key) for key in KEYS)
    return Acceleration(include, exclude or (), where)


def _globs(node: Node | None, key: str) -> tuple[str, ...] | None:
    if node is None or node.value is None:
        return None
    plain = node.plain()
    globs = [plain] if isinstance(plain, str) else plain
    if not isinstance(globs, list) or not all(isinstance(g, str) and g for g in globs):
        raise InvalidValueError(
            f"accelerate.{key} must be a list of globs over names of modules, got {plain!r}",
            where=f"{node.origin}, accelerate.{key}",
            fix=f"write '{key}: [encoder.*]'",
        )
    if key == "include" and not globs:
        raise InvalidValueError(
            "accelerate.include names nothing",
            where=f"{node.origin}, accelerate.include",
            fix="delete it to include everything, or write 'accelerate: false'",
        )
    return tuple(globs)
