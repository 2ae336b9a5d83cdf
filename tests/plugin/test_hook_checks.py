"""Hooks that would never be called, or called wrongly, are refused with the reason."""

import types

import pytest

from dlplug import hookimpl
from dlplug.errors import PluginError
from dlplug.plugin.hook_checks import check_answer
from dlplug.plugin.manager import Manager


def plugin_of(source):
    """A module with ``source``, which may use ``hookimpl``."""
    module = types.ModuleType("acme_hooks")
    module.hookimpl = hookimpl
    exec(source, module.__dict__)
    return module


def refusal(source):
    manager = Manager()
    with pytest.raises(PluginError) as caught:
        manager.add(plugin_of(source), "acme:hooks")
    assert manager.get_plugins() == set()
    return caught.value


def test_a_sound_plugin_is_registered():
    """A hook may leave out arguments."""
    manager = Manager()
    manager.add(plugin_of("@hookimpl\ndef dlplug_model_built(model): return model"), "acme:hooks")
    assert manager.list_name_plugin()[0][0] == "acme:hooks"


def test_a_misspelt_hook_gets_a_suggestion():
    """A marked function that is no hook is named, with the nearest hook."""
    error = refusal("@hookimpl\ndef dlplug_modl_built(model): pass")
    assert error.what == "no hook is named 'dlplug_modl_built'"
    assert error.fix == "did you mean 'dlplug_model_built'?"
    assert "dlplug_components" in error.known


def test_one_misspelt_hook_refuses_the_whole_plugin():
    """Half of a plugin is not what its author meant."""
    source = "@hookimpl\ndef dlplug_health(): return []\n@hookimpl\ndef dlplug_helth(): return []"
    assert refusal(source).what == "no hook is named 'dlplug_helth'"


def test_a_hook_may_have_another_function_name():
    """``specname`` is what counts, rightly and wrongly spelt."""
    manager = Manager()
    manager.add(plugin_of("@hookimpl(specname='dlplug_health')\ndef check(): return []"), "a:h")
    assert "specname" not in str(refusal("@hookimpl(specname='dlplug_helth')\ndef check(): pass"))


def test_a_hook_of_a_later_version_may_be_optional():
    """``optionalhook=True`` is how a plugin supports several versions of dlplug."""
    manager = Manager()
    source = "@hookimpl(optionalhook=True)\ndef dlplug_of_the_future(): pass"
    manager.add(plugin_of(source), "acme:hooks")


def test_a_wrong_argument_gets_a_suggestion():
    """An argument that the hook does not have is named, with those that it has."""
    error = refusal("@hookimpl\ndef dlplug_model_built(modle, config): pass")
    assert error.what == "hook 'dlplug_model_built' has no argument 'modle'"
    assert (error.known, error.fix) == ("model, config", "did you mean 'model'?")


def test_a_misspelt_argument_with_a_default_is_noticed():
    """pluggy would leave it at its default for ever."""
    error = refusal("@hookimpl\ndef dlplug_model_built(model, confg=None): pass")
    assert error.fix == "did you mean 'config'?"


def test_an_argument_of_a_later_version_may_have_a_default():
    """Hooks grow by arguments; a plugin that knows one more still works here."""
    manager = Manager()
    source = "@hookimpl\ndef dlplug_model_built(model, example_batch=None): return model"
    manager.add(plugin_of(source), "acme:hooks")


def test_an_argument_of_a_hook_without_any():
    """What is known is said in words where there is none."""
    assert refusal("@hookimpl\ndef dlplug_health(model): pass").known == "no arguments"


def test_a_forgotten_marker_is_noticed():
    """A function with the name of a hook but without the marker would never be called."""
    error = refusal("def dlplug_health(): return []")
    assert error.what == "hook 'dlplug_health' is not marked, so it would never be called"
    assert error.fix == "define dlplug_health in the module or class, under @dlplug.hookimpl"


def test_a_hook_behind_getattr_is_noticed():
    """pluggy looks only at what ``dir`` lists."""
    error = refusal(
        "def __getattr__(name):\n"
        "    if name == 'dlplug_health': return hookimpl(lambda: [])\n"
        "    raise AttributeError(name)"
    )
    assert error.what == (
        "hook 'dlplug_health' is offered only by __getattr__, so it would never be called"
    )


def test_a_plugin_without_hooks_is_noticed():
    """A module in the group ``dlplug`` that implements nothing is most likely the wrong one."""
    assert refusal("x = 1").what == "no function is marked with @dlplug.hookimpl"


@pytest.mark.parametrize("option", ["wrapper", "hookwrapper"])
def test_a_wrapper_is_refused(option):
    """An error in a wrapper could not be told from an error in what it wraps."""
    error = refusal(f"@hookimpl({option}=True)\ndef dlplug_health():\n    yield")
    assert error.what == "hook 'dlplug_health' is a wrapper, which dlplug does not call"


def test_a_coroutine_is_refused():
    """Nobody would await it."""
    assert (
        refusal("@hookimpl\nasync def dlplug_health(): return []").fix == "write a plain function"
    )


def test_an_instance_may_be_a_plugin_and_a_class_may_not():
    """A class would be called without an instance."""

    class Hooks:
        @hookimpl
        def dlplug_health(self):
            return [("disk", True, "fine")]

    manager = Manager()
    with pytest.raises(PluginError, match="'Hooks' is a class"):
        manager.add(Hooks, "acme:class")
    manager.add(Hooks(), "acme:instance")
    assert manager.call("dlplug_health", None) == [("acme:instance", [("disk", True, "fine")])]


@pytest.mark.parametrize(
    ("hook", "answer", "wanted"),
    [
        ("dlplug_model_built", "a string", "not a torch.nn.Module"),
        ("dlplug_upgrade_config", [], "not a dict"),
        ("dlplug_health", [("disk", True)], "not rows of"),
        ("dlplug_health", "all fine", "not rows of"),
    ],
)
def test_an_answer_of_a_wrong_type_is_refused(hook, answer, wanted):
    """What a hook returns is checked where it is known who returned it."""
    with pytest.raises(TypeError, match=wanted):
        check_answer(hook, answer)
