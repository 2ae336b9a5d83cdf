"""Where the processes of a training reach the first one."""

import socket
from types import SimpleNamespace

from dlplug.processes.meeting_point import connect, host_of_first, listen


def trainer(num_nodes):
    environment = SimpleNamespace(main_address="localhost")
    strategy = SimpleNamespace(cluster_environment=environment)
    return SimpleNamespace(num_nodes=num_nodes, world_size=2, strategy=strategy)


def test_one_machine_keeps_to_itself():
    """Nobody on the network can connect."""
    with listen(trainer(1)) as server:
        address = (host_of_first(trainer(1)), server.getsockname()[1])
        assert server.getsockname()[0] == address[0] == "127.0.0.1"
        with connect(address) as connection:
            assert connection.getpeername() == address


def test_several_machines_meet_at_the_cluster_s_main_address():
    """Over either protocol."""
    with listen(trainer(2)) as server:
        port = server.getsockname()[1]
        for host in (host_of_first(trainer(2)), "127.0.0.1"):
            with connect((host, port)) as connection:
                assert connection.getpeername()[1] == port


def test_a_first_process_out_of_reach_is_said(capsys):
    """With its address and the reason."""
    with socket.create_server(("127.0.0.1", 0)) as server:
        closed = server.getsockname()
    assert connect(closed) is None
    said = capsys.readouterr().err
    assert f"cannot be reached at 127.0.0.1:{closed[1]} (" in said and "refused" in said
