"""Guidance of a whole LTX-Video: perturbed passes, schedules, regions with them."""

from dataclasses import replace

import jax
import jax.numpy as jnp
import numpy as np
import pytest

from chorus_jax.denoise import loop
from chorus_jax.denoise.plan import StepPlan
from chorus_jax.denoise.region import Region
from chorus_jax.denoise.state import SourceLatents
from chorus_jax.engine.pipeline import Pipeline
from chorus_jax.families.forward import TRANSFORMER, evaluate
from chorus_jax.families.ltx.preparing import scales
from chorus_jax.guidance_schedule import GuidanceSchedule
from chorus_jax.nets.guidance import guided
from chorus_jax.request import Request
from chorus_jax.spatio_temporal import SpatioTemporalGuidance

STEPS = 4
RED = "a red circle moves left on a gray background"
STG = SpatioTemporalGuidance((1,), 2.0, 0.5)
# The same numbers in every step.
FLAT = GuidanceSchedule((1.0, 0.5), (3.0, 3.0), (2.0, 2.0), (0.5, 0.5), ((1,), (1,)))
VARIED = GuidanceSchedule(
    (0.98, 0.5), (1.0, 5.0), (0.0, 3.0), (0.0, 0.7), ((), (0,)), star=True
)


def small(**changes):
    fields = dict(frames=17, height=64, width=128, steps=STEPS, solver="euler")
    more = dict(guidance_scale=3.0, shift=1.0, seed=3)
    return Request(RED, **{**fields, **more, **changes})


@pytest.fixture(scope="module")
def pipeline(ltx_weights):
    made = Pipeline.load(ltx_weights)
    transformer = replace(made.model.sizes.transformer, tile=(1, 2, 2))
    made.model.sizes = replace(made.model.sizes, transformer=transformer)
    return made


def test_a_schedule_of_one_guidance_is_that_guidance(pipeline):
    [plain] = pipeline(small(perturbed=STG))
    [scheduled] = pipeline(small(guidance_schedule=FLAT))
    np.testing.assert_allclose(scheduled.latents, plain.latents, atol=1e-5)


def test_each_step_has_its_own_guidance(pipeline):
    """Against the passes run one by one and put together by hand."""
    request = small(guidance_schedule=VARIED)
    model, solver = pipeline.model, pipeline.model.solver(request)
    geometry = model.geometry(request)
    latents = loop.noise(jnp.array([3], jnp.uint32), geometry)
    [video] = pipeline(request)

    def velocity(i, x, **changes):
        conditions, _ = model.condition([small(**changes)])
        step = jnp.array([i])
        return evaluate(model.transformer.forward(conditions[TRANSFORMER], x, step))[0]

    for i, level in enumerate(solver.schedule.timesteps):
        entry = VARIED.entry(level / 1000)
        words = velocity(i, latents, guidance_scale=1.0)
        # Of scales 0 and 1 guidance is linear: two of them give the negative pass.
        two = velocity(i, latents, guidance_scale=2.0)
        negative = 2 * words - two
        inner = (words * negative).sum() / ((negative**2).sum() + 1e-8)
        mixed = inner * negative * (1 - VARIED.scales[entry])
        mixed = mixed + VARIED.scales[entry] * words
        if VARIED.perturbed_scales[entry]:
            stg = SpatioTemporalGuidance(VARIED.layers[entry], 1.0, 0.0)
            away = velocity(i, latents, guidance_scale=1.0, perturbed=stg) - words
            mixed = mixed + VARIED.perturbed_scales[entry] * away
            share = VARIED.rescales[entry]
            factor = words.std(ddof=1) / mixed.std(ddof=1)
            mixed = mixed * (share * factor + 1 - share)
        sigmas = solver.schedule.sigmas
        latents = latents + (sigmas[i + 1] - sigmas[i]) * mixed
    np.testing.assert_allclose(video.latents, latents[0], atol=1e-4)


def test_a_scale_below_1_is_no_guidance(pipeline):
    low, none = (replace(VARIED, scales=(scale, 5.0)) for scale in (0.0, 1.0))
    low, none = (small(guidance_schedule=schedule) for schedule in (low, none))
    table = scales([low], pipeline.model.solver(low))
    assert set(np.ravel(table)) == {1.0, 5.0}
    np.testing.assert_array_equal(table, scales([none], pipeline.model.solver(none)))


def test_rows_of_no_perturbation_are_not_rescaled():
    from chorus_jax.nets.guidance import Perturbation

    out = jnp.asarray(np.random.default_rng(0).standard_normal((6, 4, 3)), jnp.float32)
    scale = jnp.array([5.0, 5.0])
    table = Perturbation(jnp.array([0.0, 1.0]), jnp.array([0.5, 0.5]), jnp.ones(2) > 0)
    both, none = guided(out, scale, table), guided(out[:4], scale)
    np.testing.assert_allclose(both[0], none[0], rtol=1e-6)
    assert np.abs(both[1] - none[1]).max() > 0.01


def test_a_region_of_all_but_one_tile_runs_with_the_perturbed_pass(pipeline):
    request = small(perturbed=STG)
    conditions, _ = pipeline.condition([request])
    geometry = pipeline.model.geometry(request)
    noise = pipeline.noise([request], geometry, conditions)

    def run(plan, latents, source=None, every=None):
        program = pipeline.program(request, plan)
        inputs = pipeline.inputs(conditions, source=source)
        state = loop.start(inputs, latents, program=program)
        for _, state in loop.in_pieces(inputs, state, program, every):
            pass
        return state

    program = pipeline.program(request, StepPlan.plain(STEPS))
    inputs = pipeline.inputs(conditions)
    state, path = loop.start(inputs, noise, program=program), []
    for _, full in loop.in_pieces(inputs, state, program, 1, ahead=0):
        path.append(jnp.copy(full.latents))
    start, end = path[0], path[2]
    step = jnp.array([1])
    velocity, _ = evaluate(
        pipeline.model.transformer.forward(conditions[TRANSFORMER], start, step)
    )
    source = SourceLatents(start, velocity, end)
    region = Region((1, 2, 2), geometry.tiling.count - 1, reach=0)
    plan = StepPlan.staged(STEPS, 1, 3, region)
    once = run(plan, start, source)
    pieces = run(plan, start, source, every=1)
    jax.tree.map(np.testing.assert_array_equal, pieces, once)
    # The source is the run's own: what is not run is what would have been.
    apart = np.abs(once.latents - full.latents).max()
    assert apart < 0.05 * np.abs(full.latents).max()


def test_a_batch_with_the_perturbed_pass_is_its_requests(pipeline):
    one, two = small(perturbed=STG), small(perturbed=replace(STG, scale=1.0), seed=4)
    for together, alone in zip(pipeline(one, two), (*pipeline(one), *pipeline(two))):
        np.testing.assert_allclose(together.latents, alone.latents, atol=1e-4)
