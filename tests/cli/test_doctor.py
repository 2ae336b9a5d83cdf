"""`dlplug doctor`: everything a run stands on, and what is wrong with it."""

import json

import pytest

from dlplug import ops
from dlplug.cli import doctor
from dlplug.errors import ComponentLoadError, UnknownKeyError
from dlplug.plugin import Registry
from dlplug.run import health

OPS = {"adamw_", "add_layer_norm", "add_rms_norm", "attention", "compact_adamw_", "layer_norm"}
OPS |= {"rms_norm", "total_norm"}


@pytest.fixture
def registry():
    return Registry.discover(allow=["dlplug"])


def examined(capsys, registry) -> dict:
    doctor.main(["--json"], registry)
    return json.loads(capsys.readouterr().out.splitlines()[-1])


def test_every_op_is_native_on_this_processor(capsys, registry):
    """The compiled library is loaded and holds a CPU kernel for each op."""
    rows = examined(capsys, registry)["ops"]
    assert {row["op"] for row in rows} == OPS
    fallbacks = [row for row in rows if row["device"] == "cpu" and row["backend"] != "native"]
    assert fallbacks == []


def test_versions_devices_and_plugins_are_told(capsys, registry):
    """The report names the libraries, the instruction set and the built-in components."""
    found = examined(capsys, registry)
    assert {"python", "torch", "lightning"} <= set(found["libraries"])
    assert found["hardware"]["instruction_set"] == ops.current_isa()
    assert [plugin["name"] for plugin in found["plugins"]] == ["dlplug"]


def test_a_missing_library_is_a_problem_with_its_reason(monkeypatch, capsys, registry):
    """Without the CPU kernels the report says why, and the exit code is 1."""
    monkeypatch.setattr(health.STATUS["cpu"], "is_loaded", False)
    monkeypatch.setattr(health.STATUS["cpu"], "reason", "not built: no compiler")
    assert doctor.main([], registry) == 1
    assert "problem: CPU kernels: not built: no compiler" in capsys.readouterr().out


def test_a_plugin_reports_its_own_health(fake_distribution, capsys):
    """A check of a plugin that fails is shown with its detail and is a problem."""
    fake_distribution(
        "acme-licence",
        "1.0",
        entry_points={"dlplug": {"acme": "acme_licence"}},
        modules={
            "acme_licence": (
                "import dlplug\n"
                "@dlplug.hookimpl\n"
                "def dlplug_health():\n"
                "    return [('licence', False, 'expired yesterday')]\n"
            )
        },
    )
    registry = Registry.discover()
    assert doctor.main([], registry) == 1
    assert "problem: acme-licence:acme, licence: expired yesterday" in capsys.readouterr().out


def test_a_failure_of_an_earlier_process_is_no_problem(fake_distribution, capsys):
    """It is listed, but may be mended by now; the same failure now is a problem."""
    fake_distribution(
        "acme-broken",
        entry_points={"dlplug.losses": {"broken": "acme_broken:Loss"}},
        modules={"acme_broken": "raise OSError('no licence')"},
    )
    with pytest.raises(ComponentLoadError):
        Registry.discover().find("losses", "broken").load()
    doctor.main([], Registry.discover())
    out = capsys.readouterr().out
    assert "acme-broken" in out and "no problems" in out
    registry = Registry.discover()
    with pytest.raises(ComponentLoadError):
        registry.find("losses", "broken").load()
    assert doctor.main([], registry) == 1
    assert "problem: plugin acme-broken" in capsys.readouterr().out


def test_a_misspelt_option_is_refused(registry):
    """A typo gets the option that was meant."""
    with pytest.raises(UnknownKeyError, match="did you mean '--json'"):
        doctor.main(["--jsn"], registry)


def test_a_health_text_is_shown_as_it_is(fake_distribution, capsys):
    """Brackets are no markup, and a detail that is no string is shown as text, in JSON too."""
    fake_distribution(
        "acme-brackets",
        entry_points={"dlplug": {"acme": "acme_brackets"}},
        modules={
            "acme_brackets": (
                "import dlplug, pathlib\n"
                "@dlplug.hookimpl\n"
                "def dlplug_health():\n"
                "    yield 'list', True, '[red] and [/x]'\n"
                "    yield 'path', True, pathlib.Path('/a/b')\n"
                "    yield 'none', True, None\n"
            )
        },
    )
    registry = Registry.discover(allow=["acme-brackets"])
    doctor.main([], registry)
    out = capsys.readouterr().out
    assert "[red] and [/x]" in out and "/a/b" in out
    details = [row["detail"] for row in examined(capsys, registry)["checks"]]
    assert details == ["[red] and [/x]", "/a/b", ""]
