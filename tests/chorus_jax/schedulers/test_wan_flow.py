"""Wan's own spacings: where they differ from diffusers', and the first step."""

import jax.numpy as jnp
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


# The last latents of Wan's own FlowUniPCMultistepScheduler and
# FlowDPMSolverMultistepScheduler (wan/utils/fm_solvers*.py, package wan22 2.2.11),
# set up as in its text2video.py: from cos(k), with the velocity sin(k + 0.7 i) in step
# i, k from 0 to 3. Run with the package's files, in float32.
MAKERS = (
    ("wan_unipc", 1, 5.0, (1.0, -0.301, -1.325262, -1.131084)),
    ("wan_unipc", 2, 5.0, (0.463331, -0.42612, -0.923798, -0.572141)),
    ("wan_unipc", 4, 5.0, (0.116746, 0.257715, 0.161742, -0.082936)),
    ("wan_unipc", 8, 3.0, (1.486499, 0.982292, -0.42503, -1.441581)),
    ("wan_unipc", 20, 5.0, (0.915717, 0.144554, -0.759511, -0.965286)),
    ("wan_unipc", 40, 12.0, (0.541324, 0.330259, -0.184445, -0.529571)),
    ("wan_unipc", 50, 8.0, (0.764246, 0.575426, -0.142439, -0.729346)),
    ("wan_dpmpp", 1, 5.0, (1.0, -0.301169, -1.325444, -1.131112)),
    ("wan_dpmpp", 2, 5.0, (0.463152, -0.42633, -0.923846, -0.571982)),
    ("wan_dpmpp", 4, 5.0, (0.152541, 0.25064, 0.118302, -0.122803)),
    ("wan_dpmpp", 8, 3.0, (1.487678, 0.991973, -0.415748, -1.441232)),
    ("wan_dpmpp", 20, 5.0, (0.948264, 0.153216, -0.782698, -0.999003)),
    ("wan_dpmpp", 40, 12.0, (0.53634, 0.302141, -0.209844, -0.5289)),
    ("wan_dpmpp", 50, 8.0, (0.746262, 0.549822, -0.152123, -0.714206)),
)


@pytest.mark.parametrize(("name", "steps", "shift", "expected"), MAKERS)
def test_the_latents_are_those_of_wans_code(name, steps, shift, expected):
    solver = named(name).spaced(steps, shift)
    k = np.arange(4, dtype=np.float32)
    latents = jnp.cos(k)
    state = solver.init(latents)
    for i in range(steps):
        latents, state = solver.step(i, latents, jnp.sin(k + 0.7 * i), state)
    error = np.abs(latents - np.array(expected, np.float32)).max()
    assert error <= 1e-5 * np.abs(expected).max()
