"""Config files: every fault names file and line."""

import sys

import pytest

from dlplug.config.document import load_file, parse
from dlplug.errors import ConfigError


@pytest.fixture
def usual_depth():
    """Of recursion: torch's compiler raises the limit for the whole process."""
    limit = sys.getrecursionlimit()
    sys.setrecursionlimit(1000)
    yield
    sys.setrecursionlimit(limit)


@pytest.mark.parametrize(
    ("text", "message"),
    [
        (
            "a: 1\nb:\n\tc: 2\n",
            "a tab stands where YAML needs spaces\n"
            "  where: {path}, line 3\n"
            "  fix:   indent with spaces",
        ),
        (
            "a: 1\nb: 2\na: 3\n",
            "key 'a' stands twice in one mapping\n"
            "  where: {path}, line 3 and line 1\n"
            "  fix:   delete one of the two",
        ),
        (
            "- a\n- b\n",
            "a config is a mapping of keys, this is a list\n"
            "  where: {path}, line 1\n"
            "  fix:   write one 'key: value' per line, for example 'architecture: vit'",
        ),
        (
            "just text\n",
            "a config is a mapping of keys, this is a str\n"
            "  where: {path}, line 1\n"
            "  fix:   write one 'key: value' per line, for example 'architecture: vit'",
        ),
        (
            "a: [1,\nb: 2\n",
            "not valid YAML: expected ',' or ']', but got '<stream end>'"
            " (while parsing a flow sequence begun in line 1)\n"
            "  where: {path}, line 3",
        ),
        (
            "a: b: c\n",
            "not valid YAML: mapping values are not allowed here\n  where: {path}, line 1",
        ),
        (
            "a: 1\n---\nb: 2\n",
            "not valid YAML: but found another document (expected a single document in the stream"
            " begun in line 1)\n  where: {path}, line 2",
        ),
        (
            "a: !!python/object/apply:os.system [ls]\n",
            "the YAML tag '!!python/object/apply:os.system' is not plain data\n"
            "  where: {path}, line 1",
        ),
        ("a: !!int x\n", "'x' is not a int\n  where: {path}, line 1"),
        (
            "[a, b]: 1\n",
            "a key must be a word, not a list or mapping\n  where: {path}, line 1",
        ),
        ("a: &x [*x]\n", "an alias repeats itself without end\n  where: {path}, line 1"),
        ("a:\n  <<: 3\n", "'<<' needs a mapping\n  where: {path}, line 2"),
        ("[" * 700, "values are nested too deeply\n  where: {path}"),
    ],
)
def test_a_faulty_file_is_refused_with_file_and_line(text, message, tmp_path, usual_depth):
    """What is wrong with the text, where, and the fix."""
    path = tmp_path / "a.yaml"
    path.write_text(text)
    with pytest.raises(ConfigError) as caught:
        load_file(path)
    assert str(caught.value) == message.format(path=path)


def test_aliases_that_multiply_are_stopped():
    """Thirty doublings would be a thousand million values."""
    lines = ["a0: &a0 [x, x]"] + [f"a{i}: &a{i} [*a{i - 1}, *a{i - 1}]" for i in range(1, 30)]
    with pytest.raises(ConfigError, match="more than 20000 values in one config"):
        parse("\n".join(lines), "a.yaml")


def test_a_missing_file_names_its_neighbours(tmp_path):
    """A typing error in the path gets the nearest file of the folder."""
    (tmp_path / "mnist_vit.yaml").touch()
    with pytest.raises(ConfigError) as caught:
        load_file(tmp_path / "mnist_vi.yaml")
    assert str(caught.value) == (
        f"no config file '{tmp_path}/mnist_vi.yaml'\n"
        f"  where: in {tmp_path}\n"
        "  known: mnist_vit.yaml\n"
        "  fix:   did you mean 'mnist_vit.yaml'?"
    )


def test_a_folder_and_a_binary_file_are_refused(tmp_path):
    """What is there but is no text is told apart from what is missing."""
    (tmp_path / "b.yaml").write_bytes(b"a: \xff")
    with pytest.raises(ConfigError, match=r"cannot read config file .*: Is a directory"):
        load_file(tmp_path)
    with pytest.raises(ConfigError, match=r"b\.yaml' is not UTF-8 text"):
        load_file(tmp_path / "b.yaml")


def test_an_empty_file_is_an_empty_config(tmp_path):
    """A file of comments says nothing, which is no error."""
    (tmp_path / "a.yaml").write_text("# nothing yet\n")
    assert load_file(tmp_path / "a.yaml").plain() == {}


def test_each_value_knows_the_line_of_its_key():
    """The origin of a value is where its key stands, also when the value begins below."""
    tree = parse("a:\n  b:\n    - x\n    - y\n  c: 1\n", "f.yaml")
    lines = {
        path: tree.nearest(path.split(".")).origin.line
        for path in ("a", "a.b", "a.b.0", "a.b.1", "a.c")
    }
    assert lines == {"a": 1, "a.b": 2, "a.b.0": 3, "a.b.1": 4, "a.c": 5}


def test_merge_keys_and_anchors_work():
    """<< takes over a mapping; own keys win, of several mappings the first wins."""
    text = "x: &x {k: 1, l: 2}\ny: &y {k: 3, m: 4}\nz:\n  <<: [*x, *y]\n  l: 5\n"
    assert parse(text, "f").plain()["z"] == {"k": 1, "l": 5, "m": 4}
