"""Residual additions in the blocks of other libraries, found with ``torch.fx``.

A trace holds for one way through the code. So only a forward pass with no way but one is traced:
no branch, no loop, no name from outside, and of ``self`` nothing but calls of its submodules. Its
graph is then what the code does, for all inputs and at any time. Each addition whose sum goes
straight into a norm becomes one call for both; the rest, and the order of calls, stay as they were.
"""

import dis
import inspect
import operator
import re
import types
from collections.abc import Callable
from typing import ClassVar

import torch
from torch import fx

from dlplug.ops.acceleration.norms import FusedAdditions, FusedNorm, add_and_norm

# Instructions that bring in, or leave, what the graph would not hold.
OUTSIDE = re.compile(
    "LOAD_(GLOBAL|NAME|DEREF|CLASSDEREF)|(STORE|DELETE)_(ATTR|SUBSCR|GLOBAL|DEREF)"
    "|IMPORT_NAME|MAKE_FUNCTION|RAISE_VARARGS|YIELD_VALUE"
)
WRAPPER = "forward_with_checkpointing"
BRANCHES = {*dis.hasjrel, *dis.hasjabs}


class FusedBlock(FusedAdditions):
    """A block's own forward pass, with one call for each addition and the norm behind it.

    Attributes:
        run: The rewritten forward pass; None in a class that was read from a file.
        input_names: What it may be given by keyword.
    """

    run: ClassVar[Callable | None] = None
    input_names: ClassVar[frozenset[str]]

    @classmethod
    def attributes(cls, plain: type) -> dict[str, object]:
        return {"input_names": frozenset(_named_parameters(own_forward(plain)))}

    @classmethod
    def prepare(cls, module: torch.nn.Module) -> None:
        if type(module).run is None:
            type(module).run = staticmethod(rewritten(type(module).plain, module))

    def forward(self, *args, **kwargs):
        if type(self).run is None and not torch.compiler.is_compiling():
            self.prepare(self)
        run = type(self).run
        if run is None or not kwargs.keys() <= type(self).input_names:
            return super().forward(*args, **kwargs)
        return run(self, *args, **kwargs)


class FusedLayerNormBlock(FusedBlock):
    """Adds before a LayerNorm."""

    ops = ("add_layer_norm",)


class FusedRMSNormBlock(FusedBlock):
    """Adds before an RMSNorm."""

    ops = ("add_rms_norm",)


class NotTraceable(Exception):
    """The reason, in words."""


def rewritten(plain: type, module: torch.nn.Module) -> Callable:
    """The forward pass of ``plain`` with fused additions, a function of module and inputs.

    Raises:
        NotTraceable: It has another way through, or no addition goes straight into a norm.
    """
    forward = own_forward(plain)
    _refuse_ways(forward, module)
    graph = _trace(forward, module, _named_parameters(forward))
    if not _fuse_additions(graph, module):
        raise NotTraceable("no addition goes straight into a norm")
    code = graph.python_code("self")
    space = dict(code.globals)
    exec(compile(code.src, f"<{plain.__qualname__}.forward with fused additions>", "exec"), space)
    return space["forward"]


def own_forward(plain: type) -> Callable:
    """The forward pass as written.

    transformers wraps that of its layers, and of classes derived from them, in one that computes
    them anew in the backward pass where that is asked for; the outermost wrapper does it.
    """
    forward = plain.forward
    is_wrapper = getattr(forward, "__code__", None) and forward.__code__.co_name == WRAPPER
    return forward.__wrapped__ if is_wrapper else forward


def _named_parameters(forward: Callable) -> dict[str, inspect.Parameter]:
    parameters = list(inspect.signature(forward).parameters.values())[1:]
    return {p.name: p for p in parameters if p.kind is not p.VAR_KEYWORD}


def _refuse_ways(forward: Callable, module: torch.nn.Module) -> None:
    """Only straight code, whose sole use of ``self`` is to call submodules."""
    if not isinstance(forward, types.FunctionType) or hasattr(forward, "__wrapped__"):
        raise NotTraceable("its forward pass is wrapped")
    for parameter in _named_parameters(forward).values():
        is_simple = isinstance(parameter.default, type(parameter.empty) | int | float | str | None)
        if parameter.kind is not parameter.POSITIONAL_OR_KEYWORD or not is_simple:
            raise NotTraceable(f"its parameter '{parameter}' is not a plain one")
    code, own = forward.__code__, forward.__code__.co_varnames[0]
    if getattr(code, "co_exceptiontable", b""):
        raise NotTraceable("its forward pass handles exceptions or contexts")
    steps = [i for i in dis.get_instructions(forward) if i.opname not in ("CACHE", "PUSH_NULL")]
    for step, following in zip(steps, [*steps[1:], None], strict=True):
        if step.opcode in BRANCHES:
            raise NotTraceable("its forward pass branches")
        if OUTSIDE.match(step.opname):
            raise NotTraceable(f"its forward pass uses {step.argval}")
        if step.opname.startswith("INPLACE_") or step.argrepr.endswith("="):
            raise NotTraceable("its forward pass changes its inputs in place")
        names = step.argval if isinstance(step.argval, tuple) else (step.argval,)
        if not step.opname.startswith(("LOAD_FAST", "STORE_FAST", "DELETE_FAST")):
            continue
        if own in names and not (names[-1] == own and _is_call(following, module)):
            raise NotTraceable(f"its forward pass uses more of {own} than calls of submodules")


def _is_call(step: dis.Instruction | None, module: torch.nn.Module) -> bool:
    """Whether the instruction fetches a submodule in order to call it."""
    # From 3.12 on, one instruction for both: the lowest bit says that a call follows.
    is_method = step is not None and (
        step.opname == "LOAD_METHOD" or (step.opname == "LOAD_ATTR" and step.arg & 1)
    )
    return bool(is_method and isinstance(module._modules.get(step.argval), torch.nn.Module))


class _Tracer(fx.Tracer):
    """Every submodule is a leaf, known by the name under which it is called."""

    def __init__(self, block: torch.nn.Module):
        super().__init__()
        self.names = {child: name for name, child in block.named_children()}

    def is_leaf_module(self, m, module_qualified_name):
        return True

    def path_of_module(self, mod):
        return self.names[mod]


def _trace(
    forward: Callable, module: torch.nn.Module, names: dict[str, inspect.Parameter]
) -> fx.Graph:
    # One submodule may have two names, which in another block of the class are two submodules: the
    # code calls each by its name, so something else stands for each name.
    stand_in = torch.nn.Module()
    stand_in._modules.update({name: torch.nn.Identity() for name in module._modules})
    # fx gives **kwargs a proxy that no callee can unpack; here they are none.
    inputs = ", ".join(names)
    space = {"forward": forward, "module": stand_in}
    exec(f"def block({inputs}): return forward(module, {inputs})", space)
    block = space["block"]
    defaults = [p.default for p in names.values() if p.default is not p.empty]
    block.__defaults__ = tuple(defaults)
    try:
        return _Tracer(stand_in).trace(block)
    except Exception as error:  # whatever the block's code or fx raises of a proxy
        raise NotTraceable(f"torch.fx cannot trace it: {str(error).partition('.')[0]}") from error


def _fuse_additions(graph: fx.Graph, module: torch.nn.Module) -> int:
    """Rewrites the graph; returns the number of additions that were fused."""
    count = 0
    for added in list(graph.nodes):
        norm = added.next
        if (
            added.op == "call_function"
            and added.target is operator.add
            and all(isinstance(argument, fx.Node) for argument in added.args)
            and norm.op == "call_module"
            and norm.args == (added,)
            and not norm.kwargs
            and looks_like_norm(getattr(module, norm.target))
        ):
            with graph.inserting_before(added):
                owner = graph.create_node("get_attr", norm.target)
                both = graph.call_function(add_and_norm, (owner, *added.args))
                y, h = (graph.call_function(operator.getitem, (both, i)) for i in (0, 1))
            norm.replace_all_uses_with(y)
            added.replace_all_uses_with(h)
            graph.erase_node(norm)
            graph.erase_node(added)
            count += 1
    return count


def looks_like_norm(module: torch.nn.Module) -> bool:
    return isinstance(module, FusedNorm) or "norm" in type(module).__name__.lower()
