"""Whatever the user gets wrong: one message, exit code 2, no run folder, no traceback."""

import re
from pathlib import Path

import pytest
import torch

import dlplug
from dlplug.plugin import Registry
from dlplug.plugin.builtins import TABLE

GOOD = ("--data", "digits", "--architecture", "mlp", "--trainer.max_epochs", "1")
CORE = f"dlplug {dlplug.__version__}"


@pytest.fixture
def refused(command, tmp_path, monkeypatch):
    """Run a command that must be refused; returns the message."""
    monkeypatch.setattr(torch.cuda, "is_available", lambda: False)
    monkeypatch.setattr(torch.backends.mps, "is_available", lambda: False)

    def run(*arguments):
        done = command(*arguments)
        assert done.code == 2 and done.out == ""
        assert not (tmp_path / "runs").exists()
        assert len(re.findall(r"^\w+Error: ", done.err, re.M)) == 1
        assert done.err[0].isupper() and "Traceback" not in done.err
        return done.err

    return run


@pytest.fixture
def config(tmp_path):
    """Writes a config and returns its name."""

    def write(text):
        (tmp_path / "a.yaml").write_text(text)
        return "a.yaml"

    return write


def test_a_wrong_key(refused, config):
    """At the top level, in a component and in the trainer, with file and line."""
    text = "data: digits\narchitecture:\n  name: mlp\n"
    assert refused("fit", "--config", config(text + "optimzer: adam\n")) == (
        "UnknownKeyError: no key 'optimzer' in a config\n"
        "  where: a.yaml, line 4, optimzer\n"
        "  known: task, architecture, loss, optimizer, scheduler, data, metrics, callbacks, "
        "loggers, trainer, accelerate, seed_everything, name, plugins\n"
        "  fix:   did you mean 'optimizer'?\n"
    )
    message = refused("fit", "--config", config(text + "  dropuot: 0.1\n"))
    assert message.startswith(
        "UnknownKeyError: architecture 'mlp' has no argument 'dropuot'\n"
        "  where: a.yaml, line 4, architecture.dropuot\n"
    )
    assert message.endswith("  fix:   did you mean 'dropout'?\n")
    message = refused("fit", "--config", config(text + "trainer:\n  max_epoch: 3\n"))
    assert message.startswith(
        "UnknownKeyError: the trainer has no argument 'max_epoch'\n"
        "  where: a.yaml, line 5, trainer.max_epoch\n"
    )
    assert message.endswith("  fix:   did you mean 'max_epochs'?\n")


def test_one_wrong_letter_on_the_command_line(refused):
    """In a nested key, an option, a slot, and a value."""
    for argument, fix in (
        ("--trainer.max_epoch", "did you mean 'max_epochs'?"),
        ("--optimizer.lrr", "did you mean 'lr'?"),
        ("--confg", "did you mean '--config'?"),
        ("--achitecture", "did you mean '--architecture'?"),
    ):
        message = refused("fit", *GOOD, argument, "3")
        assert "where: command line" in message and message.endswith(f"{fix}\n")


def known_names(kind):
    """The part of an error's text that names what is built in."""
    return ", ".join(sorted(row.name for row in TABLE if row.kind == kind))


def test_an_unknown_component(refused, config):
    """With file, line, providers, nearest name and the list."""
    text = "data: digits\narchitecture: mlp\nloss:\n  name: focl\n"
    assert refused("fit", "--config", config(text)) == (
        "UnknownComponentError: no loss named 'focl'\n"
        "  where: a.yaml, line 4, loss\n"
        f"  known: {known_names('losses')} ({CORE})\n"
        "  fix:   did you mean 'focal'? list all: python -m dlplug plugins list --kind losses\n"
    )


def test_two_plugins_with_one_name(refused, fake_distribution):
    """Both, their versions, and the two ways out; the full id then works."""
    for name in ("acme-a", "acme-b"):
        module = name.replace("-", "_")
        fake_distribution(
            name,
            entry_points={"dlplug.losses": {"acme_dice": f"{module}:acme_dice"}},
            modules={module: "def acme_dice(output, target):\n    return (output**2).mean()\n"},
        )
    message = refused("fit", *GOOD, "--loss", "acme_dice")
    assert message.startswith("ComponentConflictError: loss 'acme_dice'")
    for part in (
        "acme-a 1.0",
        "acme-b 1.0",
        "acme-a:acme_dice",
        "--block",
        "where: command line, loss",
    ):
        assert part in message


def test_the_full_id_settles_a_conflict(command, fake_distribution):
    """The same two plugins, one of them named in full."""
    test_two = {"dlplug.losses": {"acme_dice": "acme_one:acme_dice"}}
    code = "def acme_dice(output, target):\n    return (output**2).mean()\n"
    for name in ("acme-a", "acme-b"):
        fake_distribution(name, entry_points=test_two, modules={"acme_one": code})
    done = command("fit", *GOOD, "--loss", "acme-b:acme_dice", "--print_config")
    assert done.code == 0 and "loss:\n  name: acme-b:acme_dice\n" in done.out


def test_a_plugin_that_raises_on_import(refused, fake_distribution):
    """Named with distribution, version, entry point and the original error."""
    fake_distribution(
        "acme-broken",
        "2.3",
        entry_points={"dlplug.losses": {"broken": "acme_broken:Loss"}},
        modules={"acme_broken": "raise RuntimeError('no licence')"},
    )
    message = refused("fit", *GOOD, "--loss", "broken")
    assert message.startswith(
        "ComponentLoadError: loss 'broken' of acme-broken 2.3 cannot be loaded: "
        "RuntimeError: no licence"
    )
    assert "dlplug.losses: broken = acme_broken:Loss" in message


def test_a_broken_plugin_hurts_nobody_else(command, fake_distribution):
    """A config that does not name it does not notice it."""
    fake_distribution(
        "acme-broken",
        entry_points={"dlplug.losses": {"broken": "acme_broken:Loss"}},
        modules={"acme_broken": "raise RuntimeError('no licence')"},
    )
    assert command("fit", *GOOD, "--print_config").code == 0


def test_a_missing_file(refused, config):
    """Of the config, of a run, and of a checkpoint."""
    config("data: digits\n")
    assert refused("fit", "--config", "b.yaml") == (
        "ConfigError: no config file 'b.yaml'\n"
        f"  where: in {Path.cwd()}\n"
        "  known: a.yaml\n  fix:   did you mean 'a.yaml'?\n"
    )
    assert "there is no run 'nowhere'" in refused("test", "--run", "nowhere")
    message = refused("test", *GOOD, "--ckpt_path", "gone.ckpt")
    assert message.startswith("CheckpointError: ") and "gone.ckpt" in message


def test_a_gpu_that_is_not_there(refused):
    """Lightning would say it after the run folder was made."""
    message = refused("fit", *GOOD, "--trainer.accelerator", "gpu")
    assert message.startswith("InvalidValueError: trainer.accelerator is 'gpu', and torch ")
    assert message.endswith(
        "  where: command line, trainer.accelerator\n"
        "  known: here: cpu\n"
        "  fix:   --trainer.accelerator cpu, or auto for the best one there is\n"
    )


def test_half_precision_on_a_cpu(refused):
    """Lightning would take bf16-mixed without a word."""
    assert refused("fit", *GOOD, "--trainer.precision", "16-mixed") == (
        "InvalidValueError: trainer.precision 16-mixed needs a GPU: a CPU has no loss scaling for "
        "float16\n"
        "  where: command line, trainer.precision\n"
        "  known: on a CPU: 32-true, bf16-mixed, bf16-true, 64-true\n"
        "  fix:   --trainer.precision bf16-mixed\n"
    )


@pytest.mark.parametrize(
    ("argument", "value", "what", "fix"),
    [
        ("precision", "bf16-mixd", "trainer.precision cannot be 'bf16-mixd'", "'bf16-mixed'"),
        ("strategy", "dpp", "no strategy named 'dpp'", "'ddp'"),
        ("accelerator", "gpuu", "no accelerator named 'gpuu'", "'gpu'"),
    ],
)
def test_unknown_precision_strategy_and_accelerator(refused, argument, value, what, fix):
    """With the nearest one."""
    message = refused("fit", *GOOD, f"--trainer.{argument}", value)
    assert message.startswith(f"InvalidValueError: {what}\n")
    assert message.endswith(f"  fix:   did you mean {fix}?\n")


@pytest.mark.parametrize(
    ("arguments", "what"),
    [
        (("--optimizer.lr", "fast"), "optimizer.lr must be float"),
        (("--optimizer", "sgd", "--optimizer.lr", "-1"), "optimizer 'sgd' refuses its arguments: "),
        (("--scheduler", "step", "--scheduler.gamma", "0"), "scheduler: step_size = 10, gamma = 0"),
        (
            ("--scheduler.min_ratio", "2", "--scheduler", "warmup_cosine"),
            "min_ratio = 2.0 is not in",
        ),
        (("--architecture.num_outputs", "7"), "the config sets architecture.num_outputs: 7, data "),
        (("--callbacks.emma.decay", "0.9"), "callbacks has no element 'emma'"),
        (("--architecture.class_path", "torch.hub.load"), "'torch.hub.load' is not a subclass of"),
        (("--loss", "{class_path: os.system}"), "'os.system' is not in a trusted module"),
        (("--seed_everything", "x"), "seed_everything must be a whole number"),
        (("--name", "../x"), "name '../x' cannot be a folder of runs/"),
        (("--trainer.limit_train_batches", "1.5"), "Lightning's Trainer refuses its arguments: "),
        (("--trainer.devices", "0"), "trainer.devices is 0; on a CPU it is a number"),
        (("--block", "nobody"), "no installed plugin or component is named 'nobody'"),
        (("--run", "latest", "--resume", "auto"), "--run and --resume exclude each other"),
        (("--run", "latest", "--ckpt_path", "x"), "--run and --ckpt_path exclude each other"),
    ],
)
def test_wrong_values(refused, arguments, what):
    """Of another type, out of range, contradicting the data, untrusted, or for another machine."""
    assert what in refused("fit", *GOOD, *arguments).splitlines()[0]


def test_nothing_at_all(refused):
    """An empty command line says what is missing first."""
    assert refused("fit") == (
        "InvalidValueError: the config chooses no data\n"
        f"  known: {', '.join(Registry.discover().names('datamodules'))}\n"
        "  fix:   --data NAME, or 'data: NAME' in the config\n"
    )
    assert refused("validate") == (
        "ConfigError: validate needs a run, or a config and a checkpoint\n"
        "  where: command line\n"
        "  fix:   validate --run NAME, or validate --config FILE --ckpt_path FILE\n"
    )


def test_a_value_from_the_command_line_is_not_blamed_on_the_file(refused, config):
    """The place names the file of the component and the arguments that stand elsewhere."""
    config("data: digits\narchitecture: mlp\noptimizer: {name: adamw, weight_decay: 0}\n")
    message = refused("fit", "--config", "a.yaml", "--optimizer.lr=-1")
    assert "  where: a.yaml, line 3, optimizer (lr: command line)\n" in message
    assert "its arguments: python -m dlplug fit --optimizer.help adamw" in message


def test_data_that_is_not_told_what_to_predict_leads_to_the_guide(refused, tmp_path):
    """A file of texts with labels, of which the config names none."""
    (tmp_path / "reviews.jsonl").write_text('{"text": "good", "label": "a"}\n' * 30)
    data = ("--data", "jsonl", "--data.path", str(tmp_path / "reviews.jsonl"))
    message = refused("fit", *data, "--architecture", "transformer")
    assert "needs num_outputs (data jsonl publishes none)" in message
    assert "is not told what to predict" in message and "python -m dlplug guide" in message


def test_a_transform_s_wrong_argument_leads_to_its_description(refused, config):
    """There is no option of fit that would list the arguments of what is nested."""
    config("data: {name: digits, transforms: [{name: mixup, alpa: 1}]}\narchitecture: mlp\n")
    message = refused("fit", "--config", "a.yaml")
    assert "transform 'mixup' has no argument 'alpa'" in message
    config("data: {name: digits, transforms: [{name: mixup, zzzzz: 1}]}\narchitecture: mlp\n")
    message = refused("fit", "--config", "a.yaml")
    assert "list them: python -m dlplug describe transform mixup" in message


NETS = '''
"""Networks, each with a slip."""

from torch import nn


class Forgetful(nn.Module):
    """Calls no constructor of its base."""

    def __init__(self, num_outputs: int):
        self.layer = nn.Linear(64, num_outputs)


class Misnamed(nn.Module):
    """Calls what the data knows otherwise."""

    def __init__(self, channels_in: int, n_classes: int, width: int):
        super().__init__()


class Numbered(nn.Module):
    """Calls no constructor of its base, and keeps no layer that would notice."""

    def __init__(self, num_outputs: int):
        self.width = num_outputs


def swapped(target, output):
    """Takes the target first."""
    return nn.functional.cross_entropy(output, target)


def cut(output, target):
    """Has no gradient."""
    return nn.functional.cross_entropy(output, target).detach()


dlplug_components = {
    "architecture": {"forgetful": Forgetful, "misnamed": Misnamed, "numbered": Numbered},
    "loss": {"swapped": swapped, "cut": cut},
}
'''


def test_slips_of_an_author(refused, private_memory, tmp_path):
    """The line that failed and the remedy; the names that the data would fill in."""
    (tmp_path / "nets_file.py").write_text(NETS)
    plugged = ("fit", "--plugin", "nets_file.py", "--data", "digits", "--architecture")
    message = refused(*plugged, "forgetful")
    assert message.startswith("PluginError: architecture 'forgetful' of nets_file.py ")
    assert "nets_file.py, line 11)\n  where: command line, architecture\n" in message
    assert "fix:   call super().__init__() first in its __init__; --traceback shows" in message
    assert refused(*plugged, "misnamed").endswith(
        "; or rename them in its code, and the data fills them in: channels_in as in_channels,"
        " n_classes as num_classes\n"
    )


def test_slips_that_show_with_the_first_batch(refused, private_memory, tmp_path):
    """A module that is none, a loss in the other order, and one without a gradient."""
    (tmp_path / "nets_file.py").write_text(NETS)
    plugged = ("fit", "--plugin", "nets_file.py", "--data", "digits", "--data.flatten", "true")
    message = refused(*plugged, "--architecture", "numbered")
    assert "Numbered.__init__ does not call its base's" in message
    assert message.endswith("fix:   call super().__init__() first in its __init__\n")
    message = refused(*plugged, "--architecture", "mlp", "--loss", "swapped")
    assert re.search(r"nets_file.py, line 30\)\n  where: loss swapped, .*, line 28\n", message)
    assert "known: a loss is called with the output first, then the target\n" in message
    message = refused(*plugged, "--architecture", "mlp", "--loss", "cut")
    assert message.startswith("ConfigError: the loss does not depend on the output in a way")
    assert re.search(r"where: loss cut, .*nets_file.py, line 33\n", message)
