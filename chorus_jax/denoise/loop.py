"""The denoising loop: runs any plan, in one jitted call or a few steps per call.

Chorus (arXiv 2604.04451) has three stages. Here they are:

    stage 1  steps [0, K1)   not run: the run starts from the source's clean latents
                             with noise of step K1
    stage 2  steps [K1, K2)  a step with all tokens shows where the videos differ; then
                             only the tiles of that region are run; at the end all other
                             tiles get the source's latents with noise of step K2
    stage 3  steps [K2, T)   all tokens are run

The step that finds the region, and the noise instead of stored latents, are ours.

Without a source all steps run all tokens. In every stage either a step cache decides
how much of the model each step runs, or tokens have budgets of steps.

`advance` is compiled once per plan, because the step up to which a call runs each
request is an array argument. So a run in several calls gives the same bytes as a run in
one.
"""

from collections import deque
from collections.abc import Callable, Iterator
from functools import partial
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np
from jaxtyping import Array, Int, Integer

from chorus_jax.denoise import solving
from chorus_jax.denoise.budget_steps import BudgetSteps
from chorus_jax.denoise.noise import initial
from chorus_jax.denoise.placement import placed
from chorus_jax.denoise.plan import StepPlan
from chorus_jax.denoise.program import Program, Run, slots
from chorus_jax.denoise.region_steps import RegionSteps
from chorus_jax.denoise.segments import Segment, segments
from chorus_jax.denoise.state import (
    BudgetState,
    Chosen,
    Inputs,
    RegionPart,
    RegionState,
    RunState,
)
from chorus_jax.families.forward import (
    AllTokens,
    Geometry,
    Latents,
    Transformer,
    evaluate,
)
from chorus_jax.nets.control import zeros

AHEAD = 1  # calls queued behind the one that runs: enough to keep the device busy


def noise(seeds: Integer[Array, " b"], geometry: Geometry) -> Latents:
    """Standard normal latents; each request's depend on its own seed only."""
    return initial(seeds, geometry)


@partial(jax.jit, static_argnames="program")
def start(inputs: Inputs, latents: Latents, *, program: Program) -> RunState:
    """The state before the plan's first step.

    Args:
        inputs: the arrays of the run.
        latents: noise, or the source's latents before the plan's first step. They are
            copied, so the caller may keep using them.
        program: the static part of the run.

    Raises:
        ValueError: if the mask is not on the grid of the latents, a plan with a region
            has no source, or a stochastic solver has no seeds.
    """
    check(inputs, latents, program)
    run, b = Run(program, inputs), jax.tree.leaves(latents)[0].shape[0]
    # Copies: a state is donated, and no array may be donated twice or while in use.
    latents = jax.tree.map(jnp.copy, latents)
    step = jnp.full(b, program.plan.start, jnp.int32)
    state = RunState(
        step,
        latents,
        solving.init(program.solver, latents),
        initial_caches(run, latents, step),
        jnp.zeros(b, jnp.float32),
        initial_region(run, latents, step),
        initial_keys(run, latents, step),
        initial_budgets(run, latents),
    )
    return placed(program, inputs, state)


def initial_caches(run: Run, latents: Latents, step: Int[Array, " b"]) -> tuple:
    """The states of the plan's step caches before the run."""
    return tuple(
        cache.init(run.forward(expert, latents, step))
        for cache, expert in slots(run.plan)
    )


def initial_keys(run: Run, latents: Latents, step: Int[Array, " b"]) -> Any:
    """Zeros in the shapes of the held keys and values; () if the plan holds none."""
    holding = [piece for piece in segments(run.plan) if holds(piece, run)]
    if not holding:
        return ()
    every = AllTokens(run.geometry.tiling)
    first = partial(run.forward, holding[0].expert, latents, step, every)
    return zeros(jax.eval_shape(lambda: evaluate(first())[1].keys))


def holds(piece: Segment, run: Run) -> bool:
    """Whether tokens in these steps attend to held keys and values."""
    if isinstance(piece, RegionSteps):
        return piece.region.context == "held"
    return isinstance(piece, BudgetSteps) and piece.of(run).splits


def initial_budgets(run: Run, latents: Latents) -> BudgetState | None:
    """The state of token budgets for all tokens before the run; None without any."""
    for piece in segments(run.plan):
        whole = piece.whole if isinstance(piece, RegionSteps) else piece
        if isinstance(whole, BudgetSteps):
            return whole.of(run).init(latents)
    return None


def initial_region(
    run: Run, latents: Latents, step: Int[Array, " b"]
) -> RegionState | None:
    """Zeros in the shapes of the region's state, before the region is chosen; None for
    a plan without a region."""
    parts = [piece for piece in segments(run.plan) if isinstance(piece, RegionSteps)]
    if not parts:
        return None
    region, tiling, b = parts[0].region, run.geometry.tiling, len(step)
    chosen = Chosen(
        tiles=jnp.zeros((b, region.tiles), jnp.int32),
        scores=jnp.zeros((b, tiling.count), jnp.float32),
        beyond=jnp.zeros(b, jnp.float32),
        all_tokens=jnp.array(False),
    )
    state = RegionState(chosen, (RegionPart(None, None, None),) * len(parts))
    return initial_parts(run, parts, latents, step, state)


def initial_parts(
    run: Run,
    parts: list[RegionSteps],
    latents: Latents,
    step: Int[Array, " b"],
    region: RegionState,
) -> RegionState:
    """The region's state with its parts set to zeros of the right shapes."""
    keys = initial_keys(run, latents, step)
    empty = RunState(step, latents, None, (), step, region, keys)

    def region_part(part: RegionSteps) -> RegionPart:
        after = part.begin(run, empty, latents).region
        assert after is not None
        return after.parts[part.part]

    shapes = tuple(jax.eval_shape(partial(region_part, part)) for part in parts)
    return region._replace(parts=zeros(shapes))


@partial(jax.jit, static_argnames=("program", "expert"), donate_argnames="state")
def advance(
    inputs: Inputs,
    state: RunState,
    until: Int[Array, " b"],
    *,
    program: Program,
    expert: str | None = None,
) -> tuple[RunState, Int[Array, ""]]:
    """Runs each request from its step up to step `until` (exclusive).

    Without a region or token budgets each request may be at a different step, and its
    bytes do not depend on the other requests. With them all requests must be at the
    same step.

    Args:
        inputs: the arrays of the run.
        state: the state before; it is donated, so its arrays are gone after the call.
        until: a step per request; a request that has reached it is left unchanged.
        program: the static part of the run.
        expert: the only transformer that is run and needs to be among the inputs; None
            for all transformers of the plan.

    Returns:
        The new state, and the least number of steps that any request has done.
    """
    run = Run(program, inputs)
    for segment in segments(program.plan):
        if expert in (None, segment.expert):
            state = segment(run, state, until)
    # On a mesh the result is sharded as the argument is, so that the next call reuses
    # the compiled program.
    state = placed(program, inputs, state)
    return state, state.step.min()


def in_pieces(
    inputs: Inputs,
    state: RunState,
    program: Program,
    every: int | None = 1,
    ahead: int = AHEAD,
    resident: Callable[[str], Transformer] | None = None,
) -> Iterator[tuple[int, RunState]]:
    """Runs a program to its last step, a few steps per call.

    Calls are queued ahead, so that the device is always busy and reporting progress
    costs no time. A caller stops the run by ending the iteration.

    Args:
        inputs: the arrays of the run.
        state: the state from `start`; it is donated.
        program: the static part of the run.
        every: steps per call; None runs all in one call.
        ahead: calls queued behind the one that runs. With 0 the device idles between
            calls, and each yielded state may be read until the next one is requested.
        resident: loads a transformer onto the devices, in place of the previous one
            (see `OffloadingModel`); each call then runs one transformer. None if the
            transformers in `inputs` are on the devices already.

    Yields:
        The number of steps done and the state after each call. With calls ahead only
        the last state is usable: earlier ones are donated.

    Raises:
        ValueError: for fewer than 1 step per call.
    """
    if every is not None and every < 1:
        raise ValueError(f"a call runs 1 step or more, or all (None), got {every}")
    plan, rows = program.plan, len(state.step)
    waiting: deque[Array] = deque()
    there: str | None = None
    for last, expert in calls(plan, every, resident is not None):
        until = np.full(rows, last, np.int32)
        if resident is not None and expert is not None and expert != there:
            # The previous weights are freed once no program reads them.
            inputs, there = inputs._replace(models={}), expert
            jax.block_until_ready(state)
            inputs = inputs._replace(models={expert: resident(expert)})
        state, done = advance(inputs, state, until, program=program, expert=expert)
        waiting.append(done)
        if len(waiting) > ahead:
            yield int(waiting.popleft()), state
    for done in waiting:
        yield int(done), state


def calls(
    plan: StepPlan, every: int | None, apart: bool
) -> Iterator[tuple[int, str | None]]:
    """The step that each call of a run ends before, and the transformer it runs.

    Args:
        plan: the plan of the run.
        every: steps per call; None for as many as possible.
        apart: whether each call runs only one transformer; if not, the yielded
            transformer is None.
    """
    first, every = plan.start, every or plan.steps
    ends = [stretch.last for stretch in plan.stretches]
    names = [stretch.expert for stretch in plan.stretches]
    while first < plan.steps:
        last, expert = min(first + every, plan.steps), None
        if apart:
            here = next(i for i, end in enumerate(ends) if first < end)
            expert, alike = names[here], [name == names[here] for name in names]
            others = (i for i in range(here, len(ends)) if not alike[i])
            last = min(last, ends[next(others, len(ends)) - 1])
        yield last, expert
        first = last


def check(inputs: Inputs, latents: Latents, program: Program) -> None:
    """Raises a ValueError for inputs that do not fit the program, some of which JAX
    would silently read out of bounds."""
    geometry, mask = program.geometry, inputs.mask
    if program.plan.region is not None and inputs.source is None:
        raise ValueError("a plan with a region needs a source's latents, got none")
    if program.solver.stochastic and inputs.seeds is None:
        raise ValueError("a solver that adds noise needs the requests' seeds, got none")
    wanted = (*geometry.named(latents)[geometry.video].shape[:-1], 1)
    if mask is not None and mask.shape != wanted:
        raise ValueError(
            f"a mask on the grid of these latents is {wanted}, got {mask.shape}"
        )
