"""Configs laid over each other."""

import pytest

from dlplug.config.document import parse
from dlplug.config.merging import element_name, merge, normalised
from dlplug.errors import ConfigError, UnknownKeyError


def composed(*texts):
    tree = parse("{}", "none")
    for number, text in enumerate(texts):
        tree = merge(normalised(tree), parse(text, f"{number}.yaml"))
    return normalised(tree).plain()


@pytest.mark.parametrize(
    ("texts", "result"),
    [
        (("trainer: {a: 1, b: 2}", "trainer: {b: 3}"), {"trainer": {"a": 1, "b": 3}}),
        (("seed_everything: 1", "seed_everything: 2"), {"seed_everything": 2}),
        # another component drops the arguments of the old one
        (("architecture: {name: vit, depth: 6}", "architecture: mlp"), {"architecture": "mlp"}),
        (
            ("architecture: {name: vit, depth: 6}", "architecture: {name: mlp, width: 2}"),
            {"architecture": {"name": "mlp", "width": 2}},
        ),
        (
            ("loss: {name: focal, gamma: 2}", "loss: {class_path: a.B}"),
            {"loss": {"class_path": "a.B"}},
        ),
        # the same component keeps them
        (
            ("architecture: {name: vit, depth: 6}", "architecture: vit"),
            {"architecture": {"name": "vit", "depth": 6}},
        ),
        (
            ("architecture: {name: vit, depth: 6}", "architecture: {heads: 3}"),
            {"architecture": {"name": "vit", "depth": 6, "heads": 3}},
        ),
        (
            ("architecture: vit", "architecture: {init_args: {heads: 3}}"),
            {"architecture": {"name": "vit", "heads": 3}},
        ),
        (
            ("architecture: {name: acme:vit, depth: 6}", "architecture: {name: vit, heads: 3}"),
            {"architecture": {"name": "acme:vit", "depth": 6, "heads": 3}},
        ),
        (("architecture: vit", "architecture: vit"), {"architecture": "vit"}),
        # arguments alone belong to the slot's default
        (
            ("optimizer: {lr: 1}", "optimizer: {name: adamw, eps: 2}"),
            {"optimizer": {"name": "adamw", "lr": 1, "eps": 2}},
        ),
        (("optimizer: {lr: 1}", "optimizer: sgd"), {"optimizer": "sgd"}),
        # null empties a slot
        (("scheduler: {name: step, gamma: 1}", "scheduler: null"), {"scheduler": None}),
        # lists
        (("callbacks: [a, b]", "callbacks: [c]"), {"callbacks": ["c"]}),
        (("callbacks: [a]", "callbacks+: b"), {"callbacks": ["a", "b"]}),
        (
            ("callbacks: [a]", "callbacks+: [b, {name: c}]"),
            {"callbacks": ["a", "b", {"name": "c"}]},
        ),
        (("callbacks: ema",), {"callbacks": ["ema"]}),
        (("callbacks: {name: ema, decay: 1}",), {"callbacks": [{"name": "ema", "decay": 1}]}),
        (("callbacks+: ema",), {"callbacks": ["ema"]}),
        (("{callbacks+: b, callbacks: [a]}",), {"callbacks": ["a", "b"]}),
        # nothing said before: the default list is what is changed
        (("metrics+: f1",), {"metrics": ["accuracy", "f1"]}),
        (("metrics: null", "metrics+: f1"), {"metrics": ["f1"]}),
        (
            ("metrics: {accuracy: {top_k: 2}}",),
            {"metrics": [{"name": "accuracy", "top_k": 2}]},
        ),
        (
            ("callbacks: [early, ema]", "callbacks: {ema: {decay: 0.9}}"),
            {"callbacks": ["early", {"name": "ema", "decay": 0.9}]},
        ),
        (
            ("callbacks: [early, {name: ema, decay: 1}]", "callbacks: {1: {decay: 2}}"),
            {"callbacks": ["early", {"name": "ema", "decay": 2}]},
        ),
        (
            ("callbacks: [{class_path: a.b.Ema}]", "callbacks: {Ema: {decay: 2}}"),
            {"callbacks": [{"class_path": "a.b.Ema", "init_args": {"decay": 2}}]},
        ),
        # nested components follow the same rules
        (
            ("data: {name: d, transform: shift}", "data: {transform: {by: 2}}"),
            {"data": {"name": "d", "transform": {"name": "shift", "by": 2}}},
        ),
        (
            ("data: {name: d, transforms: [shift]}", "data: {transforms: {shift: {by: 2}}}"),
            {"data": {"name": "d", "transforms": [{"name": "shift", "by": 2}]}},
        ),
        # another class in the trainer drops the old one's arguments too
        (
            (
                "trainer: {strategy: {class_path: a.B, init_args: {x: 1}}}",
                "trainer: {strategy: {class_path: a.C}}",
            ),
            {"trainer": {"strategy": {"class_path": "a.C"}}},
        ),
    ],
)
def test_the_later_config_wins(texts, result):
    """Mappings merge, lists are replaced, appended to or addressed; a new name drops arguments."""
    assert composed(*texts) == result


def test_an_element_that_is_not_there_gets_a_suggestion():
    """Addressing a callback by a wrong name says which there are."""
    with pytest.raises(UnknownKeyError) as caught:
        composed("callbacks: [early_stopping, ema]", "callbacks: {emma: {decay: 1}}")
    assert str(caught.value) == (
        "callbacks has no element 'emma'\n"
        "  where: 1.yaml, line 1, callbacks.emma\n"
        "  known: early_stopping, ema\n"
        "  fix:   did you mean 'ema'?"
    )
    with pytest.raises(UnknownKeyError) as caught:
        composed("callbacks: []", "callbacks: {ema: {decay: 1}}")
    assert caught.value.fix == "add it: --callbacks+ ema"
    with pytest.raises(UnknownKeyError, match="callbacks has no element 'ema'"):
        composed("callbacks: null", "callbacks: {ema: {decay: 1}}")


@pytest.mark.parametrize(
    ("texts", "result"),
    [
        (("callbacks: {ema: {decay: 1}}",), [{"name": "ema", "decay": 1}]),
        (("callbacks: {0: {a: 1}}", "callbacks: {0: {b: 2}}"), [{"name": "0", "a": 1, "b": 2}]),
        (("metrics: {f1: {a: 1}}",), ["accuracy", {"name": "f1", "a": 1}]),
        (("metrics+: f1", "metrics: {f1: {a: 1}}"), ["accuracy", {"name": "f1", "a": 1}]),
    ],
)
def test_arguments_wait_for_a_default_that_composing_cannot_know(texts, result):
    """The task may have the element in its own default list: it is not known yet."""
    assert next(iter(composed(*texts).values())) == result


def test_an_element_of_an_ambiguous_name_needs_its_index():
    """Two elements of one name are told apart by their place only."""
    with pytest.raises(ConfigError) as caught:
        composed("metrics: [f1, {name: f1}]", "metrics: {f1: {top_k: 1}}")
    assert caught.value.what == "metrics has several elements called 'f1'"
    assert caught.value.fix == "address one by its index: 0, 1"


def test_values_keep_the_file_they_come_from():
    """After composing, each value still knows its own file and line."""
    base = parse("trainer:\n  a: 1\n  b: 2\n", "base.yaml")
    tree = merge(base, parse("trainer:\n  b: 3\n", "over.yaml"))
    assert str(tree.nearest(["trainer", "a"]).origin) == "base.yaml, line 2"
    assert str(tree.nearest(["trainer", "b"]).origin) == "over.yaml, line 2"


def test_an_element_is_called_by_its_short_name():
    """Without distribution or package; nothing for what is no component."""
    elements = parse("[ema, 'acme:ema', {class_path: a.b.Ema}, {x: 1}, 3]", "f").value
    assert [element_name(element) for element in elements] == ["ema", "ema", "Ema", None, None]
