"""Token budgets by name: hsa-75, hsa-50 and hsa-25.

The paper (arXiv 2605.06892) has settings for 75, 50 and 25 % of the runtime, but does
not publish its shares, budgets and forced full steps. These here are ours. They compute
about 72, 50 and 24 % of a full run's work.
"""

from collections.abc import Mapping
from dataclasses import dataclass
from itertools import count
from typing import Final

from chorus_jax.token_budgets.budgets import TokenBudgets, TokenGroup, divisors

SPARE = 0.1  # rather than a longer period, a run may take this share more work
LONGEST = 8  # longer periods were not tried


@dataclass(frozen=True)
class OneGroup:
    """Settings for one group of tokens: all are run in the same steps.

    Attributes:
        work: the approximate share of a full run that is computed.
        period: the approximate number of steps from one full step to the next.
        first: the least number of full steps at the start. There are more where that
            makes up for the rest of `work`.
        least: the least number of steps of a schedule.
    """

    work: float
    period: int
    first: int
    least: int

    def budgets(self, steps: int) -> TokenBudgets:
        """The token budgets for a schedule of `steps` steps."""
        period = nearest(self.period, steps, 1 / (self.work * (1 + SPARE)))
        early = self.first
        while early + (steps - early) // period < round(self.work * steps):
            early += 1
        return TokenBudgets(steps, (TokenGroup(1.0, steps // period),), early)


@dataclass(frozen=True)
class TwoGroups:
    """Settings for two groups of tokens: the first is run in every step.

    Attributes:
        work: the approximate share of a full run that is computed. It decides the share
            of the tokens that is in the first group.
        period: the approximate number of steps from one run of the second group's
            tokens to the next. It is longer where that alone would be clearly more than
            `work`.
        early: full steps at the start, as a share of all steps.
        late: full steps at the end, as a share of all steps.
        least: the least number of steps of a schedule.
    """

    work: float
    period: int
    early: float
    late: float
    least: int

    def budgets(self, steps: int) -> TokenBudgets:
        """The token budgets for a schedule of `steps` steps."""
        early, late = max(round(self.early * steps), 2), round(self.late * steps)
        mean = (self.work * steps - early - late) / (steps - early - late)
        others = nearest(self.period, steps, (1 - SPARE) / mean)
        first = (mean - 1 / others) / (1 - 1 / others)
        share = min(max(first, 0.01), 0.99)
        groups = TokenGroup(share, steps), TokenGroup(1 - share, steps // others)
        return TokenBudgets(steps, groups, early, late)


# Chosen on the shapes model at 50 steps: among some tens of settings of equal work,
# those that came nearest to the full run, with forecasts of the tokens that are not run
# (`benchmarks.tokens.settings`). Two groups were never nearer than one, as tokens that
# are run attend to old keys of the others; with 72 % of the work they were as near, and
# hsa-75 keeps them. With fewer than three full steps at the start, or in fewer than 30
# steps, some videos of hsa-25 came out wrong.
PRESETS: Final[Mapping[str, OneGroup | TwoGroups]] = {
    "hsa-75": TwoGroups(0.72, 2, 0.32, 0.04, least=16),
    "hsa-50": OneGroup(0.5, 2, first=1, least=16),
    "hsa-25": OneGroup(0.24, 5, first=3, least=30),
}


def named(name: str, steps: int) -> TokenBudgets:
    """The token budgets of a preset, for a schedule of `steps` steps.

    Raises:
        ValueError: for an unknown name, for too few steps, or for a number of steps
            without a divisor that can be a period.
    """
    if name not in PRESETS:
        raise ValueError(
            f"no token budgets are named {name!r}: choose one of {', '.join(PRESETS)}"
        )
    preset = PRESETS[name]
    if steps < preset.least:
        raise ValueError(
            f"the token budgets {name} are for {preset.least} steps or more, this "
            f"schedule has {steps}: leave them out"
        )
    return preset.budgets(steps)


def nearest(period: int, steps: int, least: float) -> int:
    """The divisor of `steps`, above `least`, that is nearest to `period` by ratio.

    Of two that are equally near, the smaller one is taken.

    Raises:
        ValueError: if `steps` has no such divisor up to 8 (`LONGEST`).
    """
    longest = max(LONGEST, int(least) + 1)
    periods = lambda steps: [x for x in divisors(steps) if least < x <= longest]
    if not periods(steps):
        other = next(x for x in count(steps) if periods(x))
        raise ValueError(
            f"these token budgets take a number of steps with a divisor from "
            f"{int(least) + 1} to {longest}, and {steps} has none: take {other} steps"
        )
    return min(periods(steps), key=lambda x: (max(x / period, period / x), x))
