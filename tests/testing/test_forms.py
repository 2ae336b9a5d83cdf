"""The kit's tiny data fits its own data specs, and forms are told from parameters."""

import pytest

from dlplug.data.spec import DataSpec
from dlplug.plugin import Registry
from dlplug.tasks.checks import tensors
from dlplug.testing.forms import INPUTS, RECORDS, TARGETS, inputs_for
from dlplug.testing.tiny_data import TinyData


@pytest.mark.parametrize("name", INPUTS)
def test_inputs_are_as_the_spec_says(name):
    """Records, and the sizes that architectures are filled in with."""
    form = INPUTS[name]
    spec, inputs = DataSpec(**form.spec), form.make(RECORDS)
    assert all(len(tensor) == RECORDS for tensor in tensors(inputs))
    shapes = [tuple(tensor.shape[1:]) for tensor in tensors(inputs)]
    expected = {
        "image": [(spec.in_channels, spec.image_size, spec.image_size)],
        "categories": [(spec.num_features,), (len(spec.cat_cardinalities or ()),)],
        "tokens": [(spec.sequence_length,)],
        "series": [(spec.sequence_length, spec.num_features)],
        "table": [(spec.num_features,)],
        "pair": [(spec.sequence_length,)] * 2,
    }
    assert shapes == expected[name]


@pytest.mark.parametrize("name", TARGETS)
def test_targets_name_a_task_that_exists(name):
    """And give one target for each record."""
    form = TARGETS[name]
    assert len(form.make(RECORDS)) == RECORDS
    Registry.discover().find("tasks", form.task["name"])
    assert form.inputs in INPUTS


@pytest.mark.parametrize(
    ("fields", "form"),
    [
        ({"in_channels", "num_classes"}, "image"),
        ({"image_size"}, "image"),
        ({"vocab_size", "num_features"}, "tokens"),
        ({"num_features", "sequence_length"}, "series"),
        ({"num_features", "cat_cardinalities"}, "categories"),
        ({"num_features"}, "table"),
        ({"num_classes"}, None),
    ],
)
def test_parameters_tell_the_inputs(fields, form):
    """By the fields of the data spec that they stand for."""
    assert inputs_for(fields) == form


def test_the_data_module_gives_two_batches():
    """To train on, and one to validate on."""
    data = TinyData("table", "classes")
    data.setup("fit")
    batches = list(data.train_dataloader())
    assert [tuple(inputs.shape) for inputs, _ in batches] == [(RECORDS, 5)] * 2
    assert len(list(data.val_dataloader())) == 1
