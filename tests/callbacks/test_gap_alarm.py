"""GapAlarm: told when the losses move apart, not before."""

import lightning
import pytest

from dlplug.callbacks.gap_alarm import GapAlarm
from dlplug.errors import InvalidValueError


def told(pairs, **arguments):
    alarm = GapAlarm(**arguments)
    return [alarm.add(train, validation) for train, validation in pairs]


def test_a_growing_gap_is_told_once():
    """At the third growth in a row, while the validation loss is no longer the best."""
    course = [(1.0, 1.0), (0.8, 0.9), (0.6, 0.95), (0.4, 1.0), (0.2, 1.1), (0.1, 1.2)]
    assert told(course) == [False, False, False, True, False, False]


def test_a_falling_validation_loss_is_no_reason():
    """However large the gap."""
    assert not any(told([(1.0, 1.0), (0.7, 0.95), (0.4, 0.9), (0.1, 0.85), (0.01, 0.8)]))


def test_a_gap_that_grows_by_nothing_is_no_reason():
    """Less than a tenth of the training loss."""
    assert not any(told([(1.0, 1.0 + i / 1000) for i in range(8)]))
    assert any(told([(1.0, 1.0 + i / 1000) for i in range(8)], min_growth=0.0))


def test_it_is_told_again_after_the_gap_has_shrunk():
    """As after a fall of the learning rate."""
    rise = [(1.0, 1.0), (0.8, 1.1), (0.7, 1.2), (0.6, 1.3)]
    assert told([*rise, (0.6, 1.0), (0.55, 1.1), (0.5, 1.2), (0.4, 1.3)]).count(True) == 2


def test_it_goes_on_after_a_resume():
    """With what it has seen."""
    first, second = GapAlarm(), GapAlarm()
    for train, validation in [(1.0, 1.0), (0.8, 1.1), (0.6, 1.2)]:
        assert not first.add(train, validation)
    second.load_state_dict(first.state_dict())
    assert second.add(0.4, 1.3)


class Losses(lightning.Callback):
    """Puts a growing validation loss in the place of the true one."""

    def on_train_epoch_end(self, trainer, pl_module):
        trainer.callback_metrics.update(val_loss=1.0 + trainer.current_epoch)


def test_a_training_is_told(task, fit, capsys):
    """With both losses, and what to try."""
    fit(task(), Losses(), GapAlarm(patience=2), max_epochs=4, limit_train_batches=1)
    [line] = [x for x in capsys.readouterr().err.splitlines() if x.startswith("gap_alarm")]
    assert " epoch 3: val_loss 3 and train_loss " in line
    assert " have moved apart for 2 validations; try more data" in line
    assert "early_stopping" in line


def test_values_out_of_range_are_refused():
    """The message holds the value."""
    with pytest.raises(InvalidValueError, match="patience = 0"):
        GapAlarm(patience=0)
    with pytest.raises(InvalidValueError, match="min_growth = -1"):
        GapAlarm(min_growth=-1)
