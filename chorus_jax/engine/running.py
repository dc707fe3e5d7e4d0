"""The denoising run of a request: from noise, or from its source's latents."""

from collections.abc import Generator
from dataclasses import dataclass
from functools import partial

import jax
import jax.numpy as jnp
import numpy as np
from jaxtyping import Array, Float32

from chorus_jax.denoise.gains import gain_tables
from chorus_jax.denoise.plan import StepPlan
from chorus_jax.denoise.program import Program
from chorus_jax.denoise.state import GainTables, RunState, SourceLatents
from chorus_jax.engine.events import Denoised, Event
from chorus_jax.engine.pipeline import Pipeline
from chorus_jax.engine.plans import batch_of_one, padded
from chorus_jax.engine.prepared import PreparedRequest
from chorus_jax.engine.task import Task
from chorus_jax.inter_request.match.matching import Match, Rejection
from chorus_jax.inter_request.policy.policy import Tier
from chorus_jax.inter_request.store import Entry
from chorus_jax.request import Request


@dataclass(frozen=True, eq=False)
class Hit:
    """A loaded source, and the plan of the run that begins from it.

    Attributes:
        match: the match by which the source was chosen.
        entry: the source's entry with its latents.
        tier: the policy's tier that is run.
        plan: the plan that is run.
        mask: 1 on the tiles of the caller's region; None if no such region is run.
        reason: why the caller's or the tier's region is not run; "" otherwise.
    """

    match: Match
    entry: Entry
    tier: Tier
    plan: StepPlan
    mask: Float32[Array, "1 f h w 1"] | None = None
    reason: str = ""


@dataclass(frozen=True)
class Runner:
    """Runs tasks on a pipeline.

    Attributes:
        pipeline: the pipeline with the model.
        every: denoising steps per call of the loop, between which it reports progress
            and may be stopped; None for all in one call.
    """

    pipeline: Pipeline
    every: int | None

    def __call__(
        self,
        task: Task,
        prepared: PreparedRequest,
        hit: Hit | Rejection,
    ) -> Generator[Event, None, RunState]:
        """Runs a task, from noise or from its source's latents.

        Yields events; the generator's return value is the last state.
        """
        pipeline, request = self.pipeline, task.request
        conditions = prepared.conditions
        if isinstance(hit, Rejection):
            policy, budgets = task.policy, request.token_budgets
            plan = StepPlan.plain(policy.steps, policy.miss_cache, budgets=budgets)
            program = pipeline.program(request, plan)
            tenant = task.reuse.namespace
            latents = pipeline.beginning(
                [request], program, conditions, tenant, drawn=prepared.drawn
            )
            inputs = pipeline.inputs(conditions, seeds=prepared.seeds)
        else:
            request = task.noise_from(hit.entry)
            program = pipeline.program(request, hit.plan)
            source = self.source(task, request, hit, program, prepared)
            differing = self.differing(prepared, hit)
            words = jnp.asarray(differing, jnp.float32)[None]
            gains = self.gains(task, hit, differing)
            latents = source.start
            seeds = pipeline.seeds([request], conditions)
            inputs = pipeline.inputs(
                conditions,
                source=source,
                gains=gains,
                mask=hit.mask,
                words=words,
                seeds=seeds,
            )
        state = yield from pipeline.denoise(program, inputs, latents, self.every)
        chosen = None if state.region is None else state.region.chosen
        yield Denoised(program.plan, chosen, np.asarray(state.work))
        return state

    def source(
        self,
        task: Task,
        request: Request,
        hit: Hit,
        program: Program,
        prepared: PreparedRequest,
    ) -> SourceLatents:
        """The latents that the run takes over from its source.

        They are the source's clean latents x0 with this request's noise, on the
        straight path of flow matching, (1 - sigma) x0 + sigma noise, whose velocity is
        noise - x0 everywhere. Its model begins from them as from an input video, so
        that the frames that are given to this request replace the source's.

        Args:
            task: the task.
            request: its request, with the seed from which its noise is drawn.
            hit: the source, and the plan of the run.
            program: the static part of the run.
            prepared: its conditions, and the noise of its own seed.
        """
        geometry, sigmas = program.geometry, program.solver.schedule.sigmas
        given, pipeline = prepared.conditions, self.pipeline
        drawn = prepared.drawn
        if request.seed != task.request.seed:
            drawn = pipeline.drawn(pipeline.seeds([request], given), geometry)
        noised = partial(
            pipeline.noise,
            [request],
            geometry,
            given,
            task.reuse.namespace,
            drawn=drawn,
        )
        clean = batch_of_one(hit.entry.latents, geometry)
        start, end = (
            noised(initial_latents=geometry.named(clean), level=sigmas[step])
            for step in (hit.tier.reuse_until, hit.tier.region_until)
        )
        velocity = jax.tree.map(jnp.subtract, noised(), clean)
        return SourceLatents(start, velocity, end)

    def differing(self, prepared: PreparedRequest, hit: Hit) -> np.ndarray:
        """A flag for each text token: True if the source's prompt lacks it."""
        rows = self.pipeline.model.text_values(prepared.conditions).shape[1]
        text = prepared.prompt.text
        return padded(hit.match.difference.tokens(text.words, text.spans), rows)

    def gains(self, task: Task, hit: Hit, differing: np.ndarray) -> GainTables | None:
        """The tier's gains on the prompt in every step."""
        tier = hit.tier
        stage = (task.policy.steps, tier.reuse_until, tier.region_until)
        score = hit.match.similarity
        return gain_tables(stage, tier.key_gain, tier.output_gain, score, differing)
