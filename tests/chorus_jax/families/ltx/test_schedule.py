"""The noise levels of LTX-Video against diffusers' scheduler and pipelines."""

import numpy as np
import pytest
from diffusers import FlowMatchEulerDiscreteScheduler
from diffusers.pipelines.ltx.pipeline_ltx import calculate_shift
from diffusers.pipelines.ltx.pipeline_ltx_condition import linear_quadratic_schedule

from chorus_jax.families.ltx.schedule import LinearQuadratic, TokenShift, schedule_of
from chorus_jax.families.ltx_shared.scheduler_file import SchedulerFile

PUBLISHED = {
    "_class_name": "FlowMatchEulerDiscreteScheduler",
    "use_dynamic_shifting": True,
    "base_shift": 0.95,
    "max_shift": 2.05,
    "base_image_seq_len": 1024,
    "max_image_seq_len": 4096,
    "shift_terminal": 0.1,
}


def stored(scheduler):
    """The content of the file that diffusers writes for a scheduler."""
    return {"_class_name": type(scheduler).__name__, **scheduler.config}


@pytest.mark.parametrize("steps", [2, 8, 40, 50])
@pytest.mark.parametrize("tokens", [18, 1024, 7392, 13376])
@pytest.mark.parametrize("terminal", [0.1, None])
def test_equals_diffusers(steps, tokens, terminal):
    config = {**PUBLISHED, "shift_terminal": terminal}
    theirs = FlowMatchEulerDiscreteScheduler.from_config(config)
    mu = calculate_shift(tokens, 1024, 4096, 0.95, 2.05)
    theirs.set_timesteps(sigmas=np.linspace(1.0, 1 / steps, steps), mu=mu)
    levels = schedule_of(stored(theirs)).sigmas(steps, tokens)
    assert levels.dtype == np.float32
    np.testing.assert_allclose(levels, theirs.sigmas[:-1].numpy(), atol=2e-7)
    np.testing.assert_allclose(levels * 1000, theirs.timesteps.numpy(), atol=2e-4)
    if terminal:
        assert levels[-1] == pytest.approx(terminal, abs=1e-6)


@pytest.mark.parametrize("steps", [1, 2, 7, 8, 40])
def test_later_versions_are_linear_and_then_quadratic(steps):
    theirs = linear_quadratic_schedule(steps).numpy()
    ours = LinearQuadratic().sigmas(steps, 1024)
    np.testing.assert_allclose(ours, theirs, atol=2e-7)


@pytest.mark.parametrize("steps", [2, 7, 40])
@pytest.mark.parametrize("shift, terminal", [(1.0, 0.1), (3.0, None), (3.0, 0.1)])
def test_a_later_scheduler_is_run_as_its_file_says(steps, shift, terminal):
    theirs = FlowMatchEulerDiscreteScheduler(shift=shift, shift_terminal=terminal)
    timesteps = (linear_quadratic_schedule(steps) * 1000).tolist()
    theirs.set_timesteps(timesteps=timesteps)
    file = SchedulerFile.read(stored(theirs))
    levels = schedule_of(stored(theirs)).sigmas(steps, 1024, file.chosen["shift"])
    assert levels.dtype == np.float32
    np.testing.assert_allclose(levels, theirs.sigmas[:-1].numpy(), atol=2e-7)


def test_a_shift_of_the_request_multiplies_the_odds():
    for schedule in (TokenShift(terminal=None), LinearQuadratic()):
        plain, shifted = (schedule.sigmas(8, 1024, x)[1:] for x in (1.0, 2.5))
        odds = shifted / (1 - shifted) / (plain / (1 - plain))
        np.testing.assert_allclose(odds, 2.5, rtol=1e-4)


def test_the_folders_scheduler_decides():
    assert schedule_of(None) == schedule_of(PUBLISHED) == TokenShift()
    later = {**PUBLISHED, "use_dynamic_shifting": False, "shift_terminal": None}
    assert schedule_of(later) == LinearQuadratic()
    later["shift_terminal"] = 0.1
    assert schedule_of(later) == LinearQuadratic(terminal=0.1)


@pytest.mark.parametrize(
    "changes",
    [
        {"base_shift": None},
        {"max_shift": "2"},
        {"max_image_seq_len": 1024},
    ],
)
def test_a_scheduler_that_does_not_fit_is_refused(changes):
    with pytest.raises(ValueError, match="by the number of tokens, which needs"):
        schedule_of({**PUBLISHED, **changes})


@pytest.mark.parametrize("dynamic", [True, False])
@pytest.mark.parametrize("terminal", [1.0, -0.1, float("nan"), "0.1", True])
def test_a_last_level_that_is_none_is_refused(dynamic, terminal):
    fields = {"use_dynamic_shifting": dynamic, "shift_terminal": terminal}
    with pytest.raises(ValueError, match="needs a last level below 1: got shift_term"):
        schedule_of({**PUBLISHED, **fields})
