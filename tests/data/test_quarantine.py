"""Quarantine: how many records may be bad, and who is told of them, how often."""

import json

import pytest
from lightning.pytorch.utilities import rank_zero_only

from dlplug.data.quarantine import FILE, BadRecord, Quarantine, gathered, quarantine_of
from dlplug.errors import DataError, InvalidValueError


def bad(position, split="train"):
    return BadRecord(split, position, DataError(f"{position}.png is no image"))


def ready(share=0.1, total=30):
    quarantine = Quarantine(share)
    quarantine.loaded(total)
    return quarantine


def lines(folder):
    return [json.loads(line) for line in (folder / FILE).read_text().splitlines()]


@pytest.mark.parametrize("share", [-0.1, 1.0, float("nan")])
def test_an_impossible_share_is_refused(share):
    """The message holds the value."""
    with pytest.raises(InvalidValueError, match="quarantine = "):
        Quarantine(share)


def test_without_a_share_the_first_bad_record_is_the_error():
    """At load and later, the very error that names it."""
    quarantine = ready(0.0)
    with pytest.raises(DataError, match=r"^4\.png is no image$"):
        quarantine.add([bad(4)])
    with pytest.raises(DataError, match=r"^a\.csv, line 3$"):
        quarantine.leave_out(BadRecord("test", 1, DataError("a.csv, line 3")))
    assert len(quarantine) == 0


def test_up_to_the_share_of_all_records_may_be_bad():
    """Three of thirty at 10 %; the fourth is an error that counts and names."""
    quarantine = ready()
    quarantine.add([bad(4), bad(5), bad(4, "test")])
    assert len(quarantine) == 3
    with pytest.raises(DataError) as error:
        quarantine.add([bad(7)])
    assert "4 of 30 records are bad, and data.quarantine = 0.1 allows 3" in str(error.value)
    assert "7.png is no image" in str(error.value)
    with pytest.raises(DataError, match="4 of 30"):
        quarantine.check()


def test_a_share_is_the_number_that_was_meant():
    """0.29 * 100 is a little less than 29 in binary fractions."""
    allowed = [Quarantine(percent / 100).allowed_of(100) for percent in range(100)]
    assert allowed == list(range(100))
    assert Quarantine(0.29).allowed_of(99) == 28


def test_each_bad_record_is_named_once(capsys):
    """However often it is met."""
    quarantine = ready()
    for _ in range(2):
        quarantine.add([bad(4)])
        quarantine.add([bad(4), bad(5)])
    assert capsys.readouterr().err.splitlines() == [
        "data: a bad record is set aside: 4.png is no image",
        "data: a bad record is set aside: 5.png is no image",
    ]


def test_what_is_left_out_at_load_is_judged_when_all_is_read(capsys):
    """Against all records; then each of them is named."""
    quarantine = Quarantine(0.1)
    for line in (3, 7):
        quarantine.leave_out(BadRecord("test", line, DataError(f"a.csv, line {line}")))
    assert capsys.readouterr().err == ""
    quarantine.loaded(20)
    assert len(quarantine) == 2 and quarantine.positions("test") == {3, 7}
    assert "a.csv, line 7" in capsys.readouterr().err
    with pytest.raises(DataError, match="2 of 19 records are bad"):
        quarantine.loaded(19)


def test_the_file_lists_every_bad_record_once(tmp_path):
    """Those known when it is opened, those to come; a training that goes on adds the new ones."""
    quarantine = Quarantine(0.2)
    quarantine.leave_out(BadRecord("test", 3, DataError("a.csv, line 3")))
    quarantine.loaded(30)
    quarantine.add([bad(4)])
    quarantine.write_to(tmp_path)
    quarantine.add([bad(5), bad(4)])
    resumed = Quarantine(0.2)
    resumed.leave_out(BadRecord("test", 3, DataError("a.csv, line 3")))
    resumed.loaded(30)
    resumed.write_to(tmp_path)
    resumed.load_state_dict(quarantine.state_dict())
    resumed.add([bad(5), bad(6, "validation")])
    assert lines(tmp_path) == [
        {"split": "test", "record": 3, "reason": "a.csv, line 3"},
        {"split": "train", "record": 4, "reason": "4.png is no image"},
        {"split": "train", "record": 5, "reason": "5.png is no image"},
        {"split": "validation", "record": 6, "reason": "6.png is no image"},
    ]


def test_without_bad_records_there_is_no_file(tmp_path):
    """Its absence says that all were good."""
    ready().write_to(tmp_path)
    assert not (tmp_path / FILE).exists()


def test_only_the_first_process_writes(tmp_path, monkeypatch):
    """Others name what they meet, and hand it over with the next checkpoint."""
    monkeypatch.setattr(rank_zero_only, "rank", 1)
    quarantine = ready()
    quarantine.add([bad(4)])
    quarantine.write_to(tmp_path)
    assert not (tmp_path / FILE).exists()


def test_the_count_goes_on_after_a_resume():
    """What was bad before counts, and is not read again."""
    quarantine = ready()
    quarantine.add([bad(4), bad(5)])
    resumed = ready()
    resumed.load_state_dict(quarantine.state_dict())
    assert resumed.positions("train") == {4, 5}
    resumed.add([bad(6)])
    with pytest.raises(DataError, match="4 of 30"):
        resumed.add([bad(7)])


def test_a_resume_without_a_share_reads_again():
    """A policy that has become stricter is not undermined by what was set aside before."""
    quarantine = ready()
    quarantine.add([bad(4)])
    strict = ready(0.0)
    strict.load_state_dict(quarantine.state_dict())
    assert strict.positions("train") == set()


def test_a_resume_with_a_smaller_share_is_refused():
    """Too many are bad from the beginning."""
    quarantine = ready()
    quarantine.add([bad(4), bad(5)])
    with pytest.raises(DataError, match="2 of 30 records are bad"):
        ready(0.05).load_state_dict(quarantine.state_dict())


def test_only_our_own_quarantine_is_one():
    """Somebody's data module may have anything of that name."""

    class Other:
        quarantine = 0.1

    assert quarantine_of(Other()) is None and quarantine_of(object()) is None
    Other.quarantine = ready()
    assert quarantine_of(Other()) is Other.quarantine


def test_a_prediction_leaves_out_nobody():
    """What is known to be bad in the split is an error; other splits do not matter."""
    quarantine = ready()
    quarantine.add([bad(4)])
    quarantine.refuse_any("test")
    quarantine.add([bad(5, "test")])
    with pytest.raises(DataError, match=r"1 of the test records are bad.*: 5\.png is no image"):
        quarantine.refuse_any("test")


def test_processes_tell_each_other(monkeypatch, capsys):
    """What another one has met counts here, is set aside here, and is not named again."""
    other = ready()
    other.add([bad(5), bad(6)])
    capsys.readouterr()

    def all_gather_object(parts, own):
        parts[:] = [own, other.state_dict()]

    monkeypatch.setattr("torch.distributed.is_initialized", lambda: True)
    monkeypatch.setattr("torch.distributed.get_world_size", lambda: 2)
    monkeypatch.setattr("torch.distributed.all_gather_object", all_gather_object)

    class Module:
        quarantine = ready()

    Module.quarantine.add([bad(4)])
    assert gathered(Module) == 3
    assert Module.quarantine.positions("train") == {4, 5, 6}
    assert capsys.readouterr().err.count("set aside") == 1
    assert gathered(object()) is None
