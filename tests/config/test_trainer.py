"""The trainer slot."""

import pytest
from lightning.pytorch import Trainer
from lightning.pytorch.strategies import DDPStrategy

from dlplug.config.document import parse
from dlplug.config.trainer import ELSEWHERE, resolve_trainer, trainer_parameters
from dlplug.config.trust import Trust
from dlplug.errors import ConfigError, InvalidValueError
from dlplug.plugin import Registry


@pytest.fixture
def resolved():
    trust = Trust(Registry.discover())

    def resolve(text):
        node = parse(f"trainer: {text}", "a.yaml").value["trainer"]
        return resolve_trainer(node, trust, lambda key: f"a.yaml, line 1, {key}")

    return resolve


def test_every_argument_of_the_trainer_is_known():
    """All of its signature but what the config keeps elsewhere."""
    names = {parameter.name for parameter in trainer_parameters()}
    accepted = set(Trainer.__init__.__wrapped__.__code__.co_varnames) | {"self"}
    assert names <= accepted and not names & set(ELSEWHERE)
    assert {"max_epochs", "accelerator", "precision", "gradient_clip_val"} <= names


def test_only_what_differs_from_the_default_is_passed_on(resolved):
    """The run may decide what the config leaves open, also after a round trip."""
    found = resolved("{max_epochs: 3, precision: bf16-mixed, devices: auto}")
    assert found.arguments() == {"max_epochs": 3, "precision": "bf16-mixed"}
    assert found.plain["devices"] == "auto" and found.plain["accumulate_grad_batches"] == 1


@pytest.mark.parametrize(
    ("text", "epochs"),
    [
        ("{}", 10),
        ("null", 10),
        ("{max_steps: 5}", None),
        ("{max_epochs: -1}", -1),
        # the default, spelt out, sets no length
        ("{max_epochs: null}", 10),
        ("{max_steps: -1}", 10),
        ("{fast_dev_run: false}", 10),
        ("{max_steps: 5, max_epochs: null}", None),
    ],
)
def test_ten_epochs_unless_a_length_is_given(resolved, text, epochs):
    """Lightning would warn and train for a thousand."""
    assert resolved(text).plain["max_epochs"] == epochs


def test_a_class_path_builds_a_strategy(resolved):
    """Anew by each call, with its defaults in the resolved config."""
    text = (
        "{accelerator: cpu, strategy: {class_path: lightning.pytorch.strategies.DDPStrategy,"
        " init_args: {find_unused_parameters: true}}}"
    )
    found = resolved(text)
    first, second = found.arguments()["strategy"], found.arguments()["strategy"]
    assert isinstance(first, DDPStrategy) and first is not second
    assert found.plain["strategy"]["init_args"]["find_unused_parameters"] is True


@pytest.mark.parametrize(
    ("text", "what", "where", "fix"),
    [
        (
            "{max_epoch: 3}",
            "the trainer has no argument 'max_epoch'",
            "a.yaml, line 1, trainer.max_epoch",
            "did you mean 'max_epochs'?",
        ),
        (
            "{callbacks: [ema]}",
            "the trainer has no argument 'callbacks'",
            "a.yaml, line 1, trainer.callbacks",
            "use the config's key callbacks, for example --callbacks+ early_stopping",
        ),
        (
            "{default_root_dir: x}",
            "the trainer has no argument 'default_root_dir'",
            "a.yaml, line 1, trainer.default_root_dir",
            "use --name, which puts the run under runs/<name>/",
        ),
        (
            "{max_epochs: many}",
            "trainer.max_epochs must be int | null, got 'many'",
            "a.yaml, line 1, trainer.max_epochs",
            "such as 3",
        ),
        (
            "{precision: bf16-mixd}",
            "trainer.precision cannot be 'bf16-mixd'",
            "a.yaml, line 1, trainer.precision",
            "did you mean 'bf16-mixed'?",
        ),
        (
            "{strategy: {class_path: os.system}}",
            "'os.system' is not in a trusted module",
            "a.yaml, line 1, trainer.strategy",
            "if you trust it: --trust os",
        ),
        (
            "{strategy: {class_path: torch.nn.Linear}}",
            None,
            "a.yaml, line 1, trainer.strategy",
            None,
        ),
        (
            "[1]",
            "trainer must be a mapping of the Trainer's arguments, got [1]",
            "a.yaml, line 1, trainer",
            "write 'trainer: {max_epochs: 20}'",
        ),
        (
            "{accelerator: gpuu}",
            "no accelerator named 'gpuu'",
            "a.yaml, line 1, trainer.accelerator",
            "did you mean 'gpu'?",
        ),
    ],
)
def test_a_wrong_argument_is_refused(resolved, text, what, where, fix):
    """Unknown, elsewhere, of another type, untrusted, or not on this machine."""
    with pytest.raises(ConfigError) as caught:
        resolved(text)
    assert what in (None, caught.value.what)
    assert (caught.value.where, caught.value.fix) == (where, fix)


@pytest.mark.parametrize("value", [".nan", ".inf", "-0.5"])
def test_a_limit_of_gradients_is_a_number_above_0(resolved, value):
    """NaN would make every gradient NaN, and Lightning takes what is below 0 as no limit."""
    with pytest.raises(InvalidValueError) as error:
        resolved(f"{{gradient_clip_val: {value}}}")
    assert str(error.value) == (
        f"trainer.gradient_clip_val = {value.removeprefix('.')} is no limit\n"
        "  where: a.yaml, line 1, trainer.gradient_clip_val\n"
        "  known: numbers above 0; 0 or null, with which nothing is clipped\n"
        "  fix:   set it above 0, such as 1.0, or delete it"
    )


def test_a_limit_of_0_is_none(resolved):
    """As Lightning has it."""
    assert resolved("{gradient_clip_val: 0}").arguments()["gradient_clip_val"] == 0


@pytest.mark.parametrize(
    ("name", "value"),
    [
        ("accumulate_grad_batches", "-1"),
        ("accumulate_grad_batches", "0"),
        ("check_val_every_n_epoch", "0"),
        ("val_check_interval", "0"),
        ("val_check_interval", "0.0"),
        ("val_check_interval", ".nan"),
    ],
)
def test_what_is_divided_by_is_above_0(resolved, name, value):
    """Lightning takes a number below 0, and trains away from the minimum."""
    with pytest.raises(InvalidValueError, match=rf"trainer.{name} = .* is not above 0") as error:
        resolved(f"{{{name}: {value}}}")
    assert error.value.where == f"a.yaml, line 1, trainer.{name}"
    assert error.value.fix == "set it above 0, or delete it"


@pytest.mark.parametrize("text", ["{val_check_interval: 0.5}", "{check_val_every_n_epoch: null}"])
def test_shares_and_no_interval_pass(resolved, text):
    """What Lightning offers."""
    resolved(text)
