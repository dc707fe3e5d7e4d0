"""Which runs a step cache is refused for."""

from dataclasses import replace
from functools import partial

import numpy as np
import pytest

from chorus_jax.guidance_schedule import GuidanceSchedule
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
            ValueError, match="adds new noise in every step.*choose a step cache"
        ):
            Request("a", **fields, solver=solver, step_cache=text)
        Request("a", **fields, solver=solver, step_cache="sea")
        with pytest.raises(ValueError, match="as token budgets do"):
            Request("a", **fields, solver=solver, tokens="hsa-50")


SCALES = GuidanceSchedule(
    (1.0, 0.5), (8.0, 1.0), (0.0, 0.0), (0.0, 0.0), ((), ()), star=True
)
SAME = replace(SCALES, scales=(8.0, 8.0))


@pytest.mark.parametrize("text", ["taylor:interval=2", "easy", "racer"])
def test_velocities_do_not_outlast_a_change_of_guidance(text):
    """They have the guidance of their own step: 8 instead of 1, here."""
    given = partial(Request, "a", steps=16, frames=9, height=64, width=64)
    given(guidance_schedule=SAME, step_cache=text)
    given(guidance_schedule=SAME, tokens="hsa-50")
    given(guidance_schedule=SCALES, step_cache="sea")
    # The last entry is for these steps alone.
    given(guidance_schedule=SCALES, steps=(400, 300, 100), step_cache=text)
    with pytest.raises(ValueError, match="guidance schedule changes.*as .* does: choo"):
        given(guidance_schedule=SCALES, step_cache=text)
    with pytest.raises(ValueError, match="guidance schedule changes.*token budgets"):
        given(guidance_schedule=SCALES, tokens="hsa-50")


@pytest.mark.parametrize(
    "text", ["skip:steps=(3,%d)", "erta:steps=(3,%d),gains=(1.,1.1)"]
)
def test_a_list_with_steps_beyond_the_run_is_refused(text):
    check_fits(registry.parse(text % 7), RUN)
    with pytest.raises(ValueError, match="skips step 8, but the run has the steps 0 "):
        check_fits(registry.parse(text % 8), RUN)


@pytest.mark.parametrize("text", ["first-block:front=%d", "dicache:depth=%d"])
def test_caches_that_would_run_all_layers_in_every_step(text):
    with pytest.raises(ValueError, match=r"front \+ back=5 would run all of the"):
        check_fits(registry.parse("dbcache:front=2,back=3"), RUN)
    check_fits(registry.parse(text % 4), RUN)
    for layers in (5, 8):
        with pytest.raises(
            ValueError, match=f"{layers} would run all of the model's 5"
        ):
            check_fits(registry.parse(text % layers), RUN)
