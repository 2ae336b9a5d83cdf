"""Type hints as JSON Schema: what an editor can check before anything is imported."""

import datetime
import enum
import inspect
import pathlib
import typing

from dlplug.config.types import CONTAINERS, UNIONS, is_untyped

Schema = dict[str, object]

# An object of a class: its import path, or a mapping with class_path and init_args.
OBJECT: Schema = {"type": ["string", "object"]}
NULL: Schema = {"type": "null"}
# bool before int, of which it is a subclass.
SCALARS: tuple[tuple[tuple[type, ...], str], ...] = (
    ((bool,), "boolean"),
    ((int,), "integer"),
    ((float,), "number"),
    ((str, pathlib.PurePath, datetime.timedelta), "string"),
)


def type_schema(hint: object) -> Schema:
    """JSON Schema of the YAML values that a type hint accepts; ``{}`` where it accepts anything.

    Args:
        hint: From a signature. One that says more than JSON Schema can is taken as wider.
    """
    if is_untyped(hint):
        return {}
    if hint in (None, type(None)):
        return dict(NULL)
    origin, parts = typing.get_origin(hint), typing.get_args(hint)
    if origin is typing.Annotated:
        return type_schema(parts[0])
    if origin in UNIONS:
        return any_of([type_schema(part) for part in parts])
    if origin is typing.Literal:
        values = [value.name if isinstance(value, enum.Enum) else value for value in parts]
        return {"enum": values}
    if origin in CONTAINERS or (inspect.isclass(hint) and hint in CONTAINERS):
        return _container(origin or hint, parts)
    if inspect.isclass(hint):
        return _class(hint)
    return dict(OBJECT)


def any_of(schemas: list[Schema]) -> Schema:
    """A value that one of them accepts; simple types are joined into one list of types."""
    if {} in schemas:
        return {}
    types: list[str] = []
    others: list[Schema] = []
    for schema in schemas:
        if set(schema) == {"type"}:
            words = schema["type"] if isinstance(schema["type"], list) else [schema["type"]]
            types += [word for word in words if word not in types]
        elif schema not in others:
            others.append(schema)
    if "number" in types and "integer" in types:
        types.remove("integer")
    plain = [{"type": types if len(types) > 1 else types[0]}] if types else []
    found = [*plain, *others]
    return found[0] if len(found) == 1 else {"anyOf": found}


def _class(hint: type) -> Schema:
    if issubclass(hint, enum.Enum):
        return {"enum": list(hint.__members__)}
    for classes, word in SCALARS:
        if issubclass(hint, classes):
            return {"type": word}
    return {} if hint in (complex, bytes) else dict(OBJECT)


def _container(origin: type, parts: tuple) -> Schema:
    if issubclass(origin, typing.get_origin(typing.Mapping)):
        values = type_schema(parts[1]) if len(parts) == 2 else {}
        return {"type": "object"} | ({"additionalProperties": values} if values else {})
    if origin is tuple and parts and Ellipsis not in parts:
        items = [type_schema(part) for part in parts]
        size = {"minItems": len(items), "maxItems": len(items)}
        return {"type": "array", "prefixItems": items, **size}
    items = type_schema(parts[0]) if parts else {}
    return {"type": "array"} | ({"items": items} if items else {})
