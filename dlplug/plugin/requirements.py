"""What a distribution requires, and whether it is installed, told from Requires-Dist alone.

Presence is checked, not versions: pip has checked those, and a wrong one shows on import. This is
a small part of PEP 508, because the plugin layer needs no package but pluggy. A marker that it
cannot read counts as not applying: a missing package then shows on import, and nobody is turned
away without reason.
"""

import ast
import operator
import os
import platform
import re
import sys
from collections.abc import Callable, Iterable
from functools import lru_cache
from importlib import metadata

from dlplug.plugin.names import distribution_name

_REQUIREMENT = re.compile(r"\s*(?P<name>[\w.-]+)\s*(?:\[(?P<extras>[^\]]*)\])?(?P<rest>[^;]*)")
_VERSIONS = ("python_version", "python_full_version")
_OPERATORS: dict[type[ast.cmpop], Callable[..., bool]] = {
    ast.Eq: operator.eq,
    ast.NotEq: operator.ne,
    ast.Lt: operator.lt,
    ast.LtE: operator.le,
    ast.Gt: operator.gt,
    ast.GtE: operator.ge,
    ast.In: lambda part, whole: part in whole,
    ast.NotIn: lambda part, whole: part not in whole,
}


def missing_requirements(
    distribution: str,
    requires: Iterable[str],
    extra: str | None,
    is_installed: Callable[[str], bool],
) -> list[str]:
    """Names of the distributions that are required but not installed.

    Args:
        distribution: Whose requirements they are, normalised.
        requires: Lines as in Requires-Dist.
        extra: Those of this extra only, or None for those that hold without any extra.
        is_installed: Tells whether a distribution of that name is installed.
    """
    names = {name for name, _ in requirements_of(distribution, requires, extra)}
    return sorted(name for name in names if not is_installed(name))


def requirements_of(
    distribution: str, requires: Iterable[str], extra: str | None
) -> list[tuple[str, tuple[str, ...]]]:
    """Name and extras of each distribution that is required here; the arguments are as above."""
    requires, found, seen, wanted = list(requires), [], set(), [extra]
    while wanted:
        current = wanted.pop()
        seen.add(current)
        for line in requires:
            requirement, _, marker = line.partition(";")
            match = _REQUIREMENT.match(requirement)
            if match is None or not _belongs(marker, current):
                continue
            extras = {distribution_name(e.strip()) for e in (match["extras"] or "").split(",") if e}
            if distribution_name(match["name"]) == distribution:
                # `acme[all]` lists acme's other extras: `acme[onnx]; extra == "all"`.
                wanted += sorted(extras - seen)
            else:
                found.append((match["name"], tuple(sorted(extras))))
    return found


def installed_closure(roots: Iterable[str]) -> dict[str, metadata.Distribution]:
    """Distributions, and all that they require here in turn, by normalised name, sorted.

    Args:
        roots: Names, with extras such as ``acme[fast]``; what is not installed is left out, as are
            requirements that are not.
    """
    found: dict[str, metadata.Distribution] = {}
    wanted: list[tuple[str, str | None]] = []
    for root in roots:
        name, _, extras = root.partition("[")
        needs = (None, *filter(None, extras.rstrip("]").split(",")))
        wanted += [(distribution_name(name), need) for need in needs]
    seen = set(wanted)
    while wanted:
        name, extra = wanted.pop()
        try:
            found[name] = metadata.distribution(name)
        except metadata.PackageNotFoundError:
            continue
        lines = found[name].metadata.get_all("Requires-Dist") or ()
        for other, extras in requirements_of(name, lines, extra):
            needs = [(distribution_name(other), one) for one in (None, *extras)]
            wanted += [need for need in needs if need not in seen]
            seen.update(needs)
    return dict(sorted(found.items()))


def _belongs(marker: str, extra: str | None) -> bool:
    """Whether a line with ``marker`` is needed because of ``extra`` (None: needed always)."""
    without = _applies(marker, "")
    return without if extra is None else not without and _applies(marker, extra)


@lru_cache
def _applies(marker: str, extra: str) -> bool:
    if not marker.strip():
        return True
    try:
        # A marker reads as a Python expression over a few names; it is walked, never evaluated.
        return bool(_evaluate(ast.parse(marker.strip(), mode="eval").body, _environment(extra)))
    except (SyntaxError, ValueError, KeyError, TypeError):
        return False


def _environment(extra: str) -> dict[str, str]:
    return {
        "extra": extra,
        "os_name": os.name,
        "sys_platform": sys.platform,
        "platform_machine": platform.machine(),
        "platform_system": platform.system(),
        "platform_python_implementation": platform.python_implementation(),
        "implementation_name": sys.implementation.name,
        "python_version": ".".join(platform.python_version_tuple()[:2]),
        "python_full_version": platform.python_version(),
    }


def _evaluate(node: ast.expr, environment: dict[str, str]) -> bool:
    if isinstance(node, ast.BoolOp):
        values = (_evaluate(value, environment) for value in node.values)
        return all(values) if isinstance(node.op, ast.And) else any(values)
    if not isinstance(node, ast.Compare) or len(node.ops) != 1:
        raise ValueError("not a comparison")
    sides = (node.left, node.comparators[0])
    names = [side.id for side in sides if isinstance(side, ast.Name)]
    left, right = (
        environment[side.id] if isinstance(side, ast.Name) else str(ast.literal_eval(side))
        for side in sides
    )
    if "extra" in names:
        left, right = distribution_name(left), distribution_name(right)
    compare = _OPERATORS[type(node.ops[0])]
    if any(name in _VERSIONS for name in names) and not isinstance(node.ops[0], ast.In | ast.NotIn):
        return compare(_numbers(left), _numbers(right))
    return compare(left, right)


def _numbers(version: str) -> list[int]:
    numbers = [int(digits) for digits in re.findall(r"\d+", version)]
    while numbers and not numbers[-1]:
        numbers.pop()  # 3.10.0 equals 3.10
    return numbers
