"""Loading one component."""

import pytest

from dlplug.errors import ComponentLoadError, PluginError
from dlplug.plugin import Component, Registry, Status


@pytest.fixture
def component(fake_distribution):
    """Install ``acme`` with one loss in the module given, and find it."""

    def install(source, target="acme_component:Dice", **arguments):
        fake_distribution(
            "acme",
            "2.3",
            entry_points={"dlplug.losses": {"acme_dice": target}},
            modules={"acme_component": source},
            **arguments,
        )
        return Registry.discover().find("losses", "acme_dice")

    return install


def test_a_component_is_imported_once(component):
    """Loading gives the class, the same each time, and the status says so."""
    acme_dice = component("class Dice: 'Overlap.'")
    assert acme_dice.load() is acme_dice.load()
    assert (acme_dice.status, acme_dice.summary) == (Status.LOADED, "Overlap.")


def test_a_function_is_a_component_too(component):
    """A plain function needs no class around it."""
    assert component("def Dice(output, target): return 0.5").load()(1, 2) == 0.5


def test_a_failing_import_names_the_plugin_and_keeps_the_cause(component):
    """Distribution, version, entry point, place and original exception are told."""
    acme_dice = component("\n\nraise ValueError('no licence')")
    with pytest.raises(ComponentLoadError) as caught:
        acme_dice.load(where="config.yaml, line 4, loss.name")
    error = caught.value
    assert error.what.startswith(
        "loss 'acme_dice' of acme 2.3 cannot be loaded: ValueError: no licence ("
    )
    assert error.what.endswith("acme_component.py, line 3)")
    assert error.where == (
        "config.yaml, line 4, loss.name; dlplug.losses: acme_dice = acme_component:Dice"
    )
    assert error.fix == "update acme or tell its authors"
    assert isinstance(error.__cause__, ValueError)
    assert acme_dice.error is error.__cause__
    assert acme_dice.status is Status.FAILED


def test_a_missing_module_is_named(component):
    """The fix names the module that the plugin could not import."""
    with pytest.raises(ComponentLoadError) as caught:
        component("import no_such_module.part").load()
    assert caught.value.fix == "install what provides the module 'no_such_module'"


def test_a_requirement_that_is_missing_is_the_fix(component):
    """When the metadata tells what is missing, the fix installs exactly that."""
    acme_dice = component("import no_such_module", requires=["no-such-thing"])
    with pytest.raises(ComponentLoadError, match="fix:   pip install no-such-thing"):
        acme_dice.load()


def test_a_module_that_is_not_there_is_the_plugin_s_fault(component):
    """An entry point that names no module asks for a new version, not for an install."""
    acme_dice = component("", target="acme_no_such_module:Dice")
    with pytest.raises(ComponentLoadError, match="fix:   update acme or tell its authors"):
        acme_dice.load()


def test_a_syntax_error_names_file_and_line(component):
    """The place is that of the syntax error, not of the import."""
    with pytest.raises(ComponentLoadError, match=r"SyntaxError: .*\(acme_component.py, line 2\)"):
        component("x = 1\nclass Dice(:\n").load()


def test_a_plugin_that_exits_does_not_end_the_program(component):
    """``sys.exit`` on import is a failure like any other."""
    with pytest.raises(ComponentLoadError, match="SystemExit: 3"):
        component("import sys; sys.exit(3)").load()


def test_an_interrupt_by_the_user_ends_the_program(component):
    """Ctrl-C during an import is not put down to the plugin."""
    acme_dice = component("raise KeyboardInterrupt")
    with pytest.raises(KeyboardInterrupt):
        acme_dice.load()
    assert acme_dice.status is Status.AVAILABLE


def test_a_missing_attribute_is_told_with_the_nearest_one(component):
    """A misspelt class in an entry point is named."""
    with pytest.raises(ComponentLoadError, match="did you mean 'DiceLoss'"):
        component("class DiceLoss: pass", target="acme_component:DiceLos").load()


@pytest.mark.parametrize(
    ("source", "what"), [("Dice = 3", "of type int"), ("import math as Dice", "a module")]
)
def test_what_cannot_be_called_is_no_component(component, source, what):
    """A number or a module where a class should be is a failure with its type."""
    with pytest.raises(ComponentLoadError, match=f"is {what}, not a class or function"):
        component(source).load()


def test_an_object_of_a_network_is_no_component(component):
    """Though it can be called: a run builds anew, with arguments. Its class is named."""
    source = "from torch import nn\nclass Net(nn.Module): ...\nDice = Net()"
    with pytest.raises(ComponentLoadError, match="name the class itself, acme_component:Net"):
        component(source).load()


def test_a_failed_component_is_not_found_again_in_the_process(component):
    """Names resolve to an error with the reason, once it is known that loading fails."""
    component("raise ValueError('no licence')")
    registry = Registry.discover()
    with pytest.raises(ComponentLoadError):
        registry.find("loss", "acme_dice").load()
    with pytest.raises(ComponentLoadError, match="no licence") as caught:
        registry.find("loss", "acme_dice")
    assert isinstance(caught.value.__cause__, ValueError)


def test_a_later_load_tries_again(component, fake_distribution):
    """A failure is no verdict: the next load imports anew."""
    acme_dice = component("import acme_later; class_ = 1\nclass Dice: pass")
    with pytest.raises(ComponentLoadError):
        acme_dice.load()
    fake_distribution("later", modules={"acme_later": ""})
    assert acme_dice.load().__name__ == "Dice"
    assert (acme_dice.status, acme_dice.reason, acme_dice.error) == (Status.LOADED, None, None)


def test_a_component_that_refuses_is_not_imported(fake_distribution):
    """Disabled, incompatible and extra-less components are refused without an import."""
    component = Component(
        "losses",
        "acme_dice",
        "acme",
        "1.0",
        "no_such:Dice",
        status=Status.INCOMPATIBLE,
        refuses=True,
    )
    component.reason, component.fix = "made for plugin API 2", "install another version"
    with pytest.raises(PluginError) as caught:
        component.load()
    assert not isinstance(caught.value, ComponentLoadError)
    assert caught.value.what == (
        "loss 'acme_dice' of acme 1.0 cannot be used (incompatible): made for plugin API 2"
    )


def test_a_partial_is_described_by_no_docstring_of_its_class(component):
    """``functools.partial`` objects have a docstring that tells nothing about them."""
    acme_dice = component("from functools import partial\nDice = partial(print)", summary="Losses.")
    acme_dice.load()
    assert acme_dice.summary == "Losses."
