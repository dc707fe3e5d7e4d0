"""Token budgets: their equalities, their active sets, pieces, experts, streams."""

import jax
import jax.numpy as jnp
import numpy as np
import pytest

from chorus_jax.denoise import loop
from chorus_jax.denoise.cost import equivalents
from chorus_jax.denoise.plan import StepPlan
from chorus_jax.denoise.program import Program
from chorus_jax.denoise.state import Inputs
from chorus_jax.denoise.tiles import tiles_of, with_tiles
from chorus_jax.families.forward import AllTokens, TileTokens, evaluate
from chorus_jax.intra_request.planned_tokens import PlannedTokens
from chorus_jax.intra_request.taylor import TaylorSeer
from chorus_jax.schedulers import Euler
from chorus_jax.schedulers.flow import Schedule
from chorus_jax.token_budgets import TokenBudgets, TokenGroup
from tests.chorus_jax.denoise.tiny import (
    GEOMETRY,
    SOLVER,
    STEPS,
    at,
    conditions,
    noise,
    run,
)

TILES = GEOMETRY.tiling.count


def budgets(*groups, **fields):
    return TokenBudgets(STEPS, tuple(TokenGroup(*group) for group in groups), **fields)


def plan(ours, **more):
    return StepPlan.plain(STEPS, budgets=ours, **more)


# Ranks 0 and 1 in each step, 2 and 3 in every second, the others in every third.
THREE = budgets((0.25, 6), (0.25, 3), (0.5, 2))
TURNS = budgets((0.25, 6), (0.75, 3), staggered=True)
LATE = budgets((0.25, 6), (0.75, 2), late=1)
# Steps of all, of half, a quarter and none of the tokens, and forecasts for the others.
# In step 4 the first half's last steps are 3 and 1, the other half's 1 and 0.
MIXED = PlannedTokens(
    (1.0, 1.0, 0.0, 0.5, 0.0, 0.25),
    (
        (2, (1, 0), (1.5, -0.5)),
        (4, (3, 1), (1.2, -0.3)),
        (4, (1,), (0.8,)),
        (5, (1, 0), (2.0, -1.0)),
    ),
)


@pytest.fixture(scope="module")
def plain(model):
    return run(model, conditions(model), noise(), StepPlan.plain(STEPS))


@pytest.fixture(scope="module")
def three(model):
    return run(model, conditions(model), noise(), plan(THREE))


def test_budgets_of_all_steps_are_plain_sampling_bit_for_bit(model, plain):
    """Though tokens are ranked."""
    ours = run(model, conditions(model), noise(), plan(budgets((0.5, 6), (0.5, 6))))
    for name in ("latents", "work", "step"):
        np.testing.assert_array_equal(getattr(ours, name), getattr(plain, name))
    assert sorted(ours.budgets.order[0].tolist()) == list(range(TILES))


@pytest.mark.parametrize(
    ("groups", "fields", "held"),
    [
        ([(0.5, 6), (0.5, 6)], {}, False),
        ([(1.0, 3)], {"early": 1}, False),
        ([(0.5, 3), (0.5, 3)], {"staggered": True}, True),
        ([(0.5, 6), (0.5, 3)], {}, True),
    ],
)
def test_keys_are_held_where_steps_run_a_part_of_the_tokens(
    model, groups, fields, held
):
    ours = budgets(*groups, **fields)
    state = run(model, conditions(model), noise(), plan(ours))
    assert ours.splits == held == bool(jax.tree.leaves(state.keys))


def test_a_held_velocity_is_one_longer_step_of_euler(model):
    """All tokens in every second step are all tokens in half the steps."""
    ours = run(model, conditions(model), noise(), plan(budgets((1.0, 3), early=1)))
    sigmas, times = SOLVER.schedule.sigmas, SOLVER.schedule.timesteps
    half = Euler(Schedule((*sigmas[:-1:2], 0.0), times[::2]))
    longer = run(
        model,
        conditions(model, half),
        noise(),
        StepPlan.plain(STEPS // 2),
        solver=half,
    )
    np.testing.assert_allclose(ours.latents, longer.latents, rtol=1e-5, atol=1e-5)
    assert ours.work.tolist() == longer.work.tolist() == [STEPS // 2]


def test_all_tokens_beside_a_step_cache_are_the_step_cache(model):
    """A token is run where both run it, and forecast from its own past."""
    cache = TaylorSeer(interval=2, first=2)
    every = plan(budgets((1.0, 6), early=1), cache=cache)
    alone = StepPlan.plain(STEPS, cache=cache)
    ours, theirs = (run(model, conditions(model), noise(), x) for x in (every, alone))
    np.testing.assert_allclose(ours.latents, theirs.latents, rtol=1e-5, atol=1e-5)
    assert ours.work.tolist() == theirs.work.tolist() == [4.0]
    assert equivalents(every, TILES) == equivalents(alone, TILES) == 4.0


WAYS = {"three": THREE, "turns": TURNS, "late": LATE, "mixed": MIXED.budgets}


@pytest.mark.parametrize("name", WAYS)
def test_equals_a_loop_in_python(model, name):
    """Keys are held, active tiles write theirs, all tokens move on by their latest
    velocity, or by the weights of the plan."""
    ours = WAYS[name]
    cache = {"cache": MIXED} if name == "mixed" else {"budgets": ours}
    given, latents = conditions(model), noise()
    velocity, change, tiling = None, np.zeros(TILES), GEOMETRY.tiling
    past = [[] for _ in range(TILES)]  # of each tile: steps and velocities
    for i, ranks in enumerate(ours.sets(0, STEPS, TILES, ours.early)):
        if not ranks:
            pass
        elif len(ranks) == TILES:
            forward = model.forward(given, latents, at(i), None, AllTokens(tiling))
            before, (now, held) = velocity, evaluate(forward)
            velocity = tiles_of(GEOMETRY, now)
            if 0 < i < ours.early:
                sums = [np.abs(x).sum(3) for x in (velocity - before, before)]
                change += (sums[0] / sums[1]).mean(2)[0]
        else:
            tiles = jnp.argsort(-change, stable=True)[jnp.array(ranks)][None]
            patches = tiles_of(GEOMETRY, latents)[:, tiles[0]]
            some = TileTokens(tiling, tiles, held.keys, jnp.zeros(4 * len(ranks)))
            forward = model.forward(given, patches, at(i), None, some)
            fresh, held = evaluate(forward, held)
            velocity = velocity.at[:, tiles[0]].set(fresh)
        order = np.argsort(-change, stable=True)
        for tile in (order[rank] for rank in ranks):
            past[tile].insert(0, (i, velocity[:, tile]))
        moving = velocity
        for tile in {*range(TILES)} - {order[rank] for rank in ranks}:
            moving = moving.at[:, tile].set(expected(name, i, past[tile]))
        moves = SOLVER.table[i] * moving
        latents = latents + moves_of(moves)
    got = run(model, given, noise(), StepPlan.plain(STEPS, **cache))
    np.testing.assert_allclose(got.latents, latents, rtol=1e-4, atol=1e-4)
    want = np.argsort(-change, stable=True)
    np.testing.assert_array_equal(got.budgets.order[0], want)
    work = equivalents(StepPlan.plain(STEPS, **cache), TILES)
    assert got.work.tolist() == pytest.approx([work])


def expected(name, i, past):
    """The velocity of a tile that step `i` does not run, from its past ones."""
    for step, used, weights in MIXED.forecasts if name == "mixed" else ():
        if step == i and list(used) == [j for j, _ in past[: len(used)]]:
            return sum(w * v for w, (_, v) in zip(weights, past))
    return past[0][1]


def moves_of(tiles):
    zeros = jnp.zeros((1, *GEOMETRY.streams[0][1]))
    return with_tiles(GEOMETRY, zeros, tiles)


def test_tokens_with_small_budgets_change_the_video_a_little(plain, three):
    error = np.abs(three.latents - plain.latents).max()
    assert 1e-4 < error < 0.5 * np.abs(plain.latents).max()
    assert three.work[0] < STEPS


@pytest.mark.parametrize("ours", [THREE, TURNS], ids=["three", "turns"])
def test_pieces_give_the_same_bytes_by_one_program(model, ours):
    given = conditions(model)
    once = run(model, given, noise(), plan(ours))
    programs = loop.advance._cache_size()
    for every in (1, 4):
        pieces = run(model, given, noise(), plan(ours), every=every)
        jax.tree.map(np.testing.assert_array_equal, pieces, once)
    run(model, conditions(model, seed=3), noise(5), plan(ours))
    assert loop.advance._cache_size() == programs


def test_a_second_expert_keeps_the_order_and_makes_its_own_keys(model):
    experts = {"high": model, "low": jax.tree.map(lambda x: 1.2 * x, model)}
    given = {name: conditions(x) for name, x in experts.items()}
    names = ("high",) * 2 + ("low",) * 4
    ours = plan(budgets((0.25, 6), (0.75, 2))).with_experts(names)
    program = Program(ours, SOLVER, GEOMETRY)
    state = loop.start(Inputs(experts, given), noise(), program=program)
    for _, state in loop.in_pieces(Inputs(experts, given), state, program, 1):
        pass
    # Steps 0, 1 (early), 2 (another expert) and 3 (due) run all tokens.
    assert state.work.tolist() == [4 + 2 * 0.25] == [equivalents(ours, TILES)]
    assert sorted(state.budgets.order[0].tolist()) == list(range(TILES))
