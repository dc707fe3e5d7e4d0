"""Trains HarmoniCa's router: which branches of layers each step has to compute.

All steps of the sampler are unrolled. In each step the output of every branch is a
blend of the computed output and that of the step before; the router's scores are the
weights. As in HarmoniCa, the scores are sigmoids, training needs prompts but no videos,
the target is the full run, and the loss has a price for computed branches. Unlike
HarmoniCa, the loss is the error of the final latents, whose gradient goes through all
steps, instead of each step's own error times a measured weight. Each step is recomputed
for its gradient, so memory holds the activations of one step, and the outputs of all
branches for every step.
"""

from collections.abc import Sequence
from dataclasses import dataclass, replace
from functools import partial
from typing import Any, NamedTuple

import jax
import jax.numpy as jnp
import numpy as np
import optax
from jaxtyping import Array, Bool, Float, Int
from tqdm import tqdm

from chorus_jax.calibration.cache_runs import CacheRuns, last_latents
from chorus_jax.denoise.program import Program, Run
from chorus_jax.denoise.segments import segments
from chorus_jax.denoise.state import Inputs, RunState
from chorus_jax.denoise.whole_steps import WholeSteps
from chorus_jax.families.forward import BranchReuse, Forward, Held, Latents
from chorus_jax.intra_request import EveryStep
from chorus_jax.intra_request.grains import named_grain, reusing
from chorus_jax.nets.control import PerLayer, zeros
from chorus_jax.request import Request
from chorus_jax.schedulers.flow import Schedule

UPDATES = 60  # gradient steps
RATE = 0.2  # the learning rate of Adam
START = 2.0  # the logit of all scores before training
PRICE = 0.02  # the loss for computing everything, added to the latents' error

Logits = Float[Array, "steps l branches"]
Scores = Float[np.ndarray, "steps l branches"]


class RouterState(NamedTuple):
    """State of `Router`.

    Attributes:
        logits: the router's logits, for a batch of one request.
        outputs: the blended outputs of the step before.
        known: whether there are such outputs yet, per row of the pass.
    """

    logits: Float[Array, "1 steps l branches"]
    outputs: PerLayer
    known: Bool[Array, " r"]


@dataclass(frozen=True)
class Router:
    """Blends every branch's output with that of the step before, by a router's scores.

    Attributes:
        steps: the number of steps of the run.
    """

    steps: int

    def init(self, forward: Forward) -> RouterState:
        """The state before the first step, whose outputs are all computed."""
        outputs = zeros(named_grain("branches").shapes(forward))
        layers, rows = outputs.arrays[0].shape[:2]
        logits = jnp.zeros((1, self.steps, layers, len(outputs.arrays)))
        return RouterState(logits, outputs, jnp.zeros(rows, bool))

    def step(
        self,
        i: Int[Array, " b"],
        schedule: Schedule,
        forward: Forward,
        held: Held,
        state: RouterState,
    ) -> tuple[Latents, Held, RouterState, Float[Array, " b"]]:
        """The pass with blended outputs (see `StepCache.step`)."""
        scores = jax.nn.sigmoid(state.logits[0, i[0]])[..., None]
        weights = jnp.where(state.known, scores, 1.0)
        reuse = BranchReuse(state.outputs.arrays, weights)
        velocity, held, outputs = reusing(forward, held, reuse)
        after = RouterState(state.logits, outputs, jnp.ones_like(state.known))
        work = weights.mean()[None]
        return velocity, held, after, work


def unrolled(
    logits: Logits, inputs: Inputs, state: RunState, program: Program
) -> RunState:
    """The state after all steps of a run of `Router`, differentiable by the logits."""
    run = Run(program, inputs)
    routed = lambda cache: cache._replace(logits=logits[None])
    state = state._replace(caches=tuple(map(routed, state.caches)))
    for piece in segments(program.plan):
        assert isinstance(piece, WholeSteps)
        # Each expert's cache begins unknown, so none needs a reset.
        piece = replace(piece, resets=False)

        @jax.checkpoint
        def step(state: RunState, _: Any) -> RunState:
            return piece.step(run, state, jnp.ones_like(state.step, bool))

        taken = lambda state, i: (step(state, i), None)
        state, _ = jax.lax.scan(taken, state, None, piece.last - piece.first)
    return state


@partial(jax.jit, static_argnames="program")
def gradient(
    logits: Logits, inputs: Inputs, state: RunState, full: Any, *, program: Program
) -> Logits:
    """The gradient of the loss: the relative error of the final latents, plus the price
    of the computed branches."""

    def loss(logits: Logits) -> Array:
        ours = last_latents(unrolled(logits, inputs, state, program))
        off = sum(jnp.square(x - y).sum() for x, y in zip(ours, full))
        size = sum(jnp.square(y).sum() for y in full)
        return off / size + PRICE * jax.nn.sigmoid(logits).mean()

    return jax.grad(loss)(logits)


def trained(
    runs: CacheRuns, requests: Sequence[Request], updates: int = UPDATES
) -> Scores:
    """Trains a router on requests of one size and schedule, one per update in turn.

    Returns:
        The scores, from 0 to 1.

    Raises:
        ValueError: for a family whose layers have no branches to reuse.
    """
    router, optimiser = Router(requests[0].step_count), optax.adam(RATE)
    with runs.pipeline.computing():
        full = [last_latents(runs.run(x, EveryStep())[0]) for x in requests]
        _, _, first = runs.prepared(requests[0], router)
        logits = jnp.full_like(first.caches[0].logits[0], START)
        state = optimiser.init(logits)
        for update in tqdm(range(updates), desc="router", unit="update"):
            at = update % len(requests)
            program, inputs, start = runs.prepared(requests[at], router)
            slope = gradient(logits, inputs, start, full[at], program=program)
            # Optax mixes dtypes, which jax may be set to refuse.
            with jax.numpy_dtype_promotion("standard"):
                change, state = optimiser.update(slope, state)
            logits = optax.apply_updates(logits, change)
    return np.asarray(jax.nn.sigmoid(logits), np.float32)
