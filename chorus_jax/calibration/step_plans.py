"""Chooses which steps are computed, and how the others follow from them.

The measure is how far the latents are off at the end. How far they are off after some
skipped steps is a sum of velocities times the steps' changes of the noise level; how
much that grows until the end is measured, by a velocity that is held for one step early
or late in a run. A forecast is a weighted sum of the last computed velocities, so its
weights, by least squares, and its error follow from the products of full runs'
velocities alone. Dynamic programming then places a number of computed steps such that
the sum of squared errors is least.
"""

import math
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass

import numpy as np
from jaxtyping import Float

from chorus_jax.intra_request.planned import PlannedCache

NOISE = 1e-4  # of a velocity's square: what a run's velocities are off full runs'
NEVER = -1  # there was no computed step before

Products = Float[np.ndarray, "steps steps"]
Cost = Callable[[int, int, int], float]


@dataclass(frozen=True, eq=False)
class StepPlanner:
    """Plans of step caches for a model.

    Attributes:
        products: inner products of the velocities of each two steps, the mean over
            runs, each run's scaled to 1 on the mean diagonal.
        moves: the change of the noise level in each step.
        growth: by how much the square of an error that is made in each step has grown
            at the end of a run.
        begins: the steps at which nothing is known of those before: 0, and the first
            one of a second expert.
    """

    products: Products
    moves: Float[np.ndarray, " steps"]
    growth: Float[np.ndarray, " steps"]
    begins: tuple[int, ...] = (0,)

    @property
    def steps(self) -> int:
        """Those of a run."""
        return len(self.moves)

    def held(self, count: int) -> PlannedCache:
        """The last velocity is taken over in all steps but `count`."""
        computed = best_steps(self.held_error, self.steps, count, self.begins)
        return PlannedCache(self.skipped(computed), (), self.steps)

    def scaled(self, count: int) -> PlannedCache:
        """The last velocity times a factor."""
        error = lambda before, last, following: self.error((last,), following)
        computed = best_steps(error, self.steps, count, self.begins)
        return self.fitted(computed, 1)

    def planned(self, count: int, depth: int = 3) -> PlannedCache:
        """A weighted sum of the last velocities, `depth` at most; the steps are placed
        for sums of two."""
        computed = best_steps(self.pair_error, self.steps, count, self.begins)
        return self.fitted(computed, depth)

    def skipped(self, computed: Sequence[int]) -> tuple[int, ...]:
        """All other steps."""
        return tuple(i for i in range(self.steps) if i not in computed)

    def fitted(self, computed: Sequence[int], depth: int) -> PlannedCache:
        """The cache that computes these steps and forecasts the others."""
        skipped, forecasts = self.skipped(computed), []
        for step in skipped:
            begin = max(i for i in self.begins if i <= step)
            before = [i for i in computed if begin <= i < step]
            [weights] = self.weights(tuple(before[::-1][:depth]), [step])
            forecasts.append(tuple(round(float(x), 5) for x in weights))
        return PlannedCache(skipped, tuple(forecasts), self.steps)

    def weights(
        self, past: tuple[int, ...], steps: Sequence[int]
    ) -> Float[np.ndarray, "s k"]:
        """The least-squares weights of the velocities at `past` in each step's."""
        known, rows = list(past), list(steps)
        gram = self.products[np.ix_(known, known)] + NOISE * np.eye(len(known))
        return np.linalg.solve(gram, self.products[np.ix_(known, rows)]).T

    def error(self, past: tuple[int, ...], following: int) -> float:
        """The squared error of the move from step `past[0]` to the next computed one,
        forecast by the velocities at `past`, the newest first."""
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
        """The squared error of the move with the last velocity."""
        steps = range(last + 1, following)
        move = np.zeros(self.steps)
        move[last + 1 : following] = self.moves[last + 1 : following]
        move[last] -= move.sum()
        return self.grown(steps, float(move @ self.products @ move))

    def grown(self, steps: range, error: float) -> float:
        """A squared error that is made over these steps, at the end of the run."""
        return error * float(self.growth[list(steps)].mean()) if steps else 0.0

    def pair_error(self, before: int, last: int, following: int) -> float:
        """The squared error of the move with the last two velocities."""
        past = (last,) if before == NEVER else (last, before)
        return self.error(past, following)


def scaled_products(
    products: Float[np.ndarray, "b steps steps"],
) -> Products:
    """The mean over runs, each one's products scaled to 1 on the mean diagonal."""
    diagonal = np.einsum("bss->b", products) / products.shape[1]
    return (products / diagonal[:, None, None]).mean(axis=0)


def probed_steps(steps: int, count: int = 12) -> tuple[int, ...]:
    """The steps of a run in which a velocity is held once, the closer the earlier."""
    return tuple(sorted({*np.geomspace(1, steps - 1, count).round().astype(int)}))


def growth_of(
    products: Products,
    moves: Float[np.ndarray, " steps"],
    errors: Mapping[int, float],
) -> Float[np.ndarray, " steps"]:
    """The growth of squared errors until the end of a run, by step.

    Args:
        products: those of a run's velocities.
        moves: the change of the noise level in each step.
        errors: the squared error at the end of the run where the last velocity was held
            in one step, by that step; growths between these are interpolated.
    """
    steps = sorted(errors)
    made = [
        moves[i] ** 2 * (products[i, i] + products[j, j] - 2 * products[i, j])
        for i, j in ((i, i - 1) for i in steps)
    ]
    growths = np.log([errors[i] / x for i, x in zip(steps, made)])
    return np.exp(np.interp(np.arange(len(moves)), steps, growths))


def best_steps(
    cost: Cost, steps: int, count: int, begins: tuple[int, ...] = (0,)
) -> tuple[int, ...]:
    """The computed steps whose costs add up to least, by dynamic programming.

    Args:
        cost: of the steps skipped between two computed ones, by the computed step
            before them both (`NEVER` if there is none), the last one and the next one.
        steps: of a run.
        count: of the computed steps.
        begins: steps that are computed and know none before.

    Raises:
        ValueError: for fewer steps than begin, or more than there are.
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
