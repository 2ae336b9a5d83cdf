"""Docstrings as data."""

import functools

import pytest

from dlplug.config.docstring import plain_text, read_docstring


def documented(text):
    """A function with that docstring."""

    def target():
        return None

    target.__doc__ = text
    return target


GOOGLE = """Focal loss for
    rare classes.

    It weighs :class:`~torch.nn.Linear` and ``x``.

    Args:
        gamma: Focus.

            More about it.
    Raises:
        ValueError: never.
    Reaches: 0.981 with
    configs/a.yaml.
    References: Lin et al. 2017,
        arXiv:1708.02002.

    A last word.
    """


def test_a_google_style_docstring_is_taken_apart():
    """Prose without its sections and markup, references, and what was reached."""
    doc = read_docstring(documented(GOOGLE))
    assert doc.summary == "Focal loss for rare classes."
    assert doc.prose == ("Focal loss for\nrare classes.\n\nIt weighs Linear and x.\n\nA last word.")
    assert doc.references == ("Lin et al. 2017, arXiv:1708.02002.",)
    assert doc.reaches == "0.981 with configs/a.yaml."


NUMPY = """Does it.

    Parameters
    ----------
    x : int
        Arguments: none.

    References
    ----------
    - A 2001, a title.
    - B 2002,
      another.
    """


def test_a_numpy_style_docstring_is_taken_apart():
    """Underlined headings; each bullet is a reference."""
    doc = read_docstring(documented(NUMPY))
    assert doc.prose == doc.summary == "Does it."
    assert doc.references == ("A 2001, a title.", "B 2002, another.")


SPHINX = """Implements it, see `Adam: A Method`_.

    .. math::
       a = b

       c

    .. note:: Not this, https://nowhere.

    More.

    :param x: A number.

    .. _Adam\\: A Method:
        https://arxiv.org/abs/1412.6980
    """


def test_a_sphinx_style_docstring_is_taken_apart():
    """Directives and fields are left out; link targets are references."""
    doc = read_docstring(documented(SPHINX))
    assert doc.prose == "Implements it, see Adam: A Method.\n\nMore."
    assert doc.references == ("Adam: A Method: https://arxiv.org/abs/1412.6980",)


def test_a_base_class_s_docstring_is_not_taken():
    """Nor that of functools.partial; the function behind a partial has its own."""
    base = type("Base", (), {"__doc__": "About the base."})
    assert read_docstring(type("Child", (base,), {})).prose == ""
    assert read_docstring(functools.partial(documented("Mine."), 1)).prose == "Mine."


def test_the_module_s_references_stand_in():
    """To the end of the sentence that cites; what the docstring mentions comes first."""
    from dlplug.architectures.vit import ViT
    from dlplug.losses.focal import FocalLoss

    (vit,) = read_docstring(ViT).references
    assert vit == "Dosovitskiy et al. 2021, arXiv:2010.11929, section 3.1."
    assert "arXiv:1708.02002" in read_docstring(FocalLoss).references[0]


class Odd:
    """Replaced below."""


Odd.__doc__ = 7


class Raising(type):
    @property
    def __doc__(cls):
        raise RuntimeError("no documentation")


@pytest.mark.parametrize(
    "target",
    [
        None,
        7,
        Odd,
        Raising("R", (), {}),
        documented(None),
        documented(""),
        documented("\n\n"),
        documented("Args:"),
        documented("Args\n----"),
        documented("References:\n\n\n"),
        documented(".. math::"),
        documented("[bold]x[/] `_ :a:`b <c>` \x00\x1b[2J"),
        documented(":" * 5000 + "`" * 5000),
    ],
    ids=lambda target: type(target).__name__,
)
def test_nothing_raises(target):
    """Whatever stands there."""
    doc = read_docstring(target)
    assert "\x1b" not in doc.prose and isinstance(doc.summary, str)


def test_markup_is_read_as_words():
    """Roles with and without a text of their own."""
    assert plain_text(":func:`~a.b.c` and :ref:`text <place>`, ``d``") == "c and text, d"
