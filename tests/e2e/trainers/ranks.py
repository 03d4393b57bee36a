"""One rank of several, with real torch.distributed over gloo on the CPU: each step all ranks reduce, and commit their
shares of one sharded checkpoint. Goes on from the newest complete one.

# found STEP DIGEST   this rank's share of what latest_checkpoint() gave, or `found none`
# all STEP DIGEST     what the shares of all ranks come to, told by a world of another size
# try STEP DIGEST     this rank's share is whole and was not handed over yet
# saved STEP DIGEST   it was handed over
"""

from __future__ import annotations

import hashlib
import io
import os
from datetime import timedelta
from zlib import crc32

import torch
import torch.distributed as dist
from notes import begin, hang, parser


def share_of(step: int, rank: int, world: int, size: int) -> torch.Tensor:
    """The only right share."""
    torch.manual_seed(crc32(f"{step}:{rank}:{world}".encode()))
    return torch.randn(size // 4)


def saved(state: dict[str, object]) -> bytes:
    buffer = io.BytesIO()
    torch.save(state, buffer)
    return buffer.getvalue()


def digest(data: bytes) -> str:
    return hashlib.sha256(data).hexdigest()


class Rank:
    def __init__(self, options) -> None:
        self.options = options
        self.run, self.notes = begin(options)
        self.run.keep_checkpoints(last=3)
        # After init(): a rank that waits for others should have said who it is.
        dist.init_process_group("gloo", timeout=timedelta(seconds=60))
        self.rank, self.world = dist.get_rank(), dist.get_world_size()

    def found(self) -> int:
        """The step to go on from, the same for all ranks: rank 0 says which checkpoint it is."""
        one = self.run.latest_checkpoint()
        step = torch.tensor([-1 if one is None else one.step])
        dist.broadcast(step, 0)
        if one is None or step.item() < 0:
            self.notes.remark("found none")
            return 0
        one = next(each for each in self.run.checkpoints() if each.complete and each.step == step.item())
        if one.world == self.world:
            with one.open(rank=self.rank, world=self.world) as file:
                self.notes.remark(f"found {one.step} {digest(file.read())}")
        else:
            self.put_together(one)
        return int(one.step) + 1

    def put_together(self, one) -> None:
        """A world of another size is told so, and may read the shares of all."""
        from respool.errors import UsageError

        try:
            one.open(rank=self.rank, world=self.world)
        except UsageError as error:
            self.notes.remark(f"refused {error}")
        shares = []
        for rank in range(one.world):
            with one.open(rank=rank) as file:
                shares.append(digest(file.read()))
        self.notes.remark(f"all {one.step} {' '.join(shares)}")

    def turn(self, step: int) -> None:
        total = torch.tensor([float(self.rank + 1)])
        dist.all_reduce(total)
        assert total.item() == self.world * (self.world + 1) / 2
        self.run.log({"loss": 1 / (step + 1)}, step=step)
        data = saved({"step": step, "share": share_of(step, self.rank, self.world, self.options.size)})
        self.notes.remark(f"try {step} {digest(data)}")
        with self.run.checkpoint(step, sharded=True) as file:
            file.write(data)
            if self.options.stuck == step and self.rank == self.world - 1:
                hang()  # in the middle of its share: the others have handed theirs over
        if file.ok:
            self.notes.remark(f"saved {step} {digest(data)}")


def main() -> None:
    made = parser()
    made.add_argument("--steps", type=int, default=4)
    made.add_argument("--size", type=int, default=2 << 20)
    made.add_argument("--stuck", type=int, default=-1)
    rank = Rank(made.parse_args())
    for step in range(rank.found(), rank.options.steps):
        rank.turn(step)
    dist.barrier()
    rank.run.finish()
    dist.destroy_process_group()


if __name__ == "__main__":
    os.environ.setdefault("GLOO_SOCKET_IFNAME", "lo")
    main()
