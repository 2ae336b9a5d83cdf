"""Fused ops that load on any recent PyTorch, with a plain-PyTorch fallback for each."""

from dlplug.ops import _backend, _isa, _library, _stream_copy  # noqa: F401 - before load()
from dlplug.ops._backend import Explanation, backends, explain, use_backend
from dlplug.ops._isa import current_isa, isas, use_isa
from dlplug.ops.acceleration import accelerate
from dlplug.ops.adamw import adamw_
from dlplug.ops.add_layer_norm import add_layer_norm
from dlplug.ops.add_rms_norm import add_rms_norm
from dlplug.ops.attention import attention
from dlplug.ops.compact_adamw import compact_adamw_, compact_state
from dlplug.ops.layer_norm import layer_norm
from dlplug.ops.rms_norm import rms_norm
from dlplug.ops.total_norm import total_norm

__all__ = [
    "Explanation",
    "accelerate",
    "adamw_",
    "add_layer_norm",
    "add_rms_norm",
    "attention",
    "backends",
    "compact_adamw_",
    "compact_state",
    "current_isa",
    "explain",
    "isas",
    "layer_norm",
    "rms_norm",
    "total_norm",
    "use_backend",
    "use_isa",
]

_library.load()
_backend.read_environment()
_isa.read_environment()
