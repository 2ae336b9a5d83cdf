"""A training that torchrun starts again meets in a part of the store that is its own."""

import pytest
from torch.distributed import HashStore
from torch.distributed.rendezvous import _rendezvous_handlers as handlers

from dlplug.run.restart import MACHINES, RESTARTS, separate_restarts


@pytest.fixture
def kept(monkeypatch):
    """The store that torchrun keeps, with an address of a dead process; the one we would get."""
    store = HashStore()
    store.set("address", "dead")

    def meet(url, **options):
        yield store, options["rank"], options["world_size"]

    monkeypatch.setitem(handlers, "env", meet)

    def found(restarts, machines):
        monkeypatch.setenv(RESTARTS, restarts)
        monkeypatch.setenv(MACHINES, machines)
        separate_restarts()
        separate_restarts()
        ((found, rank, world_size),) = handlers["env"]("env://", rank=1, world_size=2)
        assert (rank, world_size) == (1, 2)
        return found

    return found


def test_a_restart_does_not_see_the_dead(kept):
    """What is set in it is under one prefix, however often it is asked for."""
    store = kept("1", "1")
    assert not store.check(["address"])
    store.set("address", "alive")
    assert store.underlying_store.get("start_1/address") == b"alive"


@pytest.mark.parametrize(("restarts", "machines"), [("0", "1"), ("2", "2")])
def test_other_starts_are_left_alone(kept, restarts, machines):
    """The first one, and those of several machines."""
    assert kept(restarts, machines).get("address") == b"dead"
