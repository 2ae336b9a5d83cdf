"""The parameter groups of compact AdamW: what they may hold."""

from collections.abc import Mapping, Sequence
from typing import Any

import torch

from dlplug.errors import InvalidValueError
from dlplug.ops import _device_table
from dlplug.ops._compact_checks import check_storage
from dlplug.ops.fallback.compact_adamw import OF_BFLOAT16
from dlplug.optim._group_options import OF_WHOLE, check_options

OPTIONS = (
    "params",
    "lr",
    "betas",
    "eps",
    "weight_decay",
    "storage",
    "maximize",
    "capturable",
    "decoupled_weight_decay",
    "seed",
)
# Options of plain AdamW's groups, whose defaults change nothing here.
OF_PLAIN = ("amsgrad", "differentiable", "foreach", "param_names")


def check_group(group: Mapping[str, Any], index: int) -> None:
    """Refuse a storage, a number or an option that compact AdamW does not take.

    Args:
        group: With the optimizer's defaults.
        index: Its number.
    Raises:
        InvalidValueError: No such storage, a value out of range, betas that are no pair, an option
            of AdamW that compact AdamW does not have, an option of the whole optimizer, or a name
            like an option's.
    """
    own = {name: value for name, value in group.items() if name not in OF_PLAIN}
    check_options("compact_adamw", own, index, OPTIONS, (*OF_WHOLE, "fused"))
    check_storage(group["storage"])
    for name in ("amsgrad", "differentiable", "foreach"):
        if group.get(name):
            raise InvalidValueError(
                f"optimizer compact_adamw has no {name}, which a group sets",
                fix=f"leave it out, or take adamw, which has {name}",
            )
    lr, betas, eps, decay = (group[name] for name in ("lr", "betas", "eps", "weight_decay"))
    if not isinstance(betas, Sequence) or len(betas) != 2:
        raise InvalidValueError(
            f"optimizer compact_adamw: betas = {betas!r} is no pair of numbers",
            where=f"parameter group {index}",
            fix="give two, such as (0.9, 0.999)",
        )
    refuse_out_of_range(
        {
            f"lr = {lr}": lr >= 0,
            f"betas = {tuple(betas)}": all(0 <= beta < 1 for beta in betas),
            f"eps = {eps}": eps >= 0,
            f"weight_decay = {decay}": decay >= 0,
        }
    )


def refuse_out_of_range(checks: Mapping[str, bool]) -> None:
    """Raise where one of these, by its text, does not hold."""
    for text, is_fine in checks.items():
        if not is_fine:
            raise InvalidValueError(f"optimizer compact_adamw: {text} is out of range")


def check_fit(groups: Sequence[Mapping[str, Any]]) -> None:
    """Refuse storages that are for other parameters than these.

    Not checked before the first step: a Trainer makes the optimizer before it converts parameters.

    Raises:
        InvalidValueError: They are for bfloat16, and all parameters are float32.
    """
    dtypes = {param.dtype for group in groups for param in group["params"]}
    storage = groups[0]["storage"]
    if dtypes == {torch.float32} and all(g["storage"] in OF_BFLOAT16 for g in groups):
        raise InvalidValueError(
            f"optimizer compact_adamw: storage {storage!r} is for parameters in bfloat16, and"
            " these are float32",
            fix="convert the model (trainer.precision: bf16-true), take storage 8bit, or adamw",
        )


def check_capturable(groups: Sequence[Mapping[str, Any]]) -> None:
    """Refuse ``capturable`` of parameters on the CPU, whose steps no CUDA graph captures.

    Not checked before a step: a model may be moved after its optimizer was made.

    Raises:
        InvalidValueError: A group has ``capturable`` and a parameter on the CPU.
    """
    if torch.compiler.is_compiling():
        return  # a tracer shows the option as True for every optimizer
    for index, group in enumerate(groups):
        on_device = map(_device_table.is_on_device, group["params"])
        if group["capturable"] and not all(on_device):
            raise InvalidValueError(
                "optimizer compact_adamw: capturable = True, and a parameter is on cpu",
                where=f"parameter group {index}",
                known="parameters on a GPU, whose steps CUDA graphs capture",
                fix="set capturable = False in the group, or move the model to a GPU first",
            )
