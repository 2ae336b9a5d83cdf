"""Compile the architecture with torch.compile when DLPLUG_COMPILE names a backend."""

import os
import shutil

import torch

from dlplug import hookimpl

VARIABLE = "DLPLUG_COMPILE"
"""A backend of torch.compile, such as ``inductor``; unset or empty for none."""


@hookimpl
def dlplug_model_built(model: torch.nn.Module) -> None:
    """Compile ``model`` in place.

    In place, and not ``torch.compile(model)``, because that wraps the module and puts
    ``_orig_mod.`` before every name in the checkpoint.

    Raises:
        ValueError: DLPLUG_COMPILE names no backend of this torch.
    """
    if backend := chosen_backend():
        model.compile(backend=backend)


@hookimpl
def dlplug_health() -> list[tuple[str, bool, str]]:
    """Whether compiling is switched on, and whether it can work."""
    try:
        backend = chosen_backend()
    except ValueError as error:
        return [("torch.compile", False, str(error))]
    if backend is None:
        return [("torch.compile", True, f"off; {VARIABLE}=inductor switches it on")]
    if backend == "inductor" and not shutil.which(os.environ.get("CXX", "g++")):
        return [("torch.compile", False, "inductor needs a C++ compiler; none is on the PATH")]
    return [("torch.compile", True, f"on, backend {backend}")]


def chosen_backend() -> str | None:
    """The backend in DLPLUG_COMPILE, or None when it is unset or empty.

    Raises:
        ValueError: it is no backend of this torch.
    """
    backend = os.environ.get(VARIABLE, "").strip()
    if not backend:
        return None
    # Those for debugging are accepted, not advertised.
    if backend not in torch.compiler.list_backends(exclude_tags=()):
        known = ", ".join(torch.compiler.list_backends())
        raise ValueError(f"{VARIABLE}={backend!r} is no backend; known: {known}")
    return backend
