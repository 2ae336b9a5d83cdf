"""Lazy modules get their shapes before optimizer, checkpoint and averages ask for them."""

import pytest
import torch
from torch import nn

from dlplug import config
from dlplug.errors import ConfigError, InvalidValueError
from dlplug.plugin import Registry
from dlplug.run import verbs
from dlplug.tasks.lazy import argument_names, give_shapes, lazy_names, refuse_lazy

FILE = '''
"""Networks and a loss of lazy layers."""

from torch import nn


class Net(nn.Module):
    """Two lazy layers and a lazy norm."""

    def __init__(self, num_outputs: int):
        super().__init__()
        layers = nn.LazyLinear(8), nn.LazyBatchNorm1d(), nn.Dropout(), nn.LazyLinear(num_outputs)
        self.layers = nn.Sequential(nn.Flatten(), *layers)

    def forward(self, x):
        return self.layers(x)


class Forgetful(Net):
    """A lazy layer that forward leaves out."""

    def __init__(self, num_outputs: int):
        super().__init__(num_outputs)
        self.forgotten = nn.LazyLinear(2)


class Loss(nn.Module):
    """A lazy layer before the comparison."""

    def __init__(self):
        super().__init__()
        self.layer = nn.LazyLinear(10)

    def forward(self, output, target):
        return nn.functional.cross_entropy(self.layer(output), target)


class Pair(nn.Module):
    """Writes a text from a text, by a lazy layer."""

    def __init__(self, vocab_size: int):
        super().__init__()
        self.embedding = nn.Embedding(vocab_size, 8)
        self.head = nn.LazyLinear(vocab_size)

    def forward(self, source, target):
        means = self.embedding(source).mean(dim=1, keepdim=True)
        return self.head(self.embedding(target) + means)


dlplug_components = {
    "architecture": {"lazy_net": Net, "forgetful": Forgetful, "lazy_pair": Pair},
    "loss": {"lazy_loss": Loss},
}
'''

SMALL = [
    ("architecture", "lazy_net"),
    ("data", {"name": "digits", "batch_size": 32}),
    ("trainer", {"max_epochs": 1, "limit_train_batches": 8, "accelerator": "cpu"}),
]


@pytest.fixture
def lazily(tmp_path, private_memory):
    """An experiment with the file above."""
    file = tmp_path / "lazy_file.py"
    file.write_text(FILE)

    def make(*overrides):
        return config.load([], [*SMALL, *overrides], Registry.discover(files=[file]))

    return make


def test_a_lazy_architecture_is_trained_and_tested(lazily, tmp_path):
    """With averages of its weights; its checkpoint fits a network made anew."""
    result = verbs.fit(lazily(("callbacks", "[ema]")), root=tmp_path / "runs", progress=False)
    again = verbs.test(lazily(), ckpt_path=result.checkpoint, progress=False)
    assert again.metrics["test_loss"] == pytest.approx(result.metrics["test_loss"])


def test_a_pair_of_texts_gives_its_shapes(tmp_path, lazily):
    """To what takes a source and a target; the data alone tells a text from a pair as little."""
    lines = "".join(f"{n + 100}\t{str(n + 100)[::-1]}\n" for n in range(20))
    (tmp_path / "x.tsv").write_text(lines)
    experiment = lazily(
        ("task", "sequence_to_sequence"),
        ("architecture", "lazy_pair"),
        ("data", {"name": "pairs", "path": str(tmp_path / "x.tsv"), "batch_size": 8}),
    )
    assert experiment.build_task().architecture.head.weight.shape[1] == 8
    result = verbs.fit(experiment, root=tmp_path / "runs", progress=False)
    assert result.metrics["test_loss"] > 0


def test_a_model_without_a_signature_tells_no_names():
    """As compiled code, or what is no module."""
    assert argument_names(nn.Linear(1, 1)) == ["input"] and argument_names(object()) == []


def test_shapes_are_those_of_the_data_and_modes_stay(lazily):
    """One pass in evaluation: no statistics of a norm are moved by zeros."""
    network = lazily().build_task().architecture
    assert network.layers[1].weight.shape == (8, 64) and network.layers[4].out_features == 10
    assert network.training and network.layers[3].training
    assert network.layers[2].num_batches_tracked == 0


def test_modules_that_change_with_their_mode_change_back():
    """Adapters that add themselves to the weights in eval() are out of them again."""

    class Merging(nn.Sequential):
        is_merged = False

        def train(self, mode=True):
            self.is_merged = not mode
            return super().train(mode)

    model = Merging(nn.LazyLinear(2))
    give_shapes(model, torch.ones(3, 4), "architecture 'merging'")
    assert model[0].in_features == 4 and model.training and not model.is_merged


@pytest.mark.parametrize(
    ("slot", "name", "text"),
    [
        ("architecture", "forgetful", "after inputs (2, 1, 8, 8) float32: forgotten.weight"),
        ("loss", "lazy_loss", "loss 'lazy_loss' has weights without a shape: layer.weight"),
    ],
)
def test_what_stays_lazy_is_refused_by_name(lazily, slot, name, text):
    """With the place in the config, before anything is trained."""
    with pytest.raises(InvalidValueError, match="without a shape") as caught:
        lazily((slot, name)).build_task()
    assert text in caught.value.what and caught.value.where and caught.value.fix


def test_inputs_that_nobody_knows_are_told():
    """As with data that publishes no spec."""
    with pytest.raises(InvalidValueError, match="data_spec"):
        give_shapes(nn.LazyLinear(2), None, "architecture 'net'")


def test_inputs_that_do_not_fit_are_told():
    """With their shape."""
    model = nn.Sequential(nn.LazyConv2d(2, 3), nn.LazyLinear(2))
    with pytest.raises(ConfigError, match=r"cannot take the data's inputs \(2, 5\) float32"):
        give_shapes(model, torch.zeros(2, 5), "architecture 'net'")


def test_what_is_not_lazy_is_not_called():
    """A network with shapes draws nothing, and need not take the inputs."""
    give_shapes(nn.Linear(3, 2), None, "architecture 'net'")
    refuse_lazy(nn.Linear(3, 2), "loss 'x'")
    refuse_lazy(nn.functional.mse_loss, "loss 'mse'")
    assert lazy_names(nn.Linear(3, 2)) == []
