"""Examples are read from a package without importing it, and every wrong word is named."""

import sys

import pytest

from dlplug.errors import ConfigError
from dlplug.plugin import Registry
from dlplug.testing.check import check_distribution, components_of
from dlplug.testing.example import FILE, Example, examples_of, read_examples

# What its imports cost is asked by the tests of dlplug/testing/imports.py.
pytestmark = pytest.mark.usefixtures("forked_report")


@pytest.fixture
def components(fake_distribution):
    """Of a package with an architecture."""
    lines = {"dlplug.architectures": {"net": "acme_examples.net:Net"}}
    site = fake_distribution("acme", entry_points=lines, modules={"acme_examples.net": "Net = 1"})
    (site / "acme_examples" / FILE).write_text(
        "architectures:\n  net: {inputs: tokens, arguments: {rate: 1e-3}}\n"
    )
    return components_of(Registry.discover(), "acme")


def test_the_package_is_not_imported(components):
    """Its file is found beside its code; numbers are read as in configs."""
    expected = Example(arguments={"rate": 1e-3}, inputs="tokens")
    assert examples_of(components) == {("architectures", "net"): expected}
    assert "acme_examples" not in sys.modules


def test_an_empty_key_is_none(components, tmp_path):
    """As if it was left out."""
    path = tmp_path / "x.yaml"
    path.write_text("architectures:\n  net: {exempt: , arguments: , files: }\n")
    assert read_examples(path, components) == {("architectures", "net"): Example()}


def test_a_file_that_is_a_plugin_has_no_examples_of_dlplugs(tmp_path, private_memory):
    """Though its module stands below dlplug's."""
    file = tmp_path / "my_net.py"
    file.write_text('class Net: ...\n\ndlplug_components = {"architecture": Net}\n')
    components = components_of(Registry.discover(files=[file]), "my_net.py")
    assert len(components) == 1 and examples_of(components) == {}


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("- net", "mapping"),
        ("nets: {}", "no kind 'nets'"),
        ("architectures: {ned: {}}", "did you mean 'net'"),
        ("architectures: {net: {input: image}}", "did you mean 'inputs'"),
        ("architectures: {net: {inputs: picture}}", "no architectures.net.inputs 'picture'"),
        ("architectures: {net: {exempt: {compile: slow}}}", "did you mean 'compiles'"),
        ("architectures: {net: {config: {data: x, model: y}}}", "no slot of a config 'model'"),
        ("architectures: {net: {arguments: [1]}}", "net.arguments must be a mapping"),
        ("architectures: {net: 3}", "architectures.net must be a mapping"),
        ("architectures: {net: {files: {../x.csv: a}}}", "files has '../x.csv'"),
        ("architectures: {net: {files: {/x.csv: a}}}", "files has '/x.csv'"),
        ("architectures: {net: {files: {x.csv: 3}}}", "'x.csv': int, which is no text"),
        ("architectures: {net: {prepare: 'os:remove'}}", "prepare is 'os:remove', which is no f"),
        ("architectures: {net: {prepare: 'acme_examples_2:f'}}", "no function of this distrib"),
        ("architectures: {net: {prepare: acme_examples}}", "no function of this distribution"),
        ("architectures: {net: {prepare: 3}}", "no function of this distribution"),
    ],
)
def test_wrong_words_are_named(components, tmp_path, text, message):
    """With the file, what is known and the nearest."""
    path = tmp_path / "x.yaml"
    path.write_text(text)
    with pytest.raises(ConfigError, match=message) as caught:
        read_examples(path, components)
    assert str(path) in str(caught.value)


def test_files_are_written_before_it_is_built(fake_distribution, tmp_path):
    """{folder} in an argument is where they are."""
    source = '''
        from pathlib import Path
        from torch import nn

        class Reader(nn.Linear):
            """Reads its width from a file."""

            def __init__(self, num_features: int, num_outputs: int, path: str):
                super().__init__(num_features, num_outputs, bias=Path(path).read_text() == "yes")
    '''
    lines = {"dlplug.architectures": {"reader": "acme_reader:Reader"}}
    fake_distribution("acme", entry_points=lines, modules={"acme_reader": source})
    path = tmp_path / "x.yaml"
    path.write_text(
        "architectures:\n  reader:\n    arguments: {path: '{folder}/bias.txt'}\n"
        "    files: {bias.txt: 'yes'}\n    exempt: {tells_its_parameters: 'a test'}\n"
    )
    verdicts = check_distribution(Registry.discover(), "acme", path)
    assert [v for v in verdicts if v.is_failure] == []
    assert any(v.reason == "its authors say: a test" for v in verdicts)


def test_a_function_of_the_distribution_prepares_the_folder(components, tmp_path):
    """In any of its modules; it is called when the component is built."""
    path = tmp_path / "x.yaml"
    path.write_text("architectures: {net: {prepare: 'acme_examples.files:write'}}")
    (example,) = read_examples(path, components).values()
    assert example.prepare == "acme_examples.files:write" and "acme_examples" not in sys.modules


def test_further_slots_are_written_as_in_a_config(fake_distribution, tmp_path):
    """A slot for several components takes one without brackets."""
    from dlplug.testing.subject import Subject
    from dlplug.testing.training import experiment_of

    registry = Registry.discover()
    (mlp,) = [c for c in registry.components("architectures") if c.name == "mlp"]
    example = Example(inputs="table", arguments={"hidden": [4]}, config={"metrics": "accuracy"})
    experiment = experiment_of(Subject(mlp, registry, example, tmp_path))
    assert [metric["name"] for metric in experiment.resolved["metrics"]] == ["dlplug:accuracy"]
