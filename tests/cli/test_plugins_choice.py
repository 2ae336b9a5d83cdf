"""``plugins disable`` and ``plugins allow``."""

import pytest


@pytest.fixture(autouse=True)
def acme(fake_distribution):
    """A distribution with two losses, one of them called like a command."""
    fake_distribution(
        "acme", entry_points={"dlplug.losses": {"acme_dice": "acme:D", "plugins": "acme:P"}}
    )


def test_disabling_says_what_it_takes_away(command):
    """And how to undo it; the next command obeys."""
    done = command("plugins", "disable", "acme")
    assert done.code == 0
    assert done.out.startswith(
        "disabled acme: acme:acme_dice, acme:plugins; undo it: plugins allow acme"
    )
    refused = command("fit", "--loss", "acme_dice", "--data", "digits", "--architecture", "mlp")
    assert refused.code == 2
    assert "loss 'acme_dice' of acme 1.0 cannot be used (disabled): blocked by plugins disable" in (
        refused.err
    )
    assert "fix:   python -m dlplug plugins allow acme\n" in refused.err
    assert command("plugins", "allow", "acme").out.startswith("acme is no longer disabled")
    assert command("plugins", "list", "--json").json["problems"] == []


def test_the_answer_is_json_where_that_is_asked_for(command, tmp_path):
    """All that is disabled, and the file."""
    file = str(tmp_path / "settings" / "dlplug" / "plugins.json")
    done = command("plugins", "disable", "acme:acme_dice", "--json")
    assert done.json == {"disabled": ["acme:acme_dice"], "file": file}
    assert command("plugins", "allow", "acme:acme_dice", "--json").json == {
        "disabled": [],
        "file": file,
    }


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        (["disable", "acne"], "did you mean 'acme'"),
        (["disable"], "plugins disable needs a NAME"),
        (["allow"], "plugins allow needs a NAME"),
        (["allow", "acme"], "'acme' is not disabled"),
        (["disable", "plugins"], "would take away 'plugins allow'"),
        (["disable", "dlplug"], "would take away 'plugins allow'"),
    ],
)
def test_what_cannot_be_done_is_refused(command, arguments, message):
    """With exit code 2, and nothing written."""
    done = command("plugins", *arguments)
    assert done.code == 2 and message in done.err
    assert command("plugins", "list", "--status", "disabled").out == "nothing matches\n"


def test_the_component_of_that_name_can_be_disabled(command):
    """By its id."""
    assert command("plugins", "disable", "acme:plugins").code == 0


def test_a_mistyped_name_of_a_family_is_refused(command, fake_distribution):
    """What a module of hooks offers is known; unless that is disabled, and cannot be asked."""
    source = """
        from dlplug import hookimpl

        @hookimpl
        def dlplug_components(kind):
            return {"acme.dice": "acme:D"} if kind == "losses" else None
    """
    lines = {"dlplug.index": {"names": "acme_choice"}}
    fake_distribution("acme-family", entry_points=lines, modules={"acme_choice": source})
    done = command("plugins", "disable", "acme-family:acme.dise")
    assert done.code == 2 and "did you mean 'acme-family:acme.dice'" in done.err
    assert command("plugins", "disable", "acme-family:acme.dice").code == 0
    assert command("plugins", "disable", "acme-family").code == 0
    assert command("plugins", "disable", "acme-family:acme.other").code == 0
