"""``--architecture.help NAME`` and ``--trainer.help``."""

import re

import pytest

from dlplug.cli.component_help import take_help_request
from dlplug.plugin import Registry

CODE = '''
from torch import nn

class Net(nn.Module):
    """A net of its own kind.

    It has layers.

    Args:
        num_classes: Classes.
        depth: How many layers, see :class:`~torch.nn.Linear`.
        loss: What it adds.
        act: Between them.
    """

    def __init__(self, num_classes: int, depth: int, loss=None, act=nn.ReLU):
        super().__init__()
'''


def test_a_component_is_described(command, fake_distribution):
    """Its docstring, and each argument with type, default, and whether the data fills it."""
    fake_distribution(
        "acme",
        entry_points={"dlplug.architectures": {"net": "acme_nets:Net"}},
        modules={"acme_nets": CODE},
    )
    done = command("fit", "--architecture.help", "net")
    assert (done.code, done.out) == (
        0,
        "architecture 'net' of acme 1.0: acme_nets:Net\n"
        "\n"
        "A net of its own kind.\n"
        "\n"
        "It has layers.\n"
        "\n"
        "  --architecture.num_classes  (int; filled from the data)\n"
        "      Classes.\n"
        "  --architecture.depth  (int; required)\n"
        "      How many layers, see Linear.\n"
        "  --architecture.loss  (name of one of the losses; default null)\n"
        "      What it adds.\n"
        "  --architecture.act  (any; default ReLU)\n"
        "      Between them.\n"
        "\n"
        "filled from the data: num_classes\n"
        "try:          python -m dlplug fit --data DATA --architecture net"
        " --architecture.depth DEPTH\n",
    )


def test_the_trainer_is_described(command):
    """With Lightning's types and texts, and the default that holds here."""
    out = command("fit", "--trainer.help").out
    assert out.startswith("trainer: arguments of lightning.Trainer\n")
    # typing gives one of two equal unions, whichever was made first in this process.
    pattern = (
        r"  --trainer.gradient_clip_val  \((int \| float|float \| int) \| null; default null\)\n"
    )
    assert re.search(pattern, out)
    assert "10 when none of max_epochs, max_steps, max_time, fast_dev_run is set." in " ".join(
        out.split()
    )
    assert "1000" not in out.partition("--trainer.min_epochs")[0]
    assert "--trainer.callbacks" not in out and ":paramref:" not in out


def test_a_class_path_is_described_too(command):
    """What an error about one points to."""
    out = command("fit", "--optimizer.help", "torch.optim.SGD").out
    assert out.startswith("optimizer by class path: torch.optim.SGD\n")
    assert "  --optimizer.nesterov  (bool; default false)\n" in out


def test_without_a_name_the_names_are_listed(command):
    """And how to go on."""
    names = ", ".join(Registry.discover().names("losses"))
    assert command("fit", "--loss.help").out == (
        "loss: what training minimises\n"
        f"one of: {names}\n"
        "arguments of one: python -m dlplug fit --loss.help NAME\n"
    )


@pytest.mark.parametrize(
    ("arguments", "text"),
    [
        (["--architecture.help", "vitt"], "did you mean 'vit'?"),
        (["--name.help"], "no help for 'name'"),
        (["--trainer.help", "x"], "--trainer.help takes no value, got 'x'"),
    ],
)
def test_help_for_something_unknown_is_an_error(command, arguments, text):
    """Like any other typing error."""
    done = command("fit", *arguments)
    assert done.code == 2 and text in done.err


def test_the_request_is_found_anywhere():
    """Behind other options, with a space or an equals sign, or alone."""
    assert take_help_request(["--json", "--loss.help", "focal"]) == ("loss", "focal")
    assert take_help_request(["--loss.help=focal"]) == ("loss", "focal")
    assert take_help_request(["--loss.help", "--json"]) == ("loss", None)
    assert take_help_request(["--config", "a"]) is None


def test_a_name_with_a_dot_comes_before_a_class_path(command, fake_distribution):
    """What a hook offers as ``torch.RMSprop`` is that component."""
    source = """
        from dlplug import hookimpl

        @hookimpl
        def dlplug_components(kind):
            return {"torch.RMSprop": "torch.optim:RMSprop"} if kind == "optimizers" else None
    """
    fake_distribution(
        "acme", entry_points={"dlplug": {"hooks": "acme_torch"}}, modules={"acme_torch": source}
    )
    out = command("fit", "--optimizer.help", "torch.RMSprop").out
    assert out.startswith("optimizer 'torch.RMSprop' of acme 1.0: torch.optim:RMSprop\n")
