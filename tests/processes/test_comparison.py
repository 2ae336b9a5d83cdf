"""Processes find out whether they know the same."""

from types import SimpleNamespace

from dlplug.processes.comparison import differing_texts


class Group:
    """Runs the same call in several processes, one after the other, as the strategy connects them.

    Every broadcast takes what the source said at the same place of its own run before.
    """

    def __init__(self, texts):
        self.texts = texts
        self.answers: list[list[str]] = []

    def ask(self, rank, is_equal):
        said = []

        def broadcast(value, src=0):
            said.append(value)
            if src == rank:
                return value
            return self.answers[src][len(said) - 1] if src < rank else self.texts[src]

        strategy = SimpleNamespace(
            broadcast=broadcast, reduce_boolean_decision=lambda decision, all: is_equal
        )
        trainer = SimpleNamespace(strategy=strategy, world_size=len(self.texts), global_rank=rank)
        answer = differing_texts(trainer, self.texts[rank])
        self.answers.append(said)
        return answer


def test_equal_processes_send_a_hash_only():
    """And learn that there is nothing to tell."""
    group = Group(["a" * 9999] * 3)
    assert [group.ask(rank, True) for rank in range(3)] == [None] * 3
    assert [[len(value) for value in said] for said in group.answers] == [[64]] * 3


def test_every_process_learns_what_the_others_know():
    """By rank, also those that agree with the first one."""
    texts = ["a", "b", "a"]
    group = Group(texts)
    assert [group.ask(rank, False) for rank in range(3)] == [texts] * 3


def test_one_process_has_nobody_to_ask():
    """There is no strategy that connects anything."""
    assert differing_texts(SimpleNamespace(world_size=1), "a") is None
