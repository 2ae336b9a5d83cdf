"""How components of each kind are called, and which of their parameters no config gives."""

import inspect

from dlplug.config.parameters import Parameter, parameters_of

# Leading parameters that the caller passes when the component is called.
PASSED_BY_POSITION = {"optimizers": 1, "schedulers": 1}
PASSED_TO_FUNCTION = {"losses": 2, "transforms": 1}
# Parameters that get their value during the run; the config may set them all the same.
KNOWN_LATER = {"schedulers": ("total_steps",), "loggers": ("save_dir",)}
# A task's parameters that are slots of their own.
BUILT_FOR_TASKS = ("architecture", "loss", "optimizer", "scheduler", "metrics", "data_spec")
# Called during the run, with parameters, an optimizer, or outputs and targets.
CALLED_LATER = ("optimizers", "schedulers")
FUNCTIONS_CALLED_LATER = ("losses", "transforms")
# Kinds whose objects PyTorch or Lightning uses by their class.
BUILT_CLASSES = ("architectures", "callbacks", "datamodules", "tasks", "metrics", "loggers")


def component_parameters(kind: str, target: object) -> list[Parameter]:
    """The parameters of a component that a config may set.

    Args:
        kind: Plural.
        target: Its class or function.
    """
    skip_first = PASSED_BY_POSITION.get(kind, 0)
    if not inspect.isclass(target):
        skip_first = PASSED_TO_FUNCTION.get(kind, skip_first)
    return parameters_of(target, BUILT_FOR_TASKS if kind == "tasks" else (), skip_first)
