"""Every rule of the conformance kit can be broken, and says what is broken and how to mend it."""

import pytest
import torch

from dlplug.plugin import Registry
from dlplug.testing.check import check_component, check_distribution
from dlplug.testing.example import Example
from dlplug.testing.imports import import_report
from dlplug.testing.rule import Broken, all_rules
from dlplug.testing.rules.repeating import same
from dlplug.testing.subject import Subject
from dlplug.testing.verdict import Outcome

RULES = all_rules()
NETS, OTHERS = "tests.testing.bad.architectures", "tests.testing.bad.others"
# Rule -> kind, target of a component that breaks it, and what the reason must contain.
BROKEN = {
    "loads": ("architectures", f"{NETS}:Missing", "no attribute 'Missing'"),
    "has_a_name_of_its_own": ("architectures", f"{NETS}:Good", "mlp (dlplug"),
    "imports_quickly": ("architectures", "tests.testing.bad.slow_import:Good", "it took 2."),
    "imports_without_a_gpu": (
        "architectures",
        "tests.testing.bad.gpu_import:Good",
        "torch.cuda.is_available",
    ),
    "offers_names_without_a_library": (
        "hooks",
        "tests.testing.bad.names",
        "giving its names imports numpy",
    ),
    "names_what_exists": ("presets", "tests.testing.bad:small", "no architecture named 'vitt'"),
    "has_a_docstring": ("architectures", f"{NETS}:NoDocstring", "no docstring"),
    "tells_its_parameters": ("architectures", f"{NETS}:Silent", "what to give for strength"),
    "builds": ("architectures", f"{NETS}:NeedsAPath", "path: str"),
    "survives_the_config": ("architectures", f"{NETS}:Fickle", "came back as"),
    "builds_on_meta": ("architectures", f"{NETS}:ReadsValues", "not on meta: fixed"),
    "gives_finite_outputs": ("architectures", f"{NETS}:NotFinite", "the output is not finite"),
    "trains_every_parameter": (
        "architectures",
        f"{NETS}:Unused",
        "reaches forgotten.weight, forgotten.bias",
    ),
    "compiles": ("architectures", f"{NETS}:Untraceable", "compiled, it gives another output"),
    "exports": ("architectures", f"{NETS}:Branching", "data-dependent"),
    "runs_in_bfloat16": ("architectures", f"{NETS}:Float32Only", "dtype"),
    "takes_the_output_first": ("losses", f"{OTHERS}:TargetFirst", "y_true and y_pred, in this"),
    "is_one_finite_number": ("losses", f"{OTHERS}:Vector", "it gives (4,)"),
    "has_a_gradient": ("losses", f"{OTHERS}:Rounded", "does not depend on the output"),
    "prefers_right_outputs": ("losses", f"{OTHERS}:Negated", "the loss of right outputs is -"),
    "takes_bfloat16": ("losses", f"{OTHERS}:DoubleLoss", "same dtype"),
    "compiles_as_a_loss": ("losses", f"{OTHERS}:EagerLoss", "compiled, it gives"),
    "measures": ("metrics", f"{OTHERS}:NaNMetric", "nan"),
    "resets": ("metrics", f"{OTHERS}:Remembering", "[4.0] became [8.0]"),
    "moves_every_weight": ("optimizers", f"{OTHERS}:Lazy", "bias has not moved"),
    "goes_on_after_a_checkpoint": ("optimizers", f"{OTHERS}:Amnesiac", "changes the next step"),
    "gives_usable_rates": ("schedulers", f"{OTHERS}:Rising", "a rate is -"),
    "goes_on_with_its_rates": ("schedulers", f"{OTHERS}:Restarting", "became"),
    "keeps_the_records": ("transforms", f"{OTHERS}:Halving", "4 records became (2, 3"),
    "publishes_a_data_spec": ("datamodules", f"{OTHERS}:Silent", "data_spec is missing"),
    "gives_batches": ("datamodules", f"{OTHERS}:InputsOnly", "not a pair"),
    "can_be_copied": ("architectures", f"{NETS}:Uncopyable", "deepcopy"),
    "can_be_pickled": ("callbacks", f"{OTHERS}:Locked", "lock"),
    "survives_its_state_dict": (
        "architectures",
        f"{NETS}:Stateless",
        "with its state_dict differs",
    ),
    "repeats_itself": ("architectures", f"{NETS}:Unseeded", "with one seed differ"),
    "repeats_its_batches": ("datamodules", f"{OTHERS}:Restless", "in the first batch"),
    "trains": ("architectures", f"{NETS}:WrongWidth", "gives 4 scores, the data has 3 classes"),
    "keeps_plain_state": ("callbacks", f"{OTHERS}:Objects", "Point"),
}


def subject(fake_distribution, folder, kind, target, name="bad", example=None):
    """A component of a distribution that exists for one test."""
    group = "dlplug.index" if kind == "hooks" else f"dlplug.{kind}"
    fake_distribution("acme-bad", entry_points={group: {name: target}})
    registry = Registry.discover()
    wanted = ("acme-bad", kind, name)
    component = next(c for c in registry.entries() if (c.distribution, c.kind, c.name) == wanted)
    return Subject(component, registry, example or Example(), folder)


def verdict_of(subject, name):
    """Of one rule, after the gates before it."""
    position = next(i for i, rule in enumerate(RULES) if rule.name == name)
    asked = [rule for rule in RULES[:position] if rule.is_gate] + [RULES[position]]
    return list(check_component(subject, asked))[-1]


def test_every_rule_has_a_component_that_breaks_it():
    """None is forgotten below, and none is asked of no kind."""
    assert list(BROKEN) == [rule.name for rule in RULES]
    assert all(rule.kinds for rule in RULES)


@pytest.mark.parametrize("name", BROKEN)
def test_a_bad_component_breaks_the_rule(name, fake_distribution, tmp_path):
    """It fails with the reason and the rule's fix; the gates before it are passed."""
    kind, target, reason = BROKEN[name]
    import_report.cache_clear()
    short = "mlp" if name == "has_a_name_of_its_own" else "bad"
    found = verdict_of(subject(fake_distribution, tmp_path, kind, target, short), name)
    assert (found.rule, found.outcome) == (name, Outcome.FAILED), found.reason
    assert reason in found.reason
    own = "leave out the number of classes" if name == "trains" else None  # of the config's error
    assert found.fix.startswith(own or next(rule.fix for rule in RULES if rule.name == name))


def test_a_good_component_keeps_every_rule(fake_distribution, tmp_path):
    """The network that the bad ones are made of has no fault."""
    import_report.cache_clear()
    good = subject(fake_distribution, tmp_path, "architectures", f"{NETS}:Good")
    verdicts = list(check_component(good))
    assert {v.outcome for v in verdicts} == {Outcome.OK}, verdicts
    assert {v.rule for v in verdicts} == {r.name for r in RULES if "architectures" in r.kinds}


def test_behind_a_broken_gate_nothing_is_asked(fake_distribution, tmp_path):
    """One reason, not twenty times the same."""
    missing = subject(fake_distribution, tmp_path, "architectures", f"{NETS}:Missing")
    first, *others = check_component(missing)
    assert first.is_failure and others
    assert {(v.outcome, v.reason) for v in others} == {
        (Outcome.DOES_NOT_APPLY, "not asked after loads")
    }


def test_a_misspelt_group_is_a_failure(fake_distribution):
    """No rule knows such a kind, and still it is not passed over."""
    fake_distribution("acme-group", entry_points={"dlplug.lossses": {"x": f"{OTHERS}:Vector"}})
    (verdict,) = check_distribution(Registry.discover(), "acme-group")
    assert verdict.is_failure and "no entry-point group 'dlplug.lossses'" in verdict.reason


def test_a_plugin_for_another_api_is_told_what_to_state(fake_distribution):
    """Not to correct its entry point."""
    lines = {"dlplug.losses": {"x": f"{OTHERS}:Vector"}, "dlplug.api": {"major": "v9"}}
    fake_distribution("acme-api", entry_points=lines)
    first = check_distribution(Registry.discover(), "acme-api")[0]
    assert first.reason == "incompatible: made for plugin API 9; this dlplug has 1"
    assert first.fix.endswith("its authors state what it is made for by dlplug.api: major = v1")


def test_an_author_can_exempt_a_component(fake_distribution, tmp_path):
    """The reason is shown; the other rules are asked."""
    example = Example(exempt={"trains_every_parameter": "kept for old checkpoints"})
    unused = subject(
        fake_distribution, tmp_path, "architectures", f"{NETS}:Unused", example=example
    )
    found = verdict_of(unused, "trains_every_parameter")
    assert found.outcome is Outcome.DOES_NOT_APPLY
    assert found.reason == "its authors say: kept for old checkpoints"


@pytest.mark.parametrize(
    ("loss", "target"),
    [
        ("SwappedCrossEntropy", None),
        ("SwappedCrossEntropy", "classes"),
        ("SwappedLabels", None),
        ("SwappedLabels", "labels"),
    ],
)
def test_a_loss_in_the_other_order_is_told(loss, target, fake_distribution, tmp_path):
    """Whatever its arguments are called, whether the kit guesses the target or is told."""
    example = Example(target=target)
    bad = subject(fake_distribution, tmp_path, "losses", f"{OTHERS}:{loss}", example=example)
    found = verdict_of(bad, "takes_the_output_first")
    assert found.is_failure and "in the order (target, output)" in found.reason


def test_each_parameter_of_an_optimizer_goes_on(fake_distribution, tmp_path):
    """Not the first one alone."""
    bad = subject(fake_distribution, tmp_path, "optimizers", f"{OTHERS}:BiasAmnesiac")
    found = verdict_of(bad, "goes_on_after_a_checkpoint")
    assert found.is_failure and "changes the next step of bias" in found.reason


WRONG_PRESETS = {
    "architecture: {name: vit, widht: 3}": "architecture 'vit' has no argument 'widht'",
    "architecture: {name: vit, dim: wide}": "architecture.dim must be int",
    "optimizer: {lrr: 1}": "optimizer 'adamw' has no argument 'lrr'",
    "task: regression\nloss: {label_smoothing: 1}": "loss 'mse' has no argument 'label_smoothing'",
    "data: {name: digits, transforms: [{name: random_crop, paddin: 2}]}": "no argument 'paddin'",
    "callbacks: [{name: ema, deccay: 1}]": "callback 'ema' has no argument 'deccay'",
    "trainer: {max_epoch: 3}": "the trainer has no argument 'max_epoch'",
    "trainer: {max_epochs: many}": "trainer.max_epochs must be",
    "loss: {name: mse, label_smoothing: 1}": "loss 'mse' has no argument 'label_smoothing'",
    "metrics+: [{name: f1, avverage: macro}]": "metric 'f1' has no argument 'avverage'",
    "architecture: {class_path: torch.nn.NoSuch}": "module 'torch.nn' has no class 'NoSuch'",
    "loss: {class_path: torch.optim.SGD}": "'torch.optim.SGD' is not a subclass of",
}


@pytest.mark.parametrize("text", WRONG_PRESETS)
def test_a_slip_in_a_preset_is_told(text, fake_distribution, tmp_path):
    """With its line; what the data gives is not missed."""
    site = fake_distribution("acme-presets", modules={"acme_presets.code": ""})
    (site / "acme_presets" / "small.yaml").write_text(f"seed_everything: 0\n{text}\n")
    preset = subject(fake_distribution, tmp_path, "presets", "acme_presets:small")
    found = verdict_of(preset, "names_what_exists")
    assert found.is_failure and WRONG_PRESETS[text] in found.reason
    assert f"small.yaml, line {1 + len(text.splitlines())}" in found.reason and found.fix


GOOD_PRESETS = (
    "architecture: {name: vit, depth: 2}\ntrainer: {devices: 64, max_epochs: 3}",
    "architecture: {depth: 2}\nloss: {label_smoothing: 0.1}",
    "task: regression\nloss: {name: focal}\nscheduler: null\nmetrics: [f1, mae]",
    "data: {name: csv, path: there/is/none.csv}",
    # A user's config names the task, on which it depends whose arguments these are.
    "loss: {quantiles: [0.1, 0.9]}",
    "metrics: {mae: {squared: true}}",
    "metrics: {0: {average: macro}}",
    # A user trusts the module.
    "architecture: {class_path: timm_like.Net, init_args: {depth: 2}}\noptimizer: {lr: 0.1}",
    "data: {name: digits, transforms: [{class_path: timm_like.Crop}]}",
    "trainer: {strategy: {class_path: timm_like.Strategy}}",
    "task: {class_path: timm_like.Task}\nloss: {alpha: 2}\noptimizer: {beta: 2}",
)


@pytest.mark.parametrize("text", GOOD_PRESETS)
def test_what_others_complete_is_no_slip(text, fake_distribution, tmp_path):
    """A preset says a part; and it may be meant for another machine."""
    site = fake_distribution("acme-presets", modules={"acme_presets.code": ""})
    (site / "acme_presets" / "small.yaml").write_text(text)
    preset = subject(fake_distribution, tmp_path, "presets", "acme_presets:small")
    found = verdict_of(preset, "names_what_exists")
    assert found.outcome is Outcome.OK, found.reason


def test_results_are_the_same_only_as_a_whole():
    """A part of one, and no result at all, are no proof."""
    one, two = torch.zeros(2), torch.ones(2)
    assert same([one, two], [one, two])
    assert not same([one, two], [one]) and not same([one], [two])
    with pytest.raises(Broken, match="gives no tensor"):
        same([], [])
