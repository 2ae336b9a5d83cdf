"""The names that are offered, which are read from timm's files."""

import dlplug_timm.names as module
import timm
from dlplug_timm.names import dlplug_components, model_names


def test_they_are_those_of_timm():
    """No more, no less, and all that timm itself finds by importing its modules."""
    assert [name for name, _ in model_names()] == sorted(timm.list_models())
    assert len(model_names()) > 1000


def test_an_offer_names_class_and_place():
    """Strings only, so that nothing is imported for a list."""
    offers = {offer.name: offer for offer in dlplug_components("architectures")}
    offer = offers["timm.resnet18"]
    assert (offer.target, offer.summary) == ("dlplug_timm.models:resnet18", "timm's ResNet.")
    assert dlplug_components("losses") is None


def test_without_timm_nothing_is_offered(monkeypatch):
    """Listing plugins must not fail because a library is missing."""
    monkeypatch.setattr(module, "find_spec", lambda name: None)
    model_names.cache_clear()
    assert dlplug_components("architectures") == []
    model_names.cache_clear()
