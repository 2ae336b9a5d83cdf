"""One component under test: built small through the config, with inputs and targets that fit it."""

from functools import cached_property
from pathlib import Path
from typing import TYPE_CHECKING, Any

from torch import Tensor

from dlplug.config.binding import Binder
from dlplug.config.bound import Bound
from dlplug.config.data_module import seeded
from dlplug.config.filling import DataFacts, completed_by, decided_by_data
from dlplug.config.kinds import TRAITS
from dlplug.config.parameters import Parameter, component_parameters
from dlplug.config.tree import Origin, from_plain
from dlplug.config.trust import Trust
from dlplug.data.spec import DataSpec
from dlplug.plugin import Component, Registry
from dlplug.tasks.lazy import give_shapes
from dlplug.testing.answers import Answers
from dlplug.testing.example import FILE, Example
from dlplug.testing.forms import INPUTS, RECORDS, TARGETS, inputs_for
from dlplug.testing.placing import arguments_in, write_files
from dlplug.testing.rule import Broken
from dlplug.testing.tiny import tiny_arguments

if TYPE_CHECKING:
    from dlplug.testing.training import Fitted

DATA_SEED = 0
NOTHING = DataFacts(None, "the kit's data")
ORIGIN = Origin("the kit's example")


class Subject:
    """What the rules get.

    Args:
        component: Not loaded yet.
        registry: Finds it, and the built-in ones that are trained with it.
        example: What its author says of it.
        folder: Temporary, of this component alone; the example's files are written there.
    """

    def __init__(self, component: Component, registry: Registry, example: Example, folder: Path):
        self.component = component
        self.registry = registry
        self.example = example
        self.folder = folder
        self.target_form = example.target

    @property
    def kind(self) -> str:
        """Plural; ``hooks`` for a module of hooks."""
        return self.component.kind

    @property
    def value(self) -> Any:
        """The class or function."""
        return self.component.load()

    @cached_property
    def parameters(self) -> list[Parameter]:
        """What a config can set."""
        return component_parameters(self.kind, self.value) if self.kind in TRAITS else []

    @property
    def filled_parameters(self) -> set[str]:
        """Names of the parameters that the data decides, for kinds that are filled in."""
        is_filled = self.kind in TRAITS and TRAITS[self.kind].is_filled
        return {p.name for p, _ in decided_by_data(self.parameters)} if is_filled else set()

    @property
    def data_fields(self) -> set[str]:
        """Fields of the data spec that its parameters stand for."""
        return {field for _, field in decided_by_data(self.parameters)}

    @cached_property
    def inputs_form(self) -> str:
        """Name of the form of its inputs.

        Raises:
            Broken: neither the parameters nor the examples tell it.
        """
        form = self.example.inputs
        if form is None and self.kind == "architectures":
            form = inputs_for(self.data_fields)
            if form is None:
                raise Broken(
                    "none of its parameters tells what its inputs are (in_channels, image_size,"
                    " vocab_size, num_features, ...)",
                    fix=f"say it in {FILE} beside its code, or in a file after --examples:"
                    f" architectures: {{{self.component.name}: {{inputs: image}}}};"
                    f" known: {', '.join(INPUTS)}",
                )
        if form is None and self.kind == "transforms":
            form = "image"
        return form or TARGETS[self.target_form or "classes"].inputs

    @property
    def task(self) -> dict[str, Any]:
        """The task that goes with it, as in a config."""
        if self.kind == "tasks":
            return self.named(NOTHING)
        task = self.example.config.get("task") or TARGETS[self.target_name].task
        return {"name": task} if isinstance(task, str) else dict(task)

    @property
    def target_name(self) -> str:
        """Name of the form of its targets."""
        return self.target_form or INPUTS[self.inputs_form].target

    @property
    def facts(self) -> DataFacts:
        """The data spec of the kit's data, completed by the task."""
        spec = DataSpec(**(INPUTS[self.inputs_form].spec | TARGETS[self.target_name].spec))
        facts = DataFacts(spec, "the kit's data")
        binder = self._binder(facts)
        return completed_by(binder.bind("tasks", from_plain(self.task, ORIGIN), "task"), facts)

    def arguments(self, facts: DataFacts) -> dict[str, Any]:
        """The arguments beyond what the data gives."""
        later = TRAITS[self.kind].known_later
        filled = {p.name for p, _ in decided_by_data(self.parameters) if _knows(facts, p)}
        own = [p for p in self.parameters if p.name not in (*filled, *later)]
        return tiny_arguments(own, self._given)

    def named(self, facts: DataFacts) -> dict[str, Any]:
        """The component with its arguments, as a config names it."""
        return {"name": self.component.id, "init_args": self.arguments(facts)}

    def bound(self) -> Bound:
        """The component with checked arguments, as the config binds it."""
        facts = self.facts_given
        return self.bind(self.named(facts), facts)

    @property
    def facts_given(self) -> DataFacts:
        """What it is filled in from; nothing for kinds that are not."""
        return self.facts if TRAITS[self.kind].is_filled else NOTHING

    def bind(self, named: dict[str, Any], facts: DataFacts) -> Bound:
        """What a config's value means."""
        binder = self._binder(facts)
        return binder.bind(self.kind, from_plain(named, ORIGIN), self.component.name)

    def build(self) -> Any:
        """A new object, as a run makes it."""
        if self.kind == "tasks":
            from dlplug.testing.training import experiment_of

            return experiment_of(self).build_task()
        made = self.make(self.bound())
        if self.kind == "architectures":
            give_shapes(made, self.batch(), self.component.label)
        return made

    def make(self, bound: Bound) -> Any:
        """The object of one binding."""
        is_logger = "save_dir" in bound.order and "save_dir" in bound.traits.known_later
        return bound.build(**({"save_dir": str(self.folder)} if is_logger else {}))

    def batch(self, records: int = RECORDS) -> Any:
        """Random inputs."""
        return INPUTS[self.inputs_form].make(records)

    def compared(self, records: int = RECORDS) -> tuple[Any, Any]:
        """A random output and target, as a loss gets them."""
        return TARGETS[self.target_name].compared(records)

    def answers(self) -> tuple[Answers, Tensor]:
        """Outputs right and wrong by design, and the random target that they answer."""
        output, target = self.compared()
        return TARGETS[self.target_name].answers(output, target), target

    def measured(self, records: int = RECORDS) -> tuple[Any, Any, dict[str, Any]]:
        """What a metric gets: random output and target, and what a task tells besides."""
        form = TARGETS[self.target_name]
        output, target = form.compared(records)
        return *form.measured(output, target), form.besides(records)

    @cached_property
    def data(self) -> Any:
        """A data module after setup, made once: reading some takes seconds."""
        with seeded(DATA_SEED):
            datamodule = self.build()
            datamodule.prepare_data()
            datamodule.setup("fit")
        return datamodule

    @cached_property
    def data_batch(self) -> Any:
        """The first training batch of `data`."""
        with seeded(DATA_SEED):
            return next(iter(self.data.train_dataloader()))

    @cached_property
    def fitted(self) -> "Fitted":
        """A short training with the component, once."""
        from dlplug.testing.training import fit

        return fit(self)

    def _binder(self, facts: DataFacts) -> Binder:
        return Binder(self.registry, Trust(self.registry), facts)

    @cached_property
    def _given(self) -> dict[str, Any]:
        """The example's arguments; its files are written."""
        write_files(self.example, self.folder)
        return arguments_in(self.example, self.folder)


def _knows(facts: DataFacts, parameter: Parameter) -> bool:
    return facts.value_for(parameter.name) is not None
