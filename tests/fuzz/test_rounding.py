"""Results that are stored in few bits are judged by the rounding to those, and by no more."""

from dataclasses import replace
from types import SimpleNamespace

import pytest
import torch

from dlplug import ops
from tests.fuzz.accuracy import errors_of
from tests.fuzz.call import Call
from tests.fuzz.campaign import run
from tests.fuzz.dice import Dice
from tests.fuzz.families import FAMILIES

NAME = "compact_adamw_"
needs_kernels = pytest.mark.skipif(not ops.isas(), reason="no compiled CPU kernels here")


@needs_kernels
@pytest.mark.parametrize("index", [805, 2215, 4415])
def test_a_step_that_is_rounded_once_is_right(index):
    """The kernel's numbers are those of float64, rounded once; the fallback rounds quotients first.

    That keeps a parameter of 805 within float16's range, and leaves chance nothing to round in the
    others' m, which is the quotient.
    """
    assert run(NAME, 0, [index], None, print) == 0


def spoiled(monkeypatch, index: int, spoil) -> list[str]:
    """What is said of a call whose results were changed in place."""
    family = FAMILIES[NAME]

    def draw(dice: Dice) -> Call:
        call = family.draw(dice)

        def run():
            found = call.run()
            spoil(found)
            return found

        return replace(call, run=run)

    monkeypatch.setitem(FAMILIES, NAME, SimpleNamespace(NAME=NAME, draw=draw))
    said = []
    run(NAME, 0, [index], None, said.append)
    return said


def a_step_from_zero(x: torch.Tensor, dtype: torch.dtype) -> None:
    before = x.clone()
    x.copy_((x * (1 + torch.finfo(dtype).eps)).to(dtype))
    assert not x.equal(before)


@needs_kernels
@pytest.mark.parametrize(
    ("index", "name", "dtype"),
    [
        (805, "param 0", torch.float16),
        (2215, "param 1", torch.bfloat16),
        (2215, "m 1", torch.bfloat16),
        (4415, "m 2", torch.bfloat16),
    ],
)
def test_one_rounding_too_many_is_found(index, name, dtype, monkeypatch):
    """Every number one of its dtype further from 0."""
    said = spoiled(monkeypatch, index, lambda found: a_step_from_zero(found[name], dtype))
    assert f"{name}: error" in said[0]


@needs_kernels
@pytest.mark.parametrize(
    ("change", "text"),
    [
        (lambda x: x.masked_fill(x.abs() == x[x.isfinite()].abs().max(), torch.inf), "not finite"),
        (lambda x: x.clamp(-65504, 65504), "is not NaN or infinite"),
    ],
    ids=["infinite within", "finite beyond"],
)
def test_the_range_of_float16_is_judged(change, text, monkeypatch):
    """On either side of its end."""

    def spoil(found):
        changed = change(found["param 0"])
        assert not changed.equal(found["param 0"])
        found["param 0"] = changed

    assert text in spoiled(monkeypatch, 805, spoil)[0]


@needs_kernels
@pytest.mark.parametrize("index", [2215, 4415])
@pytest.mark.parametrize("factor", ["grad_scale", "grad_factor"])
def test_a_factor_of_eight_bits_is_found(index, factor, monkeypatch):
    """Less than a step of bfloat16 from the right one."""
    step = ops.compact_adamw_

    def wrong(*lists, **options):
        eps = torch.finfo(torch.bfloat16).eps
        step(*lists, **options | {factor: options[factor] * (1 + eps / 4)})

    monkeypatch.setattr(ops, "compact_adamw_", wrong)
    said = []
    assert run(NAME, 0, [index], None, said.append) == 1
    assert ": error" in said[0]


@needs_kernels
def test_a_quotient_rounded_before_the_step_is_found(monkeypatch):
    """As the fallback does: one rounding more than the kernel."""
    step = ops.compact_adamw_

    def wrong(*lists, **options):
        with ops.use_backend("reference"):
            step(*lists, **options)

    monkeypatch.setattr(ops, "compact_adamw_", wrong)
    said = []
    assert run(NAME, 0, [2215], None, said.append) == 1
    assert ": error" in said[0]


@pytest.mark.parametrize(
    ("mine", "is_right"),
    [
        (1.0, True),
        (1.0 + 2**-7, True),
        (1.0 - 2**-8, False),
        (1.0 + 2**-6, False),
        (1.0 + 2**-8, True),  # between them: as a number that is not rounded
    ],
)
@pytest.mark.parametrize("sign", [1, -1])
def test_chance_takes_either_neighbour(mine, is_right, sign):
    """Of 1 + 2^-9 in bfloat16, however near the peer's is."""
    true = {"x": torch.tensor([sign * (1 + 2**-9)], dtype=torch.float64)}
    peer, mine = {"x": true["x"].float()}, {"x": torch.tensor([sign * mine])}
    by_chance = {"x": torch.bfloat16}
    call = Call(None, lambda _: [peer], lambda _: true, [], stored=by_chance, by_chance=by_chance)
    errors, why = errors_of(call, mine, 0, "cpu")
    assert why is None and errors["x"].is_allowed() == is_right


@pytest.mark.parametrize("sign", [1, -1])
def test_a_number_of_the_dtype_is_its_only_neighbour(sign):
    """Chance has nothing to round there."""
    one = torch.tensor([sign * 1.0])
    by_chance = {"x": torch.bfloat16}
    call = Call(
        *(None, lambda _: [{"x": one}], lambda _: {"x": one.double()}, []),
        stored=by_chance,
        by_chance=by_chance,
    )
    for factor, is_right in ((1, True), (1 + 2**-7, False), (1 - 2**-8, False)):
        errors, _ = errors_of(call, {"x": one * factor}, 0, "cpu")
        assert errors["x"].is_allowed() == is_right
