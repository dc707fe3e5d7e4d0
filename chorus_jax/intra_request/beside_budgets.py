"""Step caches combined with token budgets, and step caches that define budgets.

In the combination a token is run in the steps in which both its budget and the step
cache run it. In all other steps its velocity is the step cache's forecast from the
token's own last velocities. So the computed steps and the forecast's weights must be
known before the run, and the step cache must reuse velocities: other values that it may
keep, such as residuals, have rows for all tokens.
"""

from chorus_jax.intra_request.grains import VelocityGrain
from chorus_jax.intra_request.planned_tokens import PlannedTokens
from chorus_jax.intra_request.protocol import StepCache
from chorus_jax.intra_request.scheduled import ScheduledCache
from chorus_jax.intra_request.skipping import EveryStep
from chorus_jax.token_budgets import ActiveSets, TokenSchedule


def own_budgets(cache: StepCache | None) -> TokenSchedule | None:
    """The token budgets that a step cache defines; None if it defines none."""
    return cache.budgets if isinstance(cache, PlannedTokens) else None


def forecasts_tokens(cache: StepCache) -> bool:
    """Whether a step cache can forecast each token from the token's own velocities.

    It can if it reuses velocities, and if its computed steps and its weights are known
    before the run.
    """
    if not isinstance(cache, ScheduledCache):
        return False
    # A subclass that overrides `step` (RACER) also decides from data.
    known = type(cache).step is ScheduledCache.step
    return known and isinstance(cache.taken, VelocityGrain)


def check_beside(cache: StepCache, budgets: ActiveSets) -> None:
    """Raises a ValueError for a step cache that cannot be combined with budgets."""
    if own_budgets(cache) not in (None, budgets):
        raise ValueError(
            "this step cache brings token budgets, and does not go together with "
            "others: leave the tokens out"
        )
    if cache != EveryStep() and not forecasts_tokens(cache):
        raise ValueError(
            "token budgets do not go together with a step cache that decides during "
            "the run or reuses parts of a pass: leave one out, or take one that "
            "forecasts velocities at known steps, such as spectrum, taylor or foca; "
            f"got {cache!r:.80}"
        )
