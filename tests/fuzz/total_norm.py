"""Random calls of ``total_norm``."""

import torch
from torch import Tensor

from dlplug import ops
from dlplug.ops.fallback import total_norm as reference
from tests.fuzz.call import Call
from tests.fuzz.dice import DTYPES, Dice

NAME = "total_norm"


def draw(dice: Dice) -> Call:
    """Lists of none to six tensors, of one dtype or of several, dense or not."""
    kind, dtype = dice.kind(), dice.choice(DTYPES)
    is_mixed, has_gaps = dice.chance(0.3), dice.chance(0.15)
    placed = []
    for _ in range(dice.randint(0, 6)):
        shape = dice.shape(150_000 if dice.chance(0.05) else 4000)
        own = dice.choice((*DTYPES, torch.float64)) if is_mixed else dtype
        placed.append(dice.placed(dice.values(shape, own, kind), is_dense=not has_gaps))
    tensors = [x.tensor for x in placed]

    def exact(_) -> dict[str, Tensor]:
        flat = [x.double().flatten() for x in tensors] or [torch.zeros(1).double()]
        return {"norm": torch.cat(flat).norm()}

    def peers(_) -> list[dict[str, Tensor]]:
        if not tensors:
            return [{"norm": torch.zeros(())}]
        wide = [x if x.dtype == torch.float64 else x.float() for x in tensors]
        dtype = torch.float64 if any(x.dtype == torch.float64 for x in wide) else torch.float32
        theirs = torch.nn.utils.get_total_norm([x.to(dtype) for x in wide])
        return [{"norm": reference.total_norm(tensors)}, {"norm": theirs}]

    def instead(x: Tensor):
        return lambda: ops.total_norm([*tensors, x])

    return Call(
        run=lambda: {"norm": ops.total_norm(tensors)},
        peers=peers,
        oracle=exact,
        inputs=placed,
        wrong={
            "integers": instead(torch.arange(3)),
            "bool": instead(torch.ones(3, dtype=torch.bool)),
            "sparse": instead(torch.eye(2).to_sparse()),
            "complex": instead(torch.ones(2, dtype=torch.complex64)),
        },
    )
