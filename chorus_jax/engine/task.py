"""The state of a request on its way through the engine."""

import time
from dataclasses import dataclass, field, replace

import jax
import numpy as np

from chorus_jax.denoise.state import RunState
from chorus_jax.engine.pipeline import with_seed
from chorus_jax.engine.prompt import PromptReading
from chorus_jax.engine.recipes import of_sources, recipe_of
from chorus_jax.engine.reuse import Reuse
from chorus_jax.families.forward import Geometry
from chorus_jax.families.protocols import VideoModel
from chorus_jax.inter_request.match.matching import Match
from chorus_jax.inter_request.policy.policy import Policy
from chorus_jax.inter_request.store import Entry, EntryHeader, Secret
from chorus_jax.request import Request

POOR = "the stored video was made from a source below the least score"
OTHER_NOISE = 0x9E3779B9  # added to a seed, modulo 2**32, for a distant one
OTHER = "the stored video was made from a source by another policy"
INPUTS = "the stored video was made from a source with other inputs"


@dataclass(eq=False)
class Task:
    """A request on its way through the engine.

    Attributes:
        request: the request, with the seed that it runs with.
        seeded: whether the caller gave that seed.
        reuse: the request's permissions on the cache.
        recipe: the keyed digest of the recipe that its source must have.
        whole_recipe: the keyed digest of its own recipe, inputs included.
        policy: the policy for its number of steps.
        geometry: the shapes of its latents.
        secret: the key of the store's digests.
        began: when it began, in seconds since the epoch.
        seconds: the seconds that each part took.
        not_replayed: why a stored video of the same request was not returned; "" if it
            was, or if there was none.
    """

    request: Request
    seeded: bool
    reuse: Reuse
    recipe: str
    whole_recipe: str
    policy: Policy
    geometry: Geometry
    secret: Secret
    began: float = field(default_factory=time.time)
    seconds: dict[str, float] = field(default_factory=dict)
    not_replayed: str = ""

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
        sources = of_sources(recipe, request) if reuse.other_inputs else recipe
        seeded, keyed = request.seed is not None, secret.recipe
        digests = keyed(sources.digest), keyed(recipe.digest)
        geometry, seeded_request = model.geometry(request), with_seed(request)
        return cls(seeded_request, seeded, reuse, *digests, policy, geometry, secret)

    @property
    def least(self) -> float:
        """The least score of its video: the larger of the policy's and the caller's.

        1 (a video computed in full) for a policy that reuses nothing.
        """
        tiers = self.policy.tiers
        return max(tiers[0].least if tiers else 1.0, self.reuse.least_score)

    def owns(self, head: EntryHeader) -> bool:
        """Whether `Reuse.own_only` permits the use of an entry."""
        own = head.own and head.namespace == self.reuse.namespace
        return own or not self.reuse.own_only

    def takes(self, head: EntryHeader) -> bool:
        """Whether a stored video of the same request may be returned as its result.

        Its entry must pass `owns` and have a high enough score. A video made from a
        source must also have been made under the same policy, with input images that
        this request accepts. Sets `not_replayed` if the score, policy or images fail.
        """
        if not self.owns(head):
            return False
        # With `Reuse.other_inputs` an entry's recipe leaves out its inputs' pixels.
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

    @property
    def exact(self) -> str:
        """The digest of the request: recipe, prompt, seed and region."""
        request, region = self.request, self.reuse.region_digest
        seed = int(request.seed or 0)
        return self.secret.exact(self.whole_recipe, request.prompt, seed, region)

    def shown(self, head: EntryHeader) -> str | None:
        """An entry's id, or None if it belongs to another namespace."""
        return head.id if head.namespace == self.reuse.namespace else None

    def noise_from(self, source: EntryHeader | None) -> Request:
        """The request with the seed from which all noise of its run is drawn.

        It is the request's own seed, unless the source, or another one along its chain
        of sources, was made from noise of that seed, because latents mixed with the
        noise that they were made from have too much texture.
        """
        return replace(self.request, seed=self.noise_seed(source))

    def noise_seed(self, source: EntryHeader | None) -> int:
        """The seed of `noise_from`."""
        seed = int(self.request.seed or 0)
        while source is not None and seed in source.noises:
            seed = (seed + OTHER_NOISE) % 2**32
        return seed

    def entry(
        self,
        prompt: PromptReading,
        state: RunState,
        match: Match | None,
    ) -> Entry:
        """The entry to store for this request.

        Args:
            prompt: the features of its prompt.
            state: the last state of the run.
            match: its source; None without one.
        """
        source = None if match is None else match.head
        own = source is None or source.own and source.namespace == self.reuse.namespace
        noise = self.noise_seed(source)
        latents = jax.tree.map(lambda x: np.asarray(x, np.float32)[0], state.latents)
        return Entry(
            recipe=self.recipe,
            exact=self.exact,
            namespace=self.reuse.namespace,
            noises=(*(() if source is None else source.noises), noise),
            score=1.0 if match is None else min(match.score, 1.0),
            policy="" if match is None else self.policy.digest,
            shared=self.reuse.shared,
            own=own,
            prompt=self.request.prompt if self.reuse.keep_prompt else None,
            embedding=prompt.embedding,
            words=prompt.text.keys,
            meanings=prompt.meanings,
            created=self.began,
            latents=self.geometry.packed(latents),
        )
