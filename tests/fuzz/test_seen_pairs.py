"""NaN and infinity: demanded of attention where a query sees them, and nowhere else."""

import math

import pytest
import torch

from dlplug import ops
from tests.fuzz import attention
from tests.fuzz.accuracy import errors_of
from tests.fuzz.call import Call, Results
from tests.fuzz.campaign import run
from tests.fuzz.dice import Dice
from tests.fuzz.seen_pairs import only_seen_pairs

FACTORS = ("key", "query", "value")
SPECIAL = (math.nan, math.inf, -math.inf)
HIDDEN, SEEN = 0, 3  # keys: of none, and of queries 0 to 2; query i sees keys i + 1 to i + 3
COLUMN = 1


def call_with(*numbers: tuple[str, int, float]) -> Call:
    """8 queries and keys, of which some rows have a number that is not finite."""
    dice = Dice("attention", 0, 0)
    tensors = [torch.randn(1, 1, 8, 4, generator=dice.numbers) for _ in range(4)]
    views = dict(zip(FACTORS, tensors, strict=False))
    for name, row, number in numbers:
        views[name][..., row, COLUMN] = number
    *placed, grad = (dice.placed(x, may_expand=False) for x in tensors)
    options = {"window": (0, 2), "query_offset": 1}
    return attention._call(dict(zip(FACTORS, placed, strict=True)), grad, set(FACTORS), options)


def right(call: Call) -> Results:
    return {name: x.float() for name, x in call.oracle(0).items()}


def by_reference(call: Call) -> Results:
    with ops.use_backend("reference"):
        return call.run()


def verdict(call: Call, found: Results) -> str | None:
    """What is wrong at a glance or by an error."""
    errors, why = errors_of(call, found, 0, "cpu")
    return why or next((f"{n}: {e}" for n, e in errors.items() if not e.is_allowed()), None)


def spoiled_rows(x: torch.Tensor) -> list[int]:
    return (~x.isfinite()).any(-1).flatten().nonzero().flatten().tolist()


@pytest.mark.skipif(not ops.isas(), reason="no compiled CPU kernels here")
def test_a_kernel_that_multiplies_no_hidden_value_is_right():
    """An infinity at key 34 of a head, whose first query sees those from 39 on."""
    assert run("attention", 77, [616], None, print) == 0


def test_results_are_those_of_the_fallback():
    """Where all is finite, with any options."""
    others = 0
    for index in range(80):
        call = attention.draw(Dice("attention", 4, index))
        true = call.oracle(index)
        with only_seen_pairs():
            found = call.oracle(index)
        for name, x in true.items():
            torch.testing.assert_close(found[name], x, rtol=1e-9, atol=1e-9 * _largest(true))
            others += not found[name].equal(x)
    assert others >= 40  # sums of another order


def _largest(results: Results) -> float:
    return max((x.abs().max().item() for x in results.values() if x.numel()), default=0.0)


@pytest.mark.parametrize(
    ("factor", "row", "reached"),
    [
        # Queries 0 to 2, and the keys that these see.
        ("key", SEEN, ([0, 1, 2], [0, 1, 2], [1, 2, 3, 4, 5], [1, 2, 3, 4, 5])),
        ("value", SEEN, ([0, 1, 2], [0, 1, 2], [1, 2, 3, 4, 5], [])),
        ("query", 4, ([4], [4], [5, 6, 7], [5, 6, 7])),
        ("query", 7, ([], [], [], [])),  # sees no key
        ("key", HIDDEN, ([], [], [], [])),
        ("value", HIDDEN, ([], [], [], [])),
    ],
)
def test_what_is_seen_is_reached(factor, row, reached):
    """Rows of the output, and of the gradients of query, key and value."""
    names = ["output 0", *(f"gradient of {name}" for name in ("query", "key", "value"))]
    found = right(call_with((factor, row, math.nan)))
    assert [spoiled_rows(found[name]) for name in names] == list(reached)
    if factor == "value":
        assert found["output 0"][..., :COLUMN].isfinite().all()


@pytest.mark.parametrize("number", SPECIAL)
@pytest.mark.parametrize("factor", ["key", "value"])
def test_what_is_hidden_is_not_demanded(factor, number):
    """A finite number is right, if it is the true one; what the fallback leaks is allowed."""
    call = call_with((factor, HIDDEN, number))
    leaked, found = by_reference(call), right(call)
    assert any(not x.isfinite().all() for x in leaked.values())
    assert all(x.isfinite().all() for x in found.values())
    assert verdict(call, found) is None
    assert verdict(call, leaked) is None
    for name, x in found.items():
        why = verdict(call, {**found, name: x * 1.01})
        assert why is not None and why.startswith(f"{name}: error")


@pytest.mark.parametrize("factor", FACTORS)
def test_a_seen_nan_that_is_dropped_is_found(factor):
    """By one number of each result that it reaches."""
    call = call_with((factor, SEEN, math.nan), ("value", HIDDEN, math.inf))
    found = right(call)
    assert verdict(call, found) is None
    reached = [name for name, x in found.items() if x.isnan().any()]
    assert len(reached) == (3 if factor == "value" else 4)
    for name in reached:
        first = tuple(found[name].isnan().nonzero()[0])
        changed = found[name].clone()
        changed[first] = 0
        why = verdict(call, {**found, name: changed})
        assert why == f"{name} is not NaN or infinite where it has to be"


def test_a_seen_infinity_beside_a_hidden_one():
    """It is infinite or what the fallback makes of both, NaN; it is not finite."""
    call = call_with(("value", SEEN, math.inf), ("value", HIDDEN, -math.inf))
    found, leaked = right(call), by_reference(call)
    assert found["output 0"][..., :SEEN, COLUMN].isposinf().all()
    assert leaked["output 0"][..., :SEEN, COLUMN].isnan().all()
    assert verdict(call, found) is verdict(call, leaked) is None
    why = verdict(call, {**found, "output 0": found["output 0"].nan_to_num(posinf=9.0)})
    assert why == "output 0 is not NaN or infinite where it has to be"


def test_nan_where_nothing_leaks_is_found():
    """In another column of the values than the hidden infinity."""
    call = call_with(("value", HIDDEN, math.inf))
    found = right(call)
    found["output 0"][..., 0, COLUMN + 1] = math.nan
    assert verdict(call, found) == "output 0 is not finite where it has to be"
