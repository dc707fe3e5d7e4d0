"""Every step cache in the stages of a hit: part of the tokens, then all of them again.

The runs of a group of members are one compiled program.
"""

from functools import partial

import jax
import jax.numpy as jnp
import numpy as np
import pytest

from chorus_jax.denoise import loop
from chorus_jax.denoise.cost import equivalents
from chorus_jax.denoise.plan import StepPlan
from chorus_jax.denoise.program import Program, Run
from chorus_jax.denoise.segments import segments
from chorus_jax.denoise.state import Inputs, SourceLatents
from chorus_jax.families.forward import TRANSFORMER
from chorus_jax.intra_request import EveryStep
from chorus_jax.intra_request.beside_budgets import forecasts_tokens
from tests.chorus_jax.denoise.tiny import GEOMETRY, TILES, noise, region
from tests.chorus_jax.intra_request.families import SOLVER, wan
from tests.chorus_jax.intra_request.members import MEMBERS, STEPS

BEGIN, CORE = 1, 4  # K1, and the tiles of the region
# K2. The first step of each stage is computed. The others need two more to skip one:
# of the region, or (RACER) of all tokens after it.
END, OTHERS = 4, {"easy": 5, "spectrum": 5, "erta": 5, "racer": 3}


def plan(name, setting):
    """The plan of a hit of a member: one step of all tokens, steps of the region, then
    of all again."""
    cache = EveryStep() if setting == "plain" else getattr(MEMBERS[name], setting)
    end = OTHERS.get(name, END)
    return StepPlan.staged(STEPS, BEGIN, end, region(CORE), cache=cache)


def group(names, *settings):
    """The plans of some members, each once."""
    return tuple(dict.fromkeys(plan(x, setting) for x in names for setting in settings))


# In the fast tests: one of each kind that denoise/test_region_steps_caches.py does not
# run (it runs layers, guidance and branches), and a neutral one.
ACTIVE = ("every", "tea", "taylor-residual", "planned-tokens")
NEUTRAL = ("every", "taylor-branches")
FAST = group(ACTIVE, "plain", "active") + group(NEUTRAL, "neutral")
GROUPS = (FAST, group(MEMBERS, "plain", "neutral"), group(MEMBERS, "active"))


def outcome(plan, inputs, latents):
    """The work of each stage of a run, and its last latents."""
    program, done = Program(plan, SOLVER, GEOMETRY), [jnp.float32(0)]
    state = loop.start(inputs, latents, program=program)
    for segment in segments(plan):
        state = segment(Run(program, inputs), state, jnp.full(1, STEPS, jnp.int32))
        done.append(state.work[0])
    return jnp.diff(jnp.stack(done)), state.latents


@partial(
    jax.jit,
    static_argnums=0,
    compiler_options={"xla_backend_optimization_level": 0},
)
def some(plans, model, conditions):
    """The outcomes of some plans."""
    source = SourceLatents(noise(7), jnp.zeros_like(noise()), noise(8))
    inputs = Inputs({TRANSFORMER: model}, {TRANSFORMER: conditions}, source)
    return [outcome(plan, inputs, source.start) for plan in plans]


@pytest.fixture(scope="module")
def runs():
    """A function: the outcome of a member's plan."""
    known = {}

    def of(name, setting):
        wanted = plan(name, setting)
        if wanted not in known:
            plans = next(plans for plans in GROUPS if wanted in plans)
            model, conditions, _ = wan()
            made = jax.tree.map(np.asarray, some(plans, model, conditions))
            known.update(zip(plans, made, strict=True))
        return known[wanted]

    return of


def cases(fast):
    """The members; those that are not fast are for the slow tests."""
    slow = lambda name: pytest.param(name, marks=pytest.mark.slow)
    return [name if name in fast else slow(name) for name in MEMBERS]


@pytest.mark.parametrize("name", cases(NEUTRAL))
def test_the_neutral_setting_is_the_hit_without_a_step_cache(name, runs):
    (work, latents), (ours, neutral) = runs(name, "plain"), runs(name, "neutral")
    end = OTHERS.get(name, END)
    assert work.tolist() == [1, (end - BEGIN - 1) * CORE / TILES, STEPS - end]
    assert ours.tolist() == work.tolist() and np.isfinite(neutral).all()
    np.testing.assert_array_equal(neutral, latents)


@pytest.mark.parametrize("name", cases(ACTIVE))
def test_the_active_setting_skips_in_the_stages(name, runs):
    (full, plain), (work, latents) = runs(name, "plain"), runs(name, "active")
    assert np.isfinite(latents).all() and work[0] == 1
    if name != "every":
        assert (work <= full).all() and work.sum() < full.sum()
        assert np.abs(latents - plain).max() > 1e-4
    if forecasts_tokens(MEMBERS[name].active):
        assert work.sum() == equivalents(plan(name, "active"), TILES)
