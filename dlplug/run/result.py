"""What a verb has done."""

from dataclasses import dataclass, field
from pathlib import Path
from typing import Any


@dataclass
class Result:
    """Outcome of fit, validate, test or predict.

    Args:
        verb: Which of them.
        metrics: Final values by name: of the last epoch, and of the test.
        run: The run folder, or None.
        checkpoint: What was validated, tested or used; the best one after a fit.
        checkpoints: All that were used, where a prediction is the mean of several; else None.
        picture: The learning curves, or None.
        predictions: The file of predictions, or None.
        arrays: The file of predicted arrays, such as masks, or None.
        tests: How often the run has been tested on the test split, this time included; None when
            that is unknown or no test took place.
        records: ``other data`` or ``another split`` where the metrics or predictions are of other
            records than those that the training kept apart; else None.
        batches: ``1 of 12`` where a limit of the trainer left batches of a validation or test out;
            else None.
        epochs: Epochs trained in all, or None.
        quarantined: Records that were set aside as bad; None where there were none.
        rollbacks: How often the training went back before a spike; None without `SpikeRollback`.
        seconds: Of this verb.
        is_main: Whether this is the first of several processes; the others print nothing.
    """

    verb: str
    metrics: dict[str, float] = field(default_factory=dict)
    run: Path | None = None
    checkpoint: Path | None = None
    checkpoints: list[Path] | None = None
    picture: Path | None = None
    predictions: Path | None = None
    arrays: Path | None = None
    tests: int | None = None
    records: str | None = None
    batches: str | None = None
    epochs: int | None = None
    quarantined: int | None = None
    rollbacks: int | None = None
    seconds: float | None = None
    is_main: bool = True

    def to_dict(self) -> dict[str, Any]:
        """Plain data for ``--json``, without what is None."""
        values = {
            key: str(value) if isinstance(value, Path) else value
            for key, value in vars(self).items()
            if key != "is_main" and value is not None
        }
        if self.checkpoints is not None:
            values["checkpoints"] = [str(path) for path in self.checkpoints]
        return values
