"""LTX-Video in the registry: what is refused before anything runs."""

from dataclasses import replace

import numpy as np
import pytest

from chorus_jax.audio_video import AudioVideoGuidance
from chorus_jax.cli.choice import choose, with_fps
from chorus_jax.families.ltx.sizes import LTXSizes
from chorus_jax.families.ltx.variants import PUBLISHED
from chorus_jax.families.registry import family_of
from chorus_jax.media.inputs import InputMedia
from chorus_jax.media.keyframes import Keyframe
from chorus_jax.request import Request


def test_frames_per_second_reach_the_positions(ltx_weights, weights):
    ours, wan = (choose(folder, None, {}) for folder in (ltx_weights, weights))
    given, usual = with_fps(ours, 12), with_fps(ours, None)
    assert (given.fps, given.request.fps) == (12, 12.0)
    assert (usual.fps, usual.request.fps) == (30, 30.0)
    # Wan's positions count frames.
    other = with_fps(wan, 12)
    assert (other.fps, other.request.fps) == (12, None)


def test_published_coefficients_are_for_their_version_only(
    ltx_weights, ltx_weights_091
):
    cache = "tea:variant=ltx_091,threshold=0.05"
    request = Request("", frames=9, height=64, width=64, solver="euler")
    checker = family_of(ltx_weights).checker
    checker(ltx_weights_091)(request.changed(step_cache=cache))
    checker(ltx_weights)(request)
    with pytest.raises(ValueError, match="valid for LTX-Video 0.9.1, and this is"):
        checker(ltx_weights)(request.changed(step_cache=cache))
    own = LTXSizes.read(ltx_weights_091)
    later = replace(own, transformer=replace(own.transformer, causal_positions=True))
    assert own.is_091 and not later.is_091


@pytest.mark.parametrize("solver", ["unipc", "wan_dpmpp", "res_2s"])
def test_frames_of_part_strength_need_a_solver_of_one_step(ltx_weights, solver):
    """Their latents begin to move in the middle of the schedule."""
    sizes, image = LTXSizes.read(ltx_weights), np.zeros((1, 64, 64, 3), np.uint8)
    soft, hard = (
        Request(
            *("", "", 9, 64, 64),
            solver="euler",
            inputs=InputMedia(keyframes=(Keyframe(image, 0, strength),)),
        )
        for strength in (0.5, 1.0)
    )
    for request in (soft, hard, soft.changed(solver="renoise")):
        sizes.check(request)
    sizes.check(hard.changed(solver=solver))
    with pytest.raises(ValueError, match=f"{solver} is not run with given frames of s"):
        sizes.check(soft.changed(solver=solver))


def test_distilled_versions_run_as_their_makers_run_them():
    stochastic = PUBLISHED["LTX-Video 2B 0.9.6-distilled"].request
    assert (stochastic.solver, stochastic.steps) == ("renoise", 8)
    assert not stochastic.guided
    for version in ("13B 0.9.7-distilled", "2B 0.9.8-distilled"):
        assert PUBLISHED[f"LTX-Video {version}"].request.step_count == 7


def test_what_other_models_read_is_refused(ltx_weights):
    request = Request("", frames=9, height=64, width=64, solver="euler")
    joint = AudioVideoGuidance(audio_scale=7.0)
    with pytest.raises(ValueError, match="joint is guidance of models that make sound"):
        LTXSizes.read(ltx_weights).check(request.changed(joint=joint))
