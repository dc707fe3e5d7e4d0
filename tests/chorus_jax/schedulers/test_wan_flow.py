"""Wan's own spacings: where they differ from diffusers', and the first step."""

import numpy as np
import pytest

from chorus_jax.schedulers import DPMpp, FlowDPMpp, FlowUniPC, UniPC, named


@pytest.mark.parametrize(("shift", "differing"), [(3.0, 40), (5.0, 27), (8.0, 29)])
def test_timesteps_differ_from_those_of_diffusers(shift, differing):
    theirs = UniPC.spaced(50, shift).schedule.timesteps
    ours = FlowUniPC.spaced(50, shift).schedule.timesteps
    assert sum(a != b for a, b in zip(ours, theirs)) == differing


def test_the_spacing_of_unipc_is_that_of_wans_code():
    # sigma_max is that of a schedule made with shift 1; the shift comes afterwards.
    even = np.linspace(0.999, 0, 41)[:-1]
    sigmas = 5 * even / (1 + 4 * even)
    schedule = FlowUniPC.spaced(40, 5.0).schedule
    np.testing.assert_array_equal(schedule.sigmas[:-1], sigmas.astype(np.float32))
    assert schedule.timesteps == tuple(np.floor(1000 * sigmas))
    assert schedule.timesteps[0] == 999 and schedule.sigmas[-1] == 0


def test_the_spacing_of_dpmpp_begins_at_noise():
    schedule = FlowDPMpp.spaced(40, 5.0).schedule
    assert schedule.timesteps[0] == 1000 and schedule.sigmas[0] == 1
    even = np.linspace(1, 0, 41)[:-1]
    sigmas = 5 * even / (1 + 4 * even)
    np.testing.assert_array_equal(schedule.sigmas[:-1], sigmas.astype(np.float32))


def test_after_pure_noise_comes_a_step_of_first_order():
    table = FlowDPMpp.spaced(8, 3.0).table
    np.testing.assert_array_equal(table[1, 1], table[0, 1])
    assert (table[1, 2] != table[0, 2]).any()
    theirs = DPMpp.spaced(8, 3.0).table
    assert (theirs[1, 1] != theirs[0, 1]).any()


def test_both_have_a_name_of_their_own():
    assert named("wan_unipc") is FlowUniPC and named("wan_dpmpp") is FlowDPMpp
    assert named("unipc") is UniPC and named("dpmpp") is DPMpp
