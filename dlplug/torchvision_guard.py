"""torchvision beside a torch that it was not built for: importable, and said once.

Lightning, torchmetrics and timm import torchvision where it is installed. When its compiled ops
cannot be loaded (built for CUDA beside a CPU torch, or for another release) the import ends in
``RuntimeError: operator torchvision::nms does not exist``, and with it every training, though
nobody may have asked for torchvision at all. It needs the names of two ops only, to register what
they return without data; given these, everything written in Python works, and the ops themselves
fail with torchvision's own message when they are called.

``import dlplug`` installs the guard, which does nothing until somebody imports torchvision. Seen
with torchvision 0.28 and 0.29; it can go when torchvision imports without its ops.
"""

# Only what Python itself has loaded already: this is a part of `import dlplug`.
import os
import sys
from importlib.machinery import ModuleSpec, PathFinder, SourceFileLoader

_SCHEMAS = (
    "nms(Tensor dets, Tensor scores, float iou_threshold) -> Tensor",
    "qnms(Tensor dets, Tensor scores, float iou_threshold) -> Tensor",
)
_kept: list = []  # the ops go when the library that defined them is freed


def install() -> None:
    """Watch for imports of torchvision in this process; a second call does nothing."""
    if not any(isinstance(finder, _Finder) for finder in sys.meta_path):
        sys.meta_path.insert(0, _Finder())


def stand_in_for_ops(folder: str) -> str | None:
    """Name torchvision's ops where they cannot be loaded; imports torch, not torchvision.

    Args:
        folder: That of the package ``torchvision``.
    Returns:
        Why they cannot be loaded; None where they can.
    """
    import torch

    reason = "it has no compiled ops"
    files = [f for f in sorted(os.listdir(folder)) if f.startswith("_C") and "." in f]
    for file in files:
        try:
            torch.ops.load_library(os.path.join(folder, file))
        except OSError as error:
            reason = f"{file}: {error.__cause__ or error}"
    if hasattr(torch.ops.torchvision, "nms"):
        return None
    library = torch.library.Library("torchvision", "FRAGMENT")
    for schema in _SCHEMAS:
        library.define(schema)
    _kept.append(library)
    return reason


class _Loader(SourceFileLoader):
    """Sees to the ops before the package's own code runs."""

    def exec_module(self, module) -> None:
        if reason := stand_in_for_ops(os.path.dirname(self.path)):
            import logging

            import torch

            logging.getLogger("dlplug").warning(
                "torchvision does not fit torch %s: its compiled ops (nms, roi_align, reading image"
                " files) cannot be used, the rest can; for all of it install the torchvision of"
                " this torch (%s)",
                torch.__version__,
                " ".join(reason.split()),
            )
        super().exec_module(module)


class _Finder:
    """A finder of the import system that knows one package."""

    @staticmethod
    def find_spec(fullname: str, path=None, target=None) -> ModuleSpec | None:
        """Where torchvision is, to be loaded by `_Loader`; None for everything else."""
        if fullname != "torchvision":
            return None
        spec = PathFinder.find_spec(fullname, path)
        if spec is None or not isinstance(spec.loader, SourceFileLoader):
            return None  # not installed, or in a form that this does not know
        spec.loader = _Loader(fullname, spec.loader.path)
        return spec
