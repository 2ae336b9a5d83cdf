"""``describe KIND [NAME]``."""

import pytest

from dlplug.plugin import Registry
from dlplug.plugin.builtins import TABLE

CODE = '''
"""Nets. See Acme 2020, arXiv:2001.00001, for all of them. And more."""

from torch import nn

class Net(nn.Module):
    """A net of its own kind.

    It has layers.

    Args:
        num_outputs: Width of the output.
        in_channels: Channels.
        depth: How many layers.
    Reaches: 0.97 with configs/a.yaml.
    """

    def __init__(self, num_outputs: int, in_channels: int, depth: int = 3, **more):
        super().__init__()

class Bare(nn.Module):
    def __init__(self, x):
        super().__init__()

class Markup:
    """[bold]Hi[/] :class:`x` \\x1b[2J `

    Parameters
    ----------
    x : [/red]
        {braces} %s
    """

    def __init__(self, x=lambda: 1):
        pass
'''


@pytest.fixture
def acme(fake_distribution):
    fake_distribution(
        "acme",
        entry_points={
            "dlplug.architectures": {f"acme_{n.lower()}": f"acme_n:{n}" for n in ("Net", "Bare")},
            "dlplug.losses": {"acme_markup": "acme_n:Markup"},
        },
        modules={"acme_n": CODE},
    )


def test_a_component_is_described(command, acme, tmp_path):
    """What it is, its arguments and who gives them, papers, results, configs, a command."""
    (tmp_path / "configs").mkdir()
    (tmp_path / "configs" / "a.yaml").write_text("architecture: acme_net\ndata: digits\n")
    assert command("describe", "architecture", "acme_net").out == (
        "architecture 'acme_net' of acme 1.0: acme_n:Net\n"
        "\n"
        "A net of its own kind.\n"
        "\n"
        "It has layers.\n"
        "\n"
        "  --architecture.num_outputs  (int; decided by the task)\n"
        "      Width of the output.\n"
        "  --architecture.in_channels  (int; filled from the data)\n"
        "      Channels.\n"
        "  --architecture.depth  (int; default 3)\n"
        "      How many layers.\n"
        "\n"
        "It takes further arguments unchecked, under dict_kwargs.\n"
        "\n"
        "filled from the data: in_channels\n"
        "decided by the task: num_outputs\n"
        "references:   Nets. See Acme 2020, arXiv:2001.00001, for all of them.\n"
        "reaches:      0.97 with configs/a.yaml.\n"
        "used in:      configs/a.yaml\n"
        "try:          python -m dlplug fit --config configs/a.yaml\n"
    )


def test_help_and_describe_show_one_page(command, acme):
    """Whichever way one asks."""
    page = command("fit", "--architecture.help", "acme_net").out
    assert page == command("describe", "architectures", "acme:acme_net").out


def test_json_holds_the_same(command, acme):
    """As one object."""
    data = command("describe", "architecture", "acme_net", "--json").json
    assert data["id"] == "acme:acme_net" and data["reaches"] == "0.97 with configs/a.yaml."
    assert [a["filled_by"] for a in data["arguments"]] == ["task", "data", None]
    assert data["arguments"][2]["schema"] == {"type": "integer", "default": 3}


@pytest.mark.parametrize(("kind", "name"), [("architecture", "acme_bare"), ("loss", "acme_markup")])
def test_bad_docstrings_do_no_harm(command, acme, kind, name):
    """None at all, markup, control characters."""
    done = command("describe", kind, name)
    assert done.code == 0 and "\x1b" not in done.out and ".x  (any" in done.out


def test_a_kind_alone_lists_its_components(command):
    """With summaries, in either form of the word, and as JSON."""
    done = command("describe", "loss")
    assert done.out == command("describe", "losses").out
    assert all(f"\n  {row.name} " in done.out for row in TABLE if row.kind == "losses")
    assert "\n  vit " not in done.out
    names = [c["name"] for c in command("describe", "loss", "--json").json["components"]]
    assert names == Registry.discover().names("loss")


@pytest.mark.parametrize("row", TABLE, ids=lambda row: f"{row.kind}-{row.name}")
def test_every_built_in_component_can_be_described(row, command):
    """Or says which library it lacks."""
    done = command("describe", row.kind, row.name)
    if done.code:
        assert "missing-extra" in done.err
    else:
        assert f"{row.name}'" in done.out.splitlines()[0]
        assert done.out.splitlines()[-1].startswith(("try:  ", "      "))


@pytest.mark.parametrize(
    ("arguments", "text"),
    [
        ([], "describe needs a kind of component"),
        (["archtecture", "vit"], "did you mean 'architecture'?"),
        (["architecture", "vitt"], "did you mean 'vit'?"),
        (["rednet"], "did you mean 'describe architecture resnet'?"),
        (["focal"], "did you mean 'describe loss focal'?"),
        (["loss", "vit"], "'vit' belongs under architecture"),
        (["loss", "focal", "more"], "unexpected argument 'more'"),
        (["loss", "--jsn"], "did you mean '--json'?"),
    ],
)
def test_typing_errors_get_a_suggestion(command, arguments, text):
    """Of the kind, the name and the options."""
    done = command("describe", *arguments)
    assert done.code == 2 and text in done.err


def test_the_command_shown_works(command):
    """For what fits any data it can be pasted as it stands."""
    from dlplug.cli.component_help import GENERAL

    shown = command("describe", "scheduler", "step").out.splitlines()[-1].split()
    assert shown[:4] == ["try:", "python", "-m", "dlplug"] and "schedulers" in GENERAL
    assert command(*shown[4:], "--print_config").code == 0


def test_help_is_printed(command):
    """With the kinds."""
    out = command("describe", "--help").out
    assert out.startswith("usage: python -m dlplug describe KIND\n") and "optimizer" in out
