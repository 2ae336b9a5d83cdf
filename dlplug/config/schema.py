"""JSON Schema of a config, with a branch for every installed component of each slot.

For editors: names and arguments are completed, a wrong key or type is marked while it is written.
The program itself never reads it. Where the two differ the schema is the wider one: it cannot know
which class a ``class_path`` leads to, or what several files say together.
"""

from collections.abc import Iterable
from typing import Any

from dlplug.config.acceleration import KEYS as ACCELERATION_KEYS
from dlplug.config.choice import RESERVED
from dlplug.config.facts import Argument, Facts
from dlplug.config.facts_cache import FactsCache, facts_or_none
from dlplug.config.kinds import TRAITS
from dlplug.config.settings import CONTROL_KEYS, MAX_SEED, NAME
from dlplug.config.slots import SLOTS, Slot
from dlplug.config.type_schema import NULL
from dlplug.plugin import CORE, KINDS, Component, Registry
from dlplug.plugin.families import Family, folded

DRAFT = "https://json-schema.org/draft/2020-12/schema"
Schema = dict[str, Any]
Member = tuple[Component, Facts | None]
BODIES = ("init_args", "dict_kwargs")
NAMES: Schema = {
    "anyOf": [{"type": ["string", "null"]}, {"type": "array", "items": {"type": "string"}}]
}


def config_schema(registry: Registry, cache: FactsCache, load: bool = False) -> Schema:
    """The schema of a whole config.

    Args:
        registry: What is installed; of hooks that are not loaded, the names that the index knows.
        cache: Facts of components; of those that are not in it, dlplug's own are imported. The
            caller saves it.
        load: Import those of plugins too. Else their names are known and any argument is valid: an
            editor's schema is no reason to run what nobody has asked for.
    """
    definitions: Schema = {}
    for kind in TRAITS:
        definitions |= _definitions(kind, registry, cache, load)
    definitions["trainer"] = _trainer(cache.of_trainer())
    properties = {name: _slot(slot) for name, slot in SLOTS.items()}
    appended = {f"{s.name}+": _appended(s) for s in SLOTS.values() if s.kind and s.is_list}
    return {
        "$schema": DRAFT,
        "title": "dlplug config",
        "type": "object",
        "properties": properties | appended,
        "additionalProperties": False,
        "$defs": definitions,
    }


def unknown_components(registry: Registry, cache: FactsCache) -> list[Component]:
    """Those of plugins whose arguments nobody knows before they are imported."""
    found = [c for kind in TRAITS for c in registry.components(kind) if c.distribution != CORE]
    return [c for c in found if c.is_candidate and not c.refuses and cache.known(c) is None]


def _definitions(kind: str, registry: Registry, cache: FactsCache, load: bool) -> Schema:
    """The components of a kind, one definition each, and the choice between them."""
    word = KINDS[kind].singular
    short_names, branches, words = set(registry.names(kind)), {}, []
    known_arguments: set[str] = set()
    for group in _alike(registry.components(kind), cache, load):
        component, facts = group[0]
        key = f"{word}-{component.id.replace(':', '-')}"
        names = [c.name if c.name in short_names else c.id for c, _ in group]
        branches[key] = _branch(key, names, group)
        words += [
            {"const": name, "description": _summary(*member)}
            for name, member in zip(names, group, strict=True)
        ]
        words.append({"pattern": f"^({'|'.join(c.id for c, _ in group)})$"})
        known_arguments |= {a.name for a in (facts and facts.arguments) or ()}
    choices = [{"type": "string", "anyOf": words}] if words else []
    choices += [{"$ref": f"#/$defs/{key}"} for key in branches]
    if not registry.names_are_known():
        choices += _unlisted(words)
    choices.append(_class_path())
    # Arguments alone: for the default, or laid over another file.
    nameless = {
        "type": "object",
        "propertyNames": {
            "anyOf": [
                {"enum": sorted({*known_arguments, *BODIES} - {"name", "class_path"})},
                {"pattern": "\\+$"},
            ]
        },
    }
    return branches | {kind: {"anyOf": [*choices, nameless]}}


def _alike(components: Iterable[Component], cache: FactsCache, load: bool) -> list[list[Member]]:
    """The components that can be chosen, those of a large family with the same arguments together.

    A branch for each of a thousand models would only repeat the first.
    """
    groups: dict[Any, list[Member]] = {}
    for item in folded(c for c in components if c.is_candidate):
        for component in item.members if isinstance(item, Family) else [item]:
            may_import = load or component.distribution == CORE
            facts = facts_or_none(cache, component) if may_import else cache.known(component)
            key: Any = component.id
            if isinstance(item, Family):
                known = facts and (facts.arguments, facts.is_open)
                key = component.offered_by, item.word, repr(known)
            groups.setdefault(key, []).append((component, facts))
    return list(groups.values())


def _branch(key: str, names: list[str], group: list[Member]) -> Schema:
    """A mapping that names one component, or one of several alike, with its arguments."""
    component, facts = group[0]
    accepted = dict.fromkeys([*names, *(c.id for c, _ in group)])
    named: Schema = {"anyOf": [{"const": name} for name in accepted]}
    named["description"] = _summary(component, facts)
    branch: Schema = {"type": "object", "description": _summary(component, facts)}
    if facts is None or facts.arguments is None:
        branch |= {"properties": {"name": named}, "required": ["name"]}
        return branch  # what cannot be loaded here may be right on another machine
    properties = _arguments(facts.arguments)
    plain = {n: value for n, value in properties.items() if n not in RESERVED}
    inner = {
        n: {"$ref": f"#/$defs/{key}/properties/{n}"} if n in plain else value
        for n, value in properties.items()
    }
    branch["properties"] = {
        "name": named,
        **plain,
        "init_args": {
            "type": ["object", "null"],
            "properties": inner,
            "additionalProperties": False,
        },
    }
    if facts.is_open:
        branch["properties"]["dict_kwargs"] = {"type": ["object", "null"]}
    return branch | {"required": ["name"], "additionalProperties": False}


def _arguments(arguments: Iterable[Argument]) -> Schema:
    """One property for each; a list has a second one, ``transforms+``, that appends to it."""
    properties = {}
    for argument in arguments:
        properties[argument.name] = _argument(argument)
        if argument.kind or _takes_list(argument.schema):
            about = {"description": f"Added to {argument.name}, after what stands there."}
            properties[f"{argument.name}+"] = about
    return properties


def _takes_list(schema: Schema) -> bool:
    choices = schema.get("anyOf", [schema])
    return any("array" in (choice.get("type"), *_listed(choice)) for choice in choices)


def _listed(schema: Schema) -> list[str]:
    return schema["type"] if isinstance(schema.get("type"), list) else []


def _argument(argument: Argument) -> Schema:
    schema = dict(argument.schema)
    if argument.kind:
        one = {"$ref": f"#/$defs/{argument.kind}"}
        schema = {"anyOf": [one, {"type": "array", "items": one}, dict(NULL)]} | schema
    notes = [argument.doc] if argument.doc else []
    if argument.filled_by:
        notes.append(f"Filled by the {argument.filled_by}.")
    elif argument.is_required:
        notes.append("Required.")
    return schema | ({"description": " ".join(notes)} if notes else {})


def _slot(slot: Slot) -> Schema:
    about = {"description": slot.summary[0].upper() + slot.summary[1:] + "."}
    if slot.default not in (None, {}):
        about["default"] = slot.default
    if slot.name == "trainer":
        return {"$ref": "#/$defs/trainer", **about}
    if slot.name == "plugins":
        return _plugins() | about
    if slot.name == "accelerate":
        return _accelerate() | about
    if slot.name == "seed_everything":
        number = {"type": "integer", "minimum": 0, "maximum": MAX_SEED}
        return {"anyOf": [number, {"const": True}]} | about
    if slot.name == "name":
        return {"type": ["string", "null"], "pattern": f"^{NAME.pattern}$"} | about
    one = {"$ref": f"#/$defs/{slot.kind}"}
    if not slot.is_list:
        return {"anyOf": [one, dict(NULL)]} | about
    elements = {"type": "array", "items": one}
    # A mapping of element to change, as `callbacks: {ema: {decay: 0.9}}` over another file.
    changes = {
        "type": "object",
        "propertyNames": {"not": {"enum": list(RESERVED)}},
        "additionalProperties": {"type": ["object", "string", "null"]},
    }
    return {"anyOf": [elements, one, changes, dict(NULL)]} | about


def _appended(slot: Slot) -> Schema:
    one = {"$ref": f"#/$defs/{slot.kind}"}
    about = f"Added to {slot.name}, after what stands there."
    return {"anyOf": [one, {"type": "array", "items": one}], "description": about}


def _trainer(arguments: Iterable[Argument]) -> Schema:
    return {
        "type": ["object", "null"],
        "properties": _arguments(arguments),
        "additionalProperties": False,
    }


def _accelerate() -> Schema:
    properties = dict.fromkeys(ACCELERATION_KEYS, NAMES)
    globs = {"type": "object", "properties": properties, "additionalProperties": False}
    return {"anyOf": [{"type": ["boolean", "null"]}, globs]}


def _plugins() -> Schema:
    properties = dict.fromkeys(CONTROL_KEYS, NAMES) | {"strict": {"type": ["boolean", "null"]}}
    return {"type": ["object", "null"], "properties": properties, "additionalProperties": False}


def _unlisted(words: list[Schema]) -> list[Schema]:
    """Names that a hook may offer which nobody has asked yet: that would import its library."""
    other = {"type": "string", "not": {"anyOf": words}} if words else {"type": "string"}
    return [other, {"type": "object", "properties": {"name": other}, "required": ["name"]}]


def _class_path() -> Schema:
    return {
        "type": "object",
        "description": "A class that no plugin offers, by its import path.",
        "properties": {
            "class_path": {"type": "string", "pattern": "\\."},
            "init_args": {"type": ["object", "null"]},
            "dict_kwargs": {"type": ["object", "null"]},
        },
        "required": ["class_path"],
    }


def _summary(component: Component, facts: Facts | None) -> str:
    text = component.summary or (facts.doc.summary if facts else "")
    return f"{text} ({component.provider})".strip() if text else component.provider
