"""The parts of the check, in their order: what a short loan of a GPU must give comes first."""

import re
from pathlib import Path

from tests.gpu_check.part import Context, Part, counts, python
from tests.gpu_check.tools import tool

BUILD = "build"
TOOLS = ("memcheck", "racecheck", "initcheck", "synccheck")
FAMILIES = {
    "floors": [],
    "adamw": ["adamw", "optimizer phase"],
    "norms": ["norm"],
    "attention": ["attention"],
}
MARK = re.compile(r"^from tests\.ops\.gpu import .*\bneeds_gpu\b", re.MULTILINE)


def gpu_modules(root: Path) -> list[str]:
    """The test modules that are marked ``gpu``.

    To collect all others, too, would take packages that a machine with a GPU may lack.
    """
    found = (root / "tests").rglob("test_*.py")
    return sorted(str(path.relative_to(root)) for path in found if MARK.search(path.read_text()))


def _tests(context: Context) -> list[str]:
    words = ("-m", "pytest", "-q", "-m", "gpu", "-p", "no:cacheprovider")
    return python(*words, *gpu_modules(context.root))


def _sanitize(name: str) -> Part:
    # Exit code 1 for what the tool finds, too; PyTorch's allocator would hide overruns.
    flags = ["--tool", name, "--error-exitcode", "1", "--target-processes", "all"]
    if name == "memcheck":  # PyTorch asks for what may fail; of ours every launch is checked
        flags += ["--report-api-errors", "no"]
    calls = python("-m", "tests.gpu_check.small_calls")
    return Part(
        f"sanitize-{name}",
        f"small calls of every op under compute-sanitizer's {name}",
        lambda context: [tool("compute-sanitizer"), *flags, *calls],
        environment={"PYTORCH_NO_CUDA_MEMORY_CACHING": "1"},
        least_seconds=60.0,
        needs=BUILD,
    )


def _bench(family: str) -> Part:
    def command(context: Context) -> list[str]:
        path = context.folder / f"ops-{context.name}.json"
        words = (str(path), context.sources, *FAMILIES[family])
        return python("-m", "tests.gpu_check.times", *words)

    return Part(
        f"bench-{family}",
        "times beside the peers; rows are kept one by one",
        command,
        least_seconds=60.0,
        needs=BUILD,
        goes_on=True,
    )


def _wheel(context: Context) -> list[str]:
    found = sorted(context.wheels.glob("dlplug-*.whl"))
    if not found:
        raise FileNotFoundError(f"{context.wheels} holds no wheel: make gpu-wheels builds it")
    return python("-m", "tests.gpu_check.wheel", str(found[-1]))


PARTS = (
    Part(
        BUILD,
        "both libraries, for this GPU; then every op must have its kernels",
        lambda context: python("-m", "tests.gpu_check.build"),
        is_repeated=True,  # a copy of the checkout on another machine has no library
    ),
    Part(
        "tests",
        "all tests marked gpu",
        _tests,
        counts,
        # Plugins of pytest that happen to be there warn, and warnings are errors.
        {"DLPLUG_REQUIRE_GPU": "1", "PYTEST_DISABLE_PLUGIN_AUTOLOAD": "1"},
        least_seconds=60.0,
        needs=BUILD,
    ),
    _bench("floors"),
    Part(
        "wheel",
        "the CPU wheel that was carried here, under this machine's PyTorch",
        _wheel,
    ),
    Part(
        "train",
        "a small config in four precisions, beside the backend reference",
        lambda context: python("-m", "tests.gpu_check.train", str(context.folder / "runs")),
        least_seconds=60.0,
        needs=BUILD,
    ),
    *map(_sanitize, TOOLS),
    *(_bench(family) for family in FAMILIES if family != "floors"),
)
