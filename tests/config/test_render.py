"""The resolved config as text."""

from hypothesis import given
from hypothesis import strategies as st

from dlplug.config.document import parse
from dlplug.config.render import render

CONFIG = {
    "seed_everything": 0,
    "architecture": {"name": "vit", "num_classes": 10, "betas": [0.9, 0.999]},
    "loss": {"class_path": "a.B", "init_args": {"num_classes": 10}},
    "scheduler": None,
    "callbacks": [{"name": "ema", "decay": 0.9}, "plain", {}],
    "loggers": [],
    "trainer": {},
}
NOTES = {
    "architecture.num_classes": "from data mnist",
    "loss.num_classes": "from data mnist",
    "callbacks.0.decay": "why",
}


def test_the_text_says_where_values_come_from():
    """Blocks for mappings, one line for the rest, a comment behind filled values."""
    assert render(CONFIG, NOTES) == (
        "seed_everything: 0\n"
        "architecture:\n"
        "  name: vit\n"
        "  num_classes: 10  # from data mnist\n"
        "  betas: [0.9, 0.999]\n"
        "loss:\n"
        "  class_path: a.B\n"
        "  init_args:\n"
        "    num_classes: 10  # from data mnist\n"
        "scheduler: null\n"
        "callbacks:\n"
        "- name: ema\n"
        "  decay: 0.9  # why\n"
        "- plain\n"
        "- {}\n"
        "loggers: []\n"
        "trainer: {}\n"
    )


SCALARS = st.none() | st.booleans() | st.integers() | st.floats(allow_nan=False)
WORDS = st.text("abc", min_size=1)
VALUES = st.recursive(
    SCALARS | st.text("ab:#-' 1", max_size=5),
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(WORDS, inner, max_size=3),
    max_leaves=8,
)


@given(st.dictionaries(st.text("abc1:", min_size=1), VALUES, max_size=3))
def test_the_text_is_a_config_with_the_same_content(config):
    """Reading it gives back what was written."""
    assert (parse(render(config), "f").plain() or {}) == config
