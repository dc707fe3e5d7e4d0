"""Properties of every step cache, with a tiny model of every family.

A family's runs of a group of members are one compiled program: what costs time is to
compile.
"""

from dataclasses import replace
from functools import partial

import jax
import jax.numpy as jnp
import numpy as np
import pytest

from chorus_jax.families.forward import Held
from chorus_jax.intra_request import StepCache, registry
from chorus_jax.intra_request.bac import BAC
from chorus_jax.intra_request.harmonica import HarmoniCa
from tests.chorus_jax.intra_request.families import FAMILIES, SOLVER, VARIANTS
from tests.chorus_jax.intra_request.members import MEMBERS, STEPS

SCHEDULE = SOLVER.schedule


def denoised(cache, model, conditions, latents):
    """The latents after all steps by Euler's rule, and the work of each step.

    The scan refuses a state whose tree, shapes or dtypes change.
    """
    sigmas = jnp.array(SCHEDULE.sigmas)

    def step(carry, i):
        latents, state = carry
        here = jnp.full(1, i)
        forward = model.forward(conditions, latents, here)
        velocity, _, state, work = cache.step(here, SCHEDULE, forward, Held(), state)
        move = sigmas[i + 1] - sigmas[i]
        latents = jax.tree.map(lambda x, v: x + move * v, latents, velocity)
        return (latents, state), work[0]

    first = model.forward(conditions, latents, jnp.zeros(1, jnp.int32))
    start = (latents, cache.init(first))
    (latents, _), work = jax.lax.scan(step, start, jnp.arange(STEPS))
    return latents, work


# One member of each way in which a cache uses a pass. The others run in the slow tests
# on all families but one.
KINDS = (
    *("every", "tea", "first-block", "taylor-residual", "taylor-branches"),
    *("guidance", "planned-tokens"),
)
GROUPS = {"kinds": KINDS, "others": tuple(x for x in MEMBERS if x not in KINDS)}
# Code that is compiled fast, and runs a little slower.
quick = partial(jax.jit, compiler_options={"xla_backend_optimization_level": 0})


@partial(quick, static_argnums=0)
def some(names, *given):
    """The runs of some members, neutral and active."""
    count = len(branches(*given))
    return {
        name: tuple(
            denoised(cache, *given)
            for cache in (MEMBERS[name].neutral, active(MEMBERS[name], count))
        )
        for name in names
        if not MEMBERS[name].branches or branches(*given)
    }


def branches(model, conditions, latents):
    """The branches of the model's layers; the toy's have none to reuse."""
    return model.forward(conditions, latents, jnp.zeros(1, int)).branch_names


def active(member, count):
    """The setting of a member that reuses much, for layers of `count` branches."""
    wide = lambda layers: tuple((x * count)[:count] for x in layers)
    if isinstance(member.active, BAC):
        return replace(member.active, updates=wide(member.active.updates))
    if isinstance(member.active, HarmoniCa):
        scores = tuple(wide(layers) for layers in member.active.scores)
        return replace(member.active, scores=scores)
    return member.active


def slow(*values):
    return pytest.param(*values, marks=pytest.mark.slow)


@pytest.fixture(scope="module")
def runs():
    """A function: the runs of a member on a family, neutral and active."""
    known = {}

    def of(family, name):
        group = "kinds" if name in KINDS else "others"
        if (family, group) not in known:
            made = some(GROUPS[group], *FAMILIES[family]())
            known[family, group] = jax.tree.map(np.asarray, made)
        return known[family, group][name]

    return of


@partial(quick, static_argnums=0)
def neutral(names, *given):
    """The runs of some members that reuse nothing."""
    return {name: denoised(MEMBERS[name].neutral, *given) for name in names}


@pytest.mark.parametrize(
    ("variant", "group"),
    [
        case(variant, group)
        for variant in VARIANTS
        for group, case in (("kinds", pytest.param), ("others", slow))
    ],
)
def test_the_neutral_settings_are_the_uncached_run_of_every_variant(variant, group):
    names = ("every", *(x for x in GROUPS[group] if x != "every"))
    ours = jax.tree.map(np.asarray, neutral(names, *VARIANTS[variant]()))
    plain, _ = ours["every"]
    for name, (latents, work) in ours.items():
        assert work.tolist() == [1.0] * STEPS, name
        np.testing.assert_array_equal(latents, plain, err_msg=name)


def test_every_member_is_in_the_registry():
    kinds = {type(member.active) for member in MEMBERS.values()}
    assert kinds == set(registry.CACHES.values())


@pytest.mark.parametrize("name", MEMBERS)
def test_a_member_is_a_step_cache(name):
    for cache in (MEMBERS[name].neutral, MEMBERS[name].active):
        assert isinstance(cache, StepCache) and hash(cache) == hash(cache)
        described = registry.describe(cache)
        assert registry.make(described.pop("name"), described) == cache


CASES = [
    case(name, family)
    for name, member in MEMBERS.items()
    for family in FAMILIES
    for case in ((pytest.param if family == "wan" or name in KINDS else slow),)
    if not (family == "toy" and (member.branches or member.middle))
]


@pytest.mark.parametrize(("name", "family"), CASES)
def test_the_neutral_setting_is_the_uncached_run(name, family, runs):
    (latents, work), _ = runs(family, name)
    (plain, _), _ = runs(family, "every")
    assert work.tolist() == [1.0] * STEPS
    if family == "toy":  # without a loop over layers, which XLA fuses with the rest
        close = partial(np.testing.assert_allclose, rtol=1e-5, atol=1e-5)
        jax.tree.map(close, latents, plain)
    else:
        jax.tree.map(np.testing.assert_array_equal, latents, plain)


@pytest.mark.parametrize(("name", "family"), CASES)
def test_steps_are_computed_and_reused_as_foretold(name, family, runs):
    _, (latents, work) = runs(family, name)
    (plain, _), _ = runs(family, "every")
    computed = MEMBERS[name].computed
    assert np.flatnonzero(work == 1).tolist() == list(computed)
    assert np.isfinite(np.concatenate([x.ravel() for x in leaves(latents)])).all()
    if len(computed) < STEPS:
        apart = [np.abs(x - y).max() for x, y in zip(leaves(latents), leaves(plain))]
        assert max(apart) > 1e-4


def leaves(latents):
    return jax.tree.leaves(latents)


@pytest.mark.parametrize("name", ["pab", "taylor-branches"])
def test_a_family_without_branches_is_refused(name):
    model, conditions, latents = FAMILIES["toy"]()
    forward = model.forward(conditions, latents, jnp.zeros(1, jnp.int32))
    with pytest.raises(ValueError, match="layers have no branches to reuse"):
        MEMBERS[name].active.init(forward)
