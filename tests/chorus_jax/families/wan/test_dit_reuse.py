"""Branch outputs of an earlier pass replace computed ones, as data."""

import jax
import jax.numpy as jnp
import numpy as np
import pytest
from flax import nnx

from chorus_jax.families.forward import (
    AllTokens,
    BranchReuse,
    Forward,
    Held,
    TileTokens,
    evaluate,
)
from chorus_jax.families.wan.dit import WanDiT
from chorus_jax.nets.tokens import Tiling
from tests.chorus_jax.denoise.tiny import (
    CONFIG,
    GRID,
    TILE,
    at,
    conditions,
    noise,
)

BRANCHES = 3


@pytest.fixture(scope="module")
def model():
    return jax.jit(lambda: WanDiT(CONFIG, rngs=nnx.Rngs(0)))()


@pytest.fixture(scope="module")
def given(model):
    return conditions(model)


@jax.jit
def plain(model, given, step):
    return evaluate(model.forward(given, noise(), step))[0]


@jax.jit
def reusing(model, given, step, compute, outputs):
    """The velocity, and the outputs of all branches after the pass."""
    forward = model.forward(given, noise(), step)
    if outputs is None:
        outputs = forward.unknown_branches()
    tokens, sides = forward.blocks(forward.stem(), reuse=BranchReuse(outputs, compute))
    return forward.head(tokens), forward.branches(sides)


def which(value):
    return jnp.full((CONFIG.depth, BRANCHES, 2), value)  # both guidance branches


@pytest.mark.as_users
def test_computing_all_is_the_plain_pass_bit_for_bit(model, given):
    velocity, outputs = reusing(model, given, at(1), which(True), None)
    np.testing.assert_array_equal(velocity, plain(model, given, at(1)))
    forward = model.forward(given, noise(), at(1))
    assert isinstance(forward, Forward) and len(forward.branch_names) == BRANCHES
    assert [x.shape for x in outputs] == [x.shape for x in forward.unknown_branches()]


def test_outputs_of_the_same_step_give_its_velocity(model, given):
    """Nothing is computed but gates, residuals and the head."""
    velocity, outputs = reusing(model, given, at(2), which(True), None)
    again, kept = reusing(model, given, at(2), which(False), outputs)
    np.testing.assert_allclose(again, velocity, rtol=2e-5, atol=2e-6)
    jax.tree.map(np.testing.assert_array_equal, kept, outputs)


@pytest.mark.parametrize("branch", range(BRANCHES))
def test_each_branch_is_chosen_by_itself(model, given, branch):
    """A branch that is not computed is the earlier one; the others are not."""
    _, earlier = reusing(model, given, at(1), which(True), None)
    compute = which(True).at[:, branch].set(False)
    _, outputs = reusing(model, given, at(4), compute, earlier)
    for i, (now, before) in enumerate(zip(outputs, earlier, strict=True)):
        assert (np.asarray(now) == np.asarray(before)).all() == (i == branch)


@pytest.mark.as_users
def test_a_pass_whose_keys_are_asked_for_computes_its_attentions(model, given):
    """With nothing to compute by itself it still leaves the keys of a full pass."""
    tokens = AllTokens(Tiling(GRID, TILE))

    @jax.jit
    def both(model, given):
        forward = model.forward(given, noise(), at(1), tokens=tokens)
        full, sides = forward.blocks(
            forward.stem(), reuse=BranchReuse(forward.unknown_branches(), which(True))
        )
        reuse = BranchReuse(forward.branches(sides), which(False))
        again, kept = forward.blocks(forward.stem(), reuse=reuse)
        return forward.hold(Held(), sides), forward.hold(Held(), kept), full, again

    held, kept, full, again = both(model, given)
    assert held.keys.key.shape[0] == CONFIG.depth
    jax.tree.map(np.testing.assert_array_equal, kept, held)
    np.testing.assert_allclose(again, full, rtol=2e-5, atol=2e-6)


def test_each_row_chooses_by_itself(model, given):
    """One guidance branch computes, the other takes over."""
    _, earlier = reusing(model, given, at(1), which(True), None)
    compute = which(True).at[:, :, 1].set(False)
    _, outputs = reusing(model, given, at(4), compute, earlier)
    _, full = reusing(model, given, at(4), which(True), None)
    for now, before, fresh in zip(outputs, earlier, full, strict=True):
        np.testing.assert_array_equal(now[:, 1], before[:, 1])
        np.testing.assert_array_equal(now[0, 0], fresh[0, 0])


def test_a_region_without_held_keys_reuses_its_own_branches(model, given):
    tiling = Tiling(GRID, TILE)
    tiles = jnp.array([[0, 3]])
    tokens = TileTokens(tiling, tiles, (), jnp.zeros(2 * 4))
    patches = jnp.ones((1, 2, 4, 16))

    @jax.jit
    def both(model, given):
        forward = model.forward(given, patches, at(1), tokens=tokens)
        reuse = BranchReuse(forward.unknown_branches(), which(True))
        after, sides = forward.blocks(forward.stem(), reuse=reuse)
        return forward.head(after), evaluate(forward)[0]

    np.testing.assert_array_equal(*both(model, given))
