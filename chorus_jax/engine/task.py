"""A request on its way through the engine."""

import time
from dataclasses import dataclass, field, replace

import jax
import ml_dtypes
import numpy as np

from chorus_jax.denoise.state import RunState
from chorus_jax.engine.pipeline import with_seed
from chorus_jax.engine.prompt import PromptReading
from chorus_jax.engine.recipes import recipe_of
from chorus_jax.engine.reuse import Reuse
from chorus_jax.families.forward import Geometry
from chorus_jax.families.protocols import VideoModel
from chorus_jax.inter_request.policy.policy import Policy
from chorus_jax.inter_request.store import Entry, Secret, Statistics
from chorus_jax.request import Request


@dataclass(eq=False)
class Task:
    """A request with the seed it runs with, whether its caller gave that (`seeded`),
    the digest of its recipe, the policy for its steps, and its seconds by part;
    `not_replayed` says why a stored video of the same request was not its result."""

    request: Request
    seeded: bool
    reuse: Reuse
    recipe: str
    policy: Policy
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
        """A request that runs with its own seed, or with one that is drawn."""
        recipe = recipe_of(request, model).digest
        seeded = request.seed is not None
        return cls(with_seed(request), seeded, reuse, recipe, policy, secret)

    @property
    def exact(self) -> str:
        """The digest of all of it."""
        return self.exact_with(self.request.seed)

    def exact_with(self, seed: int | None) -> str:
        """The digest of all of it, with another seed."""
        prompt, region = self.request.prompt, self.reuse.region_digest
        return self.secret.exact(self.recipe, prompt, int(seed or 0), region)

    def begins_from(self, source: str) -> None:
        """Without a seed of its own it has its source's from now on."""
        if not self.seeded:
            self.request = replace(self.request, seed=seed_of(source))

    def entry(
        self,
        prompt: PromptReading,
        state: RunState,
        steps: tuple[int, ...],
        score: float,
        geometry: Geometry,
    ) -> Entry:
        """The entry that the request leaves in the cache.

        Args:
            prompt: as it is matched.
            state: the last one of its run.
            steps: the key steps that the run kept, or none.
            score: that of its source.
            geometry: the shapes of its latents.
        """
        cost = sum(self.seconds.values())
        host = jax.tree.map(np.asarray, (state.kept, state.latents))
        final = geometry.packed(jax.tree.map(lambda x: x[0], host[1]))
        kept = [
            geometry.packed(jax.tree.map(lambda x: x[row, 0], host[0]))
            for row in range(len(steps))
        ]
        latents = np.stack(kept) if kept else np.zeros((0, *final.shape), final.dtype)
        return Entry(
            recipe=self.recipe,
            exact=self.exact,
            namespace=self.reuse.namespace,
            score=score,
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
