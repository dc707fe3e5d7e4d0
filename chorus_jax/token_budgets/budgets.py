"""Token budgets: in which steps the tokens of a video are run, decided before a run.

Heterogeneous step allocation (HSA, arXiv 2605.06892): tokens are split into groups, and
group k is run in `s_k` of the T steps, a divisor of T. At step i the active tokens are

    A_i = union of the groups k with i mod (T / s_k) = 0

Only these are run. They attend to the keys and values of all tokens. An inactive token
keeps the keys and values of its last pass, and the solver moves it by its latest
velocity. The paper does not publish its groups' shares, budgets and forced full steps:
see `presets` for ours.
"""

import math
from collections.abc import Sequence
from dataclasses import dataclass


@dataclass(frozen=True)
class TokenGroup:
    """A group of tokens with the same budget.

    Attributes:
        share: the group's share of the video's tiles, above 0 and up to 1.
        budget: the number of the schedule's steps in which the tokens are run.

    Raises:
        ValueError: for a share or budget out of range.
    """

    share: float
    budget: int

    def __post_init__(self) -> None:
        if not 0 < self.share <= 1 or self.budget < 1:
            raise ValueError(
                "a group has a share above 0, up to 1, and a budget of 1 step or more, "
                f"got {self}"
            )


@dataclass(frozen=True)
class TokenBudgets:
    """The number of steps in which each group of tokens is run; static and hashable.

    Attributes:
        steps: the number of steps of the schedule that the budgets are for (T).
        groups: the groups; the first has the tokens whose velocity changes most. Their
            shares add up to 1, and each budget divides `steps`.
        early: steps at the start of the run (or of another stage) that run all tokens
            and measure how much their velocities change; 2 or more if there are several
            groups.
        late: steps at the end of the run that run all tokens.
        staggered: whether the tiles of a group take turns, so that all steps cost the
            same (our variant). Otherwise, as in the paper, all tiles of a group are run
            in the same steps.

    Raises:
        ValueError: for shares that do not add up to 1, a budget that does not divide
            `steps`, or numbers of full steps out of range.
    """

    steps: int
    groups: tuple[TokenGroup, ...]
    early: int = 2
    late: int = 0
    staggered: bool = False

    def __post_init__(self) -> None:
        shares = [group.share for group in self.groups]
        if not math.isclose(sum(shares), 1, abs_tol=1e-6):
            raise ValueError(f"the shares of token groups add up to 1, got {shares}")
        for group in self.groups:
            if self.steps % group.budget:
                raise ValueError(
                    f"the budget of a token group divides the {self.steps} steps, got "
                    f"{group.budget}: choose one of {divisors(self.steps)}"
                )
        least = 1 if len(self.groups) == 1 else 2
        if self.early < least or self.late < 0:
            raise ValueError(
                f"{len(self.groups)} token groups need {least} early full steps or "
                f"more, and no negative number of late ones, got {self}"
            )

    @property
    def splits(self) -> bool:
        """Whether some steps run a part of the tokens, not all or none."""
        return self.staggered or len({group.budget for group in self.groups}) > 1

    def periods(self) -> list[int]:
        """The number of steps from one run of a group's tokens to the next, per
        group."""
        return [self.steps // group.budget for group in self.groups]

    def sizes(self, tiles: int) -> list[int]:
        """The number of tiles in each group, for a video (or region) of `tiles` tiles.

        Staggered groups have a multiple of their period, so that all steps have equally
        many active tiles; the first group gets the remaining tiles.
        """
        ends = [
            round(tiles * sum(x.share for x in self.groups[: k + 1]))
            for k in range(len(self.groups))
        ]
        sizes = [end - start for start, end in zip([0, *ends], ends)]
        if self.staggered:
            sizes = [n // p * p for n, p in zip(sizes, self.periods())]
            sizes[0] += tiles - sum(sizes)
        return sizes

    def active(self, i: int, tiles: int) -> tuple[int, ...]:
        """The ranks of the tiles that the budgets run at step `i`, without forced full
        steps; rank 0 is the tile whose velocity changes most."""
        ranks, first = [], 0
        for size, period in zip(self.sizes(tiles), self.periods()):
            turns = range(size) if self.staggered else [0] * size
            ranks += [
                first + j for j, turn in enumerate(turns) if (i + turn) % period == 0
            ]
            first += size
        return tuple(ranks)

    def sets(
        self, first: int, last: int, tiles: int, early: int
    ) -> tuple[tuple[int, ...], ...]:
        """The ranks of the tiles of each step (see `ActiveSets.sets`)."""
        every = tuple(range(tiles))
        forced = lambda i: i < first + max(early, 1) or i >= self.steps - self.late
        return tuple(
            every if forced(i) else self.active(i, tiles) for i in range(first, last)
        )


def divisors(steps: int) -> Sequence[int]:
    """The budgets that divide a number of steps, rising."""
    return [budget for budget in range(1, steps + 1) if steps % budget == 0]
