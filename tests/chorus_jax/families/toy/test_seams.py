"""A second family runs through the whole library, which does not know it.

Two experts, two streams of latents, clean tokens, four guidance passes.
"""

from dataclasses import replace

import jax
import jax.numpy as jnp
import numpy as np
import pytest

from chorus_jax.denoise import loop
from chorus_jax.denoise.cost import equivalents
from chorus_jax.denoise.plan import StepPlan
from chorus_jax.denoise.region import Region
from chorus_jax.denoise.state import SourceLatents
from chorus_jax.devices import sharding
from chorus_jax.engine import Cache, Denoised, Engine, Pipeline
from chorus_jax.families.forward import Forward, Transformer, evaluate
from chorus_jax.families.protocols import VideoModel
from chorus_jax.inter_request.policy.policy import Policy, Regions, Tier
from chorus_jax.intra_request import SkipSteps
from chorus_jax.intra_request.tea import TeaCache
from chorus_jax.request import Request
from tests.chorus_jax.families.toy.model import ToyModel

STEPS, SWITCH, TILES = 6, 3, 12
RED = "a red circle moves left"
BLUE = "a blue circle moves left"
TEA = TeaCache(0.0, (1.0, 0.0))


def asked(prompt=RED, **changes):
    fields = dict(frames=3, height=32, width=32, steps=STEPS, solver="unipc", seed=3)
    return Request(prompt, **{**fields, "guidance_scale": 2.0, **changes})


@pytest.fixture(scope="module")
def pipeline():
    return Pipeline(ToyModel())


def run(pipeline, plan, requests=(asked(),), source=None, every=None):
    """The last state of a run, and the noise that it began from."""
    conditions, _ = pipeline.model.condition(requests)
    program = pipeline.program(requests[0], plan)
    source = jax.tree.map(np.asarray, source)  # of no device, as a stored one
    inputs = pipeline.inputs(conditions, source=source)
    noise = pipeline.noise(requests, program.geometry, conditions)
    latents = noise if source is None else source.start
    state = loop.start(inputs, latents, program=program)
    for _, state in loop.in_pieces(inputs, state, program, every):
        pass
    return state, noise


def stepwise(pipeline, request):
    """The latents after each step of a plain run."""
    conditions, _ = pipeline.model.condition([request])
    program = pipeline.program(request, StepPlan.plain(STEPS))
    inputs = pipeline.inputs(conditions)
    noise = pipeline.noise([request], program.geometry, conditions)
    state = loop.start(inputs, noise, program=program)
    pieces = loop.in_pieces(inputs, state, program, 1, ahead=0)
    return [jax.tree.map(jnp.copy, state.latents) for _, state in pieces]


def close(ours, want):
    """Equal within 1e-4 of the largest number."""
    for x, y in zip(jax.tree.leaves(ours), jax.tree.leaves(want), strict=True):
        np.testing.assert_allclose(x, y, rtol=0, atol=1e-4 * np.abs(y).max())


def same(ours, want, **tolerance):
    """Equal, bit for bit without a tolerance."""
    for x, y in zip(jax.tree.leaves(ours), jax.tree.leaves(want), strict=True):
        if tolerance:
            np.testing.assert_allclose(x, y, **tolerance)
        else:
            np.testing.assert_array_equal(x, y)


def test_it_has_the_protocols_of_a_family(pipeline):
    model = pipeline.model
    assert isinstance(model, VideoModel)
    assert all(isinstance(x, Transformer) for x in model.transformers.values())
    conditions, _ = model.condition([asked()])
    latents = loop.noise(jnp.array([1]), model.geometry(asked()))
    step = jnp.zeros(1, jnp.int32)
    forward = model.transformers["low"].forward(conditions["low"], latents, step)
    assert isinstance(forward, Forward)


def in_python(pipeline, noise, request):
    """All steps, one by one, each of its own expert; and the experts' names."""
    model = pipeline.model
    conditions, _ = model.condition([request])
    solver, latents, names = model.solver(request), noise, []
    state = jax.tree.map(solver.init, latents)
    for i, name in enumerate(model.experts(request)):
        names.append(name)
        forward = model.transformers[name].forward(
            conditions[name], latents, jnp.full(1, i, jnp.int32)
        )
        velocity, _ = evaluate(forward)
        moved = {
            stream: solver.step(i, x, velocity[stream], state[stream])
            for stream, x in latents.items()
        }
        latents = {stream: x for stream, (x, _) in moved.items()}
        state = {stream: x for stream, (_, x) in moved.items()}
    return latents, names


def test_each_expert_runs_its_own_steps(pipeline):
    state, noise = run(pipeline, StepPlan.plain(STEPS))
    want, names = in_python(pipeline, noise, asked())
    assert names == ["high"] * SWITCH + ["low"] * (STEPS - SWITCH)
    same(state.latents, want, rtol=1e-4, atol=1e-4)
    assert state.work.tolist() == [STEPS]
    other = Pipeline(ToyModel())
    other.model.transformers["low"] = other.model.transformers["high"]
    without, _ = run(other, StepPlan.plain(STEPS))
    # Up to the change they are one run.
    same(stepwise(other, asked())[1], stepwise(pipeline, asked())[1])
    assert np.abs(without.latents["sound"] - state.latents["sound"]).max() > 0.01


def test_clean_tokens_stay_and_sound_is_carried(pipeline):
    request = asked(solver="euler")
    state, noise = run(pipeline, StepPlan.plain(STEPS), (request,))
    video = state.latents["video"]
    np.testing.assert_array_equal(video[:, 0], noise["video"][:, 0])
    assert np.abs(video[:, 1:] - noise["video"][:, 1:]).mean(axis=(2, 3, 4)).min() > 0.1
    assert np.abs(state.latents["sound"] - noise["sound"]).min() > 0


def test_the_schedule_knows_the_token_count(pipeline):
    small, large = (
        pipeline.model.solver(asked(width=width)).schedule.sigmas for width in (32, 64)
    )
    assert small[1] < large[1]


REGION = Region((1, 2, 2), 4, reach=0)
PLANS = {
    "plain": StepPlan.plain(STEPS),
    "tea": StepPlan.plain(STEPS, cache=TeaCache(100.0, (1.0, 0.0))),
    "over the change": StepPlan.staged(STEPS, 1, 5, REGION),
    "halo": StepPlan.staged(STEPS, 3, 6, replace(REGION, halo=2, open_until=5)),
}


@pytest.fixture(scope="module")
def source(pipeline):
    """A run of the other prompt."""
    latents = stepwise(pipeline, asked(BLUE, seed=9))

    def of(first, last):
        at = lambda step: latents[step - 1]
        zeros = jax.tree.map(jnp.zeros_like, latents[-1])
        return SourceLatents(at(max(first, 1)), zeros, at(max(last, 1)))

    return of


def ends(plan):
    regional = [x for x in plan.stretches if x.region is not None]
    return plan.start, regional[0].last if regional else plan.steps


@pytest.mark.parametrize("name", PLANS)
def test_one_call_and_pieces_give_the_same_bytes(pipeline, source, name):
    plan = PLANS[name]
    begun = None if plan.start == 0 else source(*ends(plan))
    once, _ = run(pipeline, plan, source=begun)
    for every in (1, 4):
        pieces, _ = run(pipeline, plan, source=begun, every=every)
        same(pieces, once)
    whole = plan.with_experts(pipeline.model.experts(asked()))
    if name != "tea":
        want = equivalents(whole, TILES)
        assert once.work.tolist() == pytest.approx([want])
    else:
        # The first of each expert, and the last.
        assert once.work.tolist() == [3]


def test_with_all_tiles_active_a_region_is_the_whole(pipeline, source):
    first = 1  # the region's steps run over the change of experts
    # With a solver that has no history: others begin it anew with the region.
    begun, requests = source(first, 5), (asked(solver="euler"),)
    every = StepPlan.staged(STEPS, first, 5, replace(REGION, core=TILES))
    ours, _ = run(pipeline, every, requests, begun)
    plan = StepPlan.staged(STEPS, first, 5, None)
    whole, _ = run(pipeline, plan, requests, begun)
    same(ours.latents, whole.latents, rtol=1e-4, atol=1e-4)


@pytest.mark.as_users
@pytest.mark.parametrize("cache", [SkipSteps(()), TEA], ids=["skip", "tea"])
def test_a_step_cache_that_never_reuses_changes_no_byte(pipeline, cache):
    [plain] = pipeline(asked())
    [cached] = pipeline(asked(step_cache=cache))
    same(cached.latents, plain.latents)
    np.testing.assert_array_equal(cached.frames, plain.frames)


def test_a_batch_and_its_latents_are_each_requests(pipeline):
    red, blue = pipeline(asked(), asked(BLUE, seed=4))
    [alone] = pipeline(asked())
    assert red.frames.shape == (3, 32, 32, 3) and set(red.latents) == {"video", "sound"}
    same(red.latents, alone.latents, atol=1e-4)
    assert np.abs(red.latents["sound"] - blue.latents["sound"]).max() > 0.1


def test_packed_latents_are_unpacked(pipeline):
    geometry = pipeline.model.geometry(asked())
    [video] = pipeline(asked())
    packed = geometry.packed(video.latents)
    assert packed.shape == (1, 1, 1, 3 * 8 * 8 * 3 + 6 * 2)
    same(geometry.unpacked(packed), video.latents)


def test_a_mesh_changes_nothing(pipeline, source):
    mesh = sharding.make_mesh(data=2, context=4)
    split, plan = Pipeline(ToyModel(mesh)), PLANS["over the change"]
    begun = source(*ends(plan))
    want, _ = run(pipeline, plan, source=begun)
    with split.computing():
        ours, _ = run(split, plan, source=begun)
    close(ours.latents, want.latents)
    [video], [plain] = split(asked()), pipeline(asked())
    close(video.latents, plain.latents)


def policy(**caches):
    tiers = (Tier(0.2, 1, 3, active=0.3, key_gain=1.5),)
    regions = Regions(reach=0, limit=1e9, found_by="attention")
    return Policy(STEPS, tiers, regions, **caches)


def test_the_engine_serves_it(pipeline):
    cache = SkipSteps((5,))
    store = Cache.in_memory()
    engine = Engine(pipeline, store, policy(cache=cache, miss_cache=cache))
    events = []
    miss = engine.generate(asked(), observer=events.append)
    assert miss.ledger.kind == "miss"
    assert miss.ledger.equivalents == STEPS - 1
    again = engine.generate(asked())
    assert again.ledger.kind == "exact"
    same(again.video.latents, miss.video.latents)
    np.testing.assert_array_equal(again.video.frames, miss.video.frames)
    hit = engine.generate(asked(BLUE, seed=4), observer=events.append)
    assert hit.ledger.kind == "semantic" and hit.ledger.source == miss.entry
    plan = [event for event in events if isinstance(event, Denoised)][-1].plan
    assert {stretch.expert for stretch in plan.stretches} == {"high", "low"}
    assert plan.region is not None and plan.region.core == 4
    assert hit.ledger.equivalents == pytest.approx(equivalents(plan, TILES), abs=1e-3)
    # Step 1 shows the region, 2 runs a third of the tiles, 3 and 4 all; 5 is skipped.
    assert hit.ledger.equivalents == pytest.approx(3 + 1 / 3, abs=1e-3)
    for stream, theirs in miss.video.latents.items():  # it has noise of its own
        assert np.abs(hit.video.latents[stream] - theirs).max() > 0
    store.close()


@pytest.mark.parametrize("part", ["high", "low"])
def test_the_weights_of_each_expert_are_of_the_recipe(pipeline, part, monkeypatch):
    from chorus_jax.engine.recipes import recipe_of

    before = recipe_of(asked(), pipeline.model, Policy(STEPS, ())).digest
    prints = {**pipeline.model.fingerprints, part: "other"}
    monkeypatch.setattr(ToyModel, "fingerprints", prints)
    assert recipe_of(asked(), pipeline.model, Policy(STEPS, ())).digest != before
