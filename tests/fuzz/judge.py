"""Whether a call did what it has to: the error rule, bits, memory that is not its own."""

from types import ModuleType

from dlplug import ops
from dlplug.errors import DlplugError
from tests.fuzz.accuracy import errors_of
from tests.fuzz.call import Call, Results
from tests.fuzz.dice import Dice
from tests.fuzz.running import run, same_bits, touched

# How often the same form is drawn with other values before an error counts as one: on a tensor of
# three elements the error of PyTorch is a matter of luck.
SIBLINGS = 24
WRONG = 0.15  # share of the calls that are given something no backend accepts


def fault_of(family: ModuleType, seed: int, index: int) -> str | None:
    """What is wrong with a call, or None.

    Args:
        family: Module with ``draw(dice) -> Call`` and ``NAME``, of the op.
        seed: Of the run.
        index: Number of the call.
    """
    dice = Dice(family.NAME, seed, index)
    call = family.draw(dice)
    isa, is_wrong = dice.choice(ops.isas()), dice.chance(WRONG)
    mode = dice.choices(("cpu", "auto", "reference"), (75, 17, 8))[0]
    with ops.use_isa(isa):
        if is_wrong and call.wrong:
            name = dice.choice(sorted(call.wrong))
            why = _fault_of_wrong(call, call.wrong[name])
            return f"wrong call ({name}): {why}" if why else None
        why = _fault_of_right(family, seed, index, call, mode)
    return f"{mode}, {isa}: {why}" if why else None


def _fault_of_right(family: ModuleType, seed: int, index: int, call: Call, mode: str) -> str | None:
    found, backend, why = run(call, mode, index, threads=1)
    if why:
        return why
    again, _, why = run(call, mode, index, threads=2)
    if why:
        return f"with 2 threads: {why}"
    if backend == "cpu":
        for name in found:
            if not same_bits(found[name], again[name]):
                return f"{name} has other bits with 2 threads"
    return _fault_of_numbers(family, seed, index, call, found, backend)


def _fault_of_wrong(call: Call, wrong) -> str | None:
    """The same error of dlplug on every backend, and nothing changed."""
    errors = {}
    for mode in ("cpu", "auto", "reference"):
        before = [x.memory.clone() for x in call.inputs]
        try:
            with ops.use_backend(mode):
                wrong()
        except DlplugError as error:
            errors[mode] = f"{type(error).__name__}: {error}"
        except Exception as error:
            return f"{mode} raises {type(error).__name__}: {error}"
        else:
            return f"{mode} accepts it"
        if why := touched(call, before, []):
            return f"{mode}: {why}"
    return None if len(set(errors.values())) == 1 else f"other errors by backend: {errors}"


def _fault_of_numbers(
    family: ModuleType, seed: int, index: int, call: Call, found: Results, backend: str
) -> str | None:
    errors, why = errors_of(call, found, index, backend)
    if why:
        return why
    suspects = {name for name, error in errors.items() if not error.is_allowed()}
    if not suspects:
        return None
    pooled = {name: errors[name] for name in suspects}
    for sibling in range(1, SIBLINGS + 1):
        other = family.draw(Dice(family.NAME, seed, index, sibling))
        others, _, _ = run(other, backend, index, threads=1)
        errors, why = errors_of(other, others, index, backend)
        if why:
            return f"with other values ({sibling}): {why}"
        for name in suspects & errors.keys():
            pooled[name] = pooled[name].pooled(errors[name])
    return next((f"{name}: {e}" for name, e in pooled.items() if not e.is_allowed()), None)
