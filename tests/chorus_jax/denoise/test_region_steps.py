"""Steps of a region: its equalities, its background, its halo, its batch and mesh."""

from dataclasses import replace

import jax
import jax.numpy as jnp
import numpy as np
import pytest

from chorus_jax.denoise import loop
from chorus_jax.denoise.cost import equivalents
from chorus_jax.denoise.plan import StepPlan
from chorus_jax.denoise.state import GainTables
from chorus_jax.devices import sharding
from chorus_jax.intra_request import SkipSteps
from chorus_jax.schedulers import Euler
from chorus_jax.schedulers.flow import Schedule
from kernels_pallas import dispatch
from tests.chorus_jax.collectives import collectives, largest
from tests.chorus_jax.denoise.tiny import (
    GEOMETRY,
    SHAPE,
    SOLVER,
    STEPS,
    TILES,
    begun,
    conditions,
    earlier,
    gains,
    hit,
    region,
    together,
)


def staged(first, last, where=None, **more):
    return StepPlan.staged(STEPS, first, last, where, **more)


def untouched(state, source):
    """The tiles whose latents are the source's before K2."""
    same = np.asarray(state.latents == source.end).all(-1)
    return same.reshape(2, 2, 4, 2, 4).all(axis=(2, 4))


@pytest.mark.parametrize("context", ["held", "dropped"])
def test_with_all_tiles_active_a_region_step_is_a_full_step(model, context):
    _, source = earlier(model, 1, 4)
    target = conditions(model, seed=1)
    whole = hit(model, target, source, staged(1, 4))
    every = staged(1, 4, region(TILES, context=context))
    ours = hit(model, target, source, every)
    np.testing.assert_allclose(ours.latents, whole.latents, rtol=1e-5, atol=1e-5)
    assert np.abs(whole.latents - source.end).max() > 0.1
    assert ours.work.tolist() == whole.work.tolist() == [STEPS - 1]


def test_with_the_whole_background_sampled_a_region_step_is_a_full_step(model):
    _, source = earlier(model, 1, STEPS)
    target = conditions(model, seed=1)
    whole = hit(model, target, source, staged(1, STEPS)).latents
    where = region(TILES - 1, context="sampled", sampled=1)
    ours = hit(model, target, source, staged(1, STEPS, where))
    last = int(ours.region.chosen.tiles[0, -1])
    want = np.asarray(whole).reshape(2, 2, 4, 2, 4, 4).copy()
    frame, row, column = last // 4, last % 4 // 2, last % 2
    end = np.asarray(source.end).reshape(want.shape)
    want[frame, row, :, column] = end[frame, row, :, column]
    got = np.asarray(ours.latents).reshape(want.shape)
    np.testing.assert_allclose(got, want, rtol=1e-5, atol=1e-5)


@pytest.mark.parametrize("guidance", [None, 5.0], ids=["unguided", "guided"])
def test_a_batch_is_each_of_its_requests_alone(model, guidance):
    plan = staged(1, 4, region(3, halo=2, open_until=3))
    rng, given, sources, factors = np.random.default_rng(3), [], [], []
    for seed in (1, 2):
        _, source = earlier(model, 1, 4, seed=seed + 6)
        given.append(conditions(model, guidance=guidance, seed=seed))
        sources.append(source)
        key = jnp.asarray(1 + rng.random((STEPS, 1, 8)), jnp.float32)
        factors.append(GainTables(key, gains().output))
    alone = [
        hit(model, one, source, plan, gains=table)
        for one, source, table in zip(given, sources, factors, strict=True)
    ]
    both = hit(
        model,
        together(given),
        jax.tree.map(lambda *x: jnp.concatenate(x), *sources),
        plan,
        gains=jax.tree.map(lambda *x: jnp.concatenate(x, axis=1), *factors),
    )
    first, second = (one.region.chosen.tiles.tolist() for one in alone)
    assert first != second
    assert both.region.chosen.tiles.tolist() == first + second
    for row, one in enumerate(alone):
        np.testing.assert_allclose(both.latents[row], one.latents[0], atol=1e-4)


@pytest.mark.parametrize("limit", [np.inf, 0.0], ids=str)
def test_a_mesh_changes_nothing(model, limit):
    plan = staged(1, 4, region(4, halo=2, open_until=3, limit=limit))
    _, source = earlier(model, 1, 4)
    target = conditions(model, seed=1)
    want = hit(model, target, source, plan)
    mesh = sharding.make_mesh(data=2, context=2, tensor=2)
    with jax.set_mesh(mesh):
        ours = hit(
            jax.device_put(model, sharding.shardings(model, mesh)), target, source, plan
        )
    assert ours.region.chosen.tiles.tolist() == want.region.chosen.tiles.tolist()
    assert (
        ours.region.chosen.all_tokens == want.region.chosen.all_tokens == (limit == 0)
    )
    np.testing.assert_allclose(ours.latents, want.latents, atol=1e-4)


@pytest.mark.parametrize("implementation", [None, "reference"])
def test_a_mesh_that_does_not_divide_the_region_changes_nothing(model, implementation):
    plan = staged(1, 4, region(3, halo=2, open_until=3))
    _, source = earlier(model, 1, 4)
    target, mesh = conditions(model, seed=1), sharding.make_mesh(context=8)
    with dispatch.forced(implementation):
        want = hit(model, target, source, plan)
        with jax.set_mesh(mesh):
            ours = hit(
                jax.device_put(model, sharding.shardings(model, mesh)),
                target,
                source,
                plan,
            )
    assert ours.region.chosen.tiles.tolist() == want.region.chosen.tiles.tolist()
    np.testing.assert_allclose(ours.latents, want.latents, atol=1e-4)


def test_sampled_tiles_take_part_and_stay_the_sources(model):
    _, source = earlier(model, 1, STEPS)
    target, core = conditions(model, seed=1), 3
    sampled, dropped = (
        hit(model, target, source, staged(1, STEPS, region(core, **fields)))
        for fields in ({"context": "sampled", "sampled": 2}, {"context": "dropped"})
    )
    few, none = (state.region.chosen.tiles for state in (sampled, dropped))
    assert few.shape == (1, core + 2) and none.shape == (1, core)
    assert few[0, :core].tolist() == none[0].tolist()
    assert np.abs(sampled.latents - dropped.latents).max() > 0
    assert untouched(sampled, source).sum() == TILES - core


@pytest.mark.as_users
def test_unit_gains_are_plain_cross_attention_bit_for_bit(model):
    _, source = earlier(model, 2, 4)
    target = conditions(model, seed=1)
    for chosen in (None, region(3)):
        plan = staged(2, 4, chosen)
        without = hit(model, target, source, plan)
        ours = hit(model, target, source, plan, gains=gains())
        np.testing.assert_array_equal(ours.latents, without.latents)


def test_the_background_is_the_sources(model):
    _, source = earlier(model, 1, STEPS)
    mask = np.zeros((1, *SHAPE[:3], 1), np.float32)
    mask[:, 0, :4, :4] = 1
    target, plan = conditions(model, seed=1), staged(1, STEPS, region(1))
    ours = hit(model, target, source, plan, mask=jnp.asarray(mask))
    same = np.asarray(ours.latents == source.end).all(-1)[0]
    assert not same[0, :4, :4].any()
    same[0, :4, :4] = True
    assert same.all()
    assert np.asarray(ours.region.chosen.tiles).tolist() == [[0]]


def test_the_halo_closes_to_the_source(model):
    _, source = earlier(model, 1, STEPS)
    target = conditions(model, seed=1)
    plan = staged(1, STEPS, region(2, halo=3, open_until=4))
    ours = hit(model, target, source, plan)
    assert untouched(ours, source).sum() == TILES - 2
    narrow = hit(model, target, source, staged(1, STEPS, region(2)))
    assert np.abs(ours.latents - narrow.latents).max() > 0


PLANS = {
    "held": staged(1, 5, region(3), opening=2),
    "sampled": staged(1, 4, region(2, context="sampled", sampled=1)),
    "halo": staged(0, STEPS, region(2, halo=1, open_until=3)),
    "never open": staged(1, 4, region(2, halo=1)),
    "always open": staged(1, 4, region(2, halo=1, open_until=6)),
    "skipped": staged(
        1, 5, region(2, halo=1, open_until=4), cache=SkipSteps((3, 4, 5))
    ),
}


@pytest.mark.parametrize("name", PLANS)
def test_what_is_computed_is_what_the_plan_says(model, name):
    plan, (_, source) = PLANS[name], earlier(model, 1, 4)
    state = hit(model, conditions(model, seed=1), source, plan)
    want = equivalents(plan, GEOMETRY.tiling.count)
    assert state.work.tolist() == pytest.approx([want])
    assert (state.step == STEPS).all()


def test_a_skipped_region_step_is_a_longer_one(model):
    """Euler over the same velocity twice is one step of both lengths."""
    _, source = earlier(model, 1, 5)
    few = region(3, halo=2, open_until=4)
    target = conditions(model, seed=1)
    ours = hit(model, target, source, staged(1, 5, few, cache=SkipSteps((3,))))
    whole = SOLVER.schedule
    sigmas, times = (list(whole.sigmas), list(whole.timesteps))
    del sigmas[3], times[3]
    shorter = Euler(Schedule(tuple(sigmas), tuple(times)))
    longer = hit(
        model,
        conditions(model, shorter, seed=1),
        source,
        StepPlan.staged(STEPS - 1, 1, 4, replace(few, open_until=3)),
        solver=shorter,
    )
    np.testing.assert_array_equal(ours.region.chosen.tiles, longer.region.chosen.tiles)
    np.testing.assert_allclose(ours.latents, longer.latents, rtol=1e-5, atol=1e-5)
    every = hit(model, target, source, staged(1, 5, few))
    assert np.abs(ours.latents - every.latents).max() > 1e-3


def test_steps_on_other_tokens_than_before_are_computed_though_skipped(model):
    """The step that shows the region, its first, the first after the halo, and the
    first with all tokens again."""
    _, source = earlier(model, 1, 5)
    target, few = conditions(model, seed=1), region(3, halo=2, open_until=4)
    every = hit(model, target, source, staged(1, 5, few))
    cache = SkipSteps((1, 2, 4, 5))
    ours = hit(model, target, source, staged(1, 5, few, cache=cache))
    np.testing.assert_allclose(ours.latents, every.latents, rtol=1e-5, atol=1e-5)
    np.testing.assert_array_equal(ours.work, every.work)


@pytest.mark.parametrize("sizes", [{"context": 2}, {"ring": 2, "context": 2}], ids=str)
def test_held_keys_stay_on_the_devices_that_hold_them(model, sizes):
    plan = staged(1, 4, region(3, halo=2, open_until=3))
    _, source = earlier(model, 1, 4)
    target, count = conditions(model, seed=1), int(np.prod(list(sizes.values())))
    want = hit(model, target, source, plan)
    mesh = sharding.make_mesh(**sizes, devices=jax.devices()[:count])
    with jax.set_mesh(mesh):
        split = jax.device_put(model, sharding.shardings(model, mesh))
        program, inputs, state = begun(split, target, source.start, plan, source)
        until = np.full(1, STEPS, np.int32)
        run = loop.advance.lower(inputs, state, until, program=program).compile()
        before = state.keys.key.sharding
        ours, _ = run(inputs, state, until)
    np.testing.assert_allclose(ours.latents, want.latents, atol=1e-4)
    keys = ours.keys.key
    assert keys.sharding == before
    assert keys.addressable_shards[0].data.size == keys.size // count
    assert {"all-to-all"} <= collectives(run)
    # Those of a layer are put in the order of tiles in a ring; nothing larger moves.
    layer = keys.size // keys.shape[0] // (1 if "ring" in sizes else 2)
    assert largest(run, "all-gather") <= layer
