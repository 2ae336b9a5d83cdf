"""dlplug's ops in models that were written without them: one file per kind of module."""

from dlplug.ops.acceleration.accelerate import accelerate
from dlplug.ops.acceleration.report import Decision, Report

__all__ = ["Decision", "Report", "accelerate"]
