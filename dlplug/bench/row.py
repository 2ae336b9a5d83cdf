"""What a row of the comparison is made of."""

from collections.abc import Callable, Sequence
from dataclasses import dataclass, field

from torch import Tensor

OURS = "dlplug"


class Missing(Exception):
    """A peer that is not installed here; the text says what is."""


class LeftOut(Exception):
    """A peer that cannot do this work or would take far too long; the text says which."""


@dataclass(frozen=True)
class Contender:
    """One way to do the work.

    Attributes:
        run: Does it once; this is what is timed.
        outputs: Does it and returns what `Work.reference` returns, in the contender's dtypes.
        before: What has to be put back before each ``run``; its time does not count.
    """

    run: Callable[[], object]
    outputs: Callable[[], Sequence[Tensor]]
    before: Callable[[], object] | None = None


@dataclass(frozen=True)
class Peer:
    """A contender that is still to be built.

    Attributes:
        build: Returns it; raises `Missing`, `LeftOut` or whatever the peer raises.
        is_compiled: Whether its first call compiles for seconds.
    """

    build: Callable[[], Contender]
    is_compiled: bool = False


@dataclass(frozen=True)
class Limit:
    """What no implementation can beat: work of known speed, timed in the same rounds.

    Attributes:
        runs: Ways to do that work, by name; the fastest counts.
        share: How much of it the row's work amounts to, such as bytes / bytes.
    """

    runs: dict[str, Callable[[], object]]
    share: float


@dataclass(frozen=True)
class Work:
    """A row, built: tensors in memory and the contenders over them.

    Attributes:
        ours: dlplug's contender.
        peers: By name.
        reference: The outputs in float64, from the same inputs.
        tolerance: Largest error of one who does this work, see `dlplug.bench.accuracy`.
        backend: That dlplug takes: ``cpu`` for its kernels, ``torch`` or ``reference``.
        limit: None where there is no simple one.
        has_memory: Whether to measure the peak memory of a call.
    """

    ours: Contender
    peers: dict[str, Peer]
    reference: Callable[[], list[Tensor]]
    tolerance: float
    backend: str
    limit: Limit | None = None
    has_memory: bool = False


@dataclass(frozen=True)
class Row:
    """A row that can be built.

    Attributes:
        name: Op, shape, dtype and pass, such as ``layer_norm 4096x768 float32 forward``.
        build: Makes the tensors and contenders, for the present number of threads.
        memory: Bytes that all contenders take together, at most.
        is_quick: Whether it belongs to the small set.
        allocators: Under which settings of the allocator it is timed, see
            `dlplug.bench.allocator`.
    """

    name: str
    build: Callable[[], Work]
    memory: int
    is_quick: bool = False
    allocators: tuple[str, ...] = field(default=("tuned",))
