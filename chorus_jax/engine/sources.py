"""Sources of requests: finds them in the cache, loads them and plans the run."""

import logging

from chorus_jax.denoise.plan import StepPlan
from chorus_jax.devices.sharding import token_split
from chorus_jax.engine.cache import Cache
from chorus_jax.engine.given import Given
from chorus_jax.engine.pipeline import Pipeline, timed
from chorus_jax.engine.plans import planned, within_expert, without_region
from chorus_jax.engine.prompt import PromptReading
from chorus_jax.engine.running import Hit
from chorus_jax.engine.task import Task
from chorus_jax.inter_request.match.matching import Match, Rejection
from chorus_jax.inter_request.policy.policy import Tier
from chorus_jax.inter_request.store import Entry

log = logging.getLogger(__name__)

SAME = "another seed asks for another video than the one of the same words"
UNUSED = "the given region was not used: no tier leaves steps for it"
SWITCHED = "all tokens were run: the transformer changes within the region's steps"
BUDGETED = "all tokens were run: token budgets need a region of the context 'held'"
CROWDED = "all tokens were run: the keys and values of a region need too much memory"
ROUNDED = "all tokens were run: the region, rounded up to whole shares, is all of them"


class Sources:
    """Finds and loads requests' sources.

    Attributes:
        pipeline: the pipeline that runs the requests.
        cache: the cache that is searched.
    """

    def __init__(self, pipeline: Pipeline, cache: Cache):
        self.pipeline, self.cache = pipeline, cache

    def __call__(self, task: Task, prompt: PromptReading) -> Hit | Rejection:
        """The loaded source of a request, or the reason why there is none."""
        policy, reuse = task.policy, task.reuse
        if not reuse.read:
            return Rejection("the request asked for no reading")
        if not policy.tiers:
            return Rejection(f"the policy reuses nothing at {policy.steps} steps")
        query = prompt.query(task.recipe, reuse.namespace, own_only=reuse.own_only)
        with timed(task.seconds, "look_up"):
            match = self.cache.matcher(query, policy.look, task.least, refusal)
        if isinstance(match, Rejection):
            return match
        with timed(task.seconds, "load"):
            entry = self.cache.store.get(match.head.id, reuse.namespace)
        if entry is None:
            return Rejection("the source was evicted or damaged meanwhile", match.score)
        if entry.latents.shape != task.geometry.packed_shape:
            forget(self.cache, entry, "has latents of another shape")
            return Rejection("the source has latents of another shape", match.score)
        return self.hit(task, match, entry)

    def hit(self, task: Task, match: Match, entry: Entry) -> Hit:
        """Plans the run of the highest tier that the match reaches, or of the caller's
        region."""
        tiers = [tier for tier in task.policy.tiers if match.score >= tier.least]
        model, region = self.pipeline.model, task.reuse.region
        mesh, geometry = model.mesh, task.geometry
        tiling, patch = geometry.region_tiling, geometry.patch
        split = 1 if mesh is None else token_split(mesh)
        given = None if region is None else Given.of(region, tiling, patch)
        tier = None if given is None else given.tier(tiers, task.policy.steps)
        if given is None or tier is None:
            tier, policy, mask = tiers[-1], task.policy, None
            reason, given = "" if given is None else UNUSED, None
        else:
            policy, mask, reason = given.policy(task.policy), given.mask, ""
        wanted = planned(policy, tier, tiling, split, task.request.token_budgets)
        plan = within_expert(wanted, model.experts(task.request))
        if plan != wanted:
            reason = SWITCHED
        elif holds_keys(plan) and not self.pipeline.has_room_for_keys(task.request):
            plan, reason = without_region(plan), CROWDED
        elif not reason and asks_region(tier, given) and not has_region(plan):
            context = policy.regions.context
            budgeted = context != "held" and plan.stretches[0].budgets is not None
            reason = BUDGETED if budgeted else ROUNDED
        mask = mask if has_region(plan) else None
        return Hit(match, entry, tier, plan, mask, reason)


def asks_region(tier: Tier, given: Given | None) -> bool:
    """Whether a tier has region steps, for its own share of the tiles or for the
    caller's region."""
    steps = tier.region_until - tier.reuse_until > 1
    return steps and (tier.active < 1 or given is not None)


def holds_keys(plan: StepPlan) -> bool:
    """Whether a plan holds keys and values for its region alone: token budgets hold
    them with or without one."""
    if plan.stretches[0].budgets is not None:
        return False
    regions = [x.region for x in plan.stretches if x.region is not None]
    return any(region.context == "held" for region in regions)


def has_region(plan: StepPlan) -> bool:
    """Whether a plan runs a region."""
    return any(stretch.region is not None for stretch in plan.stretches)


def refusal(match: Match) -> str:
    """The reason why an entry may not be a source despite its score; "" if it may.

    An entry with the same words is refused, because a caller who repeats a prompt with
    another seed, or without a seed, wants a different video.
    """
    return SAME if match.difference.ordered == 1 else ""


def forget(cache: Cache, entry: Entry, why: str) -> None:
    """Deletes an entry that cannot be used; `why` is for the log.

    An entry that cannot be deleted, for example from a folder that has become
    read-only, is logged: the request that found it can do without.
    """
    log.warning("an entry %s: %s", why, entry.id)
    try:
        cache.store.delete(entry.id)
    except OSError as error:
        log.warning("the entry %s cannot be deleted: %s", entry.id, error)
