"""Step caches under two experts: their state begins anew where they change.

The runs of all members are one compiled program.
"""

from functools import partial

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

# The toy has no branches. Of the others one for each way in which a state begins anew.
NAMES = [
    *("every", "skip", "tea", "mag", "easy", "first-block", "taylor-residual"),
    *("guidance", "planned-tokens", "racer"),
]


@pytest.fixture(scope="module")
def works():
    """The work done before the change and after the step that follows it, and the
    latents then, by member."""
    from tests.chorus_jax.families.toy.test_seams import asked

    pipeline, request = Pipeline(ToyModel()), asked(steps=STEPS)
    conditions, _ = pipeline.condition([request])
    experts = pipeline.model.experts(request)
    [switch] = [i for i in range(1, STEPS) if experts[i] != experts[i - 1]]
    programs = {
        name: pipeline.program(request, StepPlan.plain(STEPS, cache=member.active))
        for name, member in MEMBERS.items()
        if name in NAMES
    }
    noise = pipeline.noise([request], programs["every"].geometry, conditions)

    @partial(jax.jit, compiler_options={"xla_backend_optimization_level": 0})
    def every(inputs, noise):
        found = {}
        for name, program in programs.items():
            state, done = loop.start(inputs, noise, program=program), []
            pieces = segments(program.plan)
            for piece, until in zip(pieces, (switch, switch + 1), strict=True):
                ends = jnp.full(1, until, jnp.int32)
                state = piece(Run(program, inputs), state, ends)
                done.append(state.work[0])
            found[name] = jnp.stack(done), state.latents
        return found

    return jax.tree.map(np.asarray, every(pipeline.inputs(conditions), noise))


@pytest.mark.parametrize("name", NAMES)
def test_the_first_step_of_an_expert_is_computed(name, works):
    (before, after), latents = works[name]
    assert after - before == 1 and before >= 1
    assert all(np.isfinite(x).all() for x in jax.tree.leaves(latents))
