"""The best plan of the groups of tokens that each step runs, by dynamic programming.

Groups are nested: a step that runs a group runs all groups before it too. Every
interval between two successive steps that run a group has a loss, and the losses of all
intervals and groups add up. So the search keeps the least loss of a plan's first steps
for each combination of their cost and the last step in which each group was run. A step
that runs a group closes the group's interval and opens its next one.
"""

from collections.abc import Collection, Sequence
from dataclasses import dataclass

import numpy as np
from jaxtyping import Float, Float32, Int16

Lasts = tuple[int, ...]


@dataclass(frozen=True, eq=False)
class BestPlans:
    """The plans with the least loss for each cost.

    Attributes:
        losses: the least loss of a plan whose cost in units is the index; infinite if
            there is none.
        prices: the cost of a step that runs the first 1, 2, ... groups, in units.
        before: for each step after step 0, and for the end of the run, the best steps
            at which the intervals closed there began (see `closings`).
    """

    losses: Float[np.ndarray, " units"]
    prices: tuple[int, ...]
    before: tuple[tuple[Int16[np.ndarray, "..."], ...], ...]

    def within(self, most: int) -> tuple[int, ...]:
        """The plan with the least loss that costs `most` units or less.

        Returns:
            The number of groups that each step runs.

        Raises:
            ValueError: if no plan is so cheap.
        """
        losses = self.losses[: max(most, -1) + 1]
        if not np.isfinite(losses).any():
            least = int(np.flatnonzero(np.isfinite(self.losses))[0])
            raise ValueError(f"the cheapest plan costs {least} units, got {most}")
        return self.plan(int(losses.argmin()))

    def cheapest(self, loss: float) -> tuple[int, ...]:
        """The cheapest plan that loses `loss` or less.

        Raises:
            ValueError: if all plans lose more.
        """
        if not (self.losses <= loss).any():
            raise ValueError(
                f"the least loss of a plan is {self.losses.min():.4g}, got {loss:.4g}"
            )
        return self.plan(int((self.losses <= loss).argmax()))

    def plan(self, units: int) -> tuple[int, ...]:
        """The plan with the least loss that costs `units` units (see `within`)."""
        count = len(self.prices)
        lasts = self.opened(len(self.before) - 1, count, (), units)
        choices = [0] * len(self.before)
        while lasts[0]:
            step = lasts[0]
            choices[step] = sum(last == step for last in lasts)
            units -= self.prices[choices[step] - 1]
            lasts = self.opened(step - 1, choices[step], lasts[choices[step] :], units)
        choices[0] = count
        return tuple(choices)

    def opened(self, at: int, count: int, others: Lasts, units: int) -> Lasts:
        """The last step of every group before step `at + 1`, traced back.

        Args:
            at: the index in `before` of the step that closes intervals.
            count: the number of groups, from the first, whose intervals it closes.
            others: the last steps of all other groups.
            units: the cost of all earlier steps.
        """
        for before in self.before[at][:count][::-1]:
            others = (int(before[(*others, units)]), *others)
        return others


def searched(
    losses: Sequence[Float[np.ndarray, "steps ends"]],
    prices: tuple[int, ...],
    full: Collection[int],
    most: int,
) -> BestPlans:
    """The best plans for all costs up to `most`.

    Args:
        losses: for each group the loss, 0 or more, between a step that runs it and the
            next one (the number of steps stands for the end of the run).
        prices: the cost of a step that runs the first 1, 2, ... groups, in units of 1
            or more; a step that runs none costs nothing.
        full: the steps that must run all groups, step 0 among them.
        most: the largest cost in units.
    """
    steps, groups = len(losses[0]), len(losses)
    best = np.full((steps,) * groups + (most + 1,), np.inf, np.float32)
    best[(0,) * groups + (slice(prices[-1], prices[-1] + 1),)] = 0.0
    before = []
    for i in range(1, steps + 1):
        closed, where = closings(best[(slice(i),) * groups], losses, i)
        before.append(where)
        if i == steps:
            return BestPlans(closed[-1].astype(float), prices, tuple(before))
        if i in full:
            best[:i] = np.inf
        for count, (sums, price) in enumerate(zip(closed, prices), 1):
            if count == groups or i not in full:
                here = (i,) * count + (slice(i),) * (groups - count)
                best[here][..., price:] = sums[..., : most + 1 - price]
    raise ValueError("a plan has 1 step or more, got none")


def closings(
    best: Float32[np.ndarray, "..."],
    losses: Sequence[Float[np.ndarray, "steps ends"]],
    i: int,
) -> tuple[list[Float32[np.ndarray, "..."]], tuple[Int16[np.ndarray, "..."], ...]]:
    """Closes the intervals of the first group, of the first two, and so on at step `i`.

    Args:
        best: the least loss by the last step of each group, and by cost.
        losses: the losses of intervals (see `searched`).
        i: the step.

    Returns:
        For each number of closed groups: the least loss by the last steps of all other
        groups, and by cost; and the step at which the interval of the last of the
        closed groups began, for that least loss.
    """
    closed, where = [], []
    for loss in losses:
        ending = loss[:i, i].astype(np.float32)
        sums = best + ending.reshape(-1, *(1,) * (best.ndim - 1))
        where.append(sums.argmin(axis=0).astype(np.int16))
        best = sums.min(axis=0)
        closed.append(best)
    return closed, tuple(where)
