"""A data module says what its data is, and gives batches of it."""

from dlplug.data.spec import DataSpec
from dlplug.tasks.checks import tensors
from dlplug.testing.rule import Broken, rule
from dlplug.testing.rules.architectures import check_finite
from dlplug.testing.subject import Subject

ONLY = ("datamodules",)


@rule(
    kinds=ONLY,
    is_gate=True,
    proves="after setup it publishes a data_spec, from which architectures are filled in",
    fix="set data_spec to a dlplug DataSpec or a mapping with its fields, such as num_features"
    " and num_classes",
)
def publishes_a_data_spec(subject: Subject) -> None:
    if not DataSpec.of(subject.data).to_dict():
        raise Broken("data_spec is missing, or says nothing")


@rule(
    kinds=ONLY,
    is_gate=True,
    proves="its training batches are pairs of inputs and targets, and finite",
    fix="let train_dataloader give (inputs, targets), each a tensor, or a mapping or tuple of them",
)
def gives_batches(subject: Subject) -> None:
    batch = subject.data_batch
    if not isinstance(batch, (tuple, list)) or len(batch) != 2:
        raise Broken(f"a batch is {type(batch).__name__}, not a pair of inputs and targets")
    for tensor in tensors(batch):
        if tensor.is_floating_point():
            check_finite("a batch", tensor)
