"""Tables of addresses that lie on a device, written where their numbers change."""

from array import array

import torch
from torch import Tensor

from dlplug.ops import _library

_write = _library.define_by_address(
    "write_table_(Tensor table, Tensor numbers, int begin) -> ()", instead="adamw_"
)

STRIDE = 8 * 496  # bytes that one launch writes: csrc/cuda/write_table.cu


def is_on_device(tensor: Tensor) -> bool:
    """Whether a kernel for the CPU cannot reach it. (Tests replace this to emulate a device.)"""
    return not tensor.is_cpu


def is_capturing(device: torch.device) -> bool:
    """Whether what is launched goes into a CUDA graph instead of running."""
    return device.type == "cuda" and torch.cuda.is_current_stream_capturing()


class DeviceTable:
    """int64 numbers on a device, kept from step to step.

    Numbers travel as arguments of a launch: nothing is pinned or has to be kept alive, nothing
    waits, and a CUDA graph has them in itself.
    """

    def __init__(self):
        self._table: Tensor | None = None
        self._content = b""
        self._stream = 0

    def holding(self, numbers: array, device: torch.device) -> Tensor:
        """A table of these numbers, for work on the current stream; writes those that are new.

        Args:
            numbers: int64.
            device: Where the table is to lie.
        """
        content = numbers.tobytes()
        if is_capturing(device):
            return _written(content, device)  # the graph's own, which each replay writes anew
        stream = torch.cuda.current_stream(device).cuda_stream if device.type == "cuda" else 0
        table = self._table
        if (
            table is None
            or len(content) != len(self._content)
            or stream != self._stream  # memory is given back to the stream that it was made on
            or device != table.device
        ):
            self._table = _written(content, device)
        elif content != self._content:
            for begin in range(0, len(content), STRIDE):
                part = content[begin : begin + STRIDE]
                if part != self._content[begin : begin + STRIDE]:
                    _write.op(table, _int64(part), begin // 8)
        self._content, self._stream = content, stream
        return self._table


def _written(content: bytes, device: torch.device) -> Tensor:
    table = torch.empty(len(content) // 8, dtype=torch.int64, device=device)
    _write.op(table, _int64(content), 0)
    return table


def _int64(content: bytes) -> Tensor:
    return torch.frombuffer(bytearray(content), dtype=torch.int64)
