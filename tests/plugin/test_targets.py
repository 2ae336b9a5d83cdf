"""Reading entry_points.txt, and importing what a line names."""

import pytest

from dlplug.plugin.targets import Line, import_target, parse_entry_points


def test_only_groups_of_dlplug_are_read():
    """Lines of other groups, comments and empty lines are passed over."""
    text = """
    [console_scripts]
    acme = acme.cli:main

    [dlplug.losses]
    # a comment
    ; another
    dice = acme.losses:Dice
    [dlplugin.losses]
    other = x:y
    [dlplug]
    hooks = acme.hooks
    """
    assert parse_entry_points(text) == [
        Line("dlplug.losses", "dice", "acme.losses:Dice"),
        Line("dlplug", "hooks", "acme.hooks"),
    ]


def test_extras_stand_in_brackets():
    """The extras of a line are read apart from its target."""
    (line,) = parse_entry_points("[dlplug.losses]\ndice = acme.losses : Dice [onnx, fast]")
    assert (line.target, line.extras) == ("acme.losses:Dice", ("onnx", "fast"))


@pytest.mark.parametrize("raw", ["no equals sign", "name = a b c", "name = a:b:c", "name ="])
def test_a_malformed_line_is_kept_with_its_problem(raw):
    """One malformed line is named; the lines around it are read."""
    first, bad, last = parse_entry_points(f"[dlplug.losses]\na = m:A\n{raw}\nz = m:Z")
    assert (first.name, last.name) == ("a", "z")
    assert bad.problem == f"malformed entry point {raw!r}"


def test_what_importlib_reads_is_read_alike(fake_distribution):
    """Targets and extras agree with importlib.metadata."""
    from importlib import metadata

    text = "[dlplug.losses]\na = m:A.b\nb=n.o:P [x,y]\n c = p\n"
    fake_distribution("acme", entry_points=text)
    theirs = {
        (e.name, e.value.split("[")[0].strip(), tuple(e.extras))
        for e in metadata.distribution("acme").entry_points
    }
    assert {(e.name, e.target, e.extras) for e in parse_entry_points(text)} == theirs


def test_a_target_may_be_a_module_or_a_nested_attribute(fake_distribution):
    """``module``, ``module:attr`` and ``module:attr.attr`` are imported."""
    fake_distribution("acme", modules={"acme_targets.deep": "class A:\n    class B: pass"})
    module = import_target("acme_targets.deep")
    assert import_target("acme_targets.deep:A") is module.A
    assert import_target("acme_targets.deep:A.B") is module.A.B


def test_a_missing_attribute_gets_a_suggestion(fake_distribution):
    """The error names the module, the attribute and the nearest one."""
    fake_distribution("acme", modules={"acme_targets": "class FocalLoss: pass"})
    with pytest.raises(AttributeError) as caught:
        import_target("acme_targets:FocallLoss")
    assert str(caught.value) == (
        "'acme_targets' has no attribute 'FocallLoss'; did you mean 'FocalLoss'?"
    )


def test_a_lazy_module_that_fails_keeps_its_own_message(fake_distribution):
    """It has the attribute; making it raised the same kind of exception."""
    source = """
        def __getattr__(name):
            if name == "Net":
                return None.weights
            if name == "Twin":
                return None.Twin
            if name == "Terse":
                raise AttributeError
            raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
    """
    fake_distribution("acme", modules={"acme_lazy": source})
    with pytest.raises(AttributeError, match="'NoneType' object has no attribute 'weights'"):
        import_target("acme_lazy:Net")
    with pytest.raises(AttributeError, match="'NoneType' object has no attribute 'Twin'"):
        import_target("acme_lazy:Twin")
    with pytest.raises(AttributeError, match=r"^'acme_lazy' has no attribute 'Terse'"):
        import_target("acme_lazy:Terse")
    with pytest.raises(AttributeError, match=r"^'acme_lazy' has no attribute 'Nets'"):
        import_target("acme_lazy:Nets")
