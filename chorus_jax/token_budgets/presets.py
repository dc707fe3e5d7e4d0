"""Token budgets by name: hsa-75, hsa-50 and hsa-25.

The paper (arXiv 2605.06892) has settings for 75, 50 and 25 % of the runtime, but does
not publish its shares, budgets and forced full steps. These here are ours: two groups,
with the share of the first chosen so that a run computes about the wanted amount of
work (`TokenPreset.work`), which is 72, 50 and 24 % of a full run's. If the budget of
the second group alone takes that much, all tokens have it, as in hsa-50.
"""

from dataclasses import dataclass

from chorus_jax.token_budgets.budgets import TokenBudgets, TokenGroup, divisors

SPARE = 0.1  # rather than a longer period, a run may take this share more work
LEAST_STEPS = 16  # smaller numbers have few divisors, and no room for full steps


@dataclass(frozen=True)
class TokenPreset:
    """Settings from which token budgets are made for any number of steps.

    Attributes:
        work: the approximate share of a full run that is computed.
        period: the approximate number of steps from one run of the second group's
            tokens to the next. It is longer where that alone would be clearly more than
            `work`.
        early: full steps at the start, as a share of all steps; only the first one if
            all tokens are in one group.
        late: full steps at the end, as a share of all steps.
    """

    work: float
    period: int
    early: float
    late: float

    def budgets(self, steps: int) -> TokenBudgets:
        """The token budgets for a schedule of `steps` steps, 16 or more."""
        early, late = max(round(self.early * steps), 2), round(self.late * steps)
        alone = nearest(self.period, steps)
        if self.work <= 1 / alone <= (1 + SPARE) * self.work:
            return TokenBudgets(steps, (TokenGroup(1.0, steps // alone),), 1, late)
        mean = (self.work * steps - early - late) / (steps - early - late)
        others = nearest(self.period, steps, (1 - SPARE) / mean)
        first = (mean - 1 / others) / (1 - 1 / others)
        share = min(max(first, 0.01), 0.99)
        groups = TokenGroup(share, steps), TokenGroup(1 - share, steps // others)
        return TokenBudgets(steps, groups, early, late)


# Chosen on the shapes model at 50 steps: among some tens of settings of equal work,
# those that came nearest to the full run, hsa-50 and hsa-25 with forecasts of the
# tokens that are not run. The trials are not stored, except some of earlier hsa-50
# (`benchmarks.tokens.settings`). hsa-50 runs all tokens in every second step, as a step
# cache would: to run a tenth of them in every fifth step only was much farther from the
# full run, and so was to run many in all steps and the others less often, as they
# attend to old keys. hsa-25 runs all tokens in every fifth step, and a few in every
# step, ranked by their first two steps alone; the paper takes the first 5 to 10 of 40.
# benchmarks/tokens measures what was chosen.
PRESETS = {
    "hsa-75": TokenPreset(0.72, 2, 0.32, 0.04),
    "hsa-50": TokenPreset(0.5, 2, 0.04, 0.0),
    "hsa-25": TokenPreset(0.244, 5, 0.04, 0.0),
}


def named(name: str, steps: int) -> TokenBudgets:
    """The token budgets of a preset, for a schedule of `steps` steps.

    Raises:
        ValueError: for an unknown name, for too few steps, or for a prime number of
            steps.
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


def nearest(period: int, steps: int, least: float = 1.0) -> int:
    """The divisor of `steps` nearest to `period` by ratio, except 1 and `steps`.

    Of two that are equally near, the smaller one is taken. Divisors up to `least` are
    left out, unless there is no other.

    Raises:
        ValueError: if `steps` is a prime number.
    """
    fitting = [x for x in divisors(steps) if 1 < x < steps]
    if not fitting:
        raise ValueError(
            f"token budgets divide the steps, and {steps} is a prime number: take "
            "another number of steps, such as one more"
        )
    longer = [x for x in fitting if x > least] or fitting[-1:]
    return min(longer, key=lambda x: (max(x / period, period / x), x))
