"""The solver of a run of LTX, and the step caches that fit the run."""

from functools import partial
from typing import Any

import numpy as np

from chorus_jax.families.ltx_shared.coefficients import check_coefficients
from chorus_jax.families.ltx_shared.folder import LevelSchedule
from chorus_jax.request import Request
from chorus_jax.schedulers import Schedule, Solver, named


def solver_of(request: Request, sizes: Any, schedule: LevelSchedule) -> Solver:
    """The request's solver over the schedule's levels, or over those that it gives
    itself, as distilled models want them."""
    if not isinstance(request.steps, int):
        return request.make_solver()
    tokens = sizes.token_count(request)
    levels = schedule.sigmas(request.steps, tokens, request.shift)
    steps = Schedule.of(levels, levels * np.float32(1000))
    return request.last_steps(named(request.solver)(steps))


def check_cache(
    request: Request, sizes: Any, schedule: LevelSchedule, branches: tuple[str, ...]
) -> None:
    """Checks that a request's step cache fits its run and the model.

    Args:
        request: the request.
        sizes: the configs of the model's parts.
        schedule: the noise levels by the number of steps.
        branches: the names of a layer's branches.

    Raises:
        ValueError: for a step cache that does not fit.
    """
    check_coefficients(request.own_cache, sizes.is_091)
    _, height, width = sizes.grid(request)
    solver = partial(solver_of, request, sizes, schedule)
    depth = sizes.transformer.depth
    request.check_cache(solver, depth, branches, (height, width))
