"""The programs that are compiled are those of a run."""

import jax

from chorus_jax.devices import sharding
from chorus_jax.families.protocols import LoadOptions
from chorus_jax.fit.compiled import programs
from chorus_jax.fit.models import planned_model
from chorus_jax.fit.run import ReuseOptions, outlined_run, with_inputs
from chorus_jax.intra_request import registry

DONATED = ("tf.aliasing_output", "jax.buffer_donor")


def test_the_results_of_a_step_take_over_the_states_memory():
    """Else a step cache's state would be counted, and lie there, twice."""
    planned, mesh = planned_model("shapes"), sharding.make_mesh(context=8)
    request = with_inputs(planned.defaults.request, planned.outline, False)
    reuse = ReuseOptions(cache=registry.parse("pab"))
    with jax.set_mesh(mesh):
        options = LoadOptions(mesh=mesh)
        run = outlined_run(planned.outline, request, reuse, options, 8)
        step = programs(run, mesh)["step"]
        jitted = jax.jit(step.function, donate_argnums=step.donated)
        text = jitted.lower(*step.arguments).as_text()
    count = sum(text.count(word) for word in DONATED)
    assert count == len(jax.tree.leaves(run.state)) > 4
