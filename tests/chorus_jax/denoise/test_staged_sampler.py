"""The three-stage loop: its equalities, its regions, and how often it compiles."""

from dataclasses import replace

import jax
import jax.numpy as jnp
import numpy as np
import pytest
from flax import nnx

from chorus_jax.denoise import sampler, staged_sampler
from chorus_jax.denoise.full_steps import GainTables
from chorus_jax.denoise.region_steps import Source
from chorus_jax.denoise.regions import (
    DroppedContext,
    HeldContext,
    RegionPlan,
    SampledContext,
)
from chorus_jax.denoise.stages import StagePlan
from chorus_jax.devices import sharding
from chorus_jax.families.wan.config import WanConfig
from chorus_jax.families.wan.dit import WanDiT
from chorus_jax.nets import kernel_attention
from chorus_jax.nets.chunked_attention import chunked
from chorus_jax.nets.tokens import Tiling
from chorus_jax.schedulers import SOLVERS, Euler
from chorus_jax.schedulers.flow import Schedule
from kernels_pallas import dispatch

CONFIG = WanConfig(
    heads=2,
    head_width=12,
    depth=2,
    mlp_width=32,
    in_channels=4,
    out_channels=4,
    text_width=8,
    text_limit=32,
    dtype="float32",
)
SHAPE, GRID, TILE, TILES = (2, 8, 8, 4), (2, 4, 4), (1, 2, 2), 8
STEPS = 6
SOLVER = Euler.spaced(STEPS, 3.0)


@pytest.fixture(scope="module")
def model():
    return jax.jit(lambda: WanDiT(CONFIG, rngs=nnx.Rngs(0)))()


def conditions(model, solver=SOLVER, guidance=5.0, seed=0):
    rows = 1 if guidance is None else 2
    rng, lengths = np.random.default_rng(seed), np.array([3, 5][:rows])
    text = rng.standard_normal((rows, 8, CONFIG.text_width))
    text *= (np.arange(8) < lengths[:, None])[..., None]
    return sampler.prepare(
        model,
        jnp.asarray(text, jnp.float32),
        jnp.asarray(lengths),
        None if guidance is None else jnp.array([guidance]),
        solver=solver,
        grid=GRID,
    )


def noise(seed=0):
    return sampler.noise(jnp.array([seed]), SHAPE)


def run(model, given, source, plan, region=None, *arrays, solver=SOLVER, **named):
    return staged_sampler.denoise(
        model,
        given,
        source,
        *arrays,
        **named,
        solver=solver,
        plan=plan,
        region=region,
    )


def plain(model, given, latents, solver=SOLVER):
    begun = sampler.start(latents, solver=solver)
    return sampler.denoise(model, given, begun, 0, STEPS, solver=solver)[0].latents


def earlier(model, plan, seed=7, solver=SOLVER):
    """The source that a run of another prompt leaves for a plan."""
    given = conditions(model, solver, seed=seed)
    steps = tuple(range(1, STEPS + 1))
    full = run(model, given, noise(seed), StagePlan.plain(STEPS, steps), solver=solver)
    start, end = full.kept[plan.reuse_until - 1], full.kept[plan.region_until - 1]
    velocity = sampler.velocity(model, given, start, plan.reuse_until)
    return given, Source(start, velocity, end)


def region(core, halo=0, open_until=0, context=HeldContext(), reach=0, **fields):
    return RegionPlan(TILE, core, halo, open_until, reach, context, **fields)


def unit_gains():
    return GainTables(jnp.ones((STEPS, 1, 8)), jnp.ones((STEPS, 1)))


@pytest.mark.parametrize("name", SOLVERS)
def test_without_reuse_it_is_plain_sampling_bit_for_bit(model, name):
    solver = SOLVERS[name].spaced(STEPS, 3.0)
    given = conditions(model, solver)
    ours = run(model, given, noise(), StagePlan.plain(STEPS), solver=solver)
    np.testing.assert_array_equal(ours.latents, plain(model, given, noise(), solver))


def test_key_steps_are_those_of_the_run_and_change_nothing(model):
    given, steps = conditions(model), tuple(range(1, STEPS + 1))
    ours = run(model, given, noise(), StagePlan.plain(STEPS, steps))
    begun = sampler.start(noise(), solver=SOLVER)
    for (done, at), kept in zip(
        sampler.stepwise(model, given, begun, SOLVER), ours.kept, strict=True
    ):
        if done == STEPS:
            np.testing.assert_array_equal(kept, at.latents)
    np.testing.assert_array_equal(ours.latents, plain(model, given, noise()))
    again = run(model, given, ours.kept[2], StagePlan(STEPS, 3, 3))
    np.testing.assert_allclose(again.latents, ours.latents, rtol=1e-5, atol=1e-5)


def test_a_replay_is_the_sources_latents(model):
    given = conditions(model)
    done = plain(model, given, noise())
    source = Source(done, done, done)
    ours = run(model, given, source, StagePlan.replay(STEPS))
    np.testing.assert_array_equal(ours.latents, done)


@pytest.mark.parametrize(
    "context", [HeldContext(), DroppedContext()], ids=["held", "dropped"]
)
def test_with_all_tiles_active_a_region_step_is_a_full_step(model, context):
    plan = StagePlan(STEPS, 1, 4)
    given, source = earlier(model, plan)
    target = conditions(model, seed=1)
    whole = run(model, target, source, plan)
    ours = run(model, target, source, plan, region(TILES, context=context))
    np.testing.assert_allclose(ours.latents, whole.latents, rtol=1e-5, atol=1e-5)
    assert np.abs(whole.latents - source.end).max() > 0.1


def test_with_the_whole_background_sampled_a_region_step_is_a_full_step(model):
    plan = StagePlan(STEPS, 1, STEPS)
    _, source = earlier(model, plan)
    target = conditions(model, seed=1)
    whole = run(model, target, source, plan).latents
    ours = run(
        model, target, source, plan, region(TILES - 1, context=SampledContext(1))
    )
    left = int(ours.chosen.tiles[0, -1])
    want = np.asarray(whole).reshape(2, 2, 4, 2, 4, 4).copy()
    frame, row, column = left // 4, left % 4 // 2, left % 2
    end = np.asarray(source.end).reshape(want.shape)
    want[frame, row, :, column] = end[frame, row, :, column]
    found = np.asarray(ours.latents).reshape(want.shape)
    np.testing.assert_allclose(found, want, rtol=1e-5, atol=1e-5)


@pytest.mark.parametrize("guidance", [None, 5.0], ids=["unguided", "guided"])
def test_a_batch_is_each_of_its_requests_alone(model, guidance):
    plan, few = StagePlan(STEPS, 1, 4), region(3, halo=2, open_until=3)
    rng, given, sources, gains = np.random.default_rng(3), [], [], []
    for seed in (1, 2):
        _, source = earlier(model, plan, seed=seed + 6)
        given.append(conditions(model, guidance=guidance, seed=seed))
        sources.append(source)
        key = 1 + rng.random((STEPS, 1, 8))
        gains.append(GainTables(jnp.asarray(key, jnp.float32), 2 - unit_gains().output))
    alone = [
        run(model, *each[:2], plan, few, each[2])
        for each in zip(given, sources, gains, strict=True)
    ]
    both = run(
        model,
        together(given),
        jax.tree.map(lambda *x: jnp.concatenate(x), *sources),
        plan,
        few,
        jax.tree.map(lambda *x: jnp.concatenate(x, axis=1), *gains),
    )
    assert alone[0].chosen.tiles.tolist() != alone[1].chosen.tiles.tolist()
    for row, each in enumerate(alone):
        assert both.chosen.tiles[row].tolist() == each.chosen.tiles[0].tolist()
        np.testing.assert_allclose(both.latents[row], each.latents[0], atol=1e-4)


def together(given):
    """Conditions of requests as those of a batch: prompts, then negative prompts."""

    def rows(x, axis):
        half = x[0].shape[axis] // 2 if given[0].guidance is not None else None
        first = [jax.lax.slice_in_dim(one, 0, half, axis=axis) for one in x]
        rest = (
            []
            if half is None
            else [jax.lax.slice_in_dim(one, half, None, axis=axis) for one in x]
        )
        return jnp.concatenate([*first, *rest], axis=axis)

    contexts = [one.context for one in given]
    text = jax.tree.map(lambda *x: rows(x, 1), *(one.text for one in contexts))
    bias = rows([one.bias for one in contexts], 0)
    scales = [one.guidance for one in given]
    return given[0]._replace(
        context=contexts[0]._replace(text=text, bias=bias),
        guidance=None if scales[0] is None else jnp.concatenate(scales),
    )


@pytest.mark.parametrize("limit", [np.inf, 1e6, 0.0], ids=str)
def test_a_mesh_changes_nothing(model, limit):
    plan = StagePlan(STEPS, 1, 4)
    few = region(4, halo=2, open_until=3, limit=limit)
    _, source = earlier(model, plan)
    target = conditions(model, seed=1)
    want = run(model, target, source, plan, few)
    mesh = sharding.make_mesh(data=2, context=2, tensor=2)
    with jax.set_mesh(mesh):
        ours = run(sharding.shard(model, mesh), target, source, plan, few)
    assert ours.chosen.tiles.tolist() == want.chosen.tiles.tolist()
    assert ours.chosen.whole == want.chosen.whole == (limit == 0)
    np.testing.assert_allclose(ours.latents, want.latents, atol=1e-4)


def test_a_plan_for_other_steps_than_the_solvers_is_refused(model):
    with pytest.raises(ValueError, match="for 9 steps, but the solver has 6"):
        run(model, conditions(model), noise(), StagePlan.plain(9))


@pytest.mark.parametrize("shape", [(1, 2, 4, 4, 1), (1, 2, 8, 10, 1), (2, 2, 8, 8, 1)])
def test_a_mask_on_another_grid_is_refused(model, shape):
    plan = StagePlan(STEPS, 1, 4)
    source = Source(noise(), noise(), noise())
    with pytest.raises(ValueError, match=r"these latents is \(1, 2, 8, 8, 1\), got"):
        run(model, conditions(model), source, plan, region(2), mask=jnp.ones(shape))


def test_sampled_tiles_take_part_and_stay_the_sources(model):
    plan = StagePlan(STEPS, 1, STEPS)
    _, source = earlier(model, plan)
    target, core = conditions(model, seed=1), 3
    few = run(model, target, source, plan, region(core, context=SampledContext(2)))
    none = run(model, target, source, plan, region(core, context=DroppedContext()))
    assert few.chosen.tiles.shape == (1, core + 2)
    assert none.chosen.tiles.shape == (1, core)
    assert few.chosen.tiles[0, :core].tolist() == none.chosen.tiles[0].tolist()
    assert np.abs(few.latents - none.latents).max() > 0
    same = np.asarray(few.latents == source.end).all(-1).reshape(2, 2, 4, 2, 4)
    assert same.all(axis=(2, 4)).sum() == TILES - core


def test_unit_gains_are_plain_cross_attention_bit_for_bit(model):
    plan = StagePlan(STEPS, 2, 4)
    _, source = earlier(model, plan)
    target = conditions(model, seed=1)
    for chosen in (None, region(3)):
        without = run(model, target, source, plan, chosen)
        ours = run(model, target, source, plan, chosen, unit_gains())
        np.testing.assert_array_equal(ours.latents, without.latents)


def test_gains_act_on_the_prompt_and_not_on_the_negative_prompt(model):
    plan = StagePlan(STEPS, 2, 4)
    _, source = earlier(model, plan)
    twice = GainTables(2 * jnp.ones((STEPS, 1, 8)), 2 * jnp.ones((STEPS, 1)))
    both = conditions(model, seed=1)
    steps = run(model, both, source, plan, gains=twice)
    assert np.abs(steps.latents - run(model, both, source, plan).latents).max() > 0.01
    # At a guidance of 0 only the negative prompt counts.
    only = both._replace(guidance=jnp.zeros(1))
    plain = run(model, only, source, plan)
    ours = run(model, only, source, plan, gains=twice)
    np.testing.assert_allclose(ours.latents, plain.latents, atol=1e-6)


def test_the_background_is_the_sources(model):
    plan = StagePlan(STEPS, 1, STEPS)
    _, source = earlier(model, plan)
    mask = np.zeros((1, *SHAPE[:3], 1), np.float32)
    mask[:, 0, :4, :4] = 1
    target = conditions(model, seed=1)
    ours = run(model, target, source, plan, region(1), mask=jnp.asarray(mask))
    same = np.asarray(ours.latents == source.end).all(-1)[0]
    assert not same[0, :4, :4].any()
    same[0, :4, :4] = True
    assert same.all()
    assert np.asarray(ours.chosen.tiles).tolist() == [[0]]


def test_the_halo_closes_to_the_source(model):
    plan = StagePlan(STEPS, 1, STEPS)
    _, source = earlier(model, plan)
    target = conditions(model, seed=1)
    ours = run(model, target, source, plan, region(2, halo=3, open_until=4))
    kept = np.asarray(ours.latents == source.end).all(-1).reshape(2, 2, 4, 2, 4)
    assert kept.all(axis=(2, 4)).sum() == TILES - 2
    narrow = run(model, target, source, plan, region(2))
    assert np.abs(ours.latents - narrow.latents).max() > 0


def test_the_region_is_where_the_velocities_disagree(model):
    plan = StagePlan(STEPS, 1, 3)
    _, source = earlier(model, plan)
    target = conditions(model, seed=1)
    own = sampler.velocity(model, target, source.start, 1)
    apart = own.at[:, 1, 4:, :4].add(9.0)
    ours = run(model, target, source._replace(velocity=apart), plan, region(1))
    assert np.asarray(ours.chosen.tiles).tolist() == [[6]]
    assert np.asarray(ours.chosen.scores).argmax() == 6


@pytest.mark.parametrize("name", SOLVERS)
def test_videos_that_differ_beyond_the_region_are_run_whole(model, name):
    solver, keep = SOLVERS[name].spaced(STEPS, 3.0), (4, 5)
    plan = StagePlan(STEPS, 1, 4, opening=2, keep=keep)
    _, source = earlier(model, plan, solver=solver)
    target = conditions(model, solver, seed=1)
    ours = run(model, target, source, plan, region(3, limit=0.0), solver=solver)
    whole = run(model, target, source, plan, solver=solver)
    assert ours.chosen.whole and ours.chosen.beyond > 0
    np.testing.assert_allclose(ours.latents, whole.latents, rtol=1e-5, atol=1e-5)
    np.testing.assert_allclose(ours.kept, whole.kept, rtol=1e-5, atol=1e-5)
    # Skipped steps too are those of the plan without a region.
    skipping = StagePlan(STEPS, 1, 5, skipped=(3,))
    ours = run(model, target, source, skipping, region(3, limit=0.0), solver=solver)
    whole = run(model, target, source, skipping, solver=solver)
    np.testing.assert_allclose(ours.latents, whole.latents, rtol=1e-5, atol=1e-5)


def test_videos_that_do_not_differ_beyond_the_region_keep_to_it(model):
    plan = StagePlan(STEPS, 1, 4, keep=(4,))
    _, source = earlier(model, plan)
    target = conditions(model, seed=1)
    ours = run(model, target, source, plan, region(3, limit=1e6))
    alone = run(model, target, source, plan, region(3))
    assert not ours.chosen.whole and 0 < ours.chosen.beyond < 1e6
    np.testing.assert_allclose(ours.latents, alone.latents, rtol=1e-5, atol=1e-5)
    np.testing.assert_allclose(ours.kept, alone.kept, rtol=1e-5, atol=1e-5)
    # One that the caller gives is enough, whatever the velocities say.
    mask = jnp.ones((1, *SHAPE[:3], 1))
    given = run(model, target, source, plan, region(3, limit=0.0), mask=mask)
    assert not given.chosen.whole


def test_one_row_that_differs_beyond_the_region_has_all_rows_run_whole(model):
    plan = StagePlan(STEPS, 1, 4)
    sources = [earlier(model, plan, seed=seed)[1] for seed in (7, 8)]
    target = together([conditions(model, seed=seed) for seed in (1, 2)])
    source = jax.tree.map(lambda *x: jnp.concatenate(x), *sources)
    far = run(model, target, source, plan, region(3)).chosen.beyond
    between = float(far.mean())
    assert far.min() < between < far.max()
    ours = run(model, target, source, plan, region(3, limit=between))
    whole = run(model, target, source, plan)
    assert ours.chosen.whole
    np.testing.assert_allclose(ours.latents, whole.latents, rtol=1e-5, atol=1e-5)


def watched_share(model, given, latents, plan, words):
    """Attention to these words, its mean over layers and heads, from its definition."""
    context = given.context
    step = plan.regional.start - 1
    found, inputs = [], model.embed(latents)
    times = given.times.at(step, 1)
    mine = jax.tree.map(lambda x: x[:, :1], context.text)
    for i in range(CONFIG.depth):
        layer = jax.tree.map(lambda x: x[i], model.layers)
        near = context._replace(text=jax.tree.map(lambda x: x[i], mine))
        near = near._replace(bias=context.bias[:1])
        seen = {}

        def spy(query, key, value, bias=None, seen=seen):
            seen.update(query=np.asarray(query), key=np.asarray(key), bias=bias)
            return chunked(query, key, value, bias)

        with pytest.MonkeyPatch.context() as patch:
            patch.setattr(kernel_attention, "attention", spy)
            inputs, _ = layer(inputs, times.blocks, given.rotary, near)
        logits = np.einsum("bnad,bmad->bnam", seen["query"], seen["key"])
        logits = logits / np.sqrt(CONFIG.head_width) + np.asarray(seen["bias"])[0]
        weights = np.exp(logits - logits.max(axis=-1, keepdims=True))
        weights /= weights.sum(axis=-1, keepdims=True)
        found.append((weights * words).sum(axis=-1).mean(axis=2))
    return np.mean(found, axis=0)


def test_the_region_is_where_the_new_words_are_attended_to(model):
    plan = StagePlan(STEPS, 1, 4)
    given, source = earlier(model, plan)
    words = np.zeros(8, np.float32)
    words[1] = 1
    where = RegionPlan(TILE, 2, 0, 0, reach=0, found_by="attention")
    ours = run(model, given, source, plan, where, words=jnp.asarray(words)[None])
    share = watched_share(model, given, source.start, plan, words)
    tiling = Tiling.fitting(GRID, TILE)
    want = np.asarray(tiling.tiles(jnp.asarray(share))).mean(axis=2)
    np.testing.assert_allclose(ours.chosen.scores, want, rtol=2e-5)
    np.testing.assert_array_equal(ours.chosen.tiles[0], np.argsort(-want[0])[:2])


def test_without_new_words_attention_gives_way_to_velocities(model):
    plan = StagePlan(STEPS, 1, 4)
    given, source = earlier(model, plan)
    where = RegionPlan(TILE, 2, 0, 0, reach=0, found_by="attention")
    none = jnp.zeros((1, 8))
    ours = run(model, given, source, plan, where, words=none)
    theirs = run(model, given, source, plan, region(2))
    np.testing.assert_array_equal(ours.latents, theirs.latents)


def test_skipped_steps_take_over_the_last_velocity(model):
    given, latents = conditions(model), noise()
    skipped = (2, 4)
    ours = run(model, given, latents, StagePlan(STEPS, 0, 0, skipped=skipped))
    want, state = latents, SOLVER.init(latents)
    velocity = None
    for i in range(STEPS):
        if i not in skipped:
            velocity = sampler.velocity(model, given, want, i)
        want, state = SOLVER.step(i, want, velocity, state)
    np.testing.assert_allclose(ours.latents, want, rtol=1e-5, atol=1e-5)


def test_a_skipped_region_step_is_a_longer_one(model):
    """Euler over the same velocity twice is one step of both lengths."""
    plan = StagePlan(STEPS, 1, 5, skipped=(3,))
    _, source = earlier(model, plan)
    few = region(3, halo=2, open_until=4)
    ours = run(model, conditions(model, seed=1), source, plan, few)
    whole = SOLVER.schedule
    sigmas, times = (list(whole.sigmas), list(whole.timesteps))
    del sigmas[3], times[3]
    shorter = Euler(Schedule(tuple(sigmas), tuple(times)))
    longer = run(
        model,
        conditions(model, shorter, seed=1),
        source,
        StagePlan(STEPS - 1, 1, 4),
        replace(few, open_until=3),
        solver=shorter,
    )
    np.testing.assert_array_equal(ours.chosen.tiles, longer.chosen.tiles)
    np.testing.assert_allclose(ours.latents, longer.latents, rtol=1e-5, atol=1e-5)
    every = run(model, conditions(model, seed=1), source, StagePlan(STEPS, 1, 5), few)
    assert np.abs(ours.latents - every.latents).max() > 1e-3


def test_the_first_step_after_the_halo_cannot_be_skipped(model):
    plan = StagePlan(STEPS, 1, 5, skipped=(4,))
    _, source = earlier(model, plan)
    few = region(3, halo=2, open_until=4)
    with pytest.raises(ValueError, match="step 4 is the first after the halo"):
        run(model, conditions(model, seed=1), source, plan, few)


def test_one_program_for_each_plan_whatever_the_source(model):
    plan = StagePlan(STEPS, 1, 4)
    _, source = earlier(model, plan)
    target = conditions(model, seed=1)
    staged_sampler.denoise.clear_cache()
    for seed in range(3):
        other = source._replace(start=source.start + seed)
        few = region(3, limit=0.6)  # within it or beyond: one program
        run(model, conditions(model, seed=seed), other, plan, few, unit_gains())
    assert staged_sampler.denoise._cache_size() == 1
    run(model, target, source, StagePlan(STEPS, 2, 4), region(3), unit_gains())
    assert staged_sampler.denoise._cache_size() == 2


def test_nothing_reaches_the_host_during_a_run(model):
    """A run is one program, and that program calls nobody."""
    plan = StagePlan(STEPS, 1, 4)
    _, source = earlier(model, plan)
    lowered = staged_sampler.denoise.lower(
        model,
        conditions(model, seed=1),
        source,
        unit_gains(),
        solver=SOLVER,
        plan=plan,
        region=region(3, limit=0.6),
    ).as_text()
    assert "while" in lowered
    for host in ("callback", "infeed", "outfeed", "stablehlo.send", "stablehlo.recv"):
        assert host not in lowered


def test_a_region_larger_than_the_video_is_refused(model):
    plan = StagePlan(STEPS, 1, 4)
    _, source = earlier(model, plan)
    with pytest.raises(ValueError, match="8 in all: ask for a smaller share"):
        run(model, conditions(model), source, plan, region(9))


@pytest.mark.parametrize("implementation", [None, "reference"])
def test_a_mesh_that_does_not_divide_the_region_changes_nothing(model, implementation):
    plan = StagePlan(STEPS, 1, 4)
    _, source = earlier(model, plan)
    target, mesh = conditions(model, seed=1), sharding.make_mesh(context=8)
    few = region(3, halo=2, open_until=3)
    with dispatch.forced(implementation):
        want = run(model, target, source, plan, few)
        with jax.set_mesh(mesh):
            ours = run(sharding.shard(model, mesh), target, source, plan, few)
    assert ours.chosen.tiles.tolist() == want.chosen.tiles.tolist()
    np.testing.assert_allclose(ours.latents, want.latents, atol=1e-4)


KERNELS = pytest.mark.parametrize(
    "implementation", ["reference", "tpu_interpreted", "gpu_interpreted"]
)


@pytest.fixture(scope="module")
def wide():
    """A model whose heads no kernel refuses."""
    config = replace(CONFIG, head_width=16)
    return jax.jit(lambda: WanDiT(config, rngs=nnx.Rngs(0)))()


@KERNELS
@pytest.mark.parametrize("context", [HeldContext(), SampledContext(2)], ids=str)
def test_the_kernels_change_nothing(wide, implementation, context):
    plan = StagePlan(STEPS, 2, 5)
    given, source = earlier(wide, plan)
    gains = GainTables(jnp.full((STEPS, 1, 8), 1.5), jnp.full((STEPS, 1), 1.2))
    arguments = (wide, given, source, plan, region(3, context=context), gains)
    want = run(*arguments)
    with dispatch.forced(implementation):
        found = run(*arguments)
    np.testing.assert_array_equal(found.chosen.tiles, want.chosen.tiles)
    np.testing.assert_allclose(found.latents, want.latents, atol=1e-4)


@KERNELS
def test_the_equalities_hold_with_the_kernels(wide, implementation):
    """All tiles active are a full step, and unit gains are none."""
    plan = StagePlan(STEPS, 2, 4)
    _, source = earlier(wide, plan)
    arguments = (wide, conditions(wide, seed=1), source, plan)
    with dispatch.forced(implementation):
        whole = run(*arguments)
        every, unit = (run(*arguments, region(TILES), x) for x in (None, unit_gains()))
    np.testing.assert_allclose(every.latents, whole.latents, rtol=1e-5, atol=1e-5)
    np.testing.assert_array_equal(unit.latents, every.latents)
