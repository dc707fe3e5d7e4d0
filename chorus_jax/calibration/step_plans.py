"""Chooses the steps to compute, and how to forecast the velocities of other steps.

The aim is a small error of the final latents. The error after some skipped steps is a
sum of velocity errors times the steps' changes of the noise level. How much it grows
until the end is measured by runs in which one step, early or late, reuses the last
velocity. If a forecast is a weighted sum of the last computed velocities, both its
least-squares weights and its error follow from inner products of the velocities of full
runs. Dynamic programming then places a given number of computed steps such that the sum
of squared errors is minimal.

A plan then extrapolates the residual of all layers along the line through the last two
computed steps, not the velocities that the steps were chosen for: stem and head then
still see the latents of the skipped step. On the shapes model this came nearer to the
full run than sums of velocities at the same steps, in a trial whose rows are not kept.
"""

import math
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass

import numpy as np
from jaxtyping import Float

from chorus_jax.intra_request.planned import PlannedCache

# The variance, relative to a velocity's square, by which velocities in a run with
# skipped steps differ from those of full runs.
NOISE = 1e-4
ROUNDING = 1e-6  # smaller changes of a velocity, relative to it, may be rounding errors
NEVER = -1  # stands for a missing computed step

Products = Float[np.ndarray, "steps steps"]
Growth = Float[np.ndarray, " steps"]
Cost = Callable[[int, int, int], float]
Weights = Callable[[tuple[int, ...], int], Sequence[float]]


@dataclass(frozen=True, eq=False)
class StepPlanner:
    """Makes planned step caches for a model.

    Attributes:
        products: inner products of the velocities of every two steps, averaged over
            runs; each run is scaled to a mean diagonal of 1.
        moves: the change of the noise level in each step.
        growth: for each step, the factor by which the square of an error made in it
            grows until the end of a run.
        begins: steps that cannot use earlier velocities: 0, and the first step of a
            second expert.
    """

    products: Products
    moves: Float[np.ndarray, " steps"]
    growth: Float[np.ndarray, " steps"]
    begins: tuple[int, ...] = (0,)

    @property
    def steps(self) -> int:
        """The number of steps of a run."""
        return len(self.moves)

    def held(self, count: int) -> PlannedCache:
        """A plan that computes `count` steps and otherwise reuses the last velocity."""
        computed = best_steps(self.held_error, self.steps, count, self.begins)
        return PlannedCache(self.skipped(computed), (), self.steps)

    def scaled(self, count: int) -> PlannedCache:
        """A plan that computes `count` steps and otherwise scales the last velocity."""
        error = lambda before, last, following: self.error((last,), following)
        computed = best_steps(error, self.steps, count, self.begins)
        factor = lambda past, step: self.weights(past, [step])[0]
        return self.forecast(computed, 1, factor, "velocity")

    def planned(self, count: int) -> PlannedCache:
        """A plan that extrapolates the residual of all layers from the last two.

        The computed steps are those that are best for sums of two velocities.

        Args:
            count: the number of computed steps.
        """
        computed = best_steps(self.pair_error, self.steps, count, self.begins)
        return self.forecast(computed, 2, line_weights, "residual")

    def skipped(self, computed: Sequence[int]) -> tuple[int, ...]:
        """All steps but the computed ones."""
        return tuple(i for i in range(self.steps) if i not in computed)

    def forecast(
        self, computed: Sequence[int], depth: int, weights: Weights, grain: str
    ) -> PlannedCache:
        """The cache that computes these steps and forecasts all other steps.

        Args:
            computed: the computed steps.
            depth: the most values in a forecast.
            weights: a forecast's weights, by the steps of the values and its own step.
            grain: the value that is forecast.
        """
        skipped, forecasts = self.skipped(computed), []
        for step in skipped:
            begin = max(i for i in self.begins if i <= step)
            before = [i for i in computed if begin <= i < step]
            made = weights(tuple(before[::-1][:depth]), step)
            forecasts.append(tuple(round(float(x), 5) for x in made))
        return PlannedCache(skipped, tuple(forecasts), self.steps, grain)

    def weights(
        self, past: tuple[int, ...], steps: Sequence[int]
    ) -> Float[np.ndarray, "s k"]:
        """The least-squares weights of known velocities in the forecasts of `steps`.

        Args:
            past: the steps whose velocities are known.
            steps: the steps to forecast.

        Returns:
            A row per forecast step, with a weight per known step.
        """
        known, rows = list(past), list(steps)
        gram = self.products[np.ix_(known, known)] + NOISE * np.eye(len(known))
        return np.linalg.solve(gram, self.products[np.ix_(known, rows)]).T

    def error(self, past: tuple[int, ...], following: int) -> float:
        """The squared error at the run's end that skipped steps cause.

        The skipped steps are all between the newest of `past` and `following`.

        Args:
            past: the computed steps whose velocities are used, newest first.
            following: the next computed step.
        """
        steps = range(past[0] + 1, following)
        if not steps:
            return 0.0
        move = np.zeros(self.steps)
        move[list(steps)] = self.moves[list(steps)]
        weights = self.weights(past, steps)
        move[list(past)] -= self.moves[list(steps)] @ weights
        noise = NOISE * float(np.square(move[list(past)]).sum())
        return self.grown(steps, float(move @ self.products @ move) + noise)

    def held_error(self, before: int, last: int, following: int) -> float:
        """The squared error at the run's end if skipped steps reuse the last velocity.

        The skipped steps are all between the computed steps `last` and `following`.
        `before` is not used; it is an argument of every `Cost`.
        """
        steps = range(last + 1, following)
        move = np.zeros(self.steps)
        move[last + 1 : following] = self.moves[last + 1 : following]
        move[last] -= move.sum()
        return self.grown(steps, float(move @ self.products @ move))

    def grown(self, steps: range, error: float) -> float:
        """A squared error made over these steps, as it has grown by the run's end."""
        return error * float(self.growth[list(steps)].mean()) if steps else 0.0

    def pair_error(self, before: int, last: int, following: int) -> float:
        """The squared error (see `error`) of forecasts from the last two velocities.

        If `before` is `NEVER`, only the last velocity is used.
        """
        past = (last,) if before == NEVER else (last, before)
        return self.error(past, following)


def line_weights(past: tuple[int, ...], step: int) -> Sequence[float]:
    """The weights of the values of `past` on their line, at `step`.

    Args:
        past: one or two steps, newest first; one step's value is reused.
        step: the step to forecast.
    """
    if len(past) == 1:
        return (1.0,)
    last, before = past
    along = (step - last) / (last - before)
    return 1.0 + along, -along


def scaled_products(
    products: Float[np.ndarray, "b steps steps"],
) -> Products:
    """The mean of the runs' products, each scaled to a mean diagonal of 1."""
    diagonal = np.einsum("bss->b", products) / products.shape[1]
    return (products / diagonal[:, None, None]).mean(axis=0)


def probed_steps(steps: int, count: int = 12) -> tuple[int, ...]:
    """The steps in which the growth of errors is measured; early steps lie closer."""
    return tuple(
        sorted({*np.geomspace(1, steps - 1, count).round().astype(int).tolist()})
    )


def growth_of(
    products: Products,
    moves: Float[np.ndarray, " steps"],
    errors: Mapping[int, float],
) -> Float[np.ndarray, " steps"]:
    """The growth of squared errors until the end of a run, by step.

    A step whose velocity equals the last one tells nothing. Growths at steps without a
    measurement are interpolated; they are 1 if there is none at all.

    Args:
        products: inner products of the velocities of every two steps of a run.
        moves: the change of the noise level in each step.
        errors: the squared error at the end of a run in which one step reused the last
            velocity, by that step.
    """
    growths = dict[int, float]()
    for i in sorted(errors):
        now, last = products[i, i], products[i - 1, i - 1]
        change = now + last - 2 * products[i, i - 1]
        if change > ROUNDING * now and errors[i] > 0:
            growths[i] = math.log(errors[i] / (moves[i] ** 2 * change))
    if not growths:
        return np.ones(len(moves))
    return np.exp(np.interp(np.arange(len(moves)), [*growths], [*growths.values()]))


def best_steps(
    cost: Cost, steps: int, count: int, begins: tuple[int, ...] = (0,)
) -> tuple[int, ...]:
    """The computed steps with the lowest total cost, by dynamic programming.

    Args:
        cost: the cost of skipping all steps between two computed ones. Its arguments
            are the computed step before those two (`NEVER` if there is none), the
            earlier and the later of the two.
        steps: the number of steps of a run.
        count: the number of computed steps.
        begins: steps that must be computed and cannot use earlier ones.

    Raises:
        ValueError: for a count below the number of `begins` or above `steps`.
    """
    if not len(begins) <= count <= steps:
        raise ValueError(f"expected {len(begins)} to {steps} steps, got {count}")
    known: dict[tuple[int, int, int], float] = {}

    def cost_of(before: int, last: int, following: int) -> float:
        key = (NEVER if last in begins else before, last, following)
        if key not in known:
            known[key] = cost(*key)
        return known[key]

    best: dict[tuple[int, int], tuple[float, tuple[int, ...]]] = {
        (NEVER, 0): (0.0, (0,))
    }
    for _ in range(count - 1):
        longer: dict[tuple[int, int], tuple[float, tuple[int, ...]]] = {}
        for (before, last), (total, chain) in best.items():
            stop = min((i for i in begins if i > last), default=steps - 1)
            for step in range(last + 1, stop + 1):
                added = total + cost_of(before, last, step)
                if added < longer.get((last, step), (math.inf,))[0]:
                    longer[last, step] = added, (*chain, step)
        best = longer
    ends = [
        (total + cost_of(before, last, steps), chain)
        for (before, last), (total, chain) in best.items()
        if last >= begins[-1]
    ]
    return min(ends)[1]
