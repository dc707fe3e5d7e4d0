"""Step caches beside token budgets, and those with budgets of their own.

Beside budgets a token is run in the steps in which both its budget and the step cache
run it; in the others its velocity is the step cache's forecast from the token's own
last ones. That needs a step cache whose steps and weights are known before the run, and
which reuses velocities: parts of a pass, such as residuals, have rows for all tokens.
"""

from chorus_jax.intra_request.grains import VelocityGrain
from chorus_jax.intra_request.planned_tokens import PlannedTokens
from chorus_jax.intra_request.protocol import StepCache
from chorus_jax.intra_request.scheduled import ScheduledCache
from chorus_jax.intra_request.skipping import EveryStep
from chorus_jax.token_budgets import ActiveSets, TokenSchedule


def own_budgets(cache: StepCache | None) -> TokenSchedule | None:
    """The token budgets that a step cache brings; None if it brings none."""
    return cache.budgets if isinstance(cache, PlannedTokens) else None


def forecasts_tokens(cache: StepCache) -> bool:
    """Whether a step cache can forecast each token from its own past: it has nothing
    but steps and weights that are known before the run, and reuses velocities."""
    if not isinstance(cache, ScheduledCache):
        return False
    # A subclass with a step of its own (RACER) decides from data too.
    known = type(cache).step is ScheduledCache.step
    return known and isinstance(cache.taken, VelocityGrain)


def check_beside(cache: StepCache, budgets: ActiveSets) -> None:
    """Raises a ValueError for a step cache that does not go with these budgets."""
    if own_budgets(cache) not in (None, budgets):
        raise ValueError(
            "this step cache brings token budgets, and does not go together with "
            "others: leave the tokens out"
        )
    if cache != EveryStep() and not forecasts_tokens(cache):
        raise ValueError(
            "token budgets do not go together with a step cache that decides during "
            "the run or reuses parts of a pass: leave one out, or take one that "
            "forecasts velocities at known steps, such as spectrum, taylor or planned; "
            f"got {cache!r:.80}"
        )
