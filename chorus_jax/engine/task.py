"""The state of a request on its way through the engine."""

import time
from dataclasses import dataclass, field, replace

import jax
import ml_dtypes
import numpy as np

from chorus_jax.denoise.state import RunState
from chorus_jax.engine.pipeline import with_seed
from chorus_jax.engine.prompt import PromptReading
from chorus_jax.engine.recipes import of_sources, recipe_of
from chorus_jax.engine.reuse import Reuse
from chorus_jax.families.forward import Geometry
from chorus_jax.families.protocols import VideoModel
from chorus_jax.inter_request.policy.policy import Policy
from chorus_jax.inter_request.store import Entry, EntryHeader, Secret, Statistics
from chorus_jax.request import Request

POOR = "the stored video was made from a source below the least score"
OTHER = "the stored video was made from a source by another policy"
INPUTS = "the stored video was made from a source with other inputs"


@dataclass(eq=False)
class Task:
    """A request on its way through the engine.

    Attributes:
        request: the request, with the seed that it runs with.
        seeded: whether the caller gave that seed.
        reuse: the request's permissions on the cache.
        recipe: the digest of the recipe that its source must have.
        whole_recipe: the digest of its own recipe, inputs included.
        policy: the policy for its number of steps.
        secret: the key of the store's digests.
        began: when it began, in seconds since the epoch.
        seconds: the seconds that each part took.
        not_replayed: why a stored video of the same request was not returned; "" if it
            was, or if there was none.
        holder: identifies the request among others of the same prompt (see `Claims`).
    """

    request: Request
    seeded: bool
    reuse: Reuse
    recipe: str
    whole_recipe: str
    policy: Policy
    secret: Secret
    began: float = field(default_factory=time.time)
    seconds: dict[str, float] = field(default_factory=dict)
    not_replayed: str = ""
    holder: object = field(default_factory=object)

    @classmethod
    def of(
        cls,
        request: Request,
        reuse: Reuse,
        policy: Policy,
        model: VideoModel,
        secret: Secret,
    ) -> "Task":
        """The task of a request, with a random seed if the request has none."""
        recipe = recipe_of(request, model, policy)
        sources = of_sources(recipe) if reuse.other_inputs else recipe
        seeded, digests = request.seed is not None, (sources.digest, recipe.digest)
        task = cls(with_seed(request), seeded, reuse, *digests, policy, secret)
        if seeded:
            task.holder = request.seed
        return task

    @property
    def least(self) -> float:
        """The least score of its video: the larger of the policy's and the caller's; 1,
        a video computed in full, for a policy that reuses nothing."""
        tiers = self.policy.tiers
        return max(tiers[0].least if tiers else 1.0, self.reuse.least_score)

    def owns(self, head: EntryHeader) -> bool:
        """Whether an entry is not excluded by `Reuse.own_only`."""
        return not self.reuse.own_only or head.namespace == self.reuse.namespace

    def takes(self, head: EntryHeader) -> bool:
        """Whether a stored video of the same request may be returned as its result.

        It may if `owns` allows it, if it was computed in full or made from a source
        under the same policy and with inputs that this request would take, and if its
        score is high enough. Sets `not_replayed` if one of the latter forbids it.
        """
        if not self.owns(head):
            return False
        # Made under `Reuse.other_inputs`, it is of another recipe than the request's.
        alike = head.recipe in (self.recipe, self.whole_recipe)
        if head.score < self.least:
            self.not_replayed = POOR
        elif head.policy not in ("", self.policy.digest):
            self.not_replayed = OTHER
        elif head.policy and not alike:
            self.not_replayed = INPUTS
        else:
            return True
        return False

    def made_from(self, source: str) -> str:
        """The request's digest, with the seed that stands for a source's noise."""
        return self.exact_with(seed_of(source))

    @property
    def exact(self) -> str:
        """The digest of the request: recipe, prompt, seed and region."""
        return self.exact_with(self.request.seed)

    def exact_with(self, seed: int | None) -> str:
        """The request's digest, with another seed."""
        prompt, region = self.request.prompt, self.reuse.region_digest
        return self.secret.exact(self.whole_recipe, prompt, int(seed or 0), region)

    def shown(self, head: EntryHeader) -> str | None:
        """An entry's id, or None if it belongs to another namespace."""
        return head.id if head.namespace == self.reuse.namespace else None

    def begins_from(self, source: str) -> None:
        """Sets the seed that stands for the source, if the caller gave none and the
        policy does not renoise sources."""
        if not self.seeded and not self.policy.own_noise:
            self.request = replace(self.request, seed=seed_of(source))

    def entry(
        self,
        prompt: PromptReading,
        state: RunState,
        steps: tuple[int, ...],
        source: tuple[str, float] | None,
        geometry: Geometry,
    ) -> Entry:
        """The entry to store for this request.

        Args:
            prompt: the prompt as it is matched.
            state: the last state of the run.
            steps: the key steps to store, or none.
            source: the id of its source, and the score of the match; None without one.
            geometry: the shapes of its latents.
        """
        cost, own_noise = sum(self.seconds.values()), self.policy.own_noise
        host = jax.tree.map(np.asarray, (state.kept, state.latents))
        final = geometry.packed(jax.tree.map(lambda x: x[0], host[1]))
        key_latents = [
            geometry.packed(jax.tree.map(lambda x: x[row, 0], host[0]))
            for row in range(len(steps))
        ]
        latents = (
            np.stack(key_latents)
            if key_latents
            else np.zeros((0, *final.shape), final.dtype)
        )
        return Entry(
            recipe=self.recipe,
            exact=self.exact,
            namespace=self.reuse.namespace,
            score=1.0 if source is None else min(source[1], 1.0),
            made="" if own_noise or source is None else self.made_from(source[0]),
            policy="" if source is None else self.policy.digest,
            shared=self.reuse.shared,
            prompt=self.request.prompt if self.reuse.keep_prompt else None,
            steps=steps,
            embedding=prompt.embedding,
            words=prompt.keys,
            meanings=prompt.meanings,
            statistics=Statistics.new(self.began, cost),
            latents=latents.astype(ml_dtypes.bfloat16),
            final=final,
        )


def seed_of(source: str) -> int:
    """The seed that stands for a source's noise; `source` is an entry's id."""
    return int(source[:8], 16)
