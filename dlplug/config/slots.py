"""The top-level keys of a config, with their defaults.

=============== ================ ============================================ ===============
key             takes            meaning                                      default
=============== ================ ============================================ ===============
seed_everything number           seed of Python, NumPy and PyTorch            0
name            word             runs go to ``runs/<name>/<number>/``         config's file name
task            component        what is learned                              classification
architecture    component        the model                                    none
loss            component        what training minimises                      cross_entropy
optimizer       component        how weights are updated                      adamw
scheduler       component        how the learning rate moves; null for fixed  none
data            component        where samples come from                      none
metrics         components       what is measured                             accuracy
callbacks       components       what happens beside training                 none
loggers         components       where numbers go besides the run folder      none
trainer         Trainer's        devices, precision, epochs, ...              max_epochs: 10
accelerate      true, include/   whether dlplug's ops run in its norms and    false
                exclude          attention too
plugins         block/allow/     which plugins may be used, and plugin files  all
                strict/files
=============== ================ ============================================ ===============

A task decides which of these it uses: the slots from architecture to metrics count only when the
task has a parameter of that name. A task whose defaults differ says so in a class attribute
``slot_defaults``, such as ``{"loss": "mse", "metrics": ["mae"]}``.
"""

from dataclasses import dataclass

from dlplug.config.kinds import COMPONENT_WORDS


@dataclass(frozen=True)
class Slot:
    """One top-level key.

    Attributes:
        name: The key.
        kind: Plural of the kind of component it takes; None for ``name``, ``trainer`` and such.
        is_list: It takes several components.
        default: What stands there when the config is silent.
        summary: One line for the help page.
    """

    name: str
    kind: str | None
    is_list: bool
    default: object
    summary: str


SLOTS: dict[str, Slot] = {
    slot.name: slot
    for slot in (
        Slot("task", "tasks", False, "classification", "what is learned"),
        Slot("architecture", "architectures", False, None, "the model"),
        Slot("loss", "losses", False, "cross_entropy", "what training minimises"),
        Slot("optimizer", "optimizers", False, "adamw", "how the weights are updated"),
        Slot("scheduler", "schedulers", False, None, "how the learning rate moves"),
        Slot("data", "datamodules", False, None, "where the samples come from"),
        Slot("metrics", "metrics", True, ["accuracy"], "what is measured"),
        Slot("callbacks", "callbacks", True, [], "what happens beside training"),
        Slot("loggers", "loggers", True, [], "where numbers go besides the run folder"),
        Slot("trainer", None, False, {}, "Lightning's Trainer: devices, precision, epochs, ..."),
        Slot(
            "accelerate",
            None,
            False,
            None,
            "dlplug's ops in the model's norms and attention: true, or include, exclude (globs)",
        ),
        Slot("seed_everything", None, False, 0, "seed of Python, NumPy and PyTorch"),
        Slot("name", None, False, None, "runs go to runs/<name>/<number>/"),
        Slot(
            "plugins",
            None,
            False,
            {},
            "block, allow (names), strict (true or false), files (paths)",
        ),
    )
}
COMPONENT_SLOTS: dict[str, Slot] = {name: slot for name, slot in SLOTS.items() if slot.kind}
# Epochs when the config sets none of the four; Lightning would warn and train for 1000.
DEFAULT_MAX_EPOCHS = 10
LENGTHS = ("max_epochs", "max_steps", "max_time", "fast_dev_run")

# What other programs call the same thing; used for suggestions only.
OTHER_WORDS = {
    "model": "architecture",
    "net": "architecture",
    "network": "architecture",
    "backbone": "architecture",
    "criterion": "loss",
    "datamodule": "data",
    "dataset": "data",
    "lr_scheduler": "scheduler",
    "logger": "loggers",
    "callback": "callbacks",
    "metric": "metrics",
    "seed": "seed_everything",
    "plugin": "plugins",
}


def component_kind(key: str) -> str | None:
    """Kind of component that the dotted ``key`` holds, or None.

    ``architecture`` and ``data.transforms.0`` hold one; ``trainer.precision`` does not. Whether
    ``data.loss`` does is known only with the parameter's type: here the word alone decides.
    """
    parts = key.split(".")
    if parts[0] not in COMPONENT_SLOTS:
        return None
    words = [part for part in parts if not part.isdecimal()]
    return COMPONENT_WORDS.get(words[-1])
