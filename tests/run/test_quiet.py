"""quiet: known remarks are left out, everything else comes through."""

import logging
import warnings

import pytest

from dlplug.run.quiet import quiet


def test_known_warnings_are_left_out():
    """Under "warnings are errors" too."""
    with quiet():
        warnings.warn("The 'val_dataloader' does not have many workers which", stacklevel=1)


def test_other_warnings_come_through():
    """Nobody else's warning is hidden."""
    with pytest.warns(UserWarning, match="something else"), quiet():
        warnings.warn("something else", stacklevel=1)


def test_the_levels_are_put_back():
    """Lightning's remarks are quiet inside, and as before outside, after an error too."""
    logger = logging.getLogger("lightning.pytorch")
    before = logger.level
    with pytest.raises(ZeroDivisionError), quiet():
        assert logger.level == logging.WARNING
        raise ZeroDivisionError
    assert logger.level == before


def test_what_a_profiler_reports_is_shown(caplog):
    """Somebody has asked for it; Lightning writes it as a remark."""
    from lightning.pytorch.profilers import SimpleProfiler

    profiler = SimpleProfiler()
    with profiler.profile("one_action"):
        pass
    with quiet():
        profiler.describe()
    assert "one_action" in caplog.text
