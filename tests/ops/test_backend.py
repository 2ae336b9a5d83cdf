"""Choosing a backend: by size and support, by name, by environment; and what explain() says."""

import logging
import os
import subprocess
import sys

import pytest
import torch

from dlplug import ops
from dlplug.errors import BackendError
from dlplug.ops import _backend, _isa, _library
from tests.ops.norm_properties import needs_kernels


def run(code: str, **environment: str) -> subprocess.CompletedProcess:
    return subprocess.run(
        [sys.executable, "-c", code],
        env={**os.environ, **environment},
        capture_output=True,
        text=True,
    )


def test_backends_lists_every_op_on_every_device():
    """Each op has a row per device, and a fallback has its reason."""
    rows = ops.backends()
    assert {(row["op"], row["device"]) for row in rows} == {
        (name, device) for name in _backend.OPS for device in ("cpu", "cuda")
    }
    for row in rows:
        assert row["backend"] in ("native", "fallback")
        assert bool(row["reason"]) == (row["backend"] == "fallback")


def test_the_selected_backend_shows_in_the_list():
    """Under `reference` nothing is native, and the reason says so."""
    with ops.use_backend("reference"):
        rows = ops.backends()
    assert {row["reason"] for row in rows} == {"the backend 'reference' is selected"}


def test_explain_takes_names_functions_and_keywords():
    """An op is named or passed, with the very arguments of the call."""
    x = torch.randn(2, 3, dtype=torch.float64)
    by_name = ops.explain("rms_norm", x, eps=1e-3)
    assert by_name == ops.explain(ops.rms_norm, x=x)
    assert by_name.op == "rms_norm" and by_name.backend == "torch"
    with ops.use_backend("reference"):
        assert str(ops.explain("rms_norm", x)) == (
            "rms_norm: reference\n  not cpu: the backend 'reference' is selected"
        )


def test_explain_suggests_a_near_name():
    """A misspelt op gets the nearest one."""
    with pytest.raises(BackendError, match="did you mean 'rms_norm'"):
        ops.explain("rmsnorm", torch.randn(2, 3))


@needs_kernels
@pytest.mark.parametrize(
    ("x", "reason"),
    [
        (torch.randn(2, 3, dtype=torch.float64), "float64 is not float32, bfloat16 or float16"),
        (torch.randn(2, 3).to_sparse(), "the layout is torch.sparse_coo"),
        (torch.randn(2, 3, device="meta"), "no kernels exist for meta"),
    ],
    ids=["float64", "sparse", "meta"],
)
def test_a_refusal_has_its_reason(x, reason):
    """What the kernels cannot take is said in words."""
    assert reason in str(ops.explain("rms_norm", x))


@needs_kernels
def test_tensor_subclasses_go_to_torch():
    """A subclass has its own rules for PyTorch's ops, so those run."""

    class Tagged(torch.Tensor):
        pass

    x = torch.randn(2, 3).as_subclass(Tagged)
    assert "Tagged is a tensor subclass" in str(ops.explain("rms_norm", x))
    assert type(ops.rms_norm(x)) is Tagged


def test_use_backend_ends_with_its_block():
    """The former backend returns, after an error too."""
    before = _backend._STATE.mode
    with pytest.raises(KeyError), ops.use_backend("reference"):
        assert _backend._STATE.mode == "reference"
        raise KeyError
    assert _backend._STATE.mode == before


def test_unknown_backends_are_refused_with_a_suggestion():
    """A typo is no silent fallback."""
    with pytest.raises(BackendError) as error, ops.use_backend("referense"):
        pass
    assert str(error.value) == (
        "no backend named 'referense'\n"
        "  where: use_backend()\n"
        "  known: auto, reference, cpu, cuda\n"
        "  fix:   did you mean 'reference'?"
    )


@needs_kernels
def test_use_isa_selects_and_restores():
    """Every instruction set of this machine can be selected, and the former one returns."""
    before = ops.current_isa()
    assert before == ops.isas()[-1]
    for isa in ops.isas():
        with ops.use_isa(isa):
            assert ops.current_isa() == isa
    assert ops.current_isa() == before


@needs_kernels
def test_unknown_and_unsupported_instruction_sets_are_told_apart():
    """A name that does not exist, and one that this machine lacks, give different errors."""
    with pytest.raises(BackendError, match="no instruction set named 'avx1024'"):
        ops.use_isa("avx1024").__enter__()
    missing = [name for name in _isa.ISAS if name not in ops.isas()]
    for name in missing:
        with pytest.raises(BackendError, match=f"this machine does not support '{name}'"):
            ops.use_isa(name).__enter__()


@needs_kernels
def test_a_level_that_the_operating_system_refuses_is_an_error(monkeypatch):
    """As the tiles of AMX to a process whose signals have too little room: the others are known."""
    monkeypatch.setattr(_isa, "isas", lambda: list(_isa.ISAS))
    monkeypatch.setattr(torch.ops.dlplug, "cpu_isa", lambda level: 2)
    with pytest.raises(BackendError, match="the operating system refuses 'amx'") as caught:
        ops.use_isa("amx").__enter__()
    assert "known: scalar, avx2, avx512\n" in f"{caught.value}\n"


@needs_kernels
def test_the_environment_selects():
    """DLPLUG_BACKEND and DLPLUG_CPU_ISA are read at import."""
    code = (
        "import torch; from dlplug import ops; x = torch.randn(2, 3); "
        "print(ops.current_isa(), ops.explain('rms_norm', x).backend)"
    )
    done = run(code, DLPLUG_CPU_ISA="scalar", DLPLUG_BACKEND="reference")
    assert done.stdout.split() == ["scalar", "reference"], done.stderr


@pytest.mark.parametrize(
    ("name", "what"),
    [
        ("DLPLUG_BACKEND", "no backend named 'gpu'"),
        ("DLPLUG_CPU_ISA", "no instruction set named 'gpu'"),
    ],
)
def test_a_wrong_environment_is_named(name, what):
    """A wrong value names the variable and what is known."""
    if name == "DLPLUG_CPU_ISA" and not ops.isas():
        pytest.skip("the CPU kernels are not compiled")
    done = run("import dlplug.ops", **{name: "gpu"})
    assert done.returncode == 1
    assert what in done.stderr and f"environment variable {name}" in done.stderr


@needs_kernels
@pytest.mark.skipif(ops.isas() == list(_isa.ISAS), reason="this machine supports all of them")
def test_an_instruction_set_that_the_machine_lacks_is_an_error_of_the_environment():
    """As `amx` on most: asked for and missing, with those that it has."""
    missing = _isa.ISAS[len(ops.isas())]
    done = run("import dlplug.ops", DLPLUG_CPU_ISA=missing)
    assert done.returncode == 1
    assert f"this machine does not support '{missing}'" in done.stderr
    assert f"known: {', '.join(ops.isas())}" in done.stderr


def test_missing_kernels_are_said_once(monkeypatch, caplog):
    """Without compiled kernels calls fall back; one line in the log says why."""
    kernels = _backend.OPS["rms_norm"].kernels
    for kernel in kernels:
        monkeypatch.setattr(kernel, "devices", set())
    monkeypatch.setitem(_library.STATUS, "cpu", _library.Status("cpu", False, "not built: a test"))
    monkeypatch.setattr(_backend._STATE, "has_told", False)
    x = torch.randn(5, 7)
    with caplog.at_level(logging.WARNING):
        for _ in range(3):
            torch.testing.assert_close(ops.rms_norm(x), torch.rms_norm(x, (7,), None, 1e-6))
    assert [record.getMessage() for record in caplog.records] == [
        "dlplug runs cpu without compiled kernels: not built: a test"
    ]
    with ops.use_backend("cpu"), pytest.raises(BackendError, match="not built: a test"):
        ops.rms_norm(x)
