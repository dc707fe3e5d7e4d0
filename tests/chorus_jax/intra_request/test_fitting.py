"""Which runs a step cache is refused for."""

import numpy as np
import pytest

from chorus_jax.intra_request import registry
from chorus_jax.intra_request.fitting import RunProperties, check_fits
from chorus_jax.request import Request
from chorus_jax.schedulers.flow import Schedule

SIGMAS = np.linspace(1, 0, 9, dtype=np.float32)[:-1]
SCHEDULE = Schedule.of(SIGMAS, 1000 * SIGMAS)
RUN = RunProperties(SCHEDULE, layers=5, branches=("mlp",), size=(8, 8))


@pytest.mark.parametrize("text", ["taylor:interval=2", "easy", "skip:steps=(3,)"])
def test_velocities_do_not_outlast_steps_that_add_noise(text):
    fields = dict(steps=16, frames=9, height=64, width=64)
    Request("a", **fields, solver="euler", step_cache=text)
    for solver in ("renoise", "res_2s"):
        with pytest.raises(
            ValueError, match="since it adds noise: choose a step cache"
        ):
            Request("a", **fields, solver=solver, step_cache=text)
        Request("a", **fields, solver=solver, step_cache="sea")
        with pytest.raises(ValueError, match="token budgets use the velocities"):
            Request("a", **fields, solver=solver, tokens="hsa-50")


@pytest.mark.parametrize("text", ["first-block:front=%d", "dicache:depth=%d"])
def test_caches_that_would_run_all_layers_in_every_step(text):
    check_fits(registry.parse(text % 4), RUN)
    for layers in (5, 8):
        with pytest.raises(
            ValueError, match=f"{layers} would run all of the model's 5"
        ):
            check_fits(registry.parse(text % layers), RUN)
