"""Trainings beside the reference, on the processor."""

import pytest

from tests.gpu_check import train


@pytest.mark.slow
@pytest.mark.parametrize("precision", ["32-true", "bf16-mixed"])
def test_they_agree_with_the_reference(precision, monkeypatch, tmp_path, capfd):
    """With float32 and with bfloat16 beside it; each training takes some ten seconds."""
    monkeypatch.setattr(train, "TOLERANCE", {precision: train.TOLERANCE[precision]})
    assert train.main(str(tmp_path), "cpu", "cpu") == 0
    assert f"{precision}: loss" in capfd.readouterr().out


@pytest.mark.parametrize(
    ("ours", "code"),
    [([2.0, 1.0], 0), ([2.1, 1.0], 1), ([2.0, 1.9], 1), ([float("nan"), 1.0], 1)],
    ids=["good", "apart", "learns nothing", "nan"],
)
def test_a_wrong_kernel_shows_in_the_loss(ours, code, monkeypatch, tmp_path):
    """Of the first epoch beside the reference's, and of the last beside the first."""
    found = {"cuda": ours, "reference": [2.0, 1.0]}
    monkeypatch.setattr(train, "losses", lambda *words: found[words[-1]])
    assert train.main(str(tmp_path)) == code
