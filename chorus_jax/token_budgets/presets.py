"""Token budgets by name: hsa-75, hsa-50 and hsa-25 of a full run's work.

The paper (arXiv 2605.06892) has settings of these names for 75, 50 and 25 % of the
runtime, whose shares, budgets and forced full steps are not published. These are ours:
two groups, the share of the first one such that the run computes exactly as much.
"""

from dataclasses import dataclass

from chorus_jax.token_budgets.budgets import TokenBudgets, TokenGroup, divisors

LEAST_STEPS = 16  # fewer have too few budgets and no room for full steps


@dataclass(frozen=True)
class TokenPreset:
    """A setting for any number of steps.

    Attributes:
        work: the share of a full run that is computed, a little below the name's: a
            step of few tokens costs more than their share.
        period: the steps from one run of the second group's tokens to the next, about.
        early: full steps at the start, a share of all steps.
        late: full steps at the end, a share of all steps.
    """

    work: float
    period: int
    early: float
    late: float

    def budgets(self, steps: int) -> TokenBudgets:
        """The budgets for so many steps, 16 or more."""
        early, late = max(round(self.early * steps), 2), round(self.late * steps)
        others = nearest(self.period, steps)
        between = steps - early - late
        mean = (self.work * steps - early - late) / between
        first = (mean - 1 / others) / (1 - 1 / others)
        share = min(max(first, 0.01), 0.99)
        groups = TokenGroup(share, steps), TokenGroup(1 - share, steps // others)
        return TokenBudgets(steps, groups, early, late)


# Chosen on the shapes model at 50 steps: of some tens of settings of equal work those
# whose latents were nearest to the full run's (benchmarks/tokens).
PRESETS = {
    "hsa-75": TokenPreset(0.72, 2, 0.32, 0.04),
    "hsa-50": TokenPreset(0.47, 5, 0.16, 0.04),
    "hsa-25": TokenPreset(0.244, 10, 0.12, 0.02),
}


def named(name: str, steps: int) -> TokenBudgets:
    """The token budgets of a name for so many steps.

    Raises:
        ValueError: for another name, listing those there are, or for too few steps.
    """
    if name not in PRESETS:
        raise ValueError(
            f"no token budgets are named {name!r}: choose one of {', '.join(PRESETS)}"
        )
    if steps < LEAST_STEPS:
        raise ValueError(
            f"token budgets such as {name} are for {LEAST_STEPS} steps or more, this "
            f"schedule has {steps}: leave them out"
        )
    return PRESETS[name].budgets(steps)


def nearest(period: int, steps: int) -> int:
    """The period nearest to the wanted one that divides the steps, 2 or more; the
    smaller of two that are as near.

    Raises:
        ValueError: if the steps have no other divisor than 1 and themselves.
    """
    fitting = [x for x in divisors(steps) if 1 < x < steps]
    if not fitting:
        raise ValueError(
            f"token budgets divide the steps, and {steps} is a prime number: take "
            "another number of steps, such as one more"
        )
    return min(fitting, key=lambda x: (max(x / period, period / x), x))
