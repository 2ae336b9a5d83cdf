"""Agreement: what one process says, all of them hear at the same batch end."""

import multiprocessing
from types import SimpleNamespace

import pytest
import torch

from dlplug.processes.agreement import Agreement

CPU = SimpleNamespace(strategy=SimpleNamespace(root_device=torch.device("cpu")), world_size=2)
# For each batch what the two processes say, of two agreements: of a signal, and of a clock.
SIGNALS = [(False, False), (False, True), (False, False), (True, True), (False, False)]
CLOCKS = [(True, False), (False, False), (False, True), (False, False), (False, False)]


def converse(rank, store, answers):
    """Be one of two processes; puts its rank and what it heard for each agreement."""
    torch.distributed.init_process_group("gloo", f"file://{store}", rank=rank, world_size=2)
    signal, clock = Agreement(), Agreement()
    heard = [
        (signal.any(CPU, a[rank]), clock.any(CPU, b[rank]))
        for a, b in zip(SIGNALS, CLOCKS, strict=True)
    ]
    answers.put((rank, heard))
    torch.distributed.destroy_process_group()


def test_two_processes_hear_the_same_at_the_same_batch_end(tmp_path):
    """Of two agreements at once; neither hears what is said in the other."""
    context = multiprocessing.get_context("spawn")
    answers = context.Queue()
    processes = [
        context.Process(target=converse, args=(rank, tmp_path / "store", answers))
        for rank in range(2)
    ]
    for process in processes:
        process.start()
    heard = dict(answers.get(timeout=120) for _ in processes)
    for process in processes:
        process.join()
    expected = [(any(a), any(b)) for a, b in zip(SIGNALS, CLOCKS, strict=True)]
    assert heard == {0: expected, 1: expected}


def test_one_process_hears_itself():
    """Without a strategy, a process group or a tensor."""
    alone = SimpleNamespace(world_size=1)
    assert [Agreement().any(alone, mark) for mark in (False, True)] == [False, True]


class Late(Agreement):
    """As on a GPU, where the answer is read a batch later; only this process says something."""

    posted = None

    def _post(self, device, mark):
        self.posted = mark

    def _read(self):
        answer, self.posted = bool(self.posted), None
        return answer


def test_a_late_answer_comes_once(monkeypatch):
    """A mark that stands until it is answered is answered once; a later one again."""
    monkeypatch.setattr("dlplug.processes.agreement._is_in_torch", lambda: True)
    gpu = SimpleNamespace(strategy=SimpleNamespace(root_device=torch.device("cuda")), world_size=2)
    agreement = Late()
    marks = [False, True, True, False, False, True, False, False]
    answers = [agreement.any(gpu, mark) for mark in marks]
    assert answers == [False, False, True, False, False, False, True, False]


@pytest.mark.skipif(not torch.cuda.is_available(), reason="needs a GPU")
def test_a_gpu_is_not_waited_for(tmp_path):
    """The answer is the reduced one, a batch late, and nothing synchronises with the device."""
    torch.distributed.init_process_group(
        "nccl", f"file://{tmp_path / 'store'}", rank=0, world_size=1
    )
    try:
        device = torch.device("cuda", torch.cuda.current_device())
        gpu = SimpleNamespace(strategy=SimpleNamespace(root_device=device), world_size=2)
        agreement = Agreement()
        agreement.any(gpu, False)  # the first one makes the connection
        torch.cuda.set_sync_debug_mode("error")
        assert [agreement.any(gpu, m) for m in (True, True, False, False)] == [
            False,
            True,
            False,
            False,
        ]
    finally:
        torch.cuda.set_sync_debug_mode("default")
        torch.distributed.destroy_process_group()


def test_other_ways_to_talk_are_the_strategys():
    """A strategy without torch.distributed decides by itself."""
    strategy = SimpleNamespace(
        root_device=torch.device("meta"), reduce_boolean_decision=lambda mark, all: not all
    )
    assert Agreement().any(SimpleNamespace(strategy=strategy, world_size=2), False)
