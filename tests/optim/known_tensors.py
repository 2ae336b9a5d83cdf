"""Steps of the very tensors of the last one: whether they are taken, and what keeps from it."""

import torch


def watch(optimizer_class, monkeypatch):
    """A list that gets, of each step, whether it was one of known tensors."""
    seen, step = [], optimizer_class._step_as_known
    monkeypatch.setattr(
        optimizer_class, "_step_as_known", lambda own: seen.append(step(own)) or seen[-1]
    )
    return seen


def everything(params, optimizer):
    """All that steps have written."""
    states = [tensor for state in optimizer.state.values() for tensor in state.values()]
    return [*[param.detach() for param in params], *states]


def released_view(values):
    """Of a storage that was let go: it has an address, and nothing is there."""
    memory = torch.stack([values, values])
    view = memory[1]
    memory.untyped_storage().resize_(0)
    assert view.data_ptr() == values.nbytes
    return view


def with_gradient(values):
    """A parameter whose gradient is its values."""
    param = torch.nn.Parameter(values)
    param.grad = values.clone()
    return param


def _of_gradient(change):
    def disturb(params, optimizer):
        params[0].grad = change(params[0].grad)

    return disturb


DISTURBANCES = {
    "a scaler": lambda params, optimizer: setattr(optimizer, "grad_scale", torch.tensor(2.0)),
    "a found inf": lambda params, optimizer: setattr(optimizer, "found_inf", torch.tensor(0.0)),
    "an average": lambda params, optimizer: optimizer.average_in_next_step(
        {id(param): param.detach().float().clone() for param in params}, 0.5
    ),
    "a state": lambda params, optimizer: optimizer.state[params[0]].clear(),
    "another group": lambda params, optimizer: optimizer.add_param_group(
        {"params": [with_gradient(torch.ones(2, dtype=params[0].dtype))]}
    ),
    "a sparse gradient": _of_gradient(lambda grad: grad.to_sparse()),
    "a released gradient": _of_gradient(
        lambda grad: torch._efficientzerotensor(grad.shape, dtype=grad.dtype)
    ),
    "a released view": _of_gradient(released_view),
    "a pending negation": _of_gradient(torch._neg_view),
    "another layout": _of_gradient(lambda grad: grad.T.contiguous().T),
}
