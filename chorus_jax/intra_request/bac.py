"""Block-wise adaptive caching (BAC): update steps for each branch of each layer.

arXiv 2506.13456. For each branch, dynamic programming places a given number of updates
so that the reused outputs are as similar as possible to the outputs they replace. Then
the "bubbling union": the most volatile feed-forward branches are also updated in the
update steps of the feed-forward branches of all later layers, because an error of an
early branch grows when a later branch is updated. `calibration.branch_fit` measures the
similarities. The form of the sum over pairs of steps is ours.
"""

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
from jaxtyping import Bool, Float

from chorus_jax.intra_request.branch_table import BranchTable, check_fits, layered
from chorus_jax.schedulers.flow import Schedule

Updates = tuple[tuple[tuple[int, ...], ...], ...]  # steps by layer and branch


@dataclass(frozen=True)
class BAC(BranchTable):
    """Computes each branch of each layer at its own update steps.

    Attributes:
        updates: the update steps by layer and branch; () computes everything.
        of: the number of steps in the runs that they were measured on; 0 for any.
    """

    updates: Updates = ()
    of: int = 0

    def table(
        self, schedule: Schedule, layers: int, names: tuple[str, ...]
    ) -> Bool[np.ndarray, "steps layers branches"]:
        """The update steps as a table.

        Raises:
            ValueError: for another number of steps, layers or branches.
        """
        table = layered(schedule.steps, layers, names)
        if not self.updates:
            return table
        branches = sorted({len(branches) for branches in self.updates})
        shape = (self.of or schedule.steps, len(self.updates), *branches)
        check_fits("BAC's updates", shape, table.shape)
        steps = np.arange(schedule.steps)
        for layer, parts in enumerate(self.updates):
            for branch, updates in enumerate(parts):
                table[:, layer, branch] = np.isin(steps, updates)
        return table


def best_updates(
    similarity: Float[np.ndarray, "steps steps"], count: int
) -> tuple[int, ...]:
    """The steps at which to compute a branch, step 0 always among them.

    They maximise the sum, over all skipped steps, of the similarity of the output to
    the last computed one.

    Args:
        similarity: similarity of the output at one step (row) to the output at a later
            step (column).
        count: the number of updates, 1 to the number of steps.
    """
    steps = len(similarity)
    if not 1 <= count <= steps:
        raise ValueError(f"expected 1 to {steps} updates, got {count}")
    # gain[i, j]: steps i + 1 to j take over what step i computed.
    gain = np.cumsum(np.triu(similarity, 1), axis=1)
    best = np.full((count + 1, steps + 1), -np.inf)
    before = np.zeros((count + 1, steps + 1), int)
    best[0, 0] = 0.0
    for number in range(1, count + 1):
        for end in range(number, steps + 1):
            starts = np.arange(number - 1, end)
            sums = best[number - 1, starts] + gain[starts, end - 1]
            before[number, end] = starts[np.argmax(sums)]
            best[number, end] = sums.max()
    end, updates = steps, []
    for number in range(count, 0, -1):
        end = int(before[number, end])
        updates.append(end)
    return tuple(updates[::-1])


def bubbled(updates: Updates, volatile: Sequence[int], branch: int) -> Updates:
    """The updates after the bubbling union: in one branch, every volatile layer also
    gets the update steps of all layers after it.

    Args:
        updates: update steps by layer and branch.
        volatile: the numbers of the volatile layers.
        branch: the number of the feed-forward branch.
    """
    later: set[int] = set()
    layers = []
    for layer, branches in reversed([*enumerate(updates)]):
        own = set(branches[branch])
        united = tuple(sorted(own | later if layer in volatile else own))
        layers.append((*branches[:branch], united, *branches[branch + 1 :]))
        later |= own
    return tuple(layers[::-1])
