"""It trains: two steps and a validation by Lightning, from a config."""

from dlplug.run.quiet import quiet
from dlplug.testing.rule import Broken, rule
from dlplug.testing.subject import Subject


@rule(
    is_gate=True,
    proves="a config that names it trains for two steps and validates, and the weights stay finite",
    fix="see the reason; python -m dlplug fit with a config that names it shows more",
)
def trains(subject: Subject) -> None:
    fitted = subject.fitted
    if fitted.trainer.global_step < 1:
        raise Broken("no optimizer step took place")
    bad = [n for n, p in fitted.task.named_parameters() if not p.isfinite().all()]
    if bad:
        raise Broken(f"{', '.join(bad)} are no longer finite")


@rule(
    proves="what it adds to a checkpoint is tensors and plain data",
    fix="let state_dict() give numbers, strings, tensors, and lists and dicts of them; what is"
    " another object cannot be loaded safely",
)
def keeps_plain_state(subject: Subject) -> None:
    with quiet():
        subject.fitted.trainer.save_checkpoint(subject.folder / "kept.ckpt")
