"""The whole pipeline against diffusers' WanPipeline, and how it is used."""

import dataclasses
import logging
import time

import jax
import jax.numpy as jnp
import numpy as np
import pytest

from chorus_jax.checkpoints import Card
from chorus_jax.denoise import loop
from chorus_jax.devices import sharding
from chorus_jax.engine import Cache, Engine
from chorus_jax.engine.pipeline import Pipeline, clocked, one_ahead, timed
from chorus_jax.families.wan.sizes import Sizes
from chorus_jax.request import Request
from chorus_jax.schedulers import stored

RED = "a red circle moves left on a gray background"
BLUE = "the blue square"


def small(prompt=RED, **changes):
    fields = {"frames": 9, "height": 32, "width": 48, "steps": 4, "seed": 7, **changes}
    return Request(prompt, **fields)


@pytest.fixture(scope="module")
def pipeline(weights):
    return Pipeline.load(weights)


def test_seconds_of_one_name_add_up():
    seconds = {"load": 5.0}
    for name in ("load", "decode"):
        with timed(seconds, name):
            pass
    assert seconds["load"] >= 5 > seconds["decode"] >= 0


@pytest.mark.parametrize("count", [0, 1, 3])
def test_the_next_group_is_asked_for_before_one_is_read(count):
    asked = []
    groups = (asked.append(i) or i for i in range(count))
    seen = [(item, len(asked)) for item in one_ahead(groups)]
    assert seen == [(i, min(i + 2, count)) for i in range(count)]


def test_a_reader_s_time_does_not_count_and_a_reader_may_leave():
    seconds, ended = {}, []

    def run():
        try:
            yield 1
            yield 2
            return 3
        finally:
            ended.append(True)

    made = clocked(seconds, "run", run())
    assert next(made) == 1
    time.sleep(0.05)
    assert next(made) == 2
    with pytest.raises(StopIteration) as end:
        next(made)
    assert end.value.value == 3 and seconds["run"] < 0.05
    left = clocked(seconds, "run", run())
    next(left)
    left.close()
    assert ended == [True, True]


def theirs(diffusers_pipeline, request, geometry):
    import torch

    noise = loop.noise(jnp.array([request.seed], jnp.uint32), geometry)
    latents = torch.from_numpy(np.array(noise.transpose(0, 4, 1, 2, 3)))
    diffusers_pipeline.set_progress_bar_config(disable=True)
    frames = diffusers_pipeline(
        request.prompt,
        request.negative_prompt,
        height=request.height,
        width=request.width,
        num_frames=request.frames,
        num_inference_steps=request.steps,
        guidance_scale=request.guidance_scale,
        latents=latents,
        output_type="np",
    ).frames
    return frames[0]


@pytest.mark.parametrize(
    "changes",
    [
        {},
        {"steps": 12, "negative_prompt": "gray background"},
        {"guidance_scale": 1.0, "frames": 5, "height": 16},
        {"frames": 1},
    ],
    ids=["4 steps", "12 steps, negative prompt", "no guidance", "one frame"],
)
def test_equals_diffusers(changes, pipeline, diffusers_pipeline):
    request = small(**changes)
    want = theirs(diffusers_pipeline, request, pipeline.model.geometry(request))
    [video] = pipeline(request)
    assert video.frames.shape == want.shape and video.frames.dtype == np.uint8
    difference = np.abs(video.frames.astype(float) - 255 * want)
    # Ours are rounded to whole levels, which is up to half a level.
    assert difference.mean() <= 1 and difference.max() <= 4
    assert difference.max() <= 0.51


def test_a_batch_gives_what_each_gives_alone_and_swaps_freely(pipeline):
    red, blue = small(), small(BLUE, seed=8, guidance_scale=2.0)
    here, there = pipeline(red, blue), pipeline(blue, red)
    for one, other in zip(here, there[::-1]):
        np.testing.assert_array_equal(one.latents, other.latents)
        np.testing.assert_array_equal(one.frames, other.frames)
    alone = pipeline(red)[0]
    np.testing.assert_allclose(here[0].latents, alone.latents, atol=1e-4)


def test_the_same_seed_gives_the_same_bytes_and_none_is_drawn(pipeline):
    first, again = pipeline(small())[0], pipeline(small())[0]
    np.testing.assert_array_equal(first.frames, again.frames)
    drawn = [pipeline(small(seed=None))[0] for _ in range(2)]
    assert drawn[0].request.seed != drawn[1].request.seed
    replay = pipeline(drawn[0].request)[0]
    np.testing.assert_array_equal(replay.latents, drawn[0].latents)


def test_progress_counts_every_step(pipeline):
    seen = list(pipeline.stream(small()))
    denoised = [p.done for p in seen if p.stage == "denoise"]
    assert denoised == [1, 2, 3, 4]
    assert [p.done for p in seen if p.stage == "decode"] == [1, 2, 3, 3]
    assert [bool(p.videos) for p in seen] == [False] * (len(seen) - 1) + [True]
    assert set(seen[-1].videos[0].seconds) == {"encode", "denoise", "decode"}


def test_a_freed_text_encoder_leaves_known_prompts(weights):
    pipeline = Pipeline.load(weights)
    before = pipeline(small())[0]
    pipeline.model.free_text_encoder()
    np.testing.assert_array_equal(pipeline(small())[0].frames, before.frames)
    with pytest.raises(ValueError, match="text encoder was freed"):
        pipeline(small("a square"))


def test_a_long_prompt_says_what_was_cut(pipeline, caplog):
    long = " ".join(["circle"] * 511 + ["moves", "left"])
    with caplog.at_level(logging.WARNING):
        [video] = pipeline(small(long))
    assert video.cut == "moves left"
    assert "its last 10 are not read" in caplog.text and "circle" not in caplog.text


@pytest.mark.parametrize(
    "changes, message",
    [
        (
            {"height": 30},
            "height must be a multiple of 8, got 30; the nearest: 24 or 32",
        ),
        ({"width": 4}, "width must be a multiple of 8, got 4; the nearest: 8"),
        ({"frames": 10}, "frames must be 1 [+] a multiple of 4, got 10.*9 or 13"),
    ],
)
def test_sizes_that_do_not_divide_name_the_nearest(changes, message, pipeline):
    with pytest.raises(ValueError, match=message):
        pipeline(small(**changes))


def test_every_request_of_a_batch_is_checked(pipeline):
    """The first one alone is no measure: another may have what the model lacks."""
    one = small()
    other = one.changed(guidance_scale_low=3.0)
    pipeline.check(one)
    with pytest.raises(ValueError, match="guidance_scale_low"):
        pipeline(one, other)


def test_a_batch_of_different_programs_is_refused(pipeline):
    with pytest.raises(ValueError, match=r"'steps': \(4, 5\)"):
        pipeline(small(), small(steps=5))
    with pytest.raises(ValueError, match="no request"):
        pipeline()


@pytest.mark.parametrize(
    "changes, message",
    [
        ({"steps": 0}, "steps must be a whole number from 1 to 1000, got 0"),
        ({"steps": 4.0}, "got 4.0"),
        ({"steps": ()}, "."),
        ({"steps": (0.5, 0.7)}, "."),
        ({"shift": 0.0}, "shift must be from 0.001 to 1000.*got 0"),
        ({"shift": float("nan")}, "shift must be.*got nan"),
        ({"seed": -1}, "seed must be a whole number from 0 to 4294967295, got -1"),
        ({"seed": 1.5}, "got 1.5"),
        ({"frames": 9.0}, "frames must be a whole number"),
        ({"prompt": None}, "prompt must be text, got None"),
        ({"prompt": "a cat \ud83d"}, "prompt is no valid text: character 6 is half"),
        ({"negative_prompt": "\udc00"}, "negative_prompt is no valid text"),
        ({"steps": tuple(np.linspace(1, 0, 1200))}, "at most 1000 steps, got 1200"),
        ({"guidance_scale": -1.0}, "guidance_scale must be.*got -1.0"),
        ({"guidance_scale": float("nan")}, "guidance_scale must be.*got nan"),
        ({"guidance_scale": float("inf")}, "guidance_scale must be.*got inf"),
        ({"solver": "ddim"}, "choose from euler, unipc, dpmpp"),
    ],
)
def test_impossible_requests_are_refused(changes, message):
    with pytest.raises(ValueError, match=message):
        small(**changes)


def test_numbers_that_are_not_finite_are_no_video(weights):
    pipeline = Pipeline.load(weights)
    kernel = pipeline.model.transformer.out.linear.kernel
    kernel[...] = kernel[...].at[0, 0].set(jnp.nan)
    with pytest.raises(ValueError, match="not finite"):
        pipeline(small())


def test_weights_are_on_the_default_device(weights, pipeline):
    """One pipeline for each GPU of a process."""
    device = jax.devices()[3]
    with jax.default_device(device):
        other = Pipeline.load(weights)
        [video] = other(small(steps=2))
    assert {x.device for x in jax.tree.leaves(other.model.transformers)} == {device}
    [usual] = pipeline(small(steps=2))
    np.testing.assert_array_equal(video.latents, usual.latents)


def test_over_a_mesh_equals_one_device(weights, pipeline):
    mesh = sharding.make_mesh(context=2, tensor=2, devices=jax.devices()[:4])
    split = Pipeline.load(weights, mesh=mesh)
    request = small(width=32)
    np.testing.assert_allclose(
        split(request)[0].latents, pipeline(request)[0].latents, atol=1e-3
    )
    before = loop.advance._cache_size()
    for _ in split.stream(dataclasses.replace(request, steps=3)):
        pass
    assert loop.advance._cache_size() == before + 1
    # The mesh is set only while the pipeline computes.
    next(split.stream(request))
    assert jax.sharding.get_abstract_mesh().empty


def test_a_folder_may_hold_several_transformers(two_transformers, pipeline):
    [usual] = Pipeline.load(two_transformers)(small())
    np.testing.assert_array_equal(usual.frames, pipeline(small())[0].frames)
    other = Pipeline.load(two_transformers, transformer="transformer_4step")
    [video] = other(small())
    assert np.abs(video.frames.astype(float) - usual.frames).mean() > 0.5


@pytest.mark.parametrize(
    "part, message",
    [("fast", "no part 'fast' in this model: it has"), ("vae", "not a WanConfig")],
)
def test_a_part_that_is_no_transformer_is_refused(weights, part, message):
    for read in (Sizes.read, Pipeline.load):
        with pytest.raises(ValueError, match=message):
            read(weights, transformer=part)


def test_any_list_of_sigmas_and_bfloat16(weights, pipeline):
    low = Pipeline.load(weights, dtype="bfloat16")
    steps = (1.0, 0.75, 0.5, 0.25)
    request = small(steps=steps, solver="euler", guidance_scale=1.0)
    [video], [want] = low(request), pipeline(request)
    assert low.model.transformer.out.linear.kernel.dtype == jnp.bfloat16
    difference = np.abs(video.frames.astype(float) - want.frames)
    assert 0 < difference.mean() < 2


def test_one_call_and_step_by_step_give_the_same_bytes(pipeline):
    *_, last = pipeline.stream(small(), every=1)
    np.testing.assert_array_equal(last.videos[0].frames, pipeline(small())[0].frames)
    done = [p.done for p in pipeline.stream(small(), every=3) if p.stage == "denoise"]
    assert done == [3, 4]


def test_all_steps_are_one_program(pipeline):
    before = loop.advance._cache_size()
    for _ in pipeline.stream(small(steps=5)):
        pass
    assert loop.advance._cache_size() == before + 1


def test_the_solver_and_shift_are_those_of_the_weights(weights):
    scheduler = Card.read(weights).scheduler
    assert stored.read(scheduler) == {"solver": "unipc", "shift": 5.0}


def test_a_size_beyond_the_memory_is_refused_before_anything_runs(pipeline):
    with pytest.raises(ValueError, match="64000x64000 pixels need at least .* GiB"):
        pipeline(small(height=64000, width=64000))
    engine = Engine(pipeline, Cache.in_memory())
    with pytest.raises(ValueError, match="give a smaller width and height"):
        engine.generate(small(height=64000, width=64000))
