"""A request on its way through the engine."""

import time
from dataclasses import dataclass, field

import ml_dtypes
import numpy as np

from chorus_jax.engine.prompt import Prompt
from chorus_jax.engine.recipes import recipe_of
from chorus_jax.engine.reuse import Reuse
from chorus_jax.inter_request.policy import Policy
from chorus_jax.inter_request.store import Entry, Secret, Statistics
from chorus_jax.pipeline import Pipeline
from chorus_jax.request import Request
from chorus_jax.staged_sampler import Staged


@dataclass(eq=False)
class Task:
    """A request with the seed it runs with, digests of its recipe and of all of it, the
    policy for its steps, and the seconds it took by part."""

    request: Request
    reuse: Reuse
    recipe: str
    exact: str
    policy: Policy
    began: float = field(default_factory=time.time)
    seconds: dict[str, float] = field(default_factory=dict)

    @classmethod
    def of(
        cls,
        request: Request,
        reuse: Reuse,
        policy: Policy,
        pipeline: Pipeline,
        secret: Secret,
    ) -> "Task":
        """A request that has a seed."""
        recipe = recipe_of(request, pipeline).digest
        seed, region = int(request.seed or 0), reuse.region_digest
        exact = secret.exact(recipe, request.prompt, seed, region)
        return cls(request, reuse, recipe, exact, policy)

    def entry(self, prompt: Prompt, staged: Staged, steps: tuple[int, ...]) -> Entry:
        """What the request leaves: latents at these key steps, which are those that the
        run kept or none, and the clean ones."""
        cost = sum(self.seconds.values())
        kept = np.asarray(staged.kept[: len(steps), 0])
        return Entry(
            recipe=self.recipe,
            exact=self.exact,
            namespace=self.reuse.namespace,
            shared=self.reuse.shared,
            prompt=self.request.prompt if self.reuse.keep_prompt else None,
            steps=steps,
            embedding=prompt.embedding,
            token_ids=prompt.tokens.ids[0][prompt.tokens.mask[0]],
            words=prompt.keys,
            meanings=prompt.meanings,
            statistics=Statistics.new(self.began, cost, steps),
            latents=kept.astype(ml_dtypes.bfloat16),
            final=np.asarray(staged.latents[0]),
        )
