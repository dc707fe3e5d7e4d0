"""Sources of requests: finds them in the cache, loads them and plans the run."""

import logging

from chorus_jax.devices.sharding import token_split
from chorus_jax.engine.cache import Cache
from chorus_jax.engine.claims import Claims
from chorus_jax.engine.given import Given
from chorus_jax.engine.pipeline import Pipeline, timed
from chorus_jax.engine.plans import planned, reached, within_expert
from chorus_jax.engine.prompt import PromptReading
from chorus_jax.engine.running import Hit
from chorus_jax.engine.task import Task
from chorus_jax.inter_request.match.matching import Match, Rejection
from chorus_jax.inter_request.policy.policy import Tier
from chorus_jax.inter_request.store import Entry

log = logging.getLogger(__name__)

TAKEN = "another request makes the same video of these words from this source"
UNKEPT = "no near entry has the key steps it takes"
SAME = "another seed asks for another video than the one of the same words"
MADE = "another seed asks for another video than the one made from this source"
UNUSED = "the given region was not used: no tier leaves steps for it"
SWITCHED = "all tokens were run: the transformer changes within the region's steps"


class Sources:
    """Finds and loads requests' sources.

    Attributes:
        pipeline: the pipeline that runs the requests.
        cache: the cache that is searched.
        claims: the videos that requests of this process make from sources.
    """

    def __init__(self, pipeline: Pipeline, cache: Cache):
        self.pipeline, self.cache = pipeline, cache
        self.claims = Claims()

    def __call__(self, task: Task, prompt: PromptReading) -> Hit | Rejection:
        """The loaded source of a request, or the reason why there is none."""
        policy, reuse = task.policy, task.reuse
        if not reuse.read:
            return Rejection("the request asked for no reading")
        if not policy.tiers:
            return Rejection(f"the policy reuses nothing at {policy.steps} steps")
        query = prompt.query(task.recipe, reuse.namespace, own_only=reuse.own_only)
        with timed(task.seconds, "look_up"):
            match = self.cache.matcher(
                query, policy.look, task.least, lambda match: self.refusal(task, match)
            )
        if isinstance(match, Rejection):
            return match
        hit: Hit | Rejection | None = None
        try:
            with timed(task.seconds, "load"):
                hit = self.loaded(task, match)
        finally:
            if not isinstance(hit, Hit):  # errors too
                self.give_back(task, match.head.id)
        return hit

    def refusal(self, task: Task, match: Match) -> str:
        """Why an entry may not be the request's source despite its score; "" if it may.

        A source brings its noise, but another seed, or none, asks for another video. So
        a source must have another prompt, and one prompt takes a given source under one
        seed only, as far as the cache remembers. An entry that is not refused is
        claimed. Where the policy renoises sources, only the first of these rules holds.
        """
        if not reached(task.policy, match.score, match.head):
            return UNKEPT
        if match.difference.ordered == 1:
            return SAME
        if task.policy.own_noise:
            return ""  # the video has the noise of this request's seed
        made, seen_by = task.made_from(match.head.id), task.reuse.namespace
        id = self.cache.store.find(made, seen_by, task.owns)
        earlier = None if id is None else self.cache.store.head(id, seen_by)
        if earlier is not None and earlier.exact != task.exact:
            return MADE
        claimed = self.claims.claim(seen_by, made, task.holder)
        return "" if claimed else TAKEN

    def forget(self, task: Task, hit: Hit) -> None:
        """Deletes a source whose run gave numbers that are not finite."""
        log.warning("a source gave numbers that are not finite: %s", hit.entry.id)
        self.cache.store.delete(hit.entry.id)
        self.give_back(task, hit.entry.id)

    def give_back(self, task: Task, source: str) -> None:
        """Drops the request's claim on the video that it did not make from a source."""
        made = task.made_from(source)
        self.claims.release(task.reuse.namespace, made, task.holder)

    def loaded(self, task: Task, match: Match) -> Hit | Rejection:
        """Loads a matched source and plans the run from it."""
        entry = self.cache.store.get(match.head.id, task.reuse.namespace)
        tiers = entry and reached(task.policy, match.score, entry)
        if not entry or not tiers:
            return Rejection("the source was evicted or damaged meanwhile", match.score)
        return self.hit(task, match, entry, tiers)

    def hit(self, task: Task, match: Match, entry: Entry, tiers: list[Tier]) -> Hit:
        """Plans the run of the highest of the tiers, or of the caller's region.

        Args:
            task: the request.
            match: the source as it was matched.
            entry: the source.
            tiers: the tiers that the source reaches, rising.
        """
        model, region = self.pipeline.model, task.reuse.region
        geometry, mesh = model.geometry(task.request), model.mesh
        split = 1 if mesh is None else token_split(mesh)
        tiling, patch = geometry.tiling, geometry.patch
        given = None if region is None else Given.of(region, tiling, patch)
        tier = None if given is None else given.tier(tiers, entry.steps)
        if given is None or tier is None:
            tier, policy, mask = tiers[-1], task.policy, None
            reason = "" if given is None else UNUSED
        else:
            policy, mask, reason = given.policy(task.policy), given.mask, ""
        wanted = planned(policy, tier, tiling, split, task.request.token_budgets)
        plan = within_expert(wanted, model.experts(task.request))
        if plan != wanted:
            mask, reason = None, SWITCHED
        return Hit(match, entry, tier, plan, mask, reason)
