"""``python -m tests.sanitize``: run the kernels' tests under AddressSanitizer and UBSan.

Builds the CPU library with both into build/sanitize, beside the package's own, and runs the tests
for each instruction set. Exit code 1 when a test fails or anything is found.
"""

import argparse
import os
import subprocess
import sys
import time

from tests.sanitize.folder import CURRENT_TEST, LIBRARIES, ROOT

SANITIZERS = "address,undefined"
# Whatever calls a kernel of an op. The first shows that the sanitizers are awake.
TESTS = (
    "tests/sanitize",
    "tests/fuzz",
    "tests/ops",
    "tests/optim",
    "tests/csrc/test_conversions.py",
)
# Compiled graphs call the same kernels, from code that no sanitizer has seen.
LEFT_OUT = ["slow", "tracing", "compile"]
NOTHING_LEFT = 5  # pytest's exit code where no test was chosen


def main(arguments: list[str] | None = None) -> int:
    parser = argparse.ArgumentParser(prog="python -m tests.sanitize", description=__doc__)
    parser.add_argument("--isa", action="append", help="once or more; by default all")
    parser.add_argument("tests", nargs="*", default=TESTS, help="as for pytest")
    options = parser.parse_args(arguments)
    build()
    *others, best = options.isa or isas()
    # Many tests force each instruction set themselves, random calls draw one: once is enough. And
    # what is chosen where none is forced is not to be seen where one is.
    once = [*others, best, "fuzz", "test_backend"]
    failed = [best] if run(best, options.tests, LEFT_OUT) else []
    for isa in others:
        code = run(isa, options.tests, [*LEFT_OUT, *once])
        if code not in (0, NOTHING_LEFT):
            failed.append(isa)
    say(f"found something: {', '.join(failed)}" if failed else "nothing was found")
    return 1 if failed else 0


def build() -> None:
    say("building")
    begin = time.monotonic()
    settings = {"DLPLUG_NATIVE": "1", "DLPLUG_CUDA": "0", "DLPLUG_SANITIZE": SANITIZERS}
    subprocess.run(
        [sys.executable, "setup.py", "-q", "build_ext"],
        env=os.environ | settings,
        cwd=ROOT,
        stdout=subprocess.DEVNULL,
        check=True,
    )
    say(f"built in {time.monotonic() - begin:.0f} s")


def isas() -> list[str]:
    """Those that this machine has."""
    command = [sys.executable, "-c", "from dlplug import ops; print(*ops.isas())"]
    done = subprocess.run(
        command,
        env=os.environ | environment("scalar"),
        cwd=ROOT,
        stdout=subprocess.PIPE,
        text=True,
        check=True,
    )
    return done.stdout.split()


def run(isa: str, tests: list[str], left_out: list[str]) -> int:
    """pytest's exit code with one instruction set: 0 where nothing is reported either."""
    CURRENT_TEST.unlink(missing_ok=True)
    # Only what Python writes is captured: a report is seen although it ends the process.
    flags = ["-q", "-p", "tests.sanitize.watch", "--capture=sys"]
    flags += ["-k", " and ".join(f"not {word}" for word in left_out)]
    begin = time.monotonic()
    done = subprocess.run(
        [sys.executable, "-m", "pytest", *flags, *tests],
        env=os.environ | environment(isa),
        cwd=ROOT,
    )
    if CURRENT_TEST.is_file():
        say(f"{isa}: the process ended in {CURRENT_TEST.read_text()}")
    say(f"{isa}: exit code {done.returncode}, {time.monotonic() - begin:.0f} s")
    return done.returncode


def environment(isa: str) -> dict[str, str]:
    # Python itself is not instrumented, so the runtimes come first. So does the C++ library: what
    # AddressSanitizer finds of its exceptions at start is what it calls when one is thrown.
    runtimes = ("libasan.so", "libubsan.so", "libstdc++.so.6")
    return {
        "LD_PRELOAD": " ".join(map(runtime, runtimes)),
        # Python and torch keep memory until the process ends, which LeakSanitizer would report.
        "ASAN_OPTIONS": "detect_leaks=0",
        "UBSAN_OPTIONS": "print_stacktrace=1",
        "DLPLUG_LIBRARIES": str(LIBRARIES),
        "DLPLUG_SANITIZE": SANITIZERS,  # for tests/ops/emulation.py, which builds for itself
        "DLPLUG_CPU_ISA": isa,
        "OMP_NUM_THREADS": "1",
    }


def runtime(name: str) -> str:
    """The path of the compiler's own."""
    cxx = os.environ.get("CXX", "c++")
    command = [cxx, f"-print-file-name={name}"]
    return subprocess.run(command, capture_output=True, text=True, check=True).stdout.strip()


def say(line: str) -> None:
    print(f"sanitize: {line}", flush=True)


if __name__ == "__main__":
    sys.exit(main())
