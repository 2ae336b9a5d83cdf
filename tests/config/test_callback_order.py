"""The order of callbacks."""

import pytest

from dlplug.errors import ConfigError

BASE = "data: squares\narchitecture: tower\ncallbacks: "


def order(experiment, text):
    return [
        callback["name"].partition(":")[2]
        for callback in experiment(BASE + text).resolved["callbacks"]
    ]


@pytest.mark.parametrize(
    ("given", "run"),
    [
        ("[late, early]", ["early", "late"]),
        ("[late, early, first]", ["first", "early", "late"]),
        ("[late, first]", ["first", "late"]),
        ("[late, {name: late}]", ["late", "late"]),
        ("[]", []),
    ],
)
def test_wishes_decide_then_the_config(experiment, given, run):
    """``order`` first, then ``before`` and ``after``, else as written."""
    assert order(experiment, given) == run


def test_the_built_callbacks_have_that_order(experiment):
    """What Lightning gets is what --print_config shows."""
    built = experiment(BASE + "[late, early, {name: first, every: 3}]").build_callbacks()
    assert [type(callback).__name__ for callback in built] == ["First", "Early", "LateOne"]
    assert built[0].every == 3


def test_a_circle_of_wishes_is_an_error(experiment):
    """Rather than an order by luck."""
    with pytest.raises(ConfigError) as caught:
        order(experiment, "[late, early, contrary]")
    assert caught.value.what == (
        "the callbacks late, early, contrary each want to run before the other"
    )
