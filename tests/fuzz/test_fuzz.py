"""Random calls of every op, a few of many, and faults on purpose that they have to find."""

from dataclasses import replace
from types import SimpleNamespace

import pytest
import torch

from dlplug import ops
from dlplug.errors import BackendError, OpError
from dlplug.ops import _backend
from dlplug.optim import CompactAdamW, FusedAdamW
from tests.fuzz import __main__ as command
from tests.fuzz.accuracy import errors_of
from tests.fuzz.call import Call
from tests.fuzz.campaign import run
from tests.fuzz.dice import Dice
from tests.fuzz.families import FAMILIES

pytestmark = pytest.mark.skipif(not ops.isas(), reason="no compiled CPU kernels here")
CALLS = 150


def test_every_op_is_called():
    """None is left out."""
    assert sorted(FAMILIES) == sorted(_backend.OPS)


@pytest.mark.parametrize("name", FAMILIES)
def test_random_calls(name):
    """As exact as PyTorch, the same bits with 2 threads, nothing touched, errors alike."""
    said = []
    assert run(name, 0, range(CALLS), None, said.append) == 0, "\n".join(said)
    assert said[-1].startswith(f"{name}: {CALLS} calls, 0 failed")


def test_a_sum_that_cancels_is_judged_by_its_terms():
    """207 equal columns whose terms add up to 0.4 and their magnitudes to 164, an error of 2e-6."""
    assert run("layer_norm", 0, range(5360, 5361), None, print) == 0


@pytest.mark.parametrize("index", [9253, 57020])
def test_a_gradient_of_sinks_is_judged_by_the_rounded_output(index):
    """Of 5e-6 in float16's steps of 6e-8; the other one's 2,073 rows are all rounded alike."""
    assert run("attention", 0, [index], None, print) == 0


def test_denormals_that_dropout_scales_are_judged_by_their_loss():
    """Values below float32's smallest normal number, 80 times as large where they are kept."""
    assert run("attention", 201, [1534], None, print) == 0


@pytest.mark.parametrize(
    ("op", "index", "name", "spoil"),
    [
        pytest.param(
            *("layer_norm", 5360, "gradient of bias"),
            lambda call, x: x.sub_(call.inputs[-1].tensor[0]),
            id="a row of a sum that cancels",
        ),
        pytest.param(
            *("attention", 9253, "gradient of sinks"),
            lambda call, x: x.mul_(0.9),
            id="a tenth of a sum of denormals",
        ),
    ],
)
def test_what_a_sum_may_not_lose_is_found(op, index, name, spoil, monkeypatch):
    """What the terms' rounding allows is far less."""
    family = FAMILIES[op]

    def draw(dice: Dice) -> Call:
        call = family.draw(dice)

        def run():
            found = call.run()
            spoil(call, found[name])
            return found

        return replace(call, run=run)

    monkeypatch.setitem(FAMILIES, op, SimpleNamespace(NAME=op, draw=draw))
    said = []
    assert run(op, 0, [index], None, said.append) == 1
    assert f"{name}: error" in said[0]


@pytest.mark.parametrize("name", FAMILIES)
def test_most_calls_reach_the_kernel(name):
    """What it refuses is computed elsewhere, and would say nothing about it."""
    taken = 0
    for index in range(60):
        with ops.use_backend("cpu"):
            try:
                FAMILIES[name].draw(Dice(name, 0, index)).run()
                taken += 1
            except BackendError:
                pass
    assert taken >= 40


OPTIMIZERS = {"adamw_": FusedAdamW, "compact_adamw_": CompactAdamW}


@pytest.mark.parametrize("name", OPTIMIZERS)
def test_some_steps_are_of_known_tensors(name, monkeypatch):
    """Taken by an optimizer whose last step was of the same ones."""
    kind, taken = OPTIMIZERS[name], []
    step = kind._step_as_known
    monkeypatch.setattr(kind, "_step_as_known", lambda own: taken.append(step(own)) or taken[-1])
    assert run(name, 0, range(60), None, print) == 0
    assert sum(taken) >= 5


@pytest.mark.parametrize("name", OPTIMIZERS)
def test_a_fault_of_a_known_step_is_found(name, monkeypatch):
    """A hundredth more in the learning rate of such steps alone."""
    kind = OPTIMIZERS[name]
    table = kind._table

    def spoiled(own, group, *arguments):
        return table(own, group | {"lr": group["lr"] * 1.01}, *arguments)

    monkeypatch.setattr(kind, "_table", spoiled)
    said = []
    assert run(name, 0, range(60), None, said.append) > 0
    assert any("param" in line and "error" in line for line in said[:-1])


def changed(call: Call, change) -> Call:
    """The call whose results are something else."""
    return replace(call, run=lambda: {name: change(x) for name, x in call.run().items()})


def after(call: Call, act) -> Call:
    """The call, and then something that it should not do."""

    def run():
        found = call.run()
        act()
        return found

    return replace(call, run=run)


def refused(error):
    def raise_it():
        raise error()

    return raise_it


def by_threads(x):
    return x.nextafter(x + 1) if torch.get_num_threads() > 1 else x


def writing_before_the_error(call: Call) -> Call:
    def wrong():
        call.inputs[0].memory.fill_(3)
        raise OpError("too late")

    return replace(call, wrong={"any": wrong})


FAULTS = {
    "a hundredth more": (lambda call: changed(call, lambda x: x * 1.01), "error 0.0"),
    "NaN": (lambda call: changed(call, lambda x: x * float("nan")), "is not finite where"),
    "another dtype": (lambda call: changed(call, lambda x: x.double()), "is torch.float64"),
    "bits by thread": (lambda call: changed(call, by_threads), "has other bits with 2 threads"),
    "memory before": (
        lambda call: after(call, lambda: call.inputs[-1].memory[:1].fill_(3)),
        "was changed that is not the op's",
    ),
    "memory after": (
        lambda call: after(call, lambda: call.inputs[0].memory[-1:].fill_(3)),
        "was changed that is not the op's",
    ),
    "a traceback": (lambda call: changed(call, lambda x: x.no_such_method()), "AttributeError: "),
    "a wrong call taken": (lambda call: replace(call, wrong={"any": dict}), "(any): cpu accepts"),
    "an error of Python": (
        lambda call: replace(call, wrong={"any": refused(ZeroDivisionError)}),
        "cpu raises ZeroDivisionError",
    ),
    "an error by backend": (
        lambda call: replace(call, wrong={"any": refused(lambda: OpError(_backend._STATE.mode))}),
        "other errors by backend",
    ),
    "a write before the error": (writing_before_the_error, "was changed that is not the op's"),
}


@pytest.mark.parametrize("fault", FAULTS)
@pytest.mark.parametrize("name", ["adamw_", "rms_norm"])  # in place, and with gradients
def test_a_fault_is_found_and_repeated(name, fault, monkeypatch, capsys):
    """Within 60 calls; the line that is printed makes the very call again."""
    family, (mutate, text) = FAMILIES[name], FAULTS[fault]

    def draw(dice: Dice) -> Call:
        call = family.draw(dice)
        return mutate(call) if call.inputs else call

    monkeypatch.setitem(FAMILIES, name, SimpleNamespace(NAME=name, draw=draw))
    for number in range(60):
        said = []
        if run(name, 5, range(number, number + 1), None, said.append) and text in said[0]:
            break
    else:
        pytest.fail(f"not found: {fault}")
    line = said[0].splitlines()[-1].split()
    assert line == [
        "python",
        "-m",
        "tests.fuzz",
        "--op",
        name,
        "--only",
        str(number),
        "--seed",
        "5",
    ]
    assert command.main(line[3:]) == 1
    assert said[0] in capsys.readouterr().out


@pytest.mark.parametrize("rounding", [0.0, 1e-3, 1e300, float("inf")])
@pytest.mark.parametrize("dtype", [torch.float32, torch.float64])
def test_an_allowance_that_overflows_is_a_great_one(rounding, dtype):
    """It refuses no exact result and takes no infinite one."""
    true = {"x": torch.tensor([2.0, 3.0], dtype=torch.float64)}
    exact = {"x": true["x"].to(dtype)}
    call = Call(None, lambda _: [exact], lambda _: true, [], roundings=lambda _: {"x": rounding})
    errors, why = errors_of(call, exact, 0, "cpu")
    assert why is None and errors["x"].is_allowed()
    _, why = errors_of(call, {"x": exact["x"] * float("inf")}, 0, "cpu")
    assert why == "x is not finite where it has to be"


def test_no_failure_no_exit_code(capsys):
    """And the calls are counted."""
    assert command.main(["--op", "total_norm", "--calls", "20", "--first", "7", "--seed", "3"]) == 0
    assert capsys.readouterr().out.startswith("total_norm: 20 calls, 0 failed, ")


@pytest.mark.parametrize("name", FAMILIES)
def test_a_call_is_a_function_of_its_numbers(name):
    """The same inputs again; other values, but the same form, for a sibling; else another form."""

    def inputs(index, sibling=0):
        return [x.tensor for x in FAMILIES[name].draw(Dice(name, 0, index, sibling)).inputs]

    def forms(tensors):
        return [(x.shape, x.dtype, x.stride(), x.storage_offset()) for x in tensors]

    others = 0
    for index in range(10):
        first, again, sibling = inputs(index), inputs(index), inputs(index, sibling=1)
        assert all(a.equal(b) or a.isnan().any() for a, b in zip(first, again, strict=True))
        assert forms(first) == forms(again) == forms(sibling)
        others += forms(first) != forms(inputs(index + 1))
    assert others >= 8
