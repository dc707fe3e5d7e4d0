"""Scheduler files of LTX-Video and LTX-2: run as they say, or refused."""

import diffusers
import pytest

from chorus_jax.families.ltx.schedule import schedule_of
from chorus_jax.families.ltx2.schedule import schedule_of as ltx2_schedule_of
from chorus_jax.families.ltx_shared.scheduler_file import SchedulerFile
from convert import ltx2_source, ltx_source

DYNAMIC = {"use_dynamic_shifting": True}
BY_TOKENS = DYNAMIC | {
    "base_shift": 0.95,
    "max_shift": 2.05,
    "base_image_seq_len": 1024,
}
BY_TOKENS |= {"shift_terminal": 0.1}


def file_of(name="FlowMatchEulerDiscreteScheduler", **fields):
    """The whole file as diffusers writes it."""
    scheduler = getattr(diffusers, name)(**fields)
    return {"_class_name": name, "_diffusers_version": "0.33.0", **scheduler.config}


# Of diffusers' scripts/convert_ltx_to_diffusers.py, and ours for the makers' files.
PUBLISHED = {
    "0.9.0, LTX-2": (file_of(**BY_TOKENS), True),
    "0.9.5": (file_of(use_dynamic_shifting=False), False),
    "single 0.9.0": (ltx_source.SCHEDULER, True),
    "single 0.9.5": (ltx_source.LATER_SCHEDULER, False),
    "single LTX-2": (ltx2_source.SCHEDULER, True),
    "single LTX-2 distilled": (ltx2_source.DISTILLED_SCHEDULER, False),
}


@pytest.mark.parametrize("name", PUBLISHED)
def test_published_files_set_nothing_unusual(name):
    content, dynamic = PUBLISHED[name]
    file = SchedulerFile.read(content)
    assert file.dynamic == dynamic
    assert file.terminal == (0.1 if dynamic else None)
    assert file.chosen.get("shift", 1.0) == 1.0 and "solver" not in file.chosen
    schedule_of(content), ltx2_schedule_of(content)


@pytest.mark.parametrize(
    "fields, chosen",
    [
        ({"shift": 3.0}, {"shift": 3.0}),
        ({"stochastic_sampling": True}, {"solver": "renoise", "shift": 1.0}),
        (BY_TOKENS | {"stochastic_sampling": True}, {"solver": "renoise"}),
        # diffusers does not read it where the tokens decide.
        (BY_TOKENS | {"shift": 3.0}, {}),
    ],
)
def test_solver_and_shift_are_those_of_the_file(fields, chosen):
    assert SchedulerFile.read(file_of(**fields)).chosen == chosen


UNIPC = {"prediction_type": "flow_prediction", "use_flow_sigmas": True}


@pytest.mark.parametrize("schedule", [schedule_of, ltx2_schedule_of])
@pytest.mark.parametrize(
    "content, message",
    [
        (file_of("UniPCMultistepScheduler", flow_shift=3.0, **UNIPC), "says UniPC"),
        (file_of("UniPCMultistepScheduler", **UNIPC) | BY_TOKENS, "says UniPC"),
        (BY_TOKENS, "says None, which is not run"),
        (file_of(**BY_TOKENS, time_shift_type="linear"), "time_shift_type='linear'"),
        (file_of(**BY_TOKENS, invert_sigmas=True), "invert_sigmas True, run is False"),
        (file_of(**BY_TOKENS, use_karras_sigmas=True), "use_karras_sigmas True"),
        (file_of(num_train_timesteps=500), "num_train_timesteps 500, run is 1000"),
        (file_of(invert_sigmas=True), "invert_sigmas True, run is False"),
        (file_of() | {"something_new": 2}, "something_new 2, which is not known"),
    ],
)
def test_what_is_not_run_is_refused(schedule, content, message):
    with pytest.raises(ValueError, match=message) as caught:
        schedule(content)
    assert "replace it" in str(caught.value)
