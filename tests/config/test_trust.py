"""What a config may import."""

import inspect

import pytest
from torch import nn

from dlplug.config.kinds import load_class
from dlplug.config.trust import PARTS, Trust
from dlplug.errors import ComponentLoadError, InvalidValueError, UntrustedError
from dlplug.plugin import Registry


@pytest.fixture
def trust(toys):
    return Trust(Registry.discover())


def test_subclasses_in_known_modules_are_imported(trust):
    """torch, and the package of an installed plugin, also in classes that it does not register."""
    assert trust.import_class("torch.nn.Linear", nn.Module, "here") is nn.Linear
    assert trust.import_class("acme_toys.parts.Wide", nn.Module, "here").__name__ == "Wide"


@pytest.mark.parametrize(
    ("path", "message"),
    [
        (
            "os.system",
            "'os.system' is not in a trusted module\n"
            "  where: here\n"
            "  known: torch, lightning, torchmetrics, dlplug, acme_toys\n"
            "  fix:   if you trust it: --trust os",
        ),
        (
            "torch.hub.load",
            "'torch.hub.load' is not a subclass of torch.nn.modules.module.Module\n"
            "  where: here\n"
            "  fix:   name a class that fits this place; functions come from plugins only",
        ),
        (
            "torch.optim.Adam",
            "'torch.optim.Adam' is not a subclass of torch.nn.modules.module.Module\n"
            "  where: here\n"
            "  fix:   name a class that fits this place; functions come from plugins only",
        ),
        (
            "torch",
            "'torch' is not an import path\n"
            "  where: here\n"
            "  fix:   write package.module.Class, or 'name: ...' for a registered component",
        ),
        (
            "torch.nn.Lin ear",
            "'torch.nn.Lin ear' is not an import path\n"
            "  where: here\n"
            "  fix:   write package.module.Class, or 'name: ...' for a registered component",
        ),
        (
            "pytorch_lightning.Callback",
            "'pytorch_lightning.Callback' is not in a trusted module\n"
            "  where: here\n"
            "  known: torch, lightning, torchmetrics, dlplug, acme_toys\n"
            "  fix:   write 'lightning.pytorch.Callback'",
        ),
        (
            "torchevil.Model",
            "'torchevil.Model' is not in a trusted module\n"
            "  where: here\n"
            "  known: torch, lightning, torchmetrics, dlplug, acme_toys\n"
            "  fix:   if you trust it: --trust torchevil",
        ),
    ],
)
def test_everything_else_is_refused(trust, path, message):
    """Modules outside, functions, classes of another kind, packages with a similar name."""
    with pytest.raises(UntrustedError) as caught:
        trust.import_class(path, nn.Module, "here")
    assert str(caught.value) == message


def test_a_name_that_is_not_there_gets_the_nearest(trust):
    """A misspelt class of a trusted module is a typing error."""
    with pytest.raises(InvalidValueError) as caught:
        trust.import_class("torch.nn.Linaer", nn.Module, "here")
    assert str(caught.value) == (
        "module 'torch.nn' has no class 'Linaer'\n"
        "  where: here\n"
        "  fix:   did you mean 'torch.nn.Linear'?"
    )
    with pytest.raises(ComponentLoadError, match=r"No module named 'torch\.nnn'"):
        trust.import_class("torch.nnn.Linear", nn.Module, "here")


def test_what_is_refused_is_not_imported(trust, fake_distribution, tmp_path):
    """An untrusted module never runs."""
    mark = tmp_path / "was_imported"
    fake_distribution("bad", modules={"evil": f"open({str(mark)!r}, 'w')"})
    with pytest.raises(UntrustedError):
        trust.import_class("evil.Model", nn.Module, "here")
    assert not mark.exists()


def test_the_user_can_trust_a_module(toys, fake_distribution):
    """Its classes and its functions; not those of its neighbours."""
    fake_distribution(
        "lab",
        modules={
            "mylab.models": "from torch import nn\nclass Net(nn.Module): pass\n"
            "def make():\n    return Net()\n",
            "mylab.other": "",
        },
    )
    trust = Trust(Registry.discover(), ["mylab.models"])
    assert trust.import_class("mylab.models.Net", nn.Module, "here").__name__ == "Net"
    assert callable(trust.import_class("mylab.models.make", nn.Module, "here"))
    with pytest.raises(UntrustedError):
        trust.import_class("mylab.other.Net", nn.Module, "here")


def test_a_blocked_plugin_is_not_trusted(toys):
    """What may not be used by name may not be used by path."""
    trust = Trust(Registry.discover(block=["acme-toys"]))
    with pytest.raises(UntrustedError):
        trust.import_class("acme_toys.parts.Tower", nn.Module, "here")


def test_words_with_dots_are_no_import_paths(trust):
    """A string that names no importable package passes; nothing is imported for it."""
    trust.check_function("val.loss", (), "here")
    trust.check_function("data set.csv", (), "here")
    trust.check_function("plain", (), "here")
    trust.check_function("torch.nn.functional.gelu", (), "here")


def test_every_part_of_the_trainer_is_a_class():
    """Each stands where its string says, in the installed versions."""
    assert all(inspect.isclass(load_class(target)) for target in PARTS)
