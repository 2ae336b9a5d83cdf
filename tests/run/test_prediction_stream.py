"""PredictionStream: batches of all processes in the order of the records."""

from types import SimpleNamespace

import pytest
import torch

from dlplug.errors import ConfigError
from dlplug.run.prediction_stream import PredictionStream, joined
from tests.callbacks.two_processes import in_two_processes


def handed_on(monkeypatch, others, batches):
    """What the first process hands on, with its batches and those of the others, one at a time."""
    handed = []
    streamed(monkeypatch, others, batches, handed, lambda: None)
    return handed


def streamed(monkeypatch, others, batches, handed, end):
    """The stream, when all has been put into ``handed``."""
    stream = PredictionStream(handed.append, end)
    trainer = SimpleNamespace(world_size=1 + len(others), is_global_zero=True)
    theirs = [iter(one) for one in others]

    def gather(parts, mine):
        parts[:] = [mine, *(next(one, None) for one in theirs)]

    monkeypatch.setattr(torch.distributed, "all_gather_object", gather)
    stream.on_predict_start(trainer, None)
    for index, batch in enumerate(batches):
        stream.on_predict_batch_end(trainer, None, batch, None, index)
    stream.on_predict_epoch_end(trainer, None)
    return stream


def rows(*numbers):
    return torch.tensor(numbers, dtype=torch.float32)[:, None]


def test_one_process_hands_on_what_comes(monkeypatch):
    """Batch by batch."""
    batches = [rows(0, 1), rows(2)]
    assert handed_on(monkeypatch, [], batches) == batches


@pytest.mark.parametrize(
    ("others", "batches", "sizes"),
    [
        ([[rows(1, 4), rows(7)], [rows(2, 5), rows(8)]], [rows(0, 3), rows(6, 9)], [6, 3, 1]),
        ([[rows(1, 3, 5), rows(7)]], [rows(0), rows(2, 4), rows(6, 8)], [2, 4, 2, 1]),
        ([[rows(1), rows(3), rows(5)]], [rows(0, 2, 4, 6)], [2, 2, 2, 1]),
    ],
    ids=["as ours are divided", "other sizes", "more batches in the other"],
)
def test_several_processes_take_turns(monkeypatch, others, batches, sizes):
    """Process r of w predicts the records r, r + w, ...; each is handed on when its turn comes."""
    handed = handed_on(monkeypatch, others, batches)
    assert [len(part) for part in handed] == sizes
    assert torch.cat(handed).flatten().tolist() == list(range(sum(sizes)))


@pytest.mark.parametrize("others", [[], [[rows(1), rows(3)]]], ids=["one", "two"])
def test_the_end_comes_once_after_all_records(monkeypatch, others):
    """Whether there is one process or several."""
    handed, ended = [], []
    batches = [rows(0), rows(2)]
    stream = streamed(monkeypatch, others, batches, handed, lambda: ended.append(len(handed)))
    assert ended == [len(handed)] == [2] and stream.has_ended


def test_objects_stay_lists(monkeypatch):
    """One for each record; so do tensors of several shapes."""
    assert handed_on(monkeypatch, [[["b"]]], [["a", "c"]]) == [["a", "b"], ["c"]]
    wide = torch.zeros(1, 3)
    ((first, second),) = handed_on(monkeypatch, [[wide]], [rows(0)])
    assert (first.shape, second.shape) == ((1,), (3,))


def test_batches_are_joined_where_they_fit():
    """One tensor, or one object for each record."""
    batches = [torch.zeros(2, 3), torch.ones(1, 4)]
    assert [len(row) for row in joined(batches)] == [3, 3, 4]
    assert joined([["a", "b"], ["c"]]) == ["a", "b", "c"]
    assert joined([rows(0, 1), rows(2)]).flatten().tolist() == [0, 1, 2]


def refused_everywhere(folder):
    """What a process is told of an error in the first one: in the first batch, the last, the end.

    The end is that of the predictions, when the first process writes what is left of its file.
    """
    torch.distributed.init_process_group("gloo")
    rank, told = torch.distributed.get_rank(), []
    trainer = SimpleNamespace(world_size=2, is_global_zero=rank == 0)

    def end():
        raise ConfigError("no end")

    # Of the last three records the third is handed on when all have ended.
    for first_bad in (1, 3, 4):
        received = []

        def receive(predictions, first_bad=first_bad, received=received):
            received.extend(predictions)
            if len(received) >= first_bad:
                raise ConfigError("no mean")

        stream = PredictionStream(receive, end)
        stream.on_predict_start(trainer, None)
        try:
            for index in range(2 - rank):
                stream.on_predict_batch_end(trainer, None, rows(index), None, index)
            stream.on_predict_epoch_end(trainer, None)
        except ConfigError as error:
            told.append(error.what)
    return {"told": told, "received": len(received)}


def test_an_error_of_the_first_process_is_raised_in_all(tmp_path):
    """Nobody waits for one that has left."""
    first, second = in_two_processes(refused_everywhere, tmp_path)
    told = ["no mean", "no mean", "no end"]
    assert first == {"told": told, "received": 3}
    assert second == {"told": told, "received": 0}
