"""Whether the arguments of a table say what a model was trained on."""

from collections.abc import Mapping
from typing import TYPE_CHECKING, Any

from dlplug.errors import InvalidValueError

if TYPE_CHECKING:
    from dlplug.data.tables.table_data import TableData


def refuse_other_columns(data: "TableData", learned: Mapping[str, Any]) -> None:
    """Refuse arguments that a training would follow, where another training has learned.

    Args:
        data: Its arguments.
        learned: ``preparation`` of the data spec: ``features`` and ``target``.
    Raises:
        InvalidValueError: names the first one that says something else, and both sides.
    """
    features, target = learned["features"], learned["target"]
    numbers = [column["name"] for column in features["numbers"]]
    words = [column["name"] for column in features["categories"]]
    stated = {"target": (list(data.target), list(target["columns"]))}
    if data.target_kind != "auto":
        stated["target_kind"] = (data.target_kind, target["kind"])
    if data.features is not None:
        stated["features"] = (sorted(data.features), sorted([*numbers, *words]))
    if words:
        stated["categories"] = (data.categories, features["encoding"])
    if not data.missing_indicators:
        has_any = any(column["has_indicator"] for column in features["numbers"])
        stated["missing_indicators"] = (False, has_any)
    for name, (ours, theirs) in stated.items():
        if ours != theirs:
            raise InvalidValueError(
                f"data: {name} = {ours!r}, and the model was trained with {theirs!r}",
                fix="leave it as it was",
            )
    for name, forbidden in (("categorical", numbers), ("ignore", [*numbers, *words])):
        other = next((one for one in getattr(data, name) if one in forbidden), None)
        if other is not None:
            role = "numbers" if name == "categorical" else "a feature"
            raise InvalidValueError(
                f"data: {name} = {list(getattr(data, name))!r}, and {other!r} was {role} when the"
                " model was trained",
                fix="leave it as it was",
            )
