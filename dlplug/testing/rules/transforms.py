"""A transform keeps the records of a batch, and their numbers finite."""

from typing import Any

from torch import Tensor

from dlplug.data.training_transforms import apply_transforms
from dlplug.testing.forms import RECORDS, TARGETS
from dlplug.testing.rule import Broken, rule
from dlplug.testing.rules.architectures import check_finite
from dlplug.testing.subject import Subject
from dlplug.transforms.mixed import Mixed

ONLY = ("transforms",)


@rule(
    kinds=ONLY,
    is_gate=True,
    proves="a training batch has as many records after it as before, in the same dtype, finite",
    fix="return a batch like the one that came in; takes_targets = True gives it the targets too",
)
def keeps_the_records(subject: Subject) -> None:
    inputs, targets = transformed(subject)
    if not isinstance(inputs, Tensor) or len(inputs) != RECORDS:
        raise Broken(f"{RECORDS} records became {_text(inputs)}")
    if len(targets) != RECORDS:
        raise Broken(f"{RECORDS} targets became {len(targets)}")
    if inputs.dtype != subject.batch().dtype:
        raise Broken(f"the dtype became {inputs.dtype}")
    if inputs.is_floating_point():
        check_finite("the batch", inputs)


def transformed(subject: Subject) -> tuple[Any, Tensor]:
    """A random batch after the transform."""
    batch = subject.batch(), TARGETS[subject.target_form or "classes"].make(RECORDS)
    inputs, targets = apply_transforms([subject.build()], batch)
    return inputs, targets.main if isinstance(targets, Mixed) else targets


def _text(value: Any) -> str:
    return str(tuple(value.shape)) if isinstance(value, Tensor) else type(value).__name__
