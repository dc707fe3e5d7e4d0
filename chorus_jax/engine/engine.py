"""The engine: one request after another, each with what earlier ones left.

The look-up is outside the lock that the device's work holds, so threads may share one
engine. What a request leaves is admitted when all of it went well.
"""

import logging
from dataclasses import dataclass, replace
from threading import Lock

import jax.numpy as jnp
import numpy as np

from chorus_jax.denoise import sampler
from chorus_jax.denoise.staged_sampler import Staged
from chorus_jax.engine.cache import Cache
from chorus_jax.engine.ledger import Ledger
from chorus_jax.engine.pipeline import Pipeline, Video, check_finite, timed
from chorus_jax.engine.plans import usable
from chorus_jax.engine.policies import Policies, default_for, scaled
from chorus_jax.engine.prompt import Prompt
from chorus_jax.engine.reuse import Reuse
from chorus_jax.engine.running import Hit, from_noise, from_source, ledger_of
from chorus_jax.engine.sources import Sources
from chorus_jax.engine.task import Task
from chorus_jax.inter_request.match.matching import Rejection
from chorus_jax.inter_request.match.words import word_keys
from chorus_jax.inter_request.policy.policy import Policy
from chorus_jax.request import Request
from chorus_jax.text.prompts import clean

log = logging.getLogger(__name__)

GONE = "the stored video was evicted or damaged meanwhile"
POOR = "the stored video was made from a source below the least score"


@dataclass(frozen=True, eq=False)
class Result:
    """A request's video, what became of it, and the id of the entry that it left, None
    if it left none."""

    video: Video
    ledger: Ledger
    entry: str | None = None


class Engine:
    """A pipeline with a cache.

    `policies` gives a request's policy, for its number of steps: how good a match must
    be, and what is reused of it. One policy is scaled to others (see `for_steps`).
    """

    def __init__(
        self,
        pipeline: Pipeline,
        cache: Cache,
        policies: Policies | Policy = default_for,
    ):
        self.policies = scaled(policies) if isinstance(policies, Policy) else policies
        self.pipeline, self.cache = pipeline, cache
        self.sources, self.device = Sources(pipeline, cache), Lock()

    def generate(self, request: Request, reuse: Reuse = Reuse()) -> Result:
        """The video of a request.

        On a semantic hit the noise is the source's, whatever the seed. So a request
        without a seed is never an exact repeat, and has no source of the same words,
        nor one that they had before; the seed that its video comes with stands for the
        source, and asks for the same video again. Raises what the pipeline raises,
        ValueError for a region on another grid, and StoppedError; such a request leaves
        nothing in the cache.
        """
        self.check(request, reuse)
        policy = self.policies(request)
        task = Task.of(request, reuse, policy, self.pipeline, self.cache.store.secret)
        if task.seeded and reuse.read:
            replayed = self.replayed(task)
            if replayed is not None:
                return replayed
        self.foresee(task)
        with self.device, self.pipeline.computing():
            reuse.check()  # it may have waited long
            with timed(task.seconds, "embed"):
                prompt, conditions, cut = self.prepared(task.request)
        hit = self.sources(task, prompt)
        with self.device, self.pipeline.computing():
            reuse.check()
            with timed(task.seconds, "denoise"):
                staged = self.run(task, prompt, conditions, hit)
            reuse.check()
            frames = self.pipeline.decoded(staged.latents, task.seconds)
        reuse.check()
        latents = np.asarray(staged.latents)[0]
        video = Video(frames[0], latents, task.request, cut, task.seconds)
        entry = self.leave(task, prompt, staged, hit)
        ledger = ledger_of(task, hit, staged, self.pipeline)
        return Result(video, replace(ledger, seconds=task.seconds), entry)

    def check(self, request: Request, reuse: Reuse) -> None:
        """ValueError for what cannot be run, StoppedError for what need not be."""
        sizes, mesh = self.pipeline.sizes, self.pipeline.mesh
        reuse.check()
        reuse.check_region(sizes.latent_shape(request)[:3])
        if mesh is not None:
            sizes.check_mesh(mesh, request, 1)

    def replayed(self, task: Task) -> Result | None:
        """The stored result of the same request, None if there is none, or if it was
        made from a source that this request would not take."""
        store, seen_by = self.cache.store, task.reuse.namespace
        with timed(task.seconds, "look_up"):
            id = store.find(task.exact, seen_by)
        if id is None:
            return None
        with timed(task.seconds, "load"):
            entry = store.get(id, seen_by)
        if entry is None or entry.score < task.reuse.least_score:
            task.not_replayed = GONE if entry is None else POOR
            return None
        final = np.asarray(entry.final, np.float32)
        with self.device, self.pipeline.computing():
            task.reuse.check()
            frames = self.pipeline.decoded(jnp.asarray(final)[None], task.seconds)
            [cut] = self.pipeline.prompts.tokenizer([task.request.prompt]).cut
        task.reuse.check()
        store.hit(entry.id, entry.statistics.cost)
        video = Video(frames[0], final, task.request, cut, task.seconds)
        ledger = Ledger("exact", task.policy.steps, 0.0, entry.score, entry.id)
        return Result(video, replace(ledger, seconds=task.seconds))

    def foresee(self, task: Task) -> None:
        """Has the likely source read from disk while the text encoder runs."""
        if not task.reuse.read or not task.policy.tiers:
            return
        with timed(task.seconds, "look_up"):
            words = word_keys(clean(task.request.prompt), task.secret.for_words)
            self.cache.foresight.prefetch(task.recipe, task.reuse.namespace, words)

    def prepared(self, request: Request) -> tuple[Prompt, sampler.Conditions, str]:
        """The prompt as it is matched, what the loop conditions on, and its cut end."""
        prompts, secret = self.pipeline.prompts, self.cache.store.secret.for_words
        tokens = prompts.tokenizer([request.prompt])
        conditions, [cut] = self.pipeline.condition([request])
        prompt = Prompt.of(request.prompt, conditions.context, tokens, secret)
        return prompt, conditions, cut

    def run(
        self,
        task: Task,
        prompt: Prompt,
        conditions: sampler.Conditions,
        hit: Hit | Rejection,
    ) -> Staged:
        """The latents, from noise or from the source's."""
        if isinstance(hit, Rejection):
            staged = from_noise(self.pipeline, task, conditions)
        else:
            task.begins_from(hit.entry.id)
            staged = from_source(self.pipeline, task, prompt, conditions, hit)
        check_finite(staged.latents)
        return staged

    def leave(
        self, task: Task, prompt: Prompt, staged: Staged, hit: Hit | Rejection
    ) -> str | None:
        """Admits what the request made, as this id, and tells the store what its source
        saved."""
        store, steps, score = self.cache.store, task.policy.keep, 1.0
        if isinstance(hit, Hit):
            saved = hit.entry.statistics.cost - sum(task.seconds.values())
            store.hit(hit.entry.id, max(saved, 0.0), hit.tier.reuse_until)
            steps = usable(task.policy, hit.run.stages.kept)
            score = hit.found.score
        if not task.reuse.write:
            return None
        entry = task.entry(prompt, staged, steps, score)
        if store.admit(entry):
            return entry.id
        log.warning("a video was not kept: the cache has room for it nowhere")
        return None
