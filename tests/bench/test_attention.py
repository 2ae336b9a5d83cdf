"""Rows of attention: all contenders compute the same."""

from dataclasses import replace

import pytest

from dlplug.bench import attention, attention_peers, attention_problem, limits
from dlplug.bench.accuracy import error
from dlplug.bench.measure import measure
from dlplug.bench.row import LeftOut, Row


def small(problem):
    """The same with few positions and heads."""
    is_square = problem.queries == problem.keys
    length = min(problem.keys, 32)
    return replace(
        problem,
        batch=min(problem.batch, 2),
        heads=4,
        groups=4 * problem.groups // problem.heads,
        queries=length if is_square else min(problem.queries, 16),
        keys=length,
        width=16,
        window=problem.window and 8,
        document=problem.document and 8,
    )


KINDS = list({replace(small(p)): None for p in attention.problems()})


@pytest.fixture(autouse=True)
def small_limit(monkeypatch):
    """A product that takes no time."""
    monkeypatch.setattr(limits, "MATRIX", 16)


def measured(problem, has_compiled=False):
    row = Row(problem.name, lambda: attention.build(problem), 0)
    (result,) = measure(row, 0.0, has_compiled)
    return result


@pytest.mark.parametrize("problem", KINDS, ids=lambda problem: problem.name)
def test_ours_and_the_peers_agree_with_float64(problem, monkeypatch):
    """In every variant, dtype and pass, with float64 in several parts."""
    monkeypatch.setattr(attention_problem, "CHUNK", 12)
    result = measured(problem)
    assert result["is_exact"], result
    assert result["peers"]["formula"]["error"] < 0.05, result
    sdpa = result["peers"]["SDPA"]
    if problem.softcap or problem.extra == "sinks":
        assert sdpa["left out"].startswith("it has no "), result
    else:
        assert sdpa["error"] < 0.05, result
    if problem.document:
        assert result["peers"]["SDPA of documents"]["error"] < 0.05, result
    assert all("failed" not in peer for peer in result["peers"].values()), result


@pytest.mark.slow
@pytest.mark.parametrize("label", ["GQA causal", "causal, window 256", "causal, documents of 128"])
def test_flex_attention_computes_the_same(label):
    """Forward; backward it has none on the CPU."""
    forward = next(p for p in attention.problems() if p.label == label)
    peer = measured(replace(small(forward), queries=64, keys=64), True)["peers"]["flex_attention"]
    assert peer["error"] < 1e-5, peer
    backward = measured(small(replace(forward, has_backward=True)), True)
    why = "it has no backward pass on the CPU"
    assert backward["peers"]["flex_attention"] == {"left out": why}


@pytest.mark.parametrize(
    "label", ["causal, softcap", "causal, ALiBi", "causal, sinks", "bool mask"]
)
@pytest.mark.filterwarnings("ignore")  # flex_attention tells twice that it is not compiled
def test_flex_attention_computes_what_is_added(label, monkeypatch):
    """A peer on GPUs; on the CPU its compiled form gives no sum for sinks."""
    monkeypatch.setattr(attention_peers, "compiled", lambda function: function)
    problem = next(p for p in attention.problems() if p.label == label)
    made = attention_problem.inputs(replace(small(problem), queries=64, keys=64))
    found = attention_peers.flex(made, 0.0)(made.q, made.k, made.v)
    wanted = attention_problem.reference(made)
    assert attention_error(attention_problem.compared(made, [found]), wanted) < 1e-5


@pytest.mark.parametrize(
    ("problem", "why"),
    [
        (replace(attention.EXTRAS[3], dropout_p=0.1), "it has no dropout"),
        (replace(attention.EXTRAS[5], has_backward=False), "it has no gradient of a mask"),
    ],
    ids=["dropout", "float mask"],
)
def test_what_flex_attention_lacks_is_told(problem, why):
    """Rather than timed without it."""
    made = attention_problem.inputs(small(problem))
    with pytest.raises(LeftOut, match=why):
        attention_peers.flex(made, problem.dropout_p)


def test_a_wrong_variant_would_be_noticed():
    """Each extra changes the output by more than the tolerance."""
    for problem in KINDS:
        if problem.extra or problem.softcap or problem.window or problem.document:
            made = attention_problem.inputs(problem)
            tolerance = attention.TOLERANCE[problem.dtype]
            with_it = attention_problem.reference(made)
            plain = replace(problem, extra="", softcap=None, window=None, document=None)
            bare = attention_problem.inputs(plain)
            bare.q, bare.k, bare.v, bare.grad = made.q, made.k, made.v, made.grad
            without = attention_problem.reference(bare)
            assert attention_error(without, with_it) > tolerance, problem.name


def attention_error(found, reference):
    return error([t.detach() for t in found], [t.detach() for t in reference[: len(found)]])


def test_scores_that_are_too_large_are_left_out(monkeypatch):
    """With their size as the reason."""
    monkeypatch.setattr(attention_peers, "LARGEST_SCORES", 1.0)
    result = measured(KINDS[0])
    assert result["peers"]["formula"]["left out"].startswith("it would write 0.0 GB")


def test_peak_memory_is_that_of_all_scores_for_the_formula_alone():
    """Ours does not grow with their number."""
    problem = attention.Problem("long", 1, 4, 4, 1024, 1024, 16, is_causal=True)
    peaks = measured(problem)["memory"]
    if peaks["dlplug"] is None:
        pytest.skip("the system does not let a process reset its peak")
    assert peaks["formula"] > problem.scores_bytes > 10 * peaks["dlplug"]


def test_what_is_left_to_pytorch_is_told_as_routed():
    """So few queries and keys are; one query beside many keys is not."""
    assert measured(attention.Problem("few", 1, 1, 1, 8, 8, 8))["is_routed"]
    assert not measured(replace(attention.DECODING, keys=4096))["is_routed"]
