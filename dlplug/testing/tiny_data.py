"""A data module of a few random records in any of the kit's forms."""

from collections.abc import Callable, Sequence

from dlplug.data.records import Records
from dlplug.data.spec import DataSpec
from dlplug.data.split_data import SplitData
from dlplug.testing.forms import INPUTS, RECORDS, TARGETS

TRAINING = 2 * RECORDS
"""Training records: two batches."""


class TinyData(SplitData):
    """Two random batches to train on, and one to validate and test on.

    Args:
        inputs: Form of the inputs.
        target: Form of the targets.
        transforms: As for `SplitData`.
    """

    def __init__(self, inputs: str, target: str, transforms: Sequence[Callable] = ()):
        super().__init__(batch_size=RECORDS, transforms=transforms)
        self.inputs = INPUTS[inputs]
        self.targets = TARGETS[target]

    @property
    def data_spec(self) -> DataSpec:
        """That of both forms; what a task decides is left to it."""
        spec = self.inputs.spec | self.targets.spec
        return DataSpec(**{name: value for name, value in spec.items() if name != "quantiles"})

    def load(self) -> dict[str, Records]:
        """Random records."""
        return {
            name: Records(self.inputs.make(count), self.targets.make(count))
            for name, count in (("train", TRAINING), ("validation", RECORDS), ("test", RECORDS))
        }
