"""Token budgets with given tiles: their active sets, their order, and a run."""

from dataclasses import replace

import jax
import jax.numpy as jnp
import numpy as np

from chorus_jax.denoise import loop
from chorus_jax.denoise.budgeted import BudgetedTokens
from chorus_jax.denoise.cost import equivalents
from chorus_jax.denoise.plan import StepPlan
from chorus_jax.denoise.program import Program
from chorus_jax.denoise.state import Inputs
from chorus_jax.families.forward import TRANSFORMER
from chorus_jax.token_budgets import TokenBudgets, TokenGroup
from tests.chorus_jax.denoise.tiny import GEOMETRY, SOLVER, STEPS, conditions, noise

# Of two frames with four tiles each the first is given.
GIVEN = replace(GEOMETRY, given=(0,))
STILL = (0, 1, 2, 3)
HALF = TokenBudgets(STEPS, (TokenGroup(0.25, 6), TokenGroup(0.75, 2)), early=3, late=1)
EVERY = TokenBudgets(STEPS, (TokenGroup(0.25, 6), TokenGroup(0.75, 6)))


def test_given_tiles_have_given_tokens_only():
    assert GEOMETRY.given_tiles == ()
    assert GIVEN.given_tiles == STILL
    assert replace(GIVEN, tile=(2, 2, 2)).given_tiles == ()
    assert replace(GIVEN, given=(0, 1)).given_tiles == tuple(range(8))


def test_given_tiles_are_run_in_the_first_step_alone():
    ours = BudgetedTokens(HALF, 0, STEPS, 8, 3, given=STILL)
    assert [len(ranks) for ranks in ours.sets] == [8, 4, 4, 4, 2, 4]
    assert max(max(ranks) for ranks in ours.sets[1:]) == 3
    assert ours.equivalents == 1 + 4 * 4 / 8 + 2 / 8
    plan = StepPlan.plain(STEPS, budgets=HALF)
    assert equivalents(plan, 8, STILL) == ours.equivalents < equivalents(plan, 8)


def test_budgets_of_all_steps_run_given_tiles_too():
    """They are plain sampling."""
    ours = BudgetedTokens(EVERY, 0, STEPS, 8, 2, given=STILL)
    assert ours.sets == BudgetedTokens(EVERY, 0, STEPS, 8, 2).sets


def test_given_tiles_rank_last():
    """Also behind others that do not change."""
    ours = BudgetedTokens(HALF, 0, STEPS, 8, 3, given=(0, 5))
    change = jnp.array([[0.0, 0, 2, 0, 1, 9, 0, 3]])
    assert ours.by_change(change).tolist() == [[7, 2, 4, 1, 3, 6, 0, 5]]
    assert ours.init(noise()).order.tolist() == [[1, 2, 3, 4, 6, 7, 0, 5]]


def test_a_run_ranks_and_moves_the_others(model):
    """The keys of given tiles stay those of the first step."""
    program = Program(StepPlan.plain(STEPS, budgets=HALF), SOLVER, GIVEN)
    inputs = Inputs({TRANSFORMER: model}, {TRANSFORMER: conditions(model)})
    state = loop.start(inputs, noise(), program=program)
    states = []
    for _, state in loop.in_pieces(inputs, state, program, 1, ahead=0):
        states.append(jax.tree.map(jnp.copy, state))
    first, last = states[0], states[-1]
    assert last.work.tolist() == [equivalents(program.plan, 8, STILL)]
    assert last.budgets.order[0, 4:].tolist() == list(STILL)
    assert last.budgets.order[0, :4].tolist() != [4, 5, 6, 7]
    change = np.asarray(last.budgets.change[0])
    assert (change[4:] > 0).all()
    assert (np.diff(change[last.budgets.order[0, :4]]) <= 0).all()
    for one, other in zip(jax.tree.leaves(first.keys), jax.tree.leaves(last.keys)):
        by_tile = [np.moveaxis(np.asarray(x), 2, 0) for x in (one, other)]
        np.testing.assert_array_equal(by_tile[0][:4], by_tile[1][:4])
        assert (by_tile[0][4:] != by_tile[1][4:]).any()
