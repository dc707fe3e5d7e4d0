"""Ledgers say apart what was computed, reused and forecast."""

from dataclasses import replace

import jax.numpy as jnp
import pytest

from chorus_jax.denoise.state import RunState
from chorus_jax.engine import Reuse
from chorus_jax.engine.accounting import ledger_of
from chorus_jax.engine.task import Task
from chorus_jax.inter_request.match.matching import Rejection
from chorus_jax.intra_request.extrapolating import extrapolates
from chorus_jax.intra_request.skipping import EveryStep
from chorus_jax.token_budgets import TokenBudgets, TokenGroup
from tests.chorus_jax.engine.tiny import STEPS, policy, small
from tests.chorus_jax.intra_request.members import MEMBERS

BUDGETS = TokenBudgets(STEPS, (TokenGroup(0.5, STEPS), TokenGroup(0.5, 2)))


def missed(engine, work, cache=EveryStep(), **asked):
    """The ledger of a miss that computed so many steps."""
    secret, model = engine.cache.store.secret, engine.pipeline.model
    chosen = replace(policy(), miss_cache=cache)
    task = Task.of(small(**asked), Reuse(), chosen, model, secret)
    done = jnp.array([work], jnp.float32)
    state = RunState(None, None, None, (), done, region=None)
    return ledger_of(task, Rejection("there was none"), state)


@pytest.mark.parametrize("name", MEMBERS)
def test_what_a_member_saved_is_reused_or_forecast(name, engine):
    cache = MEMBERS[name].active
    ledger = missed(engine, 3.5, cache)
    amounts = (0, STEPS - 3.5) if extrapolates(cache) else (STEPS - 3.5, 0)
    assert (ledger.reused, ledger.forecast) == amounts
    assert (ledger.equivalents, ledger.score) == (3.5, None)


def test_tokens_that_budgets_leave_out_are_reused_or_forecast(engine):
    ledger = missed(engine, 4.0, tokens=BUDGETS)
    assert (ledger.reused, ledger.forecast, ledger.step_cache) == (2, 0, "")
    ledger = missed(engine, 4.0, MEMBERS["taylor"].active, tokens=BUDGETS)
    assert (ledger.reused, ledger.forecast) == (0, 2)


def test_sums_that_are_rounded_save_nothing(engine):
    ledger = missed(engine, STEPS - 1e-6)
    assert (ledger.equivalents, ledger.reused, ledger.forecast) == (STEPS, 0, 0)
