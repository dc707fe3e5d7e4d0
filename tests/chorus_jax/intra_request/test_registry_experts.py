"""Step caches under two experts: their state begins anew where they change.

The runs of a group of members are one compiled program.
"""

from functools import cache, partial

import jax
import jax.numpy as jnp
import numpy as np
import pytest

from chorus_jax.denoise import loop
from chorus_jax.denoise.plan import StepPlan
from chorus_jax.denoise.program import Run
from chorus_jax.denoise.segments import segments
from chorus_jax.engine import Pipeline
from tests.chorus_jax.families.toy.model import ToyModel
from tests.chorus_jax.intra_request.members import MEMBERS, STEPS

# One of each way in which a state begins anew; the others run in the slow tests. The
# toy has no branches.
KINDS = (
    *("every", "skip", "tea", "mag", "easy", "first-block", "taylor-residual"),
    *("guidance", "planned-tokens", "racer"),
)
OTHERS = tuple(
    name
    for name, member in MEMBERS.items()
    if name not in KINDS and not member.branches
)
CASES = [*KINDS, *(pytest.param(name, marks=pytest.mark.slow) for name in OTHERS)]


@pytest.fixture(scope="module")
def works():
    """A function: the work done before the change and after the step that follows it,
    and the latents then, of a member."""
    from tests.chorus_jax.families.toy.test_seams import asked

    pipeline, request = Pipeline(ToyModel()), asked(steps=STEPS)
    conditions, _ = pipeline.condition([request])
    experts = pipeline.model.experts(request)
    [switch] = [i for i in range(1, STEPS) if experts[i] != experts[i - 1]]
    programs = {
        name: pipeline.program(request, StepPlan.plain(STEPS, cache=member.active))
        for name, member in MEMBERS.items()
        if not member.branches
    }
    noise = pipeline.noise([request], programs["every"].geometry, conditions)

    @partial(
        jax.jit,
        static_argnums=0,
        compiler_options={"xla_backend_optimization_level": 0},
    )
    def some(names, inputs, noise):
        found = {}
        for name in names:
            program, done = programs[name], []
            state = loop.start(inputs, noise, program=program)
            pieces = segments(program.plan)
            for piece, until in zip(pieces, (switch, switch + 1), strict=True):
                ends = jnp.full(1, until, jnp.int32)
                state = piece(Run(program, inputs), state, ends)
                done.append(state.work[0])
            found[name] = jnp.stack(done), state.latents
        return found

    @cache
    def of(names):
        return jax.tree.map(np.asarray, some(names, pipeline.inputs(conditions), noise))

    return lambda name: of(KINDS if name in KINDS else OTHERS)[name]


@pytest.mark.parametrize("name", CASES)
def test_the_first_step_of_an_expert_is_computed(name, works):
    (before, after), latents = works(name)
    assert after - before == 1 and before >= 1
    assert all(np.isfinite(x).all() for x in jax.tree.leaves(latents))
