"""A resolved config: what is to be built, and the builders."""

from collections.abc import Callable
from dataclasses import dataclass, field, replace
from functools import cached_property
from pathlib import Path

from dlplug.config.acceleration import Acceleration
from dlplug.config.bound import Bound
from dlplug.config.callback_order import order_note
from dlplug.config.data_module import build_data, facts_of, refuse_other_data
from dlplug.config.filling import DataFacts
from dlplug.config.refusal import refusals_named, try_optimizer
from dlplug.config.trainer import TrainerConfig
from dlplug.config.yaml_dialect import render
from dlplug.data.spec import DataSpec
from dlplug.errors import InvalidValueError
from dlplug.plugin import Component, Registry


@dataclass(eq=False)
class Experiment:
    """Everything that a config says, checked.

    The builders make new objects by each call, except for `datamodule`. Whoever builds sets the
    seed before.

    Attributes:
        given: The composed config, plain data, as the user wrote it.
        resolved: Plain data: every argument with its default or filled value. A valid config.
        filled: Dotted key to ``from data mnist``, for values that the data gave.
        components: Everything that is named, in order.
        seed: Of Python, NumPy and PyTorch.
        name: Runs go to ``runs/<name>/``.
        data_spec: What the data knows about itself.
        presets: On which the command line laid its config; `resolved` holds what they say.
        for_record: Gives the same experiment with other content in some slots, plain data, below
            what was laid over the first config file; with the spec of its data, and the name of the
            file that says all this.
        where: Gives file and line (``configs/a.yaml, line 7``) or ``command line`` of a dotted key.
    """

    given: dict
    resolved: dict
    filled: dict[str, str]
    components: list[Component]
    seed: int
    name: str
    where: Callable[[str], str]
    facts: DataFacts = field(repr=False)
    parts: dict[str, Bound | list[Bound] | None] = field(repr=False)
    task_slots: tuple[str, ...] = field(repr=False)
    trainer: TrainerConfig = field(repr=False)
    registry: Registry = field(repr=False)
    acceleration: Acceleration | None = field(default=None, repr=False)
    built_data: object = field(default=None, repr=False)
    presets: list[Component] = field(default_factory=list, repr=False)
    for_record: Callable[[dict, DataSpec | None, str], "Experiment"] | None = field(
        default=None, repr=False
    )

    @property
    def data_spec(self) -> DataSpec:
        """What the data knows about itself; empty when it publishes nothing."""
        return self.facts.spec or DataSpec()

    @property
    def code(self) -> list[Component]:
        """What a run consists of: the components, and the hooks, which may change the model."""
        return [*self.components, *self.registry.hook_modules()]

    @cached_property
    def datamodule(self) -> object:
        """The LightningDataModule, built once.

        Raises:
            InvalidValueError: There is none, or its data is not what the model was built for.
        """
        if self.parts["data"] is None:
            raise InvalidValueError(
                "the config chooses no data",
                known=", ".join(self.registry.names("datamodules")),
                fix="--data NAME, or 'data: NAME' in the config",
            )
        if self.built_data is not None:
            return self.built_data
        datamodule = build_data(self.parts["data"], self.seed)
        if hasattr(datamodule, "adopt"):
            with refusals_named(self.parts["data"].culprit):
                datamodule.adopt(self.data_spec)
        self._refuse_other_data(datamodule)
        return datamodule

    def with_seed(self, seed: int) -> "Experiment":
        """The same experiment with another seed, whatever the config says; it builds new data."""
        return replace(
            self,
            seed=seed,
            resolved=self.resolved | {"seed_everything": seed},
            built_data=None,
            for_record=lambda *changes: self.for_record(*changes).with_seed(seed),
        )

    def check_loaded_data(self) -> None:
        """What the data says of itself, now that it is loaded, is what the model was built for.

        Raises:
            InvalidValueError: It is not; names both sides.
        """
        self._refuse_other_data(self.datamodule)

    def build_task(self) -> object:
        """The LightningModule with its architecture, loss, optimizer, scheduler and metrics.

        Raises:
            InvalidValueError: One of them refuses its arguments.
            PluginError: A plugin that changes the built model raised.
        """
        supplied = {slot: self._built(slot) for slot in self.task_slots}
        if supplied.get("architecture") and supplied.get("optimizer"):
            architecture, optimizer = supplied["architecture"], supplied["optimizer"]
            try_optimizer(architecture, optimizer, supplied.get("scheduler"))
        return self.parts["task"].build(**supplied)

    def build_callbacks(self) -> list:
        """Lightning callbacks, in the order in which they run."""
        return [bound.build() for bound in self.parts["callbacks"]]

    def build_loggers(self, folder: str | Path | None = None) -> list:
        """Lightning loggers.

        Args:
            folder: The run's folder; a logger that is not told where to write uses
                ``<folder>/<its name>/``. None while there is no folder yet.
        """
        return [bound.build(**_log_folder(bound, folder)) for bound in self.parts["loggers"]]

    @property
    def trainer_arguments(self) -> dict[str, object]:
        """Arguments for ``lightning.Trainer`` that differ from its defaults.

        Never among them: callbacks, logger, default_root_dir.
        """
        return self.trainer.arguments()

    def to_yaml(self) -> str:
        """The resolved config as YAML; comments mark what the data gave, and callbacks' order."""
        callbacks = self.parts["callbacks"]
        order = {"callbacks": order_note(callbacks)} if len(callbacks) > 1 else {}
        return render(self.resolved, self.filled | order)

    def _refuse_other_data(self, datamodule: object) -> None:
        found = facts_of(self.parts["data"], datamodule, self.seed)
        refuse_other_data(found, self.facts, self.parts["data"].where)

    def _built(self, slot: str) -> object:
        """What the task gets for one of its slots."""
        if slot == "data_spec":
            return self.data_spec
        part = self.parts[slot]
        if isinstance(part, list):
            return _by_name(part)
        if part is None:
            return None
        built = part.build()
        self._finish(slot, built)
        if slot == "architecture":
            built = self.registry.fold("dlplug_model_built", model=built, config=self.resolved)
            if self.acceleration:
                self.acceleration.apply(built)
        return built

    def _finish(self, slot: str, built: object) -> None:
        """Give the weights of lazy modules their shapes."""
        from dlplug.data.example_inputs import example_inputs
        from dlplug.tasks.lazy import argument_names, give_shapes, refuse_lazy

        part = self.parts[slot]
        with refusals_named(part.culprit):
            if slot == "architecture":
                inputs = example_inputs(self.data_spec, names=argument_names(built))
                give_shapes(built, inputs, part.label)
            else:
                refuse_lazy(built, part.label)


def _by_name(parts: list[Bound]) -> dict[str, object]:
    """Built components by short name; a second one of the same name gets a number."""
    built: dict[str, object] = {}
    for bound in parts:
        name = short = bound.name.rpartition(".")[2]
        number = 1
        while name in built:
            number += 1
            name = f"{short}_{number}"
        built[name] = bound.build()
    return built


def _log_folder(bound: Bound, folder: str | Path | None) -> dict[str, object]:
    """Arguments that send a logger's files into the run's folder, where the config is silent."""
    if "save_dir" not in bound.order or "save_dir" in bound.values:
        return {}
    place = {"save_dir": str(folder or "."), "name": bound.name.rpartition(".")[2], "version": ""}
    return {k: v for k, v in place.items() if k in bound.order and k not in bound.values}
