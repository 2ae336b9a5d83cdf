"""Names that modules of hooks offer are known without importing them again."""

import json
import os
import subprocess
import sys
from pathlib import Path

import pytest

from dlplug.cli import main
from dlplug.cli.candidates import candidates
from dlplug.config.facts_cache import FactsCache
from dlplug.config.schema import config_schema
from dlplug.errors import PluginError, UnknownComponentError
from dlplug.plugin import Registry, Status

ROOT = Path(__file__).parents[2]
HOOKS = """
from pathlib import Path
from dlplug import hookimpl
from dlplug.plugin import Offer

with open({log!r}, "a") as log:
    log.write("imported\\n")


@hookimpl
def dlplug_components(kind):
    if kind == "losses":
        return [Offer(f"acme.{{word}}", "acme_models:Loss", "One of acme's.") for word in {words!r}]
"""
WORDS = ("dice", "focal", "tversky")
MANY = tuple(f"net{number}" for number in range(40))


@pytest.fixture
def install(fake_distribution, tmp_path):
    """Install a module of hooks that counts how often it is imported."""

    def install(
        group="dlplug", words=WORDS, version="1.0", source=HOOKS, target="acme_hooks", **arguments
    ):
        log = str(tmp_path / "log")
        hooks = source.format(log=log, words=words)
        return fake_distribution(
            "acme",
            version,
            entry_points={group: {"family": target}},
            modules={"acme_hooks": hooks, "acme_models": "class Loss: pass"},
            folder=f"site-{version}-{len(words)}",
            **arguments,
        )

    return install


@pytest.fixture
def imports(tmp_path, fake_distribution):
    """How often the module was imported; it is forgotten by each call."""

    def count():
        fake_distribution.forget_modules()
        log = tmp_path / "log"
        return len(log.read_text().splitlines()) if log.exists() else 0

    return count


def load_once():
    """What a command that runs something does."""
    registry = Registry.discover()
    registry.load_hooks()
    return registry


def offered(registry):
    return [c.name for c in registry.components("losses") if c.distribution == "acme"]


def test_names_are_known_after_one_load(install, imports):
    """The next process knows name, target and summary, and that they are not from the hook."""
    install()
    assert offered(Registry.discover()) == [] and imports() == 0
    load_once()
    assert imports() == 1
    registry = Registry.discover()
    assert offered(registry) == ["acme.dice", "acme.focal", "acme.tversky"]
    (dice, *_) = (c for c in registry.components("losses") if c.name == "acme.dice")
    assert (dice.target, dice.summary) == ("acme_models:Loss", "One of acme's.")
    assert dice.is_recalled and dice.offered_by == "acme:family"
    assert dice.status is Status.AVAILABLE and registry.names_are_known()
    assert imports() == 1


def test_a_suggestion_needs_no_import(install, imports):
    """A misspelt name of a family gets the nearest one."""
    install()
    load_once()
    assert imports() == 1
    with pytest.raises(UnknownComponentError, match=r"did you mean 'acme\.tversky'"):
        Registry.discover().find("loss", "acme.tverski")
    assert imports() == 1


@pytest.mark.parametrize("change", ["version", "requirement", "installed", "extra", "files"])
def test_names_of_another_version_do_not_count(install, imports, fake_distribution, change):
    """Of the plugin, of what it or an extra requires, be it missing before, or of its own files."""
    requires = ["acme-library", 'acme-speed; extra == "fast"']
    given = {"requires": requires, "extras": ["fast"], "target": "acme_hooks [fast]"}
    fake_distribution("acme-speed", "1.0", folder="library")
    if change == "requirement":
        fake_distribution("acme-library", "1.0", folder="library")
    site = install(**given)
    load_once()
    assert offered(Registry.discover()) != []
    if change == "version":
        install(version="1.1", **given)
    elif change == "extra":
        fake_distribution("acme-speed", "1.1", folder="newer")
    elif change == "requirement":
        fake_distribution("acme-library", "1.1", folder="newer")
    elif change == "installed":
        fake_distribution("acme-library", "1.0", folder="library")
    else:
        (site / "acme_more.py").touch()
    registry = Registry.discover()
    assert offered(registry) == [] and not registry.names_are_known()
    assert imports() == 1
    assert offered(load_once()) != [] and imports() == 2


def test_a_module_of_the_index_is_asked_without_a_load(install, imports):
    """Once; from then on not even that is imported."""
    install("dlplug.index")
    registry = Registry.discover()
    assert imports() == 0
    assert offered(registry) == ["acme.dice", "acme.focal", "acme.tversky"]
    assert registry.names_are_known() and registry.hook_modules() == []
    assert imports() == 1
    assert offered(Registry.discover()) == ["acme.dice", "acme.focal", "acme.tversky"]
    assert imports() == 1
    assert [entry.id for entry in load_once().hook_modules()] == ["acme:family"]


def test_one_name_may_stand_in_both_groups(fake_distribution):
    """Each module keeps its own names, so that nothing is declared twice in the next process."""
    source = (
        "from dlplug import hookimpl\n\n\n@hookimpl\ndef dlplug_components(kind):\n"
        "    return {{'acme.{0}': 'acme_models:Loss'}} if kind == 'losses' else None\n"
    )
    fake_distribution(
        "acme",
        entry_points={"dlplug": {"acme": "acme_late"}, "dlplug.index": {"acme": "acme_early"}},
        modules={f"acme_{word}": source.format(word) for word in ("early", "late")},
    )
    load_once()
    registry = Registry.discover()
    assert offered(registry) == ["acme.early", "acme.late"]
    assert [e for e in registry.problems() if e.distribution == "acme"] == []


def twin_problems(registry):
    return [e for e in registry.problems() if e.distribution.startswith("acme")]


def test_a_module_that_two_lines_name_is_asked_once(install, imports, fake_distribution):
    """Its names are there once, in this process and in the next."""
    install("dlplug.index")
    fake_distribution("acme-twin", entry_points={"dlplug.index": {"family": "acme_hooks"}})
    for _ in range(2):
        registry = Registry.discover()
        assert registry.find("loss", "acme.dice").distribution == "acme"
        assert twin_problems(registry) == [] and registry.names_are_known()
        assert imports() == 1


def test_a_module_under_two_targets_is_a_conflict(install, fake_distribution):
    """As it is where hooks are loaded; the names of the first line are there."""
    install("dlplug.index")
    fake_distribution(
        "acme-twin",
        entry_points={"dlplug.index": {"family": "acme_again:hooks"}},
        modules={"acme_again": "import acme_hooks as hooks"},
    )
    registry = Registry.discover()
    assert offered(registry) == ["acme.dice", "acme.focal", "acme.tversky"]
    (twin,) = twin_problems(registry)
    assert (twin.distribution, twin.status) == ("acme-twin", Status.CONFLICT)


def test_half_an_answer_is_not_kept(install, private_memory):
    """The index would take it for all that the module offers."""
    install(source=HOOKS + "    if kind == 'metrics':\n        raise OSError('no catalogue')\n")
    registry = load_once()
    assert [c.name for c in registry.components("losses") if c.offered_by == "acme:family"]
    files = (private_memory / "dlplug").glob("index-*.json")
    assert not any("acme_hooks" in file.read_text() for file in files)


def test_a_file_beside_a_plugin_file_changes_nothing(tmp_path, monkeypatch):
    """Its hash says what it offers."""
    monkeypatch.chdir(tmp_path)
    text = HOOKS.format(log=str(tmp_path / "log"), words=WORDS)
    (tmp_path / "mine.py").write_text(text)
    registry = Registry.discover(files=["mine.py"])
    registry.load_hooks()
    (tmp_path / "notes.txt").touch()
    registry = Registry.discover(files=["mine.py"])
    assert "mine.py:acme.dice" in [c.id for c in registry.components("losses")]
    (tmp_path / "mine.py").write_text(f"{text}# changed\n")
    registry = Registry.discover(files=["mine.py"])
    assert "mine.py:acme.dice" not in [c.id for c in registry.components("losses")]


def test_completion_asks_no_module(install, imports):
    """A config on the line may block it; what is known already is offered."""
    install("dlplug.index")
    assert candidates(["fit", "--loss", "acme.d"]) == [] and imports() == 0
    assert offered(Registry.discover()) != [] and imports() == 1
    assert [c.value for c in candidates(["fit", "--loss", "acme.d"])] == ["acme.dice"]
    assert imports() == 1


def test_strict_mode_asks_no_module_before_the_config_is_read(install, imports, tmp_path):
    """It may block the module."""
    install("dlplug.index")
    config = tmp_path / "x.yaml"
    config.write_text("data: digits\nplugins: {block: [acme]}\nloss: acme.dice\n")
    assert main(["fit", "--strict", "--allow", "acme", "--config", str(config)]) == 2
    assert imports() == 0


@pytest.mark.parametrize("ask", ["components", "restrict"])
def test_a_module_of_the_index_that_fails_is_fatal_in_strict_mode(install, ask):
    """As soon as it is asked."""
    install("dlplug.index", source=HOOKS + "raise OSError('no catalogue')\n")
    registry = Registry.discover(allow=["acme"], strict=True)
    with pytest.raises(PluginError, match=r"acme 1\.0, hooks 'family': failed: OSError: no c"):
        registry.components("losses") if ask == "components" else registry.restrict(strict=True)


def test_the_line_of_a_module_says_its_group(install):
    """So that a message leads to the right table of the pyproject."""
    install("dlplug.index")
    (entry,) = [e for e in Registry.discover().entries() if e.distribution == "acme"][-1:]
    assert entry.entry_point == "dlplug.index: family = acme_hooks"


def test_a_module_of_the_index_that_fails_is_told_once(install, imports, tmp_path):
    """The list goes on without it, and does not try again; commands that run something do."""
    install("dlplug.index", source=HOOKS + "raise OSError('no catalogue')\n")
    registry = Registry.discover()
    assert offered(registry) == [] and "focal" in registry.names("losses")
    (problem,) = [e for e in registry.problems() if e.distribution == "acme"]
    assert "no catalogue" in problem.reason
    assert imports() == 1
    again = Registry.discover()
    assert offered(again) == [] and "when last used" in again.problems()[0].reason
    assert imports() == 1
    load_once()
    assert imports() == 2


def test_names_of_a_module_that_has_failed_since_are_not_shown(install, monkeypatch):
    """They would be promised in vain; the reason stands in the list instead."""
    install(source=HOOKS + "\nimport os\nassert not os.environ.get('ACME_BROKEN'), 'no licence'\n")
    load_once()
    assert offered(Registry.discover()) != []
    monkeypatch.setenv("ACME_BROKEN", "1")
    sys.modules.pop("acme_hooks")
    load_once()
    registry = Registry.discover()
    assert offered(registry) == []
    assert [e.id for e in registry.problems()] == ["acme:family"]


@pytest.mark.parametrize("block", ["acme", "acme:family"])
@pytest.mark.parametrize("group", ["dlplug", "dlplug.index"])
def test_a_blocked_module_is_neither_asked_nor_recalled(install, imports, group, block):
    """Whether it was loaded before or not."""
    install(group)
    assert offered(Registry.discover(block=[block])) == [] and imports() == 0
    load_once()
    registry = Registry.discover(block=[block])
    assert offered(registry) == [] and registry.names_are_known()


def test_a_config_can_block_a_module_before_it_is_asked(install, imports, tmp_path):
    """Looking up the command itself imports nothing, since no config is read by then."""
    install("dlplug.index")
    (tmp_path / "x.yaml").write_text("data: digits\nplugins: {block: [acme]}\nloss: acme.dice\n")
    assert main(["fit", "--config", str(tmp_path / "x.yaml")]) == 2
    assert imports() == 0
    (tmp_path / "x.yaml").write_text("data: digits\nloss: acme.none\n")
    assert main(["fit", "--config", str(tmp_path / "x.yaml")]) == 2
    assert imports() == 1


def test_a_blocked_name_of_the_index_is_disabled(install):
    """As the same name from the hook is."""
    install()
    load_once()
    registry = Registry.discover(block=["acme:acme.dice"])
    states = {c.name: c.status for c in registry.components("losses") if c.offered_by}
    assert states["acme.dice"] is Status.DISABLED and states["acme.focal"] is Status.AVAILABLE


def test_the_hook_decides_once_it_is_loaded(install, private_memory):
    """What the file says is replaced by the answer, there and in the file."""
    install()
    load_once()
    (file,) = (private_memory / "dlplug").glob("index-*.json")
    content = json.loads(file.read_text())
    (entry,) = content.values()
    entry["offers"]["losses"] = [["acme.gone", "acme_models:Gone", ""]]
    file.write_text(json.dumps(content))
    assert offered(Registry.discover()) == ["acme.gone"]
    assert "acme.gone" not in offered(load_once())
    assert "acme.gone" not in offered(Registry.discover())


@pytest.mark.parametrize(
    "content", ["", "[]", "{]", '{"acme:family acme_hooks": 3}', '{"acme:family acme_hooks": {}}']
)
def test_a_damaged_file_is_no_harm(install, private_memory, content):
    """Nothing is known then, and the next load mends it."""
    install()
    load_once()
    (file,) = (private_memory / "dlplug").glob("index-*.json")
    file.write_text(content)
    assert offered(Registry.discover()) == []
    load_once()
    assert offered(Registry.discover()) != []


def test_offers_of_a_wrong_form_in_the_file_are_left_out(install, private_memory):
    """Names that a hook could not offer are not taken from the file either."""
    install()
    load_once()
    (file,) = (private_memory / "dlplug").glob("index-*.json")
    text = file.read_text().replace("acme.dice", "acme:dice")
    file.write_text(text)
    assert offered(Registry.discover()) == []


def test_listing_completion_and_schema_import_nothing(install, imports, tmp_path, capsys):
    """All of the family's names are there, and its module was imported by the load alone."""
    install(words=MANY)
    load_once()
    assert imports() == 1
    assert main(["plugins", "list", "--name", "acme.net1*"]) == 0
    assert capsys.readouterr().out.count("One of acme's.") == 11
    values = [c.value for c in candidates(["fit", "--loss", "acme.net3"])]
    assert values == ["acme.net3", *(f"acme.net{n}" for n in range(30, 40))]
    schema = config_schema(Registry.discover(), FactsCache(tmp_path / "facts.json"))
    known = json.dumps(schema["$defs"]["losses"])
    assert all(f'"acme.{word}"' in known for word in MANY)
    assert main(["fit", "--help"]) == 0
    assert "acme.* (40 names)" in capsys.readouterr().out
    assert imports() == 1


def test_info_of_a_recalled_name_asks_the_hook(install, imports, capsys):
    """Only the module of hooks knows what stands behind a name."""
    install()
    load_once()
    assert imports() == 1
    assert main(["plugins", "info", "acme.dice"]) == 0
    assert "loaded" in capsys.readouterr().out and imports() == 2


def test_a_command_of_a_family_is_run_by_its_hook(fake_distribution, imports, tmp_path, capsys):
    """The index tells that there is one; the hook, which function it is."""
    source = f"""
        from dlplug import hookimpl

        def run(argv, registry):
            print("ran", *argv)

        with open({str(tmp_path / "log")!r}, "a") as log:
            log.write("imported\\n")

        @hookimpl
        def dlplug_components(kind):
            if kind == "commands":
                return {{"acme_run": lambda argv, registry: run(argv, registry)}}
    """
    fake_distribution(
        "acme", entry_points={"dlplug": {"hooks": "acme_run"}}, modules={"acme_run": source}
    )
    for number in (1, 2):
        assert main(["acme_run", "fast"]) == 0
        assert capsys.readouterr().out == "ran fast\n" and imports() == number


def test_a_fresh_process_lists_a_family_without_its_module_and_without_torch(install, tmp_path):
    """``plugins list``, completion and the help page, asked of a new interpreter."""
    site = install(words=MANY)
    environment = os.environ | {"PYTHONPATH": f"{site}{os.pathsep}{ROOT}"}
    code = (
        "import sys\n"
        "from dlplug.cli import main\n"
        "for line in sys.argv[1:]: main(line.split())\n"
        "print(sorted({'torch', 'lightning', 'acme_hooks', 'acme_models'} & sys.modules.keys()))"
    )

    def run(*lines):
        command = [sys.executable, "-c", code, *lines]
        done = subprocess.run(command, capture_output=True, text=True, env=environment)
        assert done.returncode == 0, done.stderr
        return done.stdout.splitlines()

    assert run("plugins info acme.net1")[-1] == "['acme_hooks', 'acme_models']"
    *text, last = run("plugins list", "__complete zsh -- fit --loss acme.net39", "fit --help")
    assert last == "[]"
    assert any(line.split()[:1] == ["acme.*"] and "40 names" in line for line in text)
    assert "acme.net39\tOne of acme's." in text
