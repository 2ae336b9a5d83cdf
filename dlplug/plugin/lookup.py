"""Finding one component by name among those of its kind, and saying why it cannot be had."""

from collections import defaultdict
from collections.abc import Iterable, Sequence

from dlplug.errors import ComponentConflictError, UnknownComponentError, suggestion
from dlplug.plugin.component import HOOKS_KIND, Component
from dlplug.plugin.families import folded_names
from dlplug.plugin.installed_before import unseen_lines
from dlplug.plugin.names import split_id
from dlplug.plugin.spec import CORE, KINDS, Kind, group_problem
from dlplug.plugin.status import Status

NAMES_SHOWN = 20
PROVIDERS_SHOWN = 10
"""Names and distributions in a message: a family of a thousand models would bury the fix."""


def settle_conflicts(components: Iterable[Component]) -> None:
    """Mark every component whose short name several distributions provide, and unmark others."""
    by_name = defaultdict(list)
    for component in components:
        if component.status is Status.CONFLICT:
            component.status = Status.AVAILABLE if component.value is None else Status.LOADED
            component.reason = component.fix = None
        if component.is_candidate:
            by_name[component.name].append(component)
    for rivals in by_name.values():
        if len(rivals) < 2:
            continue
        for component in rivals:
            # A failed or missing one keeps that status, which says more; it still is a rival.
            if component.status in (Status.AVAILABLE, Status.LOADED) or component.is_remembered:
                component.status = Status.CONFLICT
                component.reason, component.fix = _clash(rivals)


def usable_names(components: Sequence[Component]) -> list[str]:
    """Short names that resolve, and ids where a short name does not; sorted."""
    by_name, by_id = defaultdict(list), defaultdict(list)
    for component in components:
        if component.is_candidate:
            by_name[component.name].append(component)
            by_id[component.id].append(component)
    names = [
        name
        for group in (by_name, {i: v for i, v in by_id.items() if len(by_name[v[0].name]) > 1})
        for name, owners in group.items()
        if len(owners) == 1 and not owners[0].refuses
    ]
    return sorted(names)


def find(
    components: Sequence[Component],
    kind: Kind,
    name: str,
    where: str | None,
    everything: Iterable[Component] = (),
    successors: Sequence[str] = (),
) -> Component:
    """The component of ``kind`` called ``name``, a short name or an id.

    Args:
        components: Those of ``kind``.
        kind: For the messages.
        name: As in the config.
        where: File and line of the name, for the messages.
        everything: Components of every kind, to recognise a name in the wrong place.
        successors: Ids of what ``name`` was an old name of: they count like those of that name.

    Raises:
        UnknownComponentError: nobody provides it.
        ComponentConflictError: several do.
        ComponentLoadError: loading it has failed in this process.
        PluginError: it is disabled, incompatible or lacks an extra.
    """
    owner, short = split_id(name)
    named = [c for c in components if c.name == short and owner in (None, c.distribution)]
    named += [c for c in components if c.id in successors]
    candidates = [component for component in named if component.is_candidate]
    if len(candidates) > 1:
        reason, fix = _clash(candidates)
        known = "; ".join(f"{c.id} = {c.target} ({c.provider})" for c in candidates)
        raise ComponentConflictError(
            f"{kind.singular} {name!r}: {reason}", where=where, known=known, fix=fix
        )
    if not named:
        raise _unknown(components, kind, name, where, everything)
    chosen = (candidates or named)[0]
    chosen.check_usable(where=where)
    if chosen.error is not None:
        raise chosen.load_error(where=where) from chosen.error
    return chosen


def providers(components: Iterable[Component]) -> str:
    """``cross_entropy, focal (dlplug 0.1), dice (acme-losses 2.3)``, for messages."""
    components, by_provider = list(components), defaultdict(list)
    for component in components:
        by_provider[component.provider].append(component.name)
    parts = []
    for provider, names in by_provider.items():
        names = folded_names(components, sorted(set(names)))
        # dlplug's own are few, and what most people look for.
        shown = len(names) if provider.partition(" ")[0] == CORE else NAMES_SHOWN
        more = [f"... {len(names) - shown} more"] if len(names) > shown else []
        parts.append(f"{', '.join(names[:shown] + more)} ({provider})")
    if len(parts) > PROVIDERS_SHOWN:
        parts[PROVIDERS_SHOWN:] = [f"... {len(parts) - PROVIDERS_SHOWN} more distributions"]
    return ", ".join(parts)


def _unknown(
    components: Sequence[Component],
    kind: Kind,
    name: str,
    where: str | None,
    everything: Iterable[Component],
) -> UnknownComponentError:
    everything = list(everything)
    named_elsewhere = [c for c in everything if name in (c.name, c.id)]
    usable = [component for component in components if not component.refuses]
    names = {component.name for component in usable}
    # A short name is near the short names; an id is near the ids.
    hint = suggestion(name, {c.id for c in usable} if ":" in name else names)
    homes = [KINDS[kind] for kind in KINDS.keys() & {c.kind for c in named_elsewhere}]
    if slots := sorted(home.slot for home in homes if home.slot):
        hint = f"{name!r} belongs under {' or '.join(slots)};"
    elif homes:
        hint = f"{name!r} is a {' or '.join(sorted(home.singular for home in homes))};"
    in_vain = _in_vain(name, everything)
    hint = in_vain or _unseen(kind, name) or hint or _class_path(kind, name, names)
    silent = [
        c.provider
        for c in everything
        if c.kind == HOOKS_KIND and c.status is Status.FAILED and not c.is_remembered
    ]
    if silent:
        hint = f"{hint or ''} {', '.join(silent)} may offer it, but its hooks failed;".lstrip()
    listing = f"list all: python -m dlplug plugins list --kind {kind.plural}"
    return UnknownComponentError(
        f"no {kind.singular} named {name!r}",
        where=where,
        known=providers(usable) or "none is installed",
        fix=f"{hint} {listing}" if hint else listing,
    )


def _unseen(kind: Kind, name: str) -> str | None:
    """That a package in work names it, and was not installed since."""
    for unseen in unseen_lines():
        for point, said in unseen.differences():
            if point == (kind.group, split_id(name)[1]):
                return f"{said}; {unseen.fix};"
    return None


def _in_vain(name: str, everything: Iterable[Component]) -> str | None:
    """That a distribution names it in a group that does not exist."""
    for entry in everything:
        if name in (entry.name, entry.id) and group_problem(entry.group) and entry.is_problem:
            return f"{entry.provider} names it in vain: {entry.reason}; {entry.fix};"
    return None


def _class_path(kind: Kind, name: str, names: Iterable[str]) -> str | None:
    """How a class is named that is no component."""
    top = name.partition(".")[0]
    is_family = any(known.startswith(f"{top}.") for known in names)
    parts = name.split(".")
    # A class begins with a capital; a model of a family that is not installed does not.
    is_path = len(parts) > 1 and all(map(str.isidentifier, parts)) and parts[-1][0].isupper()
    if not is_path or is_family or kind.slot is None:
        return None
    value = f"{{class_path: {name}}}"
    value = f"[{value}]" if kind.slot == kind.plural else value
    return f"a class that is no component is named so: {kind.slot}: {value};"


def _clash(rivals: Sequence[Component]) -> tuple[str, str]:
    """Why several components share a name, and the two ways out; the same in every order."""
    rivals = sorted(rivals, key=lambda c: (c.distribution != CORE, c.distribution, c.target))
    ids = list(dict.fromkeys(component.id for component in rivals))
    # A command is looked up before any config is read.
    is_command = rivals[0].kind == "commands"
    others = "or DLPLUG_BLOCK" + ("" if is_command else ", or plugins.block in the config")
    block = f"--block {ids[-1]} ({others})"
    if len(ids) == 1:
        targets = " and ".join(component.target for component in rivals)
        return (
            f"{rivals[0].provider} declares it twice, as {targets}",
            f"update {rivals[0].distribution} or tell its authors; or block it: {block}",
        )
    owners = " and ".join(dict.fromkeys(component.provider for component in rivals))
    full = " or ".join(repr(component_id) for component_id in ids)
    return f"provided by {owners}", f"write the full id, {full}; or block one: {block}"
