"""One process or several, on one machine or many, as torchrun or SLURM started them."""

from __future__ import annotations

import os
import sys
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from datetime import timedelta
from typing import TypeVar

import torch

from CRONOSLib.errors import CronosError

T = TypeVar("T")
_PATIENCE = timedelta(days=2)  # for the first process, which prepares a cohort while the others wait


@dataclass(frozen=True)
class Processes:
    """The place of this process among those of a run.

    rank:  number of this process, 0 to world − 1
    world: how many there are
    local: number of this process on its machine, which is also the number of its GPU
    nodes: how many machines
    """

    rank: int = 0
    world: int = 1
    local: int = 0
    nodes: int = 1

    @classmethod
    def of_environment(cls, environment: Mapping[str, str] | None = None) -> Processes:
        """As the variables of torchrun, or of SLURM's srun, say; one process without them."""
        known = os.environ if environment is None else environment
        if "TORCHELASTIC_RUN_ID" in known:
            world, per_node = int(known["WORLD_SIZE"]), int(known["LOCAL_WORLD_SIZE"])
            return cls(int(known["RANK"]), world, int(known["LOCAL_RANK"]), world // per_node)
        if "SLURM_STEP_ID" in known and "SLURM_NTASKS" in known:  # a step: started by srun, not a mere allocation
            ranks = (int(known[f"SLURM_{name}"]) for name in ("PROCID", "NTASKS", "LOCALID", "NNODES"))
            return cls(*ranks)
        return cls()

    @property
    def first(self) -> bool:
        """Whether this process prepares, measures and writes for all."""
        return self.rank == 0

    def share(self, items: Sequence[T]) -> Sequence[T]:
        """The part of `items` that falls to this process."""
        return items[self.rank :: self.world]

    @contextmanager
    def connected(self, *, gpu: bool) -> Iterator[None]:
        """Inside the block the processes can wait for each other and exchange results."""
        if self.world == 1:
            yield
            return
        _find_each_other()
        backend = "cpu:gloo,cuda:nccl" if gpu else "gloo"
        torch.distributed.init_process_group(backend, rank=self.rank, world_size=self.world, timeout=_PATIENCE)
        try:
            yield
        finally:
            torch.distributed.destroy_process_group()

    def by_first(self, task: Callable[[], T]) -> T:
        """The result of a task that the first process does while the others wait.

        What a user can mend is raised in all of them.
        """
        if self.world == 1:
            return task()
        result: list = [None, None]
        if self.first:
            try:
                result[0] = task()
            except CronosError as error:
                result[1] = error
        torch.distributed.broadcast_object_list(result, src=0)
        if result[1] is not None:
            raise result[1]
        return result[0]

    def gathered(self, items: list[T]) -> list[T]:
        """The items of all processes, those of the first first."""
        if self.world == 1:
            return items
        parts: list = [None] * self.world
        torch.distributed.all_gather_object(parts, items)
        return [item for part in parts for item in part]


def launch(devices: int, module: str, arguments: Sequence[str]) -> None:
    """Run a module in as many processes on this machine, by torchrun; returns when all have ended.

    Raises SystemExit with their exit code when they failed.
    """
    from torch.distributed.elastic.multiprocessing.errors import ChildFailedError
    from torch.distributed.run import main

    try:
        main(["--standalone", f"--nproc-per-node={devices}", "--module", module, *arguments])
    except ChildFailedError as error:
        sys.exit(max(failure.exitcode for failure in error.failures.values()))


def _find_each_other() -> None:
    """SLURM names no meeting point; torchrun does."""
    if "SLURM_STEP_ID" in os.environ and "MASTER_ADDR" not in os.environ:
        from lightning.fabric.plugins.environments import SLURMEnvironment

        environment = SLURMEnvironment(auto_requeue=False)
        os.environ["MASTER_ADDR"] = environment.main_address
        os.environ["MASTER_PORT"] = str(environment.main_port)
