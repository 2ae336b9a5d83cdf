"""``plugins check``: verdicts as text and as JSON, and exit codes for continuous integration."""

from textwrap import dedent

import pytest

# What its imports cost is asked by the tests of dlplug/testing/imports.py.
pytestmark = pytest.mark.usefixtures("forked_report")
NET = '''
    from torch import nn

    class Net(nn.Linear):
        """A linear network."""

        def __init__(self, num_features: int, num_outputs: int, noise: float = 0.0):
            super().__init__(num_features, num_outputs)
            self.forgotten = nn.Linear(2, 2)
'''


@pytest.fixture
def installed(fake_distribution):
    """A distribution whose network has a layer that it never uses."""
    lines = {"dlplug.architectures": {"checked_net": "acme_checked:Net"}}
    fake_distribution("Acme_Checked", "2.1", entry_points=lines, modules={"acme_checked": NET})


def test_a_broken_rule_is_told_with_its_fix(command, installed):
    """Exit code 1; what holds is named as well."""
    done = command("plugins", "check", "acme_checked")
    assert done.code == 1, done.err
    assert done.out.startswith("acme-checked 2.1\n\narchitectures acme-checked:checked_net\n")
    text = " ".join(done.out.split())
    assert "FAILED trains_every_parameter: no gradient reaches forgotten.weight" in text
    assert "fix: use the parameter in forward, or delete it" in text
    assert "ok: loads, has_a_name_of_its_own" in text
    assert text.endswith("1 failed, 0 does not apply")


def test_json_holds_every_verdict(command, installed):
    """One object; the failure with reason and fix."""
    done = command("plugins", "check", "acme-checked", "--json")
    assert done.code == 1 and done.json["ok"] is False
    assert done.json["distribution"] == "acme-checked" and done.json["counts"]["failed"] == 1
    (failure,) = [v for v in done.json["verdicts"] if v["outcome"] == "failed"]
    assert (failure["component"], failure["rule"]) == (
        "acme-checked:checked_net",
        "trains_every_parameter",
    )


def test_examples_exempt_and_the_code_is_0(command, installed, tmp_path):
    """As continuous integration wants it."""
    path = tmp_path / "x.yaml"
    path.write_text(
        "architectures: {checked_net: {exempt: {trains_every_parameter: kept for old weights}}}"
    )
    done = command("plugins", "check", "acme-checked", "--examples", str(path))
    assert done.code == 0, done.out
    assert "its authors say: kept for old weights" in " ".join(done.out.split())


def test_a_plugin_file_that_offers_by_a_hook_is_checked(command, tmp_path):
    """With its own examples, of which it has none; not with those of dlplug."""
    hook = """
    import dlplug

    @dlplug.hookimpl
    def dlplug_components(kind):
        return {"my_net": Net} if kind == "architectures" else None
    """
    (tmp_path / "my_model.py").write_text(dedent(NET) + dedent(hook))
    done = command("plugins", "check", "my_model.py", "--plugin", "my_model.py")
    assert "architectures my_model.py:my_net" in done.out, done.err


def test_a_plugin_file_needs_no_name_beside_it(command, tmp_path):
    """There is only one that can be meant; of two, each command is told."""
    table = '\ndlplug_components = {"architecture": {"%s": Net}}\n'
    for name in ("one", "two"):
        (tmp_path / f"{name}.py").write_text(dedent(NET) + table % f"{name}_net")
    done = command("plugins", "check", "--plugin", "one.py")
    assert "architectures one.py:one_net" in done.out, done.err
    done = command("plugins", "check", "--plugin", "one.py", "--plugin=two.py")
    assert done.code == 2
    fix = done.err.rpartition("fix:")[2].split(", or ")
    assert fix[1].startswith("plugins check two.py --plugin=") and "one.py" in fix[0]


def test_unknown_names_are_errors(command, installed):
    """Exit code 2, with the nearest and what is installed."""
    done = command("plugins", "check", "acme-cheked")
    assert done.code == 2 and "did you mean 'acme-checked'?" in done.err
    assert command("plugins", "check").code == 2
    assert "architectures" in command("plugins", "check", "acme-checked", "--kind", "archs").err


def test_a_check_of_nothing_is_an_error(command, installed, fake_distribution):
    """Else a misspelt kind, or a plugin that is blocked, would pass in continuous integration."""
    done = command("plugins", "check", "acme-checked", "--kind", "losses", "--kind", "metrics")
    assert done.code == 2 and "acme-checked offers no losses and no metrics" in done.err
    assert "known: architectures" in done.err
    fake_distribution("acme-empty", entry_points={"dlplug.api": {"major": "v1"}})
    done = command("plugins", "check", "acme-empty")
    assert done.code == 2 and "acme-empty offers nothing" in done.err
    done = command("plugins", "check", "acme-checked", "--block", "acme-checked")
    assert done.code == 2 and "nothing could be checked: acme-checked:checked_net" in done.err
    assert "disabled: blocked by --block" in done.err and "fix:" in done.err


def test_modules_of_hooks_are_a_kind(command, installed, fake_distribution):
    """As they are for ``plugins list`` and ``plugins info``."""
    done = command("plugins", "check", "acme-checked", "--kind", "hooks")
    assert done.code == 2 and "acme-checked offers no hooks" in done.err


def test_what_is_blocked_is_not_imported(command, installed, fake_distribution, tmp_path):
    """The other components are; an import could do anything."""
    source = "from pathlib import Path\nPath('imported').touch()\nclass Loss: ...\n"
    lines = {"dlplug.losses": {"first": "acme_one:Loss", "second": "acme_two:Loss"}}
    fake_distribution(
        "acme-two", entry_points=lines, modules={"acme_one": source, "acme_two": "class Loss: ..."}
    )
    done = command("plugins", "check", "acme-two", "--block", "first")
    assert "ok: loads, has_a_name_of_its_own, imports_quickly" in " ".join(done.out.split())
    assert not (tmp_path / "imported").exists()
