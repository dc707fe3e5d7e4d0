"""The state of a run over a mesh: split as tokens are, with one device's results."""

from dataclasses import replace
from functools import partial

import jax
import numpy as np
import pytest
from flax import nnx
from jax.tree_util import tree_leaves_with_path

from chorus_jax.denoise import loop
from chorus_jax.denoise.placement import cache_partition, placed
from chorus_jax.denoise.plan import StepPlan, Stretch
from chorus_jax.devices import sharding
from chorus_jax.families.wan.dit import WanDiT
from chorus_jax.intra_request.guidance_cache import GuidanceCache
from chorus_jax.intra_request.pab import PAB
from chorus_jax.intra_request.taylor import TaylorSeer
from chorus_jax.schedulers import Euler
from chorus_jax.token_budgets import TokenBudgets, TokenGroup
from tests.chorus_jax.denoise.tiny import (
    CONFIG,
    GRID,
    STEPS,
    begun,
    conditions,
    noise,
)
from tests.chorus_jax.intra_request.families import LAYERS
from tests.chorus_jax.intra_request.members import MEMBERS

# A step cache of layers' branches, one of the residual, and token budgets.
BRANCHES = PAB(2, 3, 2, above=0.0, below=1001.0)
RESIDUAL = TaylorSeer(interval=2, grain="residual")
HALF = TokenBudgets(STEPS, (TokenGroup(0.5, 6), TokenGroup(0.5, 3)))
PLAN = StepPlan(
    STEPS,
    (
        Stretch(0, 2, cache=BRANCHES),
        Stretch(2, 4, cache=RESIDUAL),
        Stretch(4, 6, budgets=HALF),
    ),
)
TOKENS = (2, int(np.prod(GRID)), CONFIG.width)


def outcome(model):
    """The last state of a run in two calls of one compiled program."""
    program, inputs, state = begun(model, conditions(model), noise(), PLAN)
    compiled = loop.advance._cache_size()
    for _, state in loop.in_pieces(inputs, state, program, every=3):
        pass
    assert loop.advance._cache_size() == compiled + 1
    return state


def test_a_mesh_changes_nothing_and_splits_what_has_tokens(model):
    alone = outcome(model)
    mesh = sharding.make_mesh(data=2, context=2, tensor=2)
    with jax.set_mesh(mesh):
        ours = outcome(jax.device_put(model, sharding.shardings(model, mesh)))
    np.testing.assert_allclose(ours.latents, alone.latents, atol=1e-4)
    np.testing.assert_array_equal(ours.work, alone.work)
    branches, residual = ours.caches[0].outputs.arrays[0], ours.caches[1].values[0]
    for x in (branches, residual):
        assert x.shape[-3:] == TOKENS
        assert x.addressable_shards[0].data.size * 4 == x.size
    whole = ours.latents
    assert whole.addressable_shards[0].data.size == whole.size


# Every step cache in one plan of as many steps; not a plan of tokens, which is for all
# steps and has no state of a step cache.
CACHES = [member.active for name, member in MEMBERS.items() if name != "planned-tokens"]
EACH = StepPlan(
    len(CACHES),
    tuple(Stretch(i, i + 1, cache=cache) for i, cache in enumerate(CACHES)),
)


@partial(jax.jit, static_argnames="program")
def moved(inputs, state, *, program):
    """Another state, made with the weights and placed as the loop places it."""
    weights = jax.tree.leaves(inputs.models)[0]
    state = jax.tree.map(lambda x: x if x.dtype == bool else x + x, state)
    return placed(program, inputs, state._replace(work=state.work + weights.sum()))


def test_the_state_of_any_step_cache_stays_where_it_was():
    # Axes of one device may be named in a sharding or not.
    mesh = sharding.make_mesh(context=2, devices=jax.devices()[:2])
    solver, config = Euler.spaced(EACH.steps, 3.0), replace(CONFIG, depth=LAYERS)
    with jax.set_mesh(mesh):
        model = jax.jit(lambda: WanDiT(config, rngs=nnx.Rngs(0)))()
        model = jax.device_put(model, sharding.shardings(model, mesh))
        program, inputs, state = begun(
            model, conditions(model, solver), noise(), EACH, solver=solver
        )
        # A weak type is a strong one after a step, and so compiles a second program.
        assert not [path for path, x in tree_leaves_with_path(state) if x.weak_type]
        before = jax.tree.map(lambda x: x.sharding, state)
        for _ in range(2):
            state = moved(inputs, state, program=program)
            assert jax.tree.map(lambda x: x.sharding, state) == before


def test_a_guidance_cache_is_refused_where_a_mesh_splits_the_branches(model):
    plan, latents = StepPlan.plain(STEPS, cache=GuidanceCache()), noise()
    with jax.set_mesh(sharding.make_mesh(data=2, devices=jax.devices()[:2])):
        with pytest.raises(ValueError, match="runs the prompt's branch alone"):
            begun(model, conditions(model), latents, plan)


@pytest.mark.parametrize(
    "shape, wanted",
    [
        ((3, 2, 32, 8), (None, "data", "context", None)),
        ((2, 32, 8), ("data", "context", None)),
        ((2, 31, 8), ()),  # that the mesh does not divide
        ((2, 30, 8), ()),  # of no pass
        ((2,), ()),
    ],
    ids=str,
)
def test_arrays_of_tokens_are_split_where_the_mesh_divides_them(shape, wanted):
    tokens = frozenset({(2, 32, 8), (2, 31, 8)})
    with jax.set_mesh(sharding.make_mesh(data=2, context=4)):
        assert tuple(cache_partition(shape, tokens)) == wanted
