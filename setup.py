"""Builds the compiled kernels where that is possible, else installs pure Python and says why.

Environment:
    DLPLUG_NATIVE      0: pure Python. 1: a failing or impossible build is an error.
    DLPLUG_CUDA        0: no CUDA library. 1: one is required. Unset: built when nvcc is found.
    DLPLUG_CUDA_ARCHITECTURES   CMake's list such as "80;90a", or "all" for every supported one.
    DLPLUG_SANITIZE    such as "address,undefined": the CPU library is built with these sanitizers,
                       into build/sanitize/libraries; that of the package stays as it is.

The wheel is tagged ``py310-none-<platform>``: the libraries use neither Python's C API nor anything
that changes between PyTorch releases.
"""

import fcntl
import hashlib
import importlib.util
import json
import os
import platform
import re
import shutil
import subprocess
import sys
from pathlib import Path

from setuptools import Distribution, Extension, setup
from setuptools.command.bdist_wheel import bdist_wheel
from setuptools.command.build_ext import build_ext
from setuptools.command.build_py import build_py
from setuptools.command.egg_info import egg_info

ROOT = Path(__file__).parent.resolve()
SANITIZERS = os.environ.get("DLPLUG_SANITIZE", "")
BUILD = ROOT / "build" / ("sanitize" if SANITIZERS else "native")
OLDEST_TORCH = (2, 10)
# One architecture keeps a local build short. Hopper's `a` features are not forward compatible.
DEFAULT_ARCHITECTURE = "90a"
ALL_ARCHITECTURES = "80-real;86-real;89-real;90a-real;100-real;120-real;120-virtual"


class Impossible(Exception):
    """The kernels cannot be built here; the text says what is lacking."""


def program(name: str) -> str:
    """The command that runs cmake or ninja: the pip package's, or the one on the path."""
    spec = importlib.util.find_spec(name)
    if spec is not None and spec.origin:
        for folder in ("data/bin", "bin"):
            path = Path(spec.origin).parent / folder / name
            if path.is_file():
                return str(path)
    path = shutil.which(name) or shutil.which(name, path=str(Path(sys.executable).parent))
    if path is None:
        raise Impossible(f"{name} is not installed (python -m pip install {name})")
    return path


def torch_folder() -> tuple[Path, str]:
    """Where torch is and its version, without importing it."""
    spec = importlib.util.find_spec("torch")
    if spec is None or not spec.origin:
        raise Impossible(
            "torch is not installed in the build environment "
            "(python -m pip install --no-build-isolation builds with the installed one)"
        )
    folder = Path(spec.origin).parent
    version = re.search(r"__version__ = '([^']+)'", (folder / "version.py").read_text()).group(1)
    if tuple(int(part) for part in version.split(".")[:2]) < OLDEST_TORCH:
        raise Impossible(f"torch {version} is older than 2.10")
    return folder, version


def switch(name: str) -> bool | None:
    """The environment variable ``name``: 1, 0, or None where it is unset or empty."""
    value = os.environ.get(name, "")
    if value not in ("", "0", "1"):
        raise SystemExit(f"dlplug: {name} is {value!r}; known: 0 and 1, or unset")
    return None if value == "" else value == "1"


def compiler() -> str:
    name = os.environ.get("CXX") or next(filter(shutil.which, ("c++", "g++", "clang++")), None)
    if name is None:
        raise Impossible("no C++ compiler was found (c++, g++, clang++ or $CXX)")
    if shutil.which(name) is None:
        raise Impossible(f"CXX={name!r} is no program; give the compiler alone, without arguments")
    return name


def nvcc() -> str | None:
    if switch("DLPLUG_CUDA") is False:
        return None
    return os.environ.get("CUDACXX") or shutil.which("nvcc")


def cuda_version(path: str) -> str:
    text = subprocess.run([path, "--version"], capture_output=True, text=True, check=True).stdout
    return re.search(r"release (\d+\.\d+)", text).group(1)


def sources_digest(folder: Path) -> str:
    """SHA-256 of what a library is made of; as in dlplug/ops/_library.py.

    Names and contents of the C++ and CUDA files in ``folder``, and of the CMakeLists.txt beside it.
    """
    digest = hashlib.sha256()
    suffixes = {".h", ".cpp", ".cu", ".cuh"}
    sources = [path for path in folder.rglob("*") if path.suffix in suffixes]
    for path in sorted([*sources, *folder.parent.glob("CMakeLists.txt")]):
        content = path.read_bytes()
        name = path.relative_to(folder.parent).as_posix()
        digest.update(f"{name} {len(content)}\n".encode())
        digest.update(content)
    return digest.hexdigest()


def build_native() -> dict:
    """Configure and build in ``BUILD``; returns the build record. Ninja keeps it current."""
    folder, torch_version = torch_folder()
    cxx, cmake, ninja = compiler(), program("cmake"), program("ninja")
    settings = {
        "CMAKE_MAKE_PROGRAM": ninja,
        "CMAKE_CXX_COMPILER": cxx,
        "TORCH_INCLUDE": folder / "include",
        "TORCH_LIB": folder / "lib",
        "DLPLUG_SANITIZE": SANITIZERS,
    }
    record = {
        "platform": f"{platform.system()}-{platform.machine()}".lower(),
        "torch_headers": torch_version,
        "compiler": first_line([cxx, "--version"]),
        # Before anything is compiled: what is edited meanwhile must not count as built.
        "sources": sources_digest(ROOT / "csrc"),
        "libraries": ["cpu"],
        "reasons": {},
    }
    wanted, cuda = switch("DLPLUG_CUDA"), nvcc()
    if cuda is None:
        reason = "DLPLUG_CUDA=0" if wanted is False else "nvcc was not found"
        if wanted:
            raise Impossible(f"DLPLUG_CUDA=1, but {reason}")
    else:
        architectures = os.environ.get("DLPLUG_CUDA_ARCHITECTURES") or DEFAULT_ARCHITECTURE
        if architectures == "all":
            architectures = ALL_ARCHITECTURES
        try:
            build(
                cmake,
                settings
                | {
                    "DLPLUG_CUDA": "ON",
                    "CMAKE_CUDA_COMPILER": cuda,
                    "CMAKE_CUDA_ARCHITECTURES": architectures,
                },
            )
        except subprocess.CalledProcessError as error:
            if wanted:
                raise
            reason = f"nvcc is there, but {failure(error)}"
            print(f"dlplug: building without CUDA: {reason}", file=sys.stderr)
        else:
            return record | {
                "libraries": ["cpu", "cuda"],
                "cuda": cuda_version(cuda),
                "cuda_architectures": architectures,
            }
    build(cmake, settings | {"DLPLUG_CUDA": "OFF"})
    return record | {"reasons": {"cuda": reason}}


def build(cmake: str, settings: dict) -> None:
    definitions = [f"-D{key}={value}" for key, value in settings.items()]
    BUILD.mkdir(parents=True, exist_ok=True)
    with open(BUILD / "lock", "w") as lock:  # Ninja does not expect a second one in its folder
        fcntl.flock(lock, fcntl.LOCK_EX)
        run([cmake, "-G", "Ninja", "-S", str(ROOT), "-B", str(BUILD), *definitions])
        run([cmake, "--build", str(BUILD)])


def run(command: list[str]) -> None:
    done = subprocess.run(command, stdout=subprocess.PIPE, stderr=subprocess.STDOUT, text=True)
    sys.stdout.write(done.stdout)
    if done.returncode != 0:
        raise subprocess.CalledProcessError(done.returncode, command, done.stdout)


def first_line(command: list[str]) -> str:
    return subprocess.run(command, capture_output=True, text=True, check=True).stdout.split("\n")[0]


def native_or_reason() -> dict:
    """The build record; ``libraries`` is empty and ``reasons`` filled where nothing was built."""
    wanted, _ = switch("DLPLUG_NATIVE"), switch("DLPLUG_CUDA")
    if wanted is False:
        return unbuilt("DLPLUG_NATIVE=0")
    try:
        return build_native()
    except Impossible as error:
        reason = str(error)
    except subprocess.CalledProcessError as error:
        reason = failure(error)
    if wanted:
        raise SystemExit(f"dlplug: DLPLUG_NATIVE=1, but the kernels were not built: {reason}")
    print(f"dlplug: installing without compiled kernels: {reason}", file=sys.stderr)
    return unbuilt(reason)


def unbuilt(reason: str) -> dict:
    return {"libraries": [], "reasons": {"cpu": reason, "cuda": reason}}


def failure(error: subprocess.CalledProcessError) -> str:
    lines = [line for line in error.output.splitlines() if "error" in line.lower()]
    return f"{Path(error.cmd[0]).name} failed: {(lines or [error.output[-200:]])[0].strip()}"


RECORD = None


def record() -> dict:
    """The build is tried once per run of this file, when the first command asks for its outcome."""
    global RECORD
    if RECORD is None:
        RECORD = native_or_reason()
    return RECORD


def config_paths() -> list[str]:
    """The example configs, relative to this folder."""
    return sorted(str(path.relative_to(ROOT)) for path in ROOT.glob("configs/*.yaml"))


class BuildNative(build_ext):
    """Puts the libraries and the build record where the package expects them."""

    def run(self):
        inplace = self.inplace or getattr(self, "editable_mode", False)
        target = (ROOT if inplace else Path(self.build_lib)) / "dlplug" / "_native"
        if SANITIZERS:
            target = BUILD / "libraries"
        record()  # an impossible DLPLUG_NATIVE=1 ends here and leaves the last build in place
        shutil.rmtree(target, ignore_errors=True)
        target.mkdir(parents=True)
        for device in record()["libraries"]:
            # A new file, not the old one overwritten: a running process may have it mapped.
            shutil.copy2(BUILD / f"libdlplug_{device}.so", target)
        (target / "build_info.json").write_text(json.dumps(record(), indent=2) + "\n")

    def get_source_files(self):
        # What an sdist needs beside the Python files.
        sources = (path.relative_to(ROOT) for path in ROOT.glob("csrc/**/*") if path.is_file())
        return ["CMakeLists.txt", *sorted(map(str, sources))]

    def get_outputs(self):
        return []

    def get_output_mapping(self):
        return {}


class BuildPython(build_py):
    """Copies the modules that exist now and the configs, never the libraries of an in-place build.

    A checkout has the configs at its top, where people look for them; an installed package has them
    inside.
    """

    def run(self):
        # setuptools keeps what earlier builds left there, deleted modules included.
        target = Path(self.build_lib) / "dlplug"
        shutil.rmtree(target, ignore_errors=True)
        super().run()
        if not self.editable_mode:
            (target / "configs").mkdir(parents=True)
            for path in config_paths():
                shutil.copy2(ROOT / path, target / "configs")

    def get_source_files(self):
        return [*super().get_source_files(), *config_paths()]

    def find_data_files(self, package, src_dir):
        files = super().find_data_files(package, src_dir)
        return [name for name in files if "_native" not in Path(name).parts]


class EggInfo(egg_info):
    """Marks a build with CUDA by a local version such as ``0.1.0+cu130``."""

    def finalize_options(self):
        if "sdist" not in sys.argv and "cuda" in record()["libraries"]:
            self.tag_build = "+cu" + record()["cuda"].replace(".", "")
        super().finalize_options()


class Wheel(bdist_wheel):
    def get_tag(self):
        if not record()["libraries"]:
            return "py3", "none", "any"
        return "py310", "none", super().get_tag()[2]


class NativeDistribution(Distribution):
    def has_ext_modules(self):
        return True


setup(
    distclass=NativeDistribution,
    # Stands for the libraries, so that every command runs build_ext.
    ext_modules=[Extension("dlplug._native", [])],
    cmdclass={
        "build_ext": BuildNative,
        "build_py": BuildPython,
        "egg_info": EggInfo,
        "bdist_wheel": Wheel,
    },
)
