"""The configs of the repository."""

from pathlib import Path

import pytest

from dlplug.config import load
from dlplug.plugin import Registry

FILES = sorted((Path(__file__).parents[2] / "configs").glob("*.yaml"))


@pytest.mark.parametrize("path", FILES, ids=lambda path: path.stem)
def test_every_config_builds(path, private_memory):
    """Names resolve, types fit, and everything is built, on a machine without a GPU too."""
    made = load([path], [], Registry.discover())
    made.build_task()
    made.build_callbacks()
    assert made.name == path.stem


def test_the_example_of_the_readme_builds(tmp_path, private_memory):
    """The page that explains configs shows one that works."""
    page = (Path(load.__code__.co_filename).parent / "README.md").read_text()
    (tmp_path / "example.yaml").write_text(page.split("```yaml\n")[1].split("```")[0])
    made = load([tmp_path / "example.yaml"], [("trainer.accelerator", "cpu")], Registry.discover())
    assert made.build_task() and len(made.build_callbacks()) == 2


def test_there_are_configs():
    """The test above can fail."""
    assert {"digits_mlp", "mnist_vit"} <= {path.stem for path in FILES}
