"""HarmoniCa's router: the ends of its blends, and its gradient, on a tiny Wan."""

from functools import partial

import jax
import jax.numpy as jnp
import numpy as np
import pytest
from flax import nnx

from chorus_jax.calibration import router
from chorus_jax.calibration.router import Router, unrolled
from chorus_jax.denoise import loop
from chorus_jax.denoise.plan import StepPlan
from chorus_jax.denoise.program import Program, Run
from chorus_jax.denoise.segments import segments
from chorus_jax.denoise.state import Inputs
from chorus_jax.families.wan.dit import WanDiT
from chorus_jax.intra_request import EveryStep
from chorus_jax.intra_request.bac import BAC
from tests.chorus_jax.denoise.tiny import (
    CONFIG,
    GEOMETRY,
    SOLVER,
    STEPS,
    begun,
    conditions,
    noise,
)

SHAPE = (STEPS, CONFIG.depth, 3)
ONCE = BAC((((0,),) * 3,) * CONFIG.depth)  # all branches of all layers in step 0 alone
FAST = {"xla_backend_optimization_level": 0}


@pytest.fixture(scope="module")
def latents():
    """The final latents of the full run and of `ONCE`, and of any router's run."""
    model = jax.jit(lambda: WanDiT(CONFIG, rngs=nnx.Rngs(0)))()
    given, seed = conditions(model), noise()
    whole, once, blend = (
        begun(model, given, seed, StepPlan.plain(STEPS, cache=cache))
        for cache in (BAC(), ONCE, Router(STEPS))
    )

    @partial(jax.jit, compiler_options=FAST)
    def hard():
        states = []
        for program, inputs, state in (whole, once):
            [piece] = segments(program.plan)
            until = jnp.full(1, STEPS, jnp.int32)
            states.append(piece(Run(program, inputs), state, until).latents)
        return states

    program, inputs, state = blend
    soft = jax.jit(
        lambda logits: unrolled(logits, inputs, state, program), compiler_options=FAST
    )
    return *hard(), soft, blend


def test_a_router_computes_everything_or_nothing(latents):
    full, once, soft, _ = latents
    for logit, want, work in ((40.0, full, STEPS), (-40.0, once, 1.0)):
        state = soft(jnp.full(SHAPE, logit))
        np.testing.assert_allclose(state.latents, want, rtol=1e-4, atol=1e-4)
        np.testing.assert_allclose(state.work, [work], rtol=1e-5)


def test_a_router_over_two_experts_begins_anew_with_the_second():
    model = jax.jit(lambda: WanDiT(CONFIG, rngs=nnx.Rngs(0)))()
    experts = {"high": model, "low": jax.tree.map(lambda x: 1.2 * x, model)}
    inputs = Inputs(experts, {name: conditions(x) for name, x in experts.items()})
    names = ("high",) * 2 + ("low",) * (STEPS - 2)

    @partial(jax.jit, compiler_options=FAST)
    def runs(high, low):
        plans = (StepPlan.plain(STEPS, cache=x) for x in (EveryStep(), Router(STEPS)))
        plain, routed = (
            Program(plan.with_experts(names), SOLVER, GEOMETRY) for plan in plans
        )
        state = loop.start(inputs, noise(), program=plain)
        until = jnp.full(1, STEPS, jnp.int32)
        for piece in segments(plain.plan):
            state = piece(Run(plain, inputs), state, until)
        begun = loop.start(inputs, noise(), program=routed)
        return state, *(unrolled(x, inputs, begun, routed) for x in (high, low))

    full, every, none = runs(jnp.full(SHAPE, 40.0), jnp.full(SHAPE, -40.0))
    np.testing.assert_allclose(every.latents, full.latents, rtol=1e-4, atol=1e-4)
    # The first step of each expert is computed whatever the scores.
    np.testing.assert_allclose([every.work, none.work], [[STEPS], [2.0]], rtol=1e-5)


def test_the_gradient_is_that_of_error_and_price(latents):
    full, _, soft, (program, inputs, state) = latents
    rng = np.random.default_rng(0)
    logits = jnp.asarray(rng.normal(size=SHAPE), jnp.float32)
    along = jnp.asarray(rng.normal(size=SHAPE), jnp.float32)

    def loss(logits):
        off = jnp.square(soft(logits).latents - full).sum() / jnp.square(full).sum()
        return float(off + router.PRICE * jax.nn.sigmoid(logits).mean())

    grad = router.gradient(logits, inputs, state, [full], program=program)
    step = 0.05
    rise = (loss(logits + step * along) - loss(logits - step * along)) / (2 * step)
    np.testing.assert_allclose(float((grad * along).sum()), rise, rtol=2e-2, atol=1e-5)
    price = router.PRICE * jax.nn.sigmoid(logits) * (1 - jax.nn.sigmoid(logits))
    # The first step is always computed: its scores cost, and change nothing.
    np.testing.assert_allclose(grad[0], price[0] / logits.size, rtol=1e-4)
