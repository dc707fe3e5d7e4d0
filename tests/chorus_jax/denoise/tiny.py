"""A tiny Wan transformer, its runs, and source latents for them."""

from functools import lru_cache, partial

import jax
import jax.numpy as jnp
import numpy as np

from chorus_jax.denoise import loop
from chorus_jax.denoise.plan import StepPlan
from chorus_jax.denoise.program import Program
from chorus_jax.denoise.region import Region
from chorus_jax.denoise.state import GainTables, Inputs, SourceLatents
from chorus_jax.families.forward import TRANSFORMER, Geometry, evaluate
from chorus_jax.families.wan.config import WanConfig
from chorus_jax.families.wan.model import prepare
from chorus_jax.schedulers import Euler

CONFIG = WanConfig(
    heads=2,
    head_width=12,
    depth=2,
    mlp_width=32,
    in_channels=4,
    out_channels=4,
    text_width=8,
    text_limit=32,
    dtype="float32",
)
SHAPE, GRID, TILE, TILES = (2, 8, 8, 4), (2, 4, 4), (1, 2, 2), 8
GEOMETRY = Geometry((("video", SHAPE),), GRID, (1, 2, 2), TILE)
STEPS, WORDS = 6, 8
SOLVER = Euler.spaced(STEPS, 3.0)


def conditions(model, solver=SOLVER, guidance=5.0, seed=0, lengths=(3, 5)):
    """What all steps read, of one request (or of several, with a scale for each)."""
    scales = None if guidance is None else np.atleast_1d(guidance)
    rows = 1 if scales is None else 2 * len(scales)
    rng, lengths = np.random.default_rng(seed), np.array(lengths[:rows])
    text = rng.standard_normal((rows, WORDS, CONFIG.text_width))
    text *= (np.arange(WORDS) < lengths[:, None])[..., None]
    return prepare(
        model,
        jnp.asarray(text, jnp.float32),
        jnp.asarray(lengths),
        None if scales is None else jnp.asarray(scales, jnp.float32),
        solver=solver,
        grid=GRID,
    )


def together(given):
    """Conditions of requests as those of a batch: prompts, then negative prompts."""

    def rows(x, axis):
        half = x[0].shape[axis] // 2 if given[0].guidance is not None else None
        cut = partial(jax.lax.slice_in_dim, axis=axis)
        first = [cut(one, 0, half) for one in x]
        rest = [] if half is None else [cut(one, half, None) for one in x]
        return jnp.concatenate([*first, *rest], axis=axis)

    contexts = [one.context for one in given]
    text = jax.tree.map(lambda *x: rows(x, 1), *(one.text for one in contexts))
    bias = rows([one.bias for one in contexts], 0)
    scales = [one.guidance for one in given]
    return given[0]._replace(
        context=contexts[0]._replace(text=text, bias=bias),
        guidance=None if scales[0] is None else jnp.concatenate(scales),
    )


def noise(*seeds):
    """The noise of a batch with these seeds."""
    return loop.noise(jnp.array(seeds or (0,)), GEOMETRY)


def begun(model, given, latents, plan, source=None, solver=SOLVER, **arrays):
    """The program of a run, its inputs and its first state."""
    program = Program(plan, solver, GEOMETRY)
    if solver.stochastic:
        arrays = {"seeds": jnp.arange(len(latents)), **arrays}
    inputs = Inputs({TRANSFORMER: model}, {TRANSFORMER: given}, source, **arrays)
    return program, inputs, loop.start(inputs, latents, program=program)


def run(model, given, latents, plan, source=None, *, every=None, **more):
    """The last state of a run, with as many steps per call."""
    program, inputs, state = begun(model, given, latents, plan, source, **more)
    for _, state in loop.in_pieces(inputs, state, program, every):
        pass
    return state


def stepwise(model, given, latents, plan, **more):
    """The latents after each step of a run."""
    program, inputs, state = begun(model, given, latents, plan, **more)
    pieces = loop.in_pieces(inputs, state, program, 1, ahead=0)
    return [jax.tree.map(jnp.copy, state.latents) for _, state in pieces]


def hit(model, given, source, plan, **more):
    """A run from a source's latents."""
    return run(model, given, source.start, plan, source, **more)


@jax.jit
def velocity(model, given, latents, i):
    """The guided velocity of all tokens at step `i` of each request."""
    return evaluate(model.forward(given, latents, i))[0]


def at(step, count=1):
    """The same step of so many requests."""
    return jnp.full(count, step, jnp.int32)


@lru_cache(maxsize=32)  # many tests begin from the same runs
def earlier(model, first, last, seed=7, solver=SOLVER):
    """What a run of another prompt leaves for a plan with stage 2 from `first` to
    `last`, and that run's conditions."""
    given = conditions(model, solver, seed=seed)
    latents = stepwise(model, given, noise(seed), StepPlan.plain(STEPS), solver=solver)
    start, end = latents[first - 1], latents[last - 1]
    return given, SourceLatents(start, velocity(model, given, start, at(first)), end)


def region(core, halo=0, open_until=0, reach=0, **fields):
    """A region of the tiny video."""
    return Region(TILE, core, halo, open_until, reach, **fields)


def gains(key=1.0, output=1.0):
    """The same gains in all steps."""
    return GainTables(
        jnp.full((STEPS, 1, WORDS), key, jnp.float32),
        jnp.full((STEPS, 1), output, jnp.float32),
    )
