"""The order of callbacks."""

import pytest

from dlplug.errors import ConfigError, PluginError

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
    assert caught.value.known == "early: before late; contrary: before early, after late"


def test_the_config_says_why(experiment):
    """A comment beside the list in the printed config and in the run's snapshot."""
    text = experiment(BASE + "[late, early, first]").to_yaml()
    assert "callbacks:  # run in this order; first: order -1; early: before late\n" in text
    assert "#" not in experiment(BASE + "[late]").to_yaml().partition("callbacks:")[2]


@pytest.mark.parametrize(
    ("word", "wish", "known"),
    [
        *[("before", wish, "a name, or a list or tuple of names") for wish in ("{'late'}", "3")],
        ("after", "[3]", "a name, or a list or tuple of names"),
        *[("order", wish, "a number") for wish in ("'first'", "None", "(1,)")],
    ],
)
def test_wishes_of_another_type_are_the_plugins_fault(
    experiment, fake_distribution, word, wish, known
):
    """The message names the callback, its attribute and what it may hold."""
    source = f"from lightning.pytorch import Callback\nclass Odd(Callback):\n    {word} = {wish}\n"
    lines = {"dlplug.callbacks": {"odd": "acme_odd:Odd"}}
    fake_distribution("acme-odd", "1.0", entry_points=lines, modules={"acme_odd": source})
    with pytest.raises(PluginError) as caught:
        order(experiment, "[late, odd]")
    assert caught.value.what == f"callback 'odd' of acme-odd 1.0 has {word} = {wish}"
    assert caught.value.known == known


@pytest.mark.parametrize("wish", ["property(lambda self: 3)", "float('nan')"])
def test_an_order_that_the_class_does_not_have(experiment, fake_distribution, wish):
    """It is asked before there is an object; and what is not a number has no place."""
    source = f"from lightning.pytorch import Callback\nclass Odd(Callback):\n    order = {wish}\n"
    lines = {"dlplug.callbacks": {"odd": "acme_odd:Odd"}}
    fake_distribution("acme-odd", "1.0", entry_points=lines, modules={"acme_odd": source})
    with pytest.raises(PluginError, match=r"callback 'odd' of acme-odd .* has order = "):
        order(experiment, "[late, odd]")


@pytest.mark.parametrize(
    "wish", ["-3", "-0.5", "np.int64(-3)", "np.float32(-3)", "Fraction(-1, 2)"]
)
def test_an_order_may_be_any_number(experiment, fake_distribution, wish):
    """Of numpy or of the standard library."""
    source = (
        "from fractions import Fraction\nimport numpy as np\n"
        f"from lightning.pytorch import Callback\nclass Soon(Callback):\n    order = {wish}\n"
    )
    lines = {"dlplug.callbacks": {"soon": "acme_soon:Soon"}}
    fake_distribution("acme-soon", "1.0", entry_points=lines, modules={"acme_soon": source})
    assert order(experiment, "[late, soon]") == ["soon", "late"]
