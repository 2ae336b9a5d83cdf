"""A small third-party distribution, and a shorthand to load configs that use it."""

from pathlib import Path

import pytest

from dlplug.config import load
from dlplug.plugin import Registry

SOURCE = '''
from collections.abc import Callable

import torch
from lightning.pytorch import Callback, LightningDataModule, LightningModule
from torch import nn
from torch.nn import functional as F


class Tower(nn.Module):
    """A tower of layers.

    Args:
        num_classes: How many classes.
        image_size: Side of the square image.
        depth: How many layers.
        act: Between the layers.
        norm: After each layer.
    """

    def __init__(
        self,
        num_classes: int,
        image_size: int = 5,
        depth: int = 2,
        act: Callable = F.relu,
        norm: nn.Module | None = None,
        shape: tuple[int, int] = (1, 2),
    ):
        super().__init__()
        if depth < 1:
            raise ValueError(f"depth {depth} is below 1")
        self.told = dict(num_classes=num_classes, image_size=image_size, depth=depth, shape=shape)
        self.act, self.norm = act, norm
        self.layer = nn.Linear(image_size**2, num_classes)

    def forward(self, x):
        return self.layer(x.flatten(1))


class Named(Tower):
    """Has a parameter called name, and passes the rest on."""

    def __init__(self, name: str, **kwargs):
        super().__init__(**kwargs)
        self.name = name


def untyped(num_classes, width=3, **rest):
    return nn.Linear(width, num_classes)


class Wide(nn.Module):
    """Takes the size as a pair only."""

    def __init__(self, img_size: tuple[int, int], d_out: int):
        super().__init__()
        self.img_size, self.d_out = img_size, d_out


class Words(nn.Module):
    """Needs what images do not have."""

    def __init__(self, vocab_size: int):
        super().__init__()


def scaled(output, target, scale: float = 1.0):
    """A loss function."""
    return scale * F.cross_entropy(output, target)


class Sum(nn.Module):
    """Sum of losses.

    Args:
        losses: What is summed.
    """

    def __init__(self, losses: list):
        super().__init__()
        self.losses = losses


class Squares(LightningDataModule):
    """Three classes of 4 x 4 images.

    Args:
        batch_size: Records in a batch.
        transforms: What happens to a batch.
        path: Where it lies.
    """

    built = 0

    def __init__(self, batch_size: int = 8, transforms: list = (), path: str | None = None):
        super().__init__()
        if path is not None:
            open(path).close()
        type(self).built += 1
        self.batch_size, self.transforms = batch_size, transforms
        self.draw = torch.rand(1).item()

    data_spec = {"image_size": [4, 4], "num_classes": 3, "in_channels": 1}


class Late(Squares):
    """Knows its spec after setup only."""

    data_spec = None

    def prepare_data(self):
        self.is_prepared = True

    def setup(self, stage):
        assert self.is_prepared and stage == "fit"
        self.data_spec = {"image_size": [4, 6], "num_classes": 2}


def shift(batch, by: int = 1):
    return batch + by


class Plain(LightningModule):
    """Uses an architecture and nothing else."""

    slot_defaults = {"metrics": []}

    def __init__(self, architecture: nn.Module, power: float = 1.0):
        super().__init__()
        self.architecture, self.power = architecture, power


class First(Callback):
    """Wants to be first."""

    order = -1

    def __init__(self, every: int = 1):
        self.every = every


class Early(Callback):
    """Runs before 'late'."""

    before = ("late",)


class LateOne(Callback):
    """The one that 'early' precedes."""


class Contrary(Callback):
    """Wants to run before 'early', which is before 'late', and after 'late'."""

    before = ("early",)
    after = ("late",)


def not_a_callback():
    return object()
'''
LINES = {
    "dlplug.architectures": {
        "tower": "acme_toys.parts:Tower",
        "named": "acme_toys.parts:Named",
        "untyped": "acme_toys.parts:untyped",
        "wide": "acme_toys.parts:Wide",
        "words": "acme_toys.parts:Words",
    },
    "dlplug.losses": {"scaled": "acme_toys.parts:scaled", "sum": "acme_toys.parts:Sum"},
    "dlplug.datamodules": {"squares": "acme_toys.parts:Squares", "late": "acme_toys.parts:Late"},
    "dlplug.transforms": {"shift": "acme_toys.parts:shift"},
    "dlplug.tasks": {"plain": "acme_toys.parts:Plain"},
    "dlplug.callbacks": {
        "first": "acme_toys.parts:First",
        "early": "acme_toys.parts:Early",
        "late": "acme_toys.parts:LateOne",
        "contrary": "acme_toys.parts:Contrary",
        "impostor": "acme_toys.parts:not_a_callback",
    },
}
BASE = "data: squares\narchitecture: tower\n"


@pytest.fixture
def toys(fake_distribution):
    """Installs the distribution ``acme-toys`` for the length of a test."""
    fake_distribution("acme-toys", "2.1", entry_points=LINES, modules={"acme_toys.parts": SOURCE})


@pytest.fixture
def experiment(toys, tmp_path):
    """Call it with a config's text and overrides to get the experiment."""

    def make(text: str = BASE, *overrides: tuple[str, object], **options):
        path = Path(tmp_path / "a.yaml")
        path.write_text(text)
        return load([path], overrides, Registry.discover(), **options)

    return make
