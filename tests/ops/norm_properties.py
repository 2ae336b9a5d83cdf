"""What holds for each of the norm ops; a test class per op inherits these tests."""

from tests.ops.norm_cases import each_dtype, each_isa, needs_kernels
from tests.ops.norm_exactness import NormExactness
from tests.ops.norm_memory import NormMemory
from tests.ops.norm_routing import NormRouting
from tests.ops.norm_tracing import NormTracing

__all__ = ["NormProperties", "each_dtype", "each_isa", "needs_kernels"]


class NormProperties(NormExactness, NormMemory, NormRouting, NormTracing):
    """Subclasses set ``norm``."""
