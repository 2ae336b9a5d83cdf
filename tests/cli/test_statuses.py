"""Each way in which a plugin can be wrong, as ``plugins list --load`` shows it."""

import pytest

LOSS = "class Loss: ...\n"
HOOK = "from dlplug import hookimpl\n\n@hookimpl\ndef {}: ...\n"


def one(value="acme_s.m:Loss", **more):
    """A distribution with one loss."""
    return {"entry_points": {"dlplug.losses": {"acme_loss": value}}, **more}


def hooks(signature):
    """A distribution with one hook."""
    modules = {"acme_s.m": HOOK.format(signature)}
    return {"entry_points": {"dlplug": {"acme_loss": "acme_s.m"}}, "modules": modules}


CASES = {
    "sound": (one(modules={"acme_s.m": LOSS}), "loaded", None),
    "failing import": (
        one(modules={"acme_s.m": "X = 1\nraise OSError('no licence')"}),
        "failed",
        "OSError: no licence (",
    ),
    "syntax error": (one(modules={"acme_s.m": "def"}), "failed", "SyntaxError: invalid syntax"),
    "no such attribute": (
        one("acme_s.m:Los", modules={"acme_s.m": LOSS}),
        "failed",
        "did you mean 'Loss'?",
    ),
    "wrong API major": (
        {
            "entry_points": {
                "dlplug.losses": {"acme_loss": "acme_s.m:Loss"},
                "dlplug.api": {"major": "v2"},
            }
        },
        "incompatible",
        "made for plugin API 2; this dlplug has 1",
    ),
    "misspelt group": (
        {"entry_points": {"dlplug.loses": {"acme_loss": "acme_s.m:Loss"}}},
        "incompatible",
        "did you mean 'dlplug.losses'?",
    ),
    "misspelt hook": (hooks("dlplug_helth()"), "failed", "did you mean 'dlplug_health'?"),
    "hook with a wrong argument": (
        hooks("dlplug_model_built(modle)"),
        "failed",
        "hook 'dlplug_model_built' has no argument 'modle'; did you mean 'model'?",
    ),
    "missing extra": (
        one(
            "acme_s.m:Loss [fast]",
            requires=['acme-nowhere; extra == "fast"'],
            extras=["fast"],
            modules={"acme_s.m": LOSS},
        ),
        "missing-extra",
        "needs its extra [fast]; not installed: acme-nowhere",
    ),
    "blocked": (one(modules={"acme_s.m": LOSS}), "disabled", "blocked by plugins disable"),
}


@pytest.fixture
def listed(command):
    """Rows of ``plugins list --json``, by id."""

    def run(*arguments):
        done = command("plugins", "list", "--json", *arguments)
        assert done.code == 0, done.err
        rows = {row["id"]: row for row in done.json["components"]}
        return rows, {plugin["name"]: plugin for plugin in done.json["plugins"]}

    return run


@pytest.mark.parametrize("case", CASES)
def test_a_status_has_its_reason(fake_distribution, command, listed, case):
    """And the plugin beside it is none the worse."""
    arguments, status, reason = CASES[case]
    fake_distribution("acme", "1.2", **arguments)
    fake_distribution(
        "other",
        entry_points={"dlplug.losses": {"other_loss": "other_s:Loss"}},
        modules={"other_s": LOSS},
    )
    if case == "blocked":
        command("plugins", "disable", "acme")
    rows, _ = listed("--load")
    row = rows["acme:acme_loss"]
    assert row["status"] == status and row["version"] == "1.2"
    assert row["reason"] is None if reason is None else reason in row["reason"]
    assert bool(row["fix"]) is (status not in ("loaded",)) or case.startswith("misspelt hook")
    assert rows["other:other_loss"]["status"] == "loaded"


def test_before_the_import_only_the_metadata_speaks(fake_distribution, listed):
    """A module that cannot be imported is available until somebody has tried."""
    fake_distribution("acme", **CASES["failing import"][0])
    assert listed()[0]["acme:acme_loss"]["status"] == "available"
    listed("--load")
    row = listed()[0]["acme:acme_loss"]
    assert row["status"] == "failed" and row["reason"].startswith("when last used: OSError")


def test_a_clash_with_the_core_and_between_two(fake_distribution, listed):
    """Each side says who the others are and how to go on."""
    for name in ("acme-a", "acme-b"):
        lines = {"focal": "acme_s:Loss", "mine": "acme_s:Loss"}
        fake_distribution(name, entry_points={"dlplug.losses": lines}, modules={"acme_s": LOSS})
    rows, _ = listed()
    for owner in ("dlplug", "acme-a", "acme-b"):
        row = rows[f"{owner}:focal"]
        assert row["status"] == "conflict" and "acme-a 1.0 and acme-b 1.0" in row["reason"]
    assert rows["acme-a:mine"]["reason"] == "provided by acme-a 1.0 and acme-b 1.0"
    assert "'acme-a:mine' or 'acme-b:mine'" in rows["acme-b:mine"]["fix"]


def test_a_stale_egg_info(fake_distribution, listed):
    """The copy that is imported counts; the other one is a warning that says what to delete."""
    old = {"dlplug.losses": {"old_loss": "acme_s:Loss"}}
    fake_distribution("acme", "0.9", entry_points=old, form="egg-info", folder="checkout")
    fake_distribution("acme", "1.0", **one(modules={"acme_s.m": LOSS}))
    rows, plugins = listed("--load")
    assert rows["acme:acme_loss"]["status"] == "loaded" and "acme:old_loss" not in rows
    (warning,) = plugins["acme"]["warnings"]
    assert "also found as 0.9" in warning and "delete the stale egg-info" in warning


def test_an_editable_install(fake_distribution, monkeypatch, listed):
    """Metadata in site-packages, modules in a checkout that a .pth file names."""
    checkout = fake_distribution.root / "checkout" / "acme_s"
    checkout.mkdir(parents=True)
    (checkout / "__init__.py").touch()
    (checkout / "m.py").write_text(LOSS)
    site = fake_distribution("acme", **one())
    info = site / "acme-1.0.dist-info"
    (info / "direct_url.json").write_text('{"dir_info": {"editable": true}, "url": "file:///x"}')
    assert "No module named 'acme_s'" in listed("--load")[0]["acme:acme_loss"]["reason"]
    monkeypatch.syspath_prepend(checkout.parent)  # what the .pth file does
    assert listed("--load")[0]["acme:acme_loss"]["status"] == "loaded"


def test_a_slow_import_is_told(fake_distribution, command, listed, monkeypatch):
    """With its seconds, in the list, in later lists, and in the description."""
    now = [0.0]
    monkeypatch.setattr("dlplug.plugin.component.perf_counter", lambda: now[0])
    monkeypatch.setattr("tests.cli.test_statuses.clock", now, raising=False)
    slow = "from tests.cli import test_statuses\ntest_statuses.clock[0] += 2.34\n" + LOSS
    fake_distribution("acme", **one(modules={"acme_s.m": slow}))
    assert listed("--load")[0]["acme:acme_loss"]["seconds"] == 2.3
    assert "  why: importing loss 'acme_loss' took 2.3 s" in command("plugins", "list").out
    assert "import:      took 2.3 s" in command("plugins", "info", "acme_loss").out


def test_what_all_import_is_not_put_down_to_the_first(fake_distribution, listed, monkeypatch):
    """A plugin that is the first to import torch is not held slow."""
    now = [0.0]
    monkeypatch.setattr("dlplug.plugin.component.perf_counter", lambda: now[0])
    monkeypatch.setattr("dlplug.plugin.component.SHARED", frozenset(["acme_shared"]))
    monkeypatch.setattr("tests.cli.test_statuses.clock", now, raising=False)
    slow = (
        "from tests.cli import test_statuses\ntest_statuses.clock[0] += 2.34\nimport acme_shared\n"
    )
    modules = {"acme_s.m": slow + LOSS, "acme_shared": ""}
    fake_distribution("acme", **one(modules=modules))
    assert listed("--load")[0]["acme:acme_loss"]["seconds"] is None
