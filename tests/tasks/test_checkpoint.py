"""What is demanded of a checkpoint: plain data, and the config's architecture."""

from collections import OrderedDict
from pathlib import Path

import pytest
import torch
from torch import nn

from dlplug.errors import CheckpointError, DlplugError
from dlplug.tasks.checkpoint import KEY, check_architecture, check_plain, saved_record, saved_spec


def record(**architecture):
    return {"format": 1, "resolved": {"architecture": architecture}}


def test_plain_data_and_tensors_pass_and_load_safely(tmp_path):
    """Everything that passes comes back with weights_only=True."""
    content = {
        "state_dict": OrderedDict(w=torch.ones(2), b=nn.Parameter(torch.zeros(1))),
        "callbacks": {"A": {"x": (1, 2.5, None, "s", b"b"), "y": {True}}},
        "other": [torch.float32, torch.Size([2]), torch.device("cpu"), 1j],
    }
    check_plain(content)
    torch.save(content, tmp_path / "a.ckpt")
    torch.load(tmp_path / "a.ckpt", weights_only=True)


@pytest.mark.parametrize("value", [Path("x"), nn.Linear(1, 1), lambda: 0, object()])
def test_an_object_names_its_owner(value):
    """The callback, or the key, and the place are named."""
    content = {"callbacks": {"MyCallback{'a': 1}": {"deep": [0, value]}}}
    with pytest.raises(CheckpointError, match="put there by callback MyCallback") as error:
        check_plain(content)
    assert "deep > 1" in str(error.value)
    with pytest.raises(CheckpointError, match="put there by key 'hyper'"):
        check_plain({"hyper": {"a": value}})


def test_the_same_architecture_passes():
    """Equal names and weights; without records, equal weights."""
    weights = nn.Linear(2, 3).state_dict()
    content = {"state_dict": weights, KEY: record(name="mlp")}
    check_architecture(content, record(name="mlp"), weights)
    check_architecture({"state_dict": weights}, None, weights)


def test_another_architecture_names_both():
    """Both are named with their arguments, though the weights might fit."""
    weights = nn.Linear(2, 3).state_dict()
    content = {"state_dict": weights, KEY: record(name="vit", depth=6)}
    with pytest.raises(CheckpointError) as error:
        check_architecture(content, record(name="mlp", hidden=[3]), weights, "runs/x/1/best.ckpt")
    text = str(error.value)
    assert "architecture vit(depth=6), the config names mlp(hidden=[3])" in text
    assert "runs/x/1/best.ckpt" in text


def test_other_arguments_name_the_weight_that_differs():
    """The same name with another width: the first weight of another shape."""
    content = {"state_dict": nn.Linear(2, 3).state_dict(), KEY: record(name="mlp", hidden=[3])}
    with pytest.raises(CheckpointError, match=r"'weight' is \(3, 2\), not \(4, 2\)") as error:
        check_architecture(content, record(name="mlp", hidden=[4]), nn.Linear(2, 4).state_dict())
    assert "checkpoint: mlp(hidden=[3]); config: mlp(hidden=[4])" in str(error.value)


def test_missing_and_unknown_weights_are_named():
    """What the checkpoint lacks and what it has too much."""
    model = nn.Sequential(nn.Linear(2, 3), nn.Linear(3, 1)).state_dict()
    with pytest.raises(CheckpointError, match=r"it lacks '0\.weight' and 3 more") as error:
        check_architecture({"state_dict": {"w": torch.ones(1)}}, None, model)
    assert "it has the unknown 'w'" in str(error.value)


def test_weights_that_a_sharded_strategy_took_out_are_not_missed():
    """Without a state_dict only the names are compared."""
    check_architecture({KEY: record(name="mlp")}, record(name="mlp"), nn.Linear(1, 1).state_dict())


def test_a_short_name_is_that_of_dlplug():
    """Checkpoints that name a built-in architecture by its short name stay usable."""
    weights = nn.Linear(2, 3).state_dict()
    content = {"state_dict": weights, KEY: record(name="mlp")}
    check_architecture(content, record(name="dlplug:mlp"), weights)
    with pytest.raises(CheckpointError, match=r"architecture mlp\(\), the config names acme:mlp"):
        check_architecture(content, record(name="acme:mlp"), weights)


def test_another_class_path_is_another_architecture():
    """Though the weights might fit."""
    weights = nn.Linear(2, 3).state_dict()
    content = {"state_dict": weights, KEY: record(class_path="a.B")}
    check_architecture(content, record(class_path="a.B"), weights)
    with pytest.raises(CheckpointError, match=r"architecture a\.B"):
        check_architecture(content, record(class_path="a.C"), weights)


@pytest.mark.parametrize(
    ("saved", "text"),
    [
        ("os.system", "another form: resolved is a str"),
        ([1], "another form: resolved is a list"),
        ({"data_spec": 7}, "another form: data_spec is a int"),
        ({"resolved": "x"}, "another form: resolved is a str"),
        ({"resolved": {"architecture": 7}}, "names 7 as its architecture"),
    ],
)
def test_a_record_of_another_form_is_refused(saved, text):
    """Whoever wrote it, it was not dlplug."""
    with pytest.raises(CheckpointError, match=text) as error:
        saved_record({KEY: saved}, "x.ckpt")
    assert error.value.where == "x.ckpt"
    assert saved_record({}) == {} and saved_record({KEY: {"format": 1}}) == {"format": 1}


def test_what_a_checkpoint_knows_of_its_data():
    """None where it says nothing; an entry of another form is one error."""
    assert saved_spec({KEY: {"data_spec": {"num_classes": 3}}}).num_classes == 3
    assert saved_spec({}) is None
    for values in ({"class_names": 5, "num_classes": 3}, {"num_classes": "3"}, {"n": 3}):
        with pytest.raises(DlplugError):
            saved_spec({KEY: {"data_spec": values}}, "x.ckpt")
