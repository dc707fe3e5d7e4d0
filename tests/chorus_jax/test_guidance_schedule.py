"""Guidance by noise level: its entries, and what is refused."""

from dataclasses import replace

import pytest

from chorus_jax.guidance_schedule import GuidanceSchedule
from chorus_jax.request import Request
from chorus_jax.spatio_temporal import SpatioTemporalGuidance

GIVEN = GuidanceSchedule(
    levels=(1.0, 0.99, 0.6),
    scales=(1.0, 6.0, 2.0),
    perturbed_scales=(0.0, 4.0, 1.0),
    rescales=(0.0, 0.5, 0.0),
    layers=((), (0, 1), (1,)),
)


def test_a_step_takes_the_first_entry_at_or_below_its_level():
    assert GIVEN.entries([1.0, 0.995, 0.99, 0.98, 0.6, 0.3]) == [0, 1, 1, 2, 2, 2]


def test_a_request_with_it_runs_the_passes_that_any_step_needs():
    request = Request("", guidance_scale=1.0, guidance_schedule=GIVEN)
    assert (request.guided, request.passes) == (True, 3)
    none = replace(GIVEN, scales=(1.0,) * 3, perturbed_scales=(0.0,) * 3)
    scaled = request.changed(guidance_scale=2.0)  # as of the command line
    assert scaled.guidance_schedule is None and scaled.guided
    alone = request.changed(guidance_schedule=none)
    assert (alone.guided, alone.passes) == (False, 1)
    with pytest.raises(ValueError, match="leave perturbed out"):
        request.changed(perturbed=SpatioTemporalGuidance((1,)))


def test_scales_below_1_are_no_guidance():
    """Not guidance towards the negative prompt."""
    low = replace(GIVEN, scales=(0.5, 6.0, 0.0))
    assert low.guided and low.prompt_weights == (1.0, 6.0, 1.0)
    assert not replace(GIVEN, scales=(0.5, 0.2, 0.0)).guided
    off = dict(perturbed_scales=(0.0,) * 3, rescales=(0.0,) * 3, layers=((),) * 3)
    assert not replace(low, **off, scales=(0.5, 1.0, 0.0)).changes()


@pytest.mark.parametrize(
    "changes, message",
    [
        ({"scales": (1.0,)}, "one entry per level"),
        ({"levels": (1.0, 0.5, 0.5)}, "levels fall"),
        ({"rescales": (0.0, 2.0, 0.0)}, "rescales are finite numbers from 0 to 1"),
        ({"layers": ((), (), (1,))}, "one or more where there is"),
    ],
)
def test_what_is_refused(changes, message):
    with pytest.raises(ValueError, match=message):
        replace(GIVEN, **changes)
    with pytest.raises(ValueError, match="layers 0 to 0"):
        GIVEN.check_depth(1)
