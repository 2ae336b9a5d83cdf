"""The one form in which every error reaches a user."""

import inspect
import pickle

import pytest

from dlplug import errors

CLASSES = [
    cls
    for _, cls in inspect.getmembers(errors, inspect.isclass)
    if issubclass(cls, errors.DlplugError)
]


def test_an_error_says_what_where_known_and_fix():
    """The text has one row for each part that is given, in a fixed order."""
    error = errors.UnknownComponentError(
        "no loss named 'focl'",
        where="configs/a.yaml, line 7, loss.name",
        known="cross_entropy, focal",
        fix="did you mean 'focal'?",
    )
    assert str(error) == (
        "no loss named 'focl'\n"
        "  where: configs/a.yaml, line 7, loss.name\n"
        "  known: cross_entropy, focal\n"
        "  fix:   did you mean 'focal'?"
    )


def test_missing_parts_leave_no_empty_rows():
    """An error that has only a sentence is only that sentence."""
    assert str(errors.RunError("no run named 'x'")) == "no run named 'x'"


@pytest.mark.parametrize("cls", CLASSES)
def test_errors_survive_a_process_boundary(cls):
    """Data workers and ranks send exceptions by pickle; type and all four parts arrive."""
    error = cls("what", where="here", known="a, b", fix="use a")
    copy = pickle.loads(pickle.dumps(error))
    assert type(copy) is cls
    assert str(copy) == str(error)


@pytest.mark.parametrize("cls", CLASSES)
def test_the_tree_in_the_docstring_names_every_class(cls):
    """The module's docstring draws the whole tree."""
    assert cls.__name__ in errors.__doc__


def test_op_errors_are_also_the_builtin_ones():
    """Code that catches ValueError, TypeError or RuntimeError of PyTorch's ops keeps working."""
    assert issubclass(errors.ShapeError, ValueError)
    assert issubclass(errors.DtypeError, TypeError)
    assert issubclass(errors.BackendError, RuntimeError)


def test_a_near_name_is_suggested_and_a_far_one_is_not():
    """A typo gets the nearest known name; nonsense gets no wrong advice."""
    assert errors.suggestion("focl", ["focal", "huber"]) == "did you mean 'focal'?"
    assert errors.suggestion("max_epoch", ["max_epochs"], "--") == "did you mean '--max_epochs'?"
    assert errors.suggestion("zzz", ["focal", "huber"]) is None
    # As classes are written, as files are, and with a slip besides.
    for word in ("AcmeNet", "acme-net", "ACMENET", "AcmeNett"):
        assert errors.suggestion(word, ["acme_neo", "acme_net"]) == "did you mean 'acme_net'?"
