"""Another forward pass for a module that exists: its class becomes a subclass of its class.

``module.__class__ = subclass``, as PyTorch's own ``fully_shard`` and ``parametrize`` do. Nothing in
the module moves, so parameters, ties, hooks, buffers, mode and ``state_dict`` are what they were,
``isinstance`` holds, and undoing it is one assignment. Put in the module's place, another module
would lose hooks, ties and every reference that somebody holds to it. A function written to
``module.forward`` would point at the first module from every shallow copy (``DataParallel``'s
replicas), keep the weights alive in a reference cycle, and be lost or refused by pickle.

The subclass bears the name and module of its base: FSDP's wrapping by name, Hugging Face's
``_no_split_modules``, ``repr`` and the leaf modules of ``torch.fx`` see what they know. Only
``type(module) is torch.nn.LayerNorm`` becomes false.
"""

import copyreg
import functools
import types
from typing import ClassVar

import torch
from torch.nn.utils import parametrize

# transformers' layers wrap the forward pass of any class derived from them, ours and FSDP's too.
WRAPS_ITS_SUBCLASSES = ("GradientCheckpointingLayer",)


class Swapped:
    """Base of the classes that bring a forward pass; they come first in the swapped class's bases.

    Attributes:
        plain: The class that the module had.
        fused: Class that brought the forward pass.
        ops: Names of the ops that it calls.
    """

    plain: ClassVar[type]
    fused: ClassVar[type["Swapped"]]
    ops: ClassVar[tuple[str, ...]]

    @classmethod
    def attributes(cls, plain: type) -> dict[str, object]:
        """What else the swapped class of ``plain`` holds."""
        return {}

    @classmethod
    def why_useless(cls, module: torch.nn.Module) -> str | None:
        """Why a swap would change nothing, given what happened to the modules below; or None."""
        return None

    @classmethod
    def prepare(cls, module: torch.nn.Module) -> None:
        """What is to be done beside the class when a module is swapped."""

    @classmethod
    def release(cls, module: torch.nn.Module) -> None:
        """Undoes what ``prepare`` did."""

    def __reduce_ex__(self, protocol):
        # The class has no name of its own under which pickle and deepcopy would find it.
        function, arguments, *state = super().__reduce_ex__(protocol)
        if function is copyreg.__newobj__ and arguments[0] is type(self):
            return _new, (type(self).plain, type(self).fused, *arguments[1:]), *state
        return function, arguments, *state


@functools.cache
def swapped_class(plain: type, fused: type[Swapped]) -> type:
    """The subclass of ``plain`` whose forward pass is that of ``fused``."""
    body = {
        "__module__": plain.__module__,
        "__qualname__": plain.__qualname__,
        "__doc__": plain.__doc__,
        "plain": plain,
        "fused": fused,
        **fused.attributes(plain),
    }
    return types.new_class(
        plain.__name__, (fused, plain), exec_body=lambda space: space.update(body)
    )


def swap(module: torch.nn.Module, fused: type[Swapped]) -> None:
    module.__class__ = swapped_class(type(module), fused)
    fused.prepare(module)


def restore(module: torch.nn.Module) -> bool:
    """Give the module its class back; False where something has changed the class since."""
    if not is_swapped(module):
        return False
    type(module).fused.release(module)
    module.__class__ = type(module).plain
    return True


def is_swapped(module: torch.nn.Module) -> bool:
    """Whether the class is one of ours itself, and not one that was derived from it later."""
    return isinstance(module, Swapped) and "fused" in vars(type(module))


def why_not(module: torch.nn.Module, fused: type[Swapped]) -> str | None:
    """Why a module's class cannot be exchanged without a change of what it does, or None."""
    plain = type(module)
    if "forward" in vars(module):
        return "its forward was replaced on the object"
    if parametrize.is_parametrized(module):
        return "its weights are parametrised"
    if isinstance(module, Swapped) or _is_sharded(plain):
        return "its class was changed by another library: accelerate before fully_shard"
    if plain.__reduce_ex__ is not object.__reduce_ex__ or plain.__reduce__ is not object.__reduce__:
        return f"{plain.__name__} is pickled in a way of its own"
    watchers = (base for base in plain.__mro__[:-1] if "__init_subclass__" in vars(base))
    if any(base.__name__ not in WRAPS_ITS_SUBCLASSES for base in watchers):
        return f"{plain.__name__} keeps a record of its subclasses"
    # A class's attribute hides a submodule or parameter of its name.
    ours = {name for base in fused.__mro__[:-1] for name in vars(base) if name[:2] != "__"}
    ours |= fused.attributes(plain).keys() | {"plain", "fused"}
    taken = {*dir(plain), *vars(module), *module._modules, *module._parameters, *module._buffers}
    if clash := sorted(ours & taken - {"forward"}):
        return f"it has an attribute '{clash[0]}', which the swapped class needs"
    return None


def _is_sharded(plain: type) -> bool:
    return any(base.__name__ == "FSDPModule" for base in plain.__mro__)


def _new(plain: type, fused: type[Swapped], *arguments: object) -> torch.nn.Module:
    return copyreg.__newobj__(swapped_class(plain, fused), *arguments)
