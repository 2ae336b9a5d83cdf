"""From a composed config to an experiment: names found, arguments typed, data asked."""

from collections.abc import Iterable, Mapping

from dlplug.config.acceleration import read_acceleration
from dlplug.config.binding import Binder
from dlplug.config.bound import Bound
from dlplug.config.callback_order import in_run_order
from dlplug.config.choice import is_placeholder, read_choice
from dlplug.config.composed import Composed
from dlplug.config.data_module import build_data, facts_of
from dlplug.config.defaults import default_of, settled
from dlplug.config.experiment import Experiment
from dlplug.config.filling import DataFacts, completed_by
from dlplug.config.kinds import TRAITS
from dlplug.config.parameters import Parameter, parameters_of
from dlplug.config.renewal import renewed
from dlplug.config.settings import read_name, read_seed
from dlplug.config.slots import COMPONENT_SLOTS, SLOTS
from dlplug.config.trainer import TrainerConfig, resolve_trainer
from dlplug.config.tree import DEFAULTS, Node, Origin
from dlplug.config.trust import Trust
from dlplug.data.spec import DataSpec
from dlplug.errors import InvalidValueError, UnknownKeyError
from dlplug.plugin import KINDS, Registry

# Bound before the data is built: a wrong name or type shows at once.
INDEPENDENT_OF_DATA = ("optimizer", "scheduler", "loggers")
# A task's parameters that are slots of their own, and the data spec.
BUILT_FOR_TASKS = TRAITS["tasks"].supplied


def resolve(
    config: Composed,
    registry: Registry,
    trust: Iterable[str] = (),
    data_spec: DataSpec | None = None,
    one_device: bool = False,
) -> Experiment:
    """Find everything that a composed config names, and check every value.

    Args:
        config: Files and overrides, composed.
        registry: Where names are looked up.
        trust: Modules that class paths may lead into, besides the known ones.
        data_spec: What the data knows, when it is known already; the data module is then built
            only when somebody asks for it.
        one_device: See `check_hardware`.
    Raises:
        DlplugError: Anything that is wrong with names, keys, values, data or this machine.
    """
    trust = tuple(trust)

    def for_record(slots: dict, spec: DataSpec | None, source: str) -> Experiment:
        config_below = config.with_slots_below(slots, source)
        return resolve(config_below, registry, trust, spec, one_device)

    resolver = _Resolver(config, registry, Trust(registry, trust), data_spec, one_device)
    experiment = resolver.experiment()
    experiment.for_record = for_record
    return experiment


class _Resolver:
    def __init__(
        self,
        config: Composed,
        registry: Registry,
        trust: Trust,
        data_spec: DataSpec | None,
        one_device: bool,
    ):
        self.config = config
        self.registry = registry
        self.binder = Binder(registry, trust)
        self.data_spec = data_spec
        self.one_device = one_device
        self.seed = read_seed(config.get("seed_everything"))
        self.acceleration = read_acceleration(config.get("accelerate"), config.where)
        self.task_defaults: Mapping[str, object] = {}
        self.parts: dict[str, Bound | list[Bound] | None] = {}
        self.built_data: object = None

    def experiment(self) -> Experiment:
        self._refuse_unknown_names()
        self._settle("task", {})
        task = self.binder.load("tasks", self._node("task", {}), "task")
        slots = self._task_slots(task)
        self.task_defaults = getattr(task.target, "slot_defaults", {})
        for slot in COMPONENT_SLOTS:
            self._settle(slot, self.task_defaults)
        trainer = resolve_trainer(
            self.config.get("trainer"), self.binder.trust, self._where_of_slot, self.one_device
        )
        for slot in INDEPENDENT_OF_DATA:
            self._bind(slot, task, slots)
        self._bind_data()
        self.parts["task"] = self.binder.bind_arguments(task)
        self.binder.facts = completed_by(task, self.binder.facts)
        for slot in ("architecture", "loss", "metrics", "callbacks"):
            self._bind(slot, task, slots)
        self.parts["callbacks"] = in_run_order(self.parts["callbacks"])
        name = read_name(self.config.get("name"), self._default_name())
        return Experiment(
            given=self.config.tree.plain(),
            resolved=self._resolved(name, trainer),
            filled=self.binder.filled,
            components=self.binder.components,
            seed=self.seed,
            name=name,
            where=self.config.where,
            facts=self.binder.facts,
            parts=self.parts,
            task_slots=tuple(slots),
            trainer=trainer,
            registry=self.registry,
            acceleration=self.acceleration,
            built_data=self.built_data,
        )

    def _refuse_unknown_names(self) -> None:
        """Look up every name of the top level before anything is imported, which takes seconds."""
        for slot in COMPONENT_SLOTS.values():
            node = self.config.get(slot.name)
            if node is None or isinstance(node.value, list) is not slot.is_list:
                continue
            for element in node.value if slot.is_list else [node]:
                if element.value is None:
                    continue
                choice = read_choice(element, slot.name)
                if choice.word == "name" and not is_placeholder(element):
                    where = f"{choice.name.origin}, {slot.name}"
                    self.registry.find(slot.kind, choice.text, where=where)

    def _where_of_slot(self, key: str) -> str:
        return f"{self.config.where(key)}, {key}"

    def _node(self, slot: str, of_task: Mapping[str, object]) -> Node | None:
        """What stands in a slot: the config's value, else the task's default, else dlplug's."""
        node = self.config.get(slot)
        return default_of(SLOTS[slot], of_task) if node is None else node

    def _settle(self, slot: str, of_task: Mapping[str, object]) -> None:
        """Put the default's own name where composing could not know it."""
        node = self.config.get(slot)
        if node is not None:
            default = default_of(SLOTS[slot], of_task)
            node = settled(node, SLOTS[slot], default)
            # Only now is it known whose the arguments are that were given without a name.
            part = renewed(Node({slot: node}, node.origin), self.registry, is_settled=True)
            self.config = self.config.with_slot(slot, part.value[slot])

    def _task_slots(self, task: Bound) -> dict[str, Parameter]:
        """The task's parameters that are slots; a slot in the config that it lacks is an error."""
        parameters = {p.name: p for p in parameters_of(task.target)}
        slots = {name: parameters[name] for name in BUILT_FOR_TASKS if name in parameters}
        for name in BUILT_FOR_TASKS:
            node = self.config.get(name)
            if node is not None and node.value is not None and name not in slots:
                used = ", ".join(slot for slot in slots if slot != "data_spec")
                raise UnknownKeyError(
                    f"{task.label} uses no {name}",
                    where=f"{_written_at(node)}, {name}",
                    known=f"it uses: {used or 'none of these'}",
                    fix=f"delete '{name}', or choose another task",
                )
        return slots

    def _bind(self, slot: str, task: Bound, slots: dict[str, Parameter]) -> None:
        kind, is_list = SLOTS[slot].kind, SLOTS[slot].is_list
        if slot in BUILT_FOR_TASKS and slot not in slots:
            return
        node = self._node(slot, self.task_defaults)
        if is_list:
            self.parts[slot] = self._bind_list(kind, node, slot)
            return
        if node is None or node.value is None:
            if slots[slot].is_required:
                raise self._missing(slot, f"{task.label} needs {_with_article(slot)}")
            self.parts[slot] = None
            return
        self.parts[slot] = self.binder.bind(kind, node, slot)

    def _bind_list(self, kind: str, node: Node | None, slot: str) -> list[Bound]:
        if node is None or node.value is None:
            return []
        if not isinstance(node.value, list):
            raise InvalidValueError(
                f"{slot} must be a list of names, got {node.plain()!r}",
                where=f"{node.origin}, {slot}",
                fix=f"write '{slot}: [NAME, {{name: NAME, argument: value}}]'",
            )
        return [self.binder.bind(kind, e, f"{slot}.{i}") for i, e in enumerate(node.value)]

    def _bind_data(self) -> None:
        node = self._node("data", {})
        if node is not None and node.value is not None:
            self.parts["data"] = self.binder.bind("datamodules", node, "data")
        elif self.data_spec is not None:
            self.parts["data"] = None
        else:
            raise self._missing("data", "the config chooses no data")
        if self.data_spec is not None:
            self.binder.facts = DataFacts(self.data_spec, "the run's data")
            return
        self.built_data = build_data(self.parts["data"], self.seed)
        self.binder.facts = facts_of(self.parts["data"], self.built_data, self.seed)

    def _missing(self, slot: str, what: str) -> InvalidValueError:
        kind = SLOTS[slot].kind
        node = self.config.get(slot)
        return InvalidValueError(
            what,
            where=f"{node.origin}, {slot}" if node else None,
            known=", ".join(self.registry.names(kind)) or f"no {KINDS[kind].plural} are installed",
            fix=f"--{slot} NAME, or '{slot}: NAME' in the config",
        )

    def _default_name(self) -> str:
        if self.config.name:
            return self.config.name
        chosen = [self.parts.get(slot) for slot in ("architecture", "data")]
        return "_".join(bound.name.rpartition(".")[2] for bound in chosen if bound)

    def _resolved(self, name: str, trainer: TrainerConfig) -> dict:
        plain: dict[str, object] = {"seed_everything": self.seed, "name": name}
        for slot in COMPONENT_SLOTS:
            if slot not in self.parts:
                continue
            part = self.parts[slot]
            if isinstance(part, list):
                plain[slot] = [bound.resolved() for bound in part]
            else:
                plain[slot] = part.resolved() if part else None
        plain["trainer"] = trainer.plain
        if self.acceleration:
            plain["accelerate"] = self.acceleration.plain()
        plugins = self.config.get("plugins")
        return plain | ({"plugins": plugins.plain()} if plugins else {})


def _written_at(node: Node) -> Origin:
    """Where a value was written, or what was added to a default."""
    origins = [node.origin, *(child.origin for _, child in node.children())]
    return next((origin for origin in origins if origin != DEFAULTS), node.origin)


def _with_article(word: str) -> str:
    return f"{'an' if word[0] in 'aeiou' else 'a'} {word}"
