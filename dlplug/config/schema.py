"""JSON Schema of a config, with a branch for every installed component of each slot.

For editors: names and arguments are completed, a wrong key or type is marked while it is written.
The program itself never reads it. Where the two differ the schema is the wider one: it cannot know
what a hook offers, which class a ``class_path`` leads to, or what several files say together.
"""

from collections.abc import Iterable
from typing import Any

from dlplug.config.choice import RESERVED
from dlplug.config.facts import Argument, Facts
from dlplug.config.facts_cache import FactsCache, facts_or_none
from dlplug.config.kinds import TRAITS
from dlplug.config.settings import CONTROL_KEYS, MAX_SEED, NAME
from dlplug.config.slots import SLOTS, Slot
from dlplug.config.type_schema import NULL
from dlplug.plugin import CORE, KINDS, Component, Registry
from dlplug.plugin.component import HOOKS_KIND

DRAFT = "https://json-schema.org/draft/2020-12/schema"
Schema = dict[str, Any]
BODIES = ("init_args", "dict_kwargs")


def config_schema(registry: Registry, cache: FactsCache, load: bool = False) -> Schema:
    """The schema of a whole config.

    Args:
        registry: What is installed; hooks need not be loaded.
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
    for component in registry.components(kind):
        if not component.is_candidate:
            continue
        may_import = load or component.distribution == CORE
        facts = facts_or_none(cache, component) if may_import else cache.known(component)
        names = [n for n in (component.name, component.id) if n in short_names] or [component.id]
        key = f"{word}-{component.id.replace(':', '-')}"
        branches[key] = _branch(key, names[0], component, facts)
        words += [{"const": name, "description": _summary(component, facts)} for name in names[:1]]
        words.append({"pattern": f"^{component.id}$"})
        known_arguments |= {a.name for a in (facts and facts.arguments) or ()}
    choices = [{"type": "string", "anyOf": words}] if words else []
    choices += [{"$ref": f"#/$defs/{key}"} for key in branches]
    if _has_hooks(registry):
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


def _branch(key: str, name: str, component: Component, facts: Facts | None) -> Schema:
    """A mapping that names one component, with its arguments."""
    named: Schema = {"const": name}
    if name != component.id:
        named = {"anyOf": [named, {"const": component.id}]}
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


def _plugins() -> Schema:
    names = {
        "anyOf": [{"type": ["string", "null"]}, {"type": "array", "items": {"type": "string"}}]
    }
    properties = dict.fromkeys(CONTROL_KEYS, names) | {"strict": {"type": ["boolean", "null"]}}
    return {"type": ["object", "null"], "properties": properties, "additionalProperties": False}


def _unlisted(words: list[Schema]) -> list[Schema]:
    """Names that a hook may offer; the schema is made without asking it."""
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


def _has_hooks(registry: Registry) -> bool:
    return any(e.kind == HOOKS_KIND and not e.refuses for e in registry.entries())


def _summary(component: Component, facts: Facts | None) -> str:
    text = component.summary or (facts.doc.summary if facts else "")
    return f"{text} ({component.provider})".strip() if text else component.provider
