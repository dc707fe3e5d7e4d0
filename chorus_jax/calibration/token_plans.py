"""Chooses together which steps run, how many tokens they run, and all forecasts.

In each step all tokens are run, or those whose velocity changes most, or none. Tokens
are ranked once, by the early steps, and cut into nested groups. What a group loses
between two steps that run it is measured as for plans of steps (`step_plans`): from
inner products of the group's velocities in full runs, times the growth of an error in
this group until the end of a run, which includes what the stale keys of its tokens do
to all others. The groups' losses are taken to add up. Dynamic programming
(`token_search`) then finds the least loss for every cost.
"""

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from functools import cached_property
from math import floor

import numpy as np
from jaxtyping import Float

from chorus_jax.calibration.step_plans import StepPlanner
from chorus_jax.calibration.token_search import BestPlans, searched
from chorus_jax.intra_request.planned_tokens import Forecast, PlannedTokens

UNITS = 8  # the cost of a full step, in the units that costs are rounded to
DEPTH = 2  # the most velocities in a forecast


@dataclass(frozen=True, eq=False)
class TokenPlanner:
    """Makes plans of the tokens that each step runs, for a model.

    Attributes:
        groups: a planner for the velocities of each group of tokens, the group whose
            velocity changes most first.
        energies: each group's share of the squared velocities.
        shares: the shares of the tokens that a step may run: those of the first group,
            of the first two, and so on; the last is 1.
        costs: the cost of a step with each share, divided by that of a full step.
        early: steps at the start that run all tokens and rank them.
    """

    groups: tuple[StepPlanner, ...]
    energies: tuple[float, ...]
    shares: tuple[float, ...]
    costs: tuple[float, ...]
    early: int = 2

    @property
    def steps(self) -> int:
        """The number of steps of a run."""
        return self.groups[0].steps

    @property
    def begins(self) -> tuple[int, ...]:
        """Steps that cannot use earlier velocities (see `StepPlanner`)."""
        return self.groups[0].begins

    @property
    def full(self) -> set[int]:
        """The steps that run all tokens in every plan.

        A transformer that ends before it has ranked the tokens leaves that to the next.
        """
        ranking = (range(x, x + self.early) for x in self.begins if x < self.early)
        return {*self.begins}.union(*ranking) & {*range(self.steps)}

    @cached_property
    def plans(self) -> BestPlans:
        """The best plans for all costs."""
        prices = tuple(max(round(UNITS * cost), 1) for cost in self.costs)
        losses = [self.losses(group) for group in range(len(self.groups))]
        return searched(losses, prices, self.full, self.steps * prices[-1])

    def losses(self, group: int) -> Float[np.ndarray, "steps ends"]:
        """The squared error at a run's end if a group is not run between two steps.

        In between, the last velocity times a factor is used. The error is relative to
        the squared velocities of all tokens.

        Returns:
            The error by the steps before and after the gap, both of which run the
            group.
        """
        planner = self.groups[group]
        losses = np.zeros((self.steps, self.steps + 1))
        for last in range(self.steps):
            for following in range(last + 2, self.steps + 1):
                losses[last, following] = planner.error((last,), following)
        return self.energies[group] * np.maximum(losses, 0.0)

    def planned(self, cost: float) -> PlannedTokens:
        """The plan with the least loss within a cost, in full steps.

        Raises:
            ValueError: if no plan is so cheap.
        """
        return self.fitted(self.plans.within(floor(cost * self.prices)))

    def cheapest(self, loss: float) -> PlannedTokens:
        """The cheapest plan within a loss.

        The loss is the squared error of the final latents, divided by the mean square
        of the velocities.

        Raises:
            ValueError: if all plans lose more.
        """
        return self.fitted(self.plans.cheapest(loss))

    @property
    def prices(self) -> int:
        """The cost of a full step, in units."""
        return self.plans.prices[-1]

    def fitted(self, counts: Sequence[int]) -> PlannedTokens:
        """The plan that runs the first `counts[i]` groups in step `i`."""
        shares = tuple((0.0, *self.shares)[count] for count in counts)
        if set(counts) == {len(self.groups)}:
            return PlannedTokens()
        return PlannedTokens(shares, tuple(self.forecasts(counts)), self.early)

    def forecasts(self, counts: Sequence[int]) -> Iterator[Forecast]:
        """The forecasts of all groups in the steps that do not run them.

        Groups with the same past in a step share a forecast.
        """
        for step, count in enumerate(counts):
            pasts: dict[tuple[int, ...], list[int]] = {}
            for group in range(count, len(self.groups)):
                pasts.setdefault(self.past(counts, group, step), []).append(group)
            for past, groups in pasts.items():
                [weights] = self.joined(groups).weights(past, [step])
                yield step, past, tuple(round(float(x), 5) for x in weights)

    def past(self, counts: Sequence[int], group: int, step: int) -> tuple[int, ...]:
        """The last steps before `step` that run a group, newest first."""
        begin = max(i for i in self.begins if i <= step)
        ran = [i for i in range(begin, step) if counts[i] > group]
        return tuple(ran[::-1][:DEPTH])

    def joined(self, groups: Sequence[int]) -> StepPlanner:
        """A planner for the velocities of several groups together."""
        if len(groups) == 1:
            return self.groups[groups[0]]
        total = sum(self.energies[group] for group in groups)
        products = sum(
            (self.energies[x] / total * self.groups[x].products for x in groups),
            np.zeros((self.steps, self.steps)),
        )
        first = self.groups[groups[0]]
        return StepPlanner(products, first.moves, first.growth, first.begins)
