"""The benchmark of trainings compares the same training, with other ops."""

import json
from contextlib import nullcontext
from unittest import mock

import pytest
import torch

from dlplug import ops
from dlplug.architectures.vit import ViT
from dlplug.ops import _backend
from dlplug.optim import FusedAdamW
from tests.bench import page, record, training, training_record
from tests.bench.training import TORCH_OPS, torch_ops


def vit():
    torch.manual_seed(0)
    return ViT(image_size=8, in_channels=1, num_outputs=3, patch_size=4, dim=8, depth=2, heads=2)


def test_pytorchs_ops_compute_the_same_and_dlplugs_are_not_called():
    """Within the patches; afterwards everything is as before."""
    model, images = vit(), torch.randn(2, 1, 8, 8)
    expected = model(images)
    route = _backend.Op.route
    spy = mock.patch.object(_backend.Op, "route", autospec=True, side_effect=route)
    with ops.use_backend("cpu"), spy as routed:  # small calls would be left to PyTorch unseen
        with torch_ops(FusedAdamW(model.parameters())):
            torch.testing.assert_close(model(images), expected)
        assert not routed.called
        model(images)
        assert routed.called


@pytest.mark.parametrize("op", [op for op in TORCH_OPS if "norm" in op.__name__])
def test_each_op_has_its_equal(op):
    """Same arguments, same numbers."""
    x, residual, weight = torch.randn(3, 5, 8), torch.randn(3, 5, 8), torch.rand(8)
    arguments = ([x, residual],) if op is ops.total_norm else (x, weight)
    if op.__name__.startswith("add"):
        arguments = (x, residual, weight)
    torch.testing.assert_close(TORCH_OPS[op](*arguments), op(*arguments))


def test_what_pytorch_cannot_express_is_refused():
    """Rather than left out."""
    q = torch.randn(1, 1, 4, 8)
    with pytest.raises(NotImplementedError, match="window"):
        TORCH_OPS[ops.attention](q, q, q, window=2)


def test_the_step_is_the_same_and_pytorchs():
    """Clipped, as FusedAdamW's, also after a scheduler has wrapped the step; not afterwards."""
    models = [vit(), vit()]
    for model, is_torchs in zip(models, (False, True), strict=True):
        optimizer = FusedAdamW(model.parameters(), lr=0.01, max_grad_norm=0.5)
        torch.optim.lr_scheduler.LambdaLR(optimizer, lambda step: 1.0)
        model(torch.ones(2, 1, 8, 8)).square().sum().backward()
        spy = mock.patch.object(training, "step", side_effect=training.step)
        with spy as torchs, torch_ops(optimizer) if is_torchs else nullcontext():
            optimizer.step()
        assert torchs.called == is_torchs
        optimizer.step()
        assert torchs.call_count == is_torchs
    for ours, theirs in zip(models[0].parameters(), models[1].parameters(), strict=True):
        torch.testing.assert_close(ours, theirs)
    assert not torch.equal(next(models[0].parameters()), next(vit().parameters()))


def test_a_training_is_recorded(tmp_path, monkeypatch):
    """Each config and number of threads has its row, and is replaced when it is measured anew."""
    monkeypatch.setattr(record, "FOLDER", tmp_path)
    monkeypatch.setattr(page, "FOLDER", tmp_path)
    monkeypatch.setattr(page, "PAGE", tmp_path / "README.md")
    short = ["--rounds", "1", "--seconds", "0", "--record", "here", "--threads"]
    threads = torch.get_num_threads()
    try:
        training.main(["digits_mlp", *short, "1", "2"])
        training.main(["digits_mlp", *short, "1"])
    finally:
        torch.set_num_threads(threads)
    found = json.loads((tmp_path / "training-here.json").read_text())
    assert sorted(row["threads"] for row in found["rows"]) == [1, 2]
    for row in found["rows"]:
        assert row["ratio"] == pytest.approx(row["ms"]["torch"] / row["ms"]["dlplug"], rel=0.01)
    table = training_record.short_table(found)
    assert table.count("| `configs/digits_mlp.yaml` | ") == 2
    assert table in (tmp_path / "README.md").read_text()
