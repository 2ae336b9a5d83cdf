"""The ops that are called at random."""

from types import ModuleType, SimpleNamespace

from tests.fuzz import adamw, attention, compact_adamw, norms, total_norm

FAMILIES: dict[str, ModuleType | SimpleNamespace] = {
    family.NAME: family for family in (*norms.FAMILIES, attention, adamw, compact_adamw, total_norm)
}
