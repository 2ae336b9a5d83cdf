"""depth_blocks: the blocks of every built-in architecture, and of what others build."""

import pytest
from torch import nn

from dlplug.callbacks.layer_decay import layers_of
from dlplug.callbacks.network.depth import depth_blocks
from dlplug.callbacks.network.patterns import matches
from dlplug.errors import InvalidValueError
from tests.callbacks.built_ins import NAMES, built

# First parts of the names of what is learned at the rate of each layer, from the input on; the
# first entry is what stands before the blocks, the last one what stands after them.
LAYERS = {
    "mlp": [[], ["layers.1"], ["layers.4"], ["layers.7"]],
    "vit": [["cls_1D", "position_TD", "embed"], ["blocks.0"], ["blocks.1"], ["norm", "head"]],
    "resnet": [["stem"], ["blocks.0"], ["blocks.1"], ["blocks.2"], ["head"]],
    "separable_cnn": [
        [],
        ["layers.0", "layers.1"],
        ["layers.3", "layers.4"],
        ["layers.6", "layers.7"],
        ["layers.9", "layers.10"],
        ["layers.12", "layers.13"],
        ["head"],
    ],
    "convnext": [
        [],
        ["layers.0", "layers.1"],
        ["layers.2", "layers.3"],
        ["layers.4"],
        ["layers.5"],
        ["norm", "head"],
    ],
    "unet": [
        [],
        ["down.0"],
        ["down.1"],
        ["down.2"],
        ["enlarge.0"],
        ["up.0"],
        ["enlarge.1"],
        ["up.1"],
        ["head"],
    ],
    "cct": [
        ["position_TD"],
        ["tokenizer.0"],
        ["tokenizer.3"],
        ["blocks.0"],
        ["blocks.1"],
        ["norm", "importance", "head"],
    ],
    "ft_transformer": [["tokenizer"], ["blocks.0"], ["blocks.1"], ["norm", "head"]],
    "rnn": [[], ["layers.*_l0"], ["layers.*_l1"], ["head"]],
    "gru": [[], ["layers.*_l0"], ["layers.*_l1"], ["head"]],
    "lstm": [
        ["embed"],
        ["layers.*_l0", "layers.*_l0_reverse"],
        ["layers.*_l1", "layers.*_l1_reverse"],
        ["head"],
    ],
    "tcn": [[], ["blocks.0"], ["blocks.1"], ["head"]],
    "encoder_decoder": [
        ["embed"],
        ["encoder.0"],
        ["encoder.1", "encoder_norm"],
        ["decoder.0"],
        ["decoder.1"],
        ["decoder_norm", "head"],
    ],
    "transformer": [["embed"], ["blocks.0"], ["blocks.1"], ["norm", "head"]],
}


def expected_layer(architecture, name):
    layers = enumerate(LAYERS[architecture])
    [layer] = [number for number, parts in layers if any(matches(name, part) for part in parts)]
    return layer


@pytest.mark.parametrize("name", NAMES)
def test_every_built_in_architecture_has_its_layers(name):
    """Each parameter is in the layer of the part that it belongs to."""
    layers = layers_of(built(name))
    assert layers == {parameter: expected_layer(name, parameter) for parameter in layers}
    assert layers.keys() == {parameter for parameter, _ in built(name).named_parameters()}


class Stages(nn.Module):
    """As others build it: a sequence of stages that hold blocks themselves, and a head."""

    def __init__(self):
        super().__init__()
        stage = nn.Sequential(nn.Linear(2, 2), nn.Linear(2, 2))
        self.stages = nn.Sequential(stage, nn.LayerNorm(2), nn.Linear(2, 2))
        self.classifier = nn.Linear(2, 2)


class Ordered(nn.Module):
    """Registered in another order than it is run."""

    def __init__(self, order):
        super().__init__()
        self.late, self.early, self.head = nn.Linear(2, 2), nn.Linear(2, 2), nn.Linear(2, 2)
        self.order = order

    def depth_order(self):
        return self.order


def test_the_outermost_elements_count_and_a_norm_belongs_to_the_one_before():
    """What stands inside of an element is one block."""
    blocks = depth_blocks(Stages(), "layer_decay")
    assert [sorted({name.rpartition(".")[0] for name in block}) for block in blocks] == [
        ["stages.0.0", "stages.0.1", "stages.1"],
        ["stages.2"],
    ]


def test_an_architecture_may_say_its_order():
    """By names or patterns; one of nothing is refused."""
    layers = layers_of(Ordered(["early", "lat*"]))
    assert {name: layers[f"{name}.weight"] for name in ("early", "late", "head")} == {
        "early": 1,
        "late": 2,
        "head": 3,
    }
    with pytest.raises(InvalidValueError, match="nothing in Ordered is named 'erly'"):
        depth_blocks(Ordered(["erly"]), "layer_decay")


@pytest.mark.parametrize(
    "network", [nn.Linear(2, 2), nn.Sequential(nn.Linear(2, 2), nn.LayerNorm(2))]
)
def test_a_network_of_one_layer_is_refused(network):
    """The message says what would be a block."""
    with pytest.raises(InvalidValueError, match="has no blocks") as error:
        depth_blocks(network, "layer_decay")
    assert "depth_order()" in error.value.known
