"""Devices, precision and strategy: asked of this machine before anything is written.

Lightning finds some of these late, names classes the user never wrote, or replaces the precision
without a word (``16-mixed`` on a CPU becomes ``bf16-mixed``).
"""

from collections.abc import Callable

from dlplug.errors import InvalidValueError, suggestion

# Lightning's short forms, by what they mean.
PRECISIONS = {"16": "16-mixed", "bf16": "bf16-mixed", "32": "32-true", "64": "64-true"}
# Names that dlplug adds to Lightning's strategies.
STRATEGIES = ("fsdp2", "fsdp2_sharded")
GPU_ONLY_STRATEGIES = ("fsdp", "deepspeed")


def check_hardware(
    arguments: dict[str, object], where: Callable[[str], str], one_device: bool = False
) -> None:
    """Refuse trainer arguments that this machine cannot follow.

    Args:
        arguments: The Trainer's arguments as plain data.
        where: Gives file and line of a dotted key.
        one_device: Whether one device will be used whatever number they say, without a strategy.
    Raises:
        InvalidValueError: No such accelerator, strategy or number of devices here.
    """
    accelerator = _check_accelerator(arguments.get("accelerator", "auto"), where)
    _check_precision(arguments.get("precision"), accelerator, where)
    _check_strategy(arguments.get("strategy", "auto"), accelerator, where, one_device)
    _check_devices(arguments.get("devices", "auto"), accelerator, where, one_device)


def available_accelerators() -> list[str]:
    """Names that work here: ``cpu``, and ``gpu`` with the name of its kind."""
    import torch

    kinds = {"cuda": torch.cuda.is_available(), "mps": torch.backends.mps.is_available()}
    here = [name for name, is_here in kinds.items() if is_here]
    return ["cpu", *(["gpu"] if here else []), *here]


def _check_accelerator(value: object, where: Callable[[str], str]) -> str:
    """The accelerator that will be used: ``cpu``, ``cuda``, ``mps``, or whatever was given."""
    from lightning.pytorch.accelerators import AcceleratorRegistry

    here = available_accelerators()
    if value in ("auto", "gpu") and here[-1] != "cpu":
        return here[-1]
    if value == "auto":
        return "cpu"
    if not isinstance(value, str) or value in here:
        return str(value)
    known = ["auto", "gpu", *sorted(AcceleratorRegistry.available_accelerators())]
    if value not in known:
        raise InvalidValueError(
            f"no accelerator named '{value}'",
            where=where("trainer.accelerator"),
            known=", ".join(known),
            fix=suggestion(value, known) or "--trainer.accelerator auto takes the best one",
        )
    if value in ("gpu", "cuda", "mps"):
        raise InvalidValueError(
            f"trainer.accelerator is '{value}', and {_why_no_gpu(value)}",
            where=where("trainer.accelerator"),
            known=f"here: {', '.join(here)}",
            fix="--trainer.accelerator cpu, or auto for the best one there is",
        )
    return value


def _why_no_gpu(name: str) -> str:
    import torch

    if name == "mps":
        return "this machine has no Apple GPU that torch can use"
    if torch.version.cuda is None and torch.version.hip is None:
        return f"torch {torch.__version__} is built without GPU support"
    return "torch finds no GPU or driver on this machine"


def _check_precision(value: object, accelerator: str, where: Callable[[str], str]) -> None:
    precision = PRECISIONS.get(str(value), value)
    if precision == "16-mixed" and accelerator == "cpu":
        raise InvalidValueError(
            f"trainer.precision {value} needs a GPU: a CPU has no loss scaling for float16",
            where=where("trainer.precision"),
            known="on a CPU: 32-true, bf16-mixed, bf16-true, 64-true",
            fix="--trainer.precision bf16-mixed",
        )


def _check_strategy(
    value: object, accelerator: str, where: Callable[[str], str], one_device: bool
) -> None:
    from lightning.pytorch.strategies import StrategyRegistry

    if not isinstance(value, str):
        return
    known = ["auto", *STRATEGIES, *StrategyRegistry.available_strategies()]
    if value not in known:
        raise InvalidValueError(
            f"no strategy named '{value}'",
            where=where("trainer.strategy"),
            known=", ".join(known),
            fix=suggestion(value, known) or "--trainer.strategy auto",
        )
    needs_gpus = value not in STRATEGIES and value.startswith(GPU_ONLY_STRATEGIES)
    if accelerator == "cpu" and needs_gpus and not one_device:
        raise InvalidValueError(
            f"trainer.strategy '{value}' needs GPUs, and training runs on the CPU",
            where=where("trainer.strategy"),
            fix="--trainer.strategy ddp, or fsdp2, which can shard on CPUs",
        )


def _check_devices(
    value: object, accelerator: str, where: Callable[[str], str], one_device: bool
) -> None:
    if value == "auto" or accelerator not in ("cpu", "cuda"):
        return
    if accelerator == "cpu":
        if not str(value).isdecimal() or int(str(value)) < 1:
            raise InvalidValueError(
                f"trainer.devices is {value!r}; on a CPU it is a number of processes, 1 or more",
                where=where("trainer.devices"),
                fix="--trainer.devices 1",
            )
        return
    import torch

    count, highest = torch.cuda.device_count(), _highest(value)
    is_number = isinstance(value, (int, str)) and "," not in str(value)
    if one_device and is_number:
        highest = min(highest, 1)
    if highest > count or value in (0, "0", []):
        raise InvalidValueError(
            f"trainer.devices is {value!r}, and this machine has {count} GPU{'s' * (count != 1)}",
            where=where("trainer.devices"),
            known=f"a number from 1 to {count}, or a list of indices from 0 to {count - 1}",
            fix=f"--trainer.devices {count}, or auto",
        )


def _highest(value: object) -> int:
    """How many GPUs ``devices`` asks for at least; 0 where Lightning shall decide."""
    if isinstance(value, list):
        return max((index + 1 for index in value if isinstance(index, int)), default=0)
    text = str(value)
    if "," in text:
        return _highest([int(part) for part in text.split(",") if part.strip().isdecimal()])
    return int(text) if text.isdecimal() else 0
