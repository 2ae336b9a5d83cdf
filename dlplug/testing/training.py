"""One real training of a component: two steps by Lightning's Trainer, in a temporary folder."""

import contextlib
import io
import warnings
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

import lightning

from dlplug.callbacks.checkpoint import Checkpoint
from dlplug.config import SLOTS, load
from dlplug.config.experiment import Experiment
from dlplug.data.spec import DataSpec
from dlplug.plugin import KINDS
from dlplug.run.parts import build_data, build_task
from dlplug.run.preflight import preflight
from dlplug.run.quiet import quiet
from dlplug.run.trainer import build_trainer
from dlplug.testing.forms import INPUTS, TARGETS, inputs_for
from dlplug.testing.subject import NOTHING, Subject

DATA = "dlplug.testing.tiny_data.TinyData"
TRAINER = {"max_epochs": 1, "limit_train_batches": 2, "limit_val_batches": 1, "accelerator": "cpu"}
FORCED = {
    "enable_progress_bar": False,
    "num_sanity_val_steps": 0,
    "devices": 1,
}


@dataclass
class Fitted:
    """A training that has ended.

    Attributes:
        trainer: After ``fit``.
        task: What it trained.
    """

    trainer: lightning.Trainer
    task: lightning.LightningModule


def fit(subject: Subject) -> Fitted:
    """Train with the component: two batches, one validation.

    Raises:
        Exception: whatever goes wrong, from the config to the last hook.
    """
    with warnings.catch_warnings(), quiet(), contextlib.redirect_stderr(io.StringIO()):
        warnings.simplefilter("ignore")  # of other libraries; a training tells them as well
        experiment = experiment_of(subject)
        datamodule, task = build_data(experiment), build_task(experiment)
        callbacks = experiment.build_callbacks()
        for callback in callbacks:
            if isinstance(callback, Checkpoint):  # a run tells it the folder when there is one
                callback.dirpath = str(subject.folder / "checkpoints")
        trainer = build_trainer(
            experiment,
            callbacks=callbacks,
            loggers=experiment.build_loggers(subject.folder),
            root=subject.folder,
            forced=FORCED,
        )
        preflight(task, datamodule, trainer)
        trainer.fit(task, datamodule=datamodule)
    return Fitted(trainer, task)


def experiment_of(subject: Subject) -> Experiment:
    """The component in its place, built-in ones in all the others, checked like any config."""
    return load([], list(_config(subject).items()), subject.registry)


def _config(subject: Subject) -> dict[str, Any]:
    if subject.kind == "datamodules":
        named = subject.named(NOTHING)
        inputs, target = forms_of(DataSpec.of(subject.data), subject.data_batch)
        config: dict[str, Any] = {"data": named}
    else:
        inputs, target = subject.inputs_form, subject.target_name
        config = {"data": {"class_path": DATA, "init_args": {"inputs": inputs, "target": target}}}
        named = subject.named(subject.facts_given)
    form = TARGETS[subject.target_form or target]
    config["task"] = form.task
    config["architecture"] = form.architecture or INPUTS[inputs].architecture
    if form.loss is not None:
        config["loss"] = form.loss
    if subject.kind == "transforms":
        config["data"]["init_args"]["transforms"] = [named]
    else:
        slot = SLOTS[KINDS[subject.kind].slot]
        config[slot.name] = [named] if slot.is_list else named
    for name, value in subject.example.config.items():
        if SLOTS[name].is_list:  # which takes one element without the brackets, too
            value = [*config.get(name, []), *(value if isinstance(value, list) else [value])]
        config[name] = value
    has_checkpoints = subject.value is Checkpoint or "callbacks" in subject.example.config
    return config | {"trainer": TRAINER | {"enable_checkpointing": has_checkpoints}}


def forms_of(spec: DataSpec, batch: Any) -> tuple[str, str]:
    """The forms of inputs and targets that a data module publishes and gives."""
    fields, inputs = set(spec.to_dict()), batch[0]
    if isinstance(inputs, Mapping) and "source" in inputs:
        return "pair", "written"
    form = inputs_for(fields) or "table"
    if spec.horizon:
        return form, "horizon"
    if spec.num_targets:
        return form, "numbers"
    return form, "classes" if spec.num_classes else "next_tokens"
