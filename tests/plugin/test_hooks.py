"""Each hook as the program calls it."""

import logging
import re
import sys
from pathlib import Path

import pytest

from dlplug.errors import ComponentConflictError, PluginError, UnknownComponentError
from dlplug.plugin import HOOKS, Registry, Status


@pytest.fixture
def install_hooks(fake_distribution):
    """Install a distribution whose module of hooks has the given source."""

    def install(name, source, version="1.0", **arguments):
        module = name.replace("-", "_") + "_hooks"
        fake_distribution(
            name,
            version,
            entry_points={"dlplug": {"hooks": module}},
            modules={module: "from dlplug import hookimpl\n" + source},
            **arguments,
        )

    return install


def registry_with_hooks(**arguments):
    registry = Registry.discover(**arguments)
    registry.load_hooks()
    return registry


def hook_entry(registry, distribution):
    return next(e for e in registry.entries() if e.id == f"{distribution}:hooks")


FAMILY = """
from dlplug.plugin import Offer

class Made:
    "Made by acme."

@hookimpl
def dlplug_components(kind):
    if kind == "losses":
        lazy = Offer("acme.lazy", "acme_family_models:Lazy", "Imported late.")
        return [lazy, Offer("acme.made", Made)]
    if kind == "architectures":
        return {"acme.mapped": "acme_family_models:Lazy"}
"""


def test_dlplug_components(install_hooks, fake_distribution):
    """A family of names is found like any other component, by short name and by id."""
    install_hooks("acme-family", FAMILY)
    fake_distribution("models", modules={"acme_family_models": "class Lazy: pass"})
    assert "acme.lazy" not in Registry.discover().names("loss")
    registry = registry_with_hooks()
    lazy, made = registry.find("loss", "acme.lazy"), registry.find("loss", "acme-family:acme.made")
    assert (lazy.id, lazy.version, lazy.summary) == (
        "acme-family:acme.lazy",
        "1.0",
        "Imported late.",
    )
    assert (lazy.status, "acme_family_models" in sys.modules) == (Status.AVAILABLE, False)
    assert lazy.load().__name__ == "Lazy"
    assert (made.target, made.summary) == ("acme_family_hooks:Made", "Made by acme.")
    assert made.load().__name__ == "Made"
    assert registry.find("architecture", "acme.mapped").load() is lazy.load()


def test_a_family_obeys_rules_and_conflicts(install_hooks, fake_distribution):
    """Names from hooks are blocked with their distribution, and clash like names from lines."""
    install_hooks("acme-family", FAMILY)
    fake_distribution("acme-lines", entry_points={"dlplug.losses": {"acme.made": "acme_m:M"}})
    with pytest.raises(ComponentConflictError, match=r"acme-family 1\.0 and acme-lines 1\.0"):
        registry_with_hooks().find("loss", "acme.made")
    blocked = registry_with_hooks(block=["acme-family"])
    assert blocked.find("loss", "acme.made").distribution == "acme-lines"
    with pytest.raises(UnknownComponentError):
        blocked.find("loss", "acme.lazy")


def test_a_blocked_module_of_hooks_is_not_imported(install_hooks):
    """Blocking comes before loading."""
    install_hooks("acme-hooks", "raise SystemExit('imported')")
    registry = registry_with_hooks(block=["acme-hooks"])
    assert hook_entry(registry, "acme-hooks").status is Status.DISABLED


@pytest.mark.parametrize(
    ("answer", "reason"),
    [
        ("3", "dlplug_components returned int, not a list of Offer"),
        ("'resnet'", "dlplug_components returned str, not a list of Offer"),
        ("['resnet']", "dlplug_components('losses') returned an item of type str"),
        ("{'a b': 'm:A'}", "dlplug_components('losses'): the name 'a b' contains ' '"),
        ("{'a': 3}", "'3' is of type int, not a class or function"),
        ("(1 / 0 for _ in [1])", "ZeroDivisionError: division by zero"),
    ],
)
def test_an_offer_that_cannot_be_used_is_put_down_to_its_plugin(install_hooks, answer, reason):
    """A wrong answer fails that plugin; everybody else's names are there."""
    source = f"@hookimpl\ndef dlplug_components(kind):\n    if kind == 'losses': return {answer}"
    install_hooks("acme-hooks", source)
    registry = registry_with_hooks()
    assert "cross_entropy" in registry.names("loss")
    entry = hook_entry(registry, "acme-hooks")
    assert entry.status is Status.FAILED
    assert reason in entry.reason


APPEND = """
@hookimpl
def dlplug_upgrade_config(config):
    return {{**config, "seen": config.get("seen", "") + "{0}"}}
"""


def test_dlplug_upgrade_config(install_hooks):
    """Each plugin gets the answer of the one before, by name; the caller's config is untouched."""
    for letter in "cab":
        install_hooks(f"acme-{letter}", APPEND.format(letter))
    install_hooks("acme-none", "@hookimpl\ndef dlplug_upgrade_config(config): config['x'] = 1")
    config = {"loss": "focal"}
    upgraded = registry_with_hooks().fold("dlplug_upgrade_config", config=config)
    assert upgraded["seen"] == "abc"
    assert config == {"loss": "focal"}


def test_the_order_can_be_chosen(install_hooks):
    """``tryfirst`` and ``trylast`` count before the names."""
    install_hooks("acme-a", APPEND.format("a").replace("@hookimpl", "@hookimpl(trylast=True)"))
    install_hooks("acme-b", APPEND.format("b"))
    install_hooks("acme-c", APPEND.format("c").replace("@hookimpl", "@hookimpl(tryfirst=True)"))
    upgraded = registry_with_hooks().fold("dlplug_upgrade_config", config={})
    assert upgraded == {"seen": "cba"}


MODEL = """
class Wrapped:
    def __init__(self, inner): self.inner = inner
    def named_parameters(self): return []

@hookimpl
def dlplug_model_built(model{arguments}): {body}
"""


def test_dlplug_model_built(install_hooks):
    """A plugin replaces the model or leaves it; the next one gets what it left."""
    install_hooks("acme-a", MODEL.format(arguments="", body="return Wrapped(model)"))
    install_hooks("acme-b", MODEL.format(arguments=", config", body="return None"))
    install_hooks("acme-c", MODEL.format(arguments=", config", body="return Wrapped(model)"))
    built = registry_with_hooks().fold("dlplug_model_built", model="model", config={"a": 1})
    assert type(built).__module__ == "acme_c_hooks"
    assert type(built.inner).__module__ == "acme_a_hooks"
    assert built.inner.inner == "model"


def test_a_change_of_the_model_that_fails_ends_the_run(install_hooks):
    """A half-changed model is not trained; the error names the plugin and how to do without it."""
    install_hooks("acme-a", MODEL.format(arguments="", body="raise ValueError('no rank given')"))
    with pytest.raises(PluginError) as caught:
        registry_with_hooks().fold("dlplug_model_built", model="model", config={})
    assert caught.value.what.startswith(
        "acme-a 1.0: dlplug_model_built raised ValueError: no rank given ("
    )
    assert caught.value.where == "dlplug: hooks = acme_a_hooks"
    assert caught.value.fix.endswith("; --block acme-a:hooks does without it")
    assert isinstance(caught.value.__cause__, ValueError)


def health(body):
    return f"@hookimpl\ndef dlplug_health():\n    {body}"


def test_dlplug_health(install_hooks, caplog):
    """Rows of every plugin come with its id; one that raises is named and hurts nobody."""
    install_hooks("acme-a", health("return [('disk', True, '3 GB')]"))
    install_hooks("acme-b", health("raise OSError('no licence')"))
    install_hooks("acme-c", health("yield 'licence', False, 'ends today'"))
    install_hooks("acme-d", health("return None"))
    registry = registry_with_hooks(allow=["acme-a", "acme-b", "acme-c", "acme-d"])
    with caplog.at_level(logging.WARNING, logger="dlplug.plugin"):
        rows = registry.call("dlplug_health")
    assert rows == [
        ("acme-a:hooks", [("disk", True, "3 GB")]),
        ("acme-c:hooks", [("licence", False, "ends today")]),
    ]
    entry = hook_entry(registry, "acme-b")
    assert entry.status is Status.FAILED
    assert entry.reason.startswith("dlplug_health raised OSError: no licence (")
    assert isinstance(entry.error, OSError)
    assert caplog.messages == [f"acme-b 1.0: {entry.reason}"]


def test_a_raising_hook_is_fatal_in_strict_mode(install_hooks):
    """In strict mode the first failure ends the call, with the plugin's name."""
    install_hooks("acme-b", health("raise OSError('no licence')"))
    with pytest.raises(PluginError, match=r"acme-b 1\.0: dlplug_health raised OSError"):
        registry_with_hooks(allow=["acme-b"], strict=True).call("dlplug_health")


def test_failing_hooks_become_statuses(install_hooks, caplog):
    """An import error, a misspelt hook and a wrong argument are told; the sound one works."""
    install_hooks("acme-import", "import no_such_module")
    install_hooks("acme-name", "@hookimpl\ndef dlplug_helth(): pass")
    install_hooks("acme-argument", "@hookimpl\ndef dlplug_health(batch): pass")
    install_hooks("acme-sound", health("return [('disk', True, '')]"))
    registry = registry_with_hooks()
    reasons = {
        name: hook_entry(registry, f"acme-{name}").reason for name in ("import", "name", "argument")
    }
    assert reasons["import"].startswith("ModuleNotFoundError: No module named 'no_such_module' (")
    assert reasons["name"] == ("no hook is named 'dlplug_helth'; did you mean 'dlplug_health'?")
    assert reasons["argument"] == (
        "hook 'dlplug_health' has no argument 'batch'; known: no arguments"
    )
    assert hook_entry(registry, "acme-sound").status is Status.LOADED
    assert ("acme-sound:hooks", [("disk", True, "")]) in registry.call("dlplug_health")
    assert f"hooks of acme-name 1.0 are not used: {reasons['name']}" in caplog.messages


def test_failing_hooks_are_fatal_in_strict_mode(install_hooks):
    """A build stops at a hook that is not used."""
    install_hooks("acme-name", "@hookimpl\ndef dlplug_helth(): pass")
    with pytest.raises(PluginError, match=r"acme-name 1\.0, hooks 'hooks': failed: no hook"):
        registry_with_hooks(allow=["acme-name"], strict=True)


def test_two_distributions_may_use_the_same_entry_point_name(install_hooks):
    """Both are registered; pluggy alone would lose one."""
    install_hooks("acme-a", health("return [('a', True, '')]"))
    install_hooks("acme-b", health("return [('b', True, '')]"))
    names = [name for name, _ in registry_with_hooks().call("dlplug_health")]
    assert {"acme-a:hooks", "acme-b:hooks"} <= set(names)


def test_one_distribution_may_have_two_modules_of_one_name(fake_distribution):
    """Both are registered, the second under its target."""
    source = "from dlplug import hookimpl\n" + health("return [(__name__, True, '')]")
    fake_distribution(
        "acme",
        entry_points={"dlplug": [("hooks", "acme_one"), ("hooks", "acme_two")]},
        modules={"acme_one": source, "acme_two": source},
    )
    rows = registry_with_hooks(allow=["acme"]).call("dlplug_health")
    assert sorted(row[0][0] for _, row in rows) == ["acme_one", "acme_two"]
    assert len({name for name, _ in rows}) == 2


def test_the_same_module_is_registered_once(fake_distribution):
    """Two distributions that name one module: the second is in conflict, and nothing runs twice."""
    source = "from dlplug import hookimpl\n" + health("return [('shared', True, '')]")
    lines = {"dlplug": {"hooks": "acme_shared"}}
    fake_distribution("acme-a", entry_points=lines, modules={"acme_shared": source})
    fake_distribution("acme-b", entry_points=lines)
    registry = registry_with_hooks(allow=["acme-a", "acme-b"])
    assert len(registry.call("dlplug_health")) == 1
    conflicts = [e for e in registry.entries() if e.status is Status.CONFLICT]
    assert [entry.reason for entry in conflicts] == [
        "its hooks are those of acme-a:hooks, which are registered"
    ]
    assert [entry.id for entry in registry.hook_modules()] == ["acme-a:hooks"]


def test_hooks_are_loaded_once(install_hooks):
    """A second call imports nothing and asks nobody twice."""
    install_hooks("acme-a", health("return [('a', True, '')]"))
    registry = registry_with_hooks(allow=["acme-a"])
    registry.load_hooks()
    assert len(registry.call("dlplug_health")) == 1


def test_a_call_needs_all_arguments():
    """The program's own mistake is a TypeError, not a plugin's failure."""
    with pytest.raises(TypeError, match="dlplug_model_built takes"):
        Registry.discover().fold("dlplug_model_built", model=1)


@pytest.mark.parametrize("hook", HOOKS)
def test_every_hook_has_a_test_and_a_heading(hook):
    """A hook without its own test, or without its heading in the README, fails the build."""
    assert f"test_{hook}" in globals()
    readme = Path(__file__).parents[2] / "dlplug" / "plugin" / "README.md"
    headings = re.findall(r"^### `(.*)`$", readme.read_text(), re.M)
    assert f"{hook}({', '.join(HOOKS[hook])})" in headings
