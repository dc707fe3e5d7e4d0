"""A run as shapes: those of a real run, and nothing is computed."""

from dataclasses import replace

import jax
import pytest

import chorus_jax
from chorus_jax.denoise import loop
from chorus_jax.families.protocols import LoadOptions
from chorus_jax.fit.answer import answered
from chorus_jax.fit.answering import Question
from chorus_jax.fit.estimate import LargestOperations, estimated
from chorus_jax.fit.models import planned_model
from chorus_jax.fit.run import ReuseOptions, outlined_run, with_inputs
from chorus_jax.fit.topologies import Topology
from chorus_jax.intra_request import registry


@pytest.fixture(scope="module")
def shapes():
    return planned_model("shapes")


def shape_of(tree):
    return jax.tree.map(lambda x: (x.shape, str(x.dtype)), tree)


def test_shapes_are_those_of_a_real_run(shapes):
    outline = shapes.outline
    request = with_inputs(shapes.defaults.request, outline, False)
    run = outlined_run(outline, request)
    pipeline = chorus_jax.load("shapes")
    long = "a red circle " * outline.text_limit
    real = replace(request, prompt=long, seed=1)
    conditions, _ = pipeline.model.condition([real])
    assert shape_of(run.inputs.conditions) == shape_of(conditions)
    inputs = pipeline.inputs(conditions)
    start = lambda *x: loop.start(*x, program=run.program)
    assert shape_of(run.state) == shape_of(jax.eval_shape(start, inputs, run.latents))
    assert run.rows == 2  # with guidance


@pytest.mark.parametrize(
    "reuse, fields",
    [
        (ReuseOptions(active=0.25), {}),
        (ReuseOptions(), {"tokens": "hsa-75"}),
        (ReuseOptions(cache=registry.parse("pab")), {}),
    ],
    ids=["region", "token budgets", "step cache"],
)
def test_reuse_adds_to_the_state(shapes, reuse, fields):
    request = with_inputs(shapes.defaults.request, shapes.outline, False)
    plain = outlined_run(shapes.outline, request)
    other = outlined_run(shapes.outline, request.changed(**fields), reuse)
    size = lambda run: sum(x.size for x in jax.tree.leaves(run.state))
    assert size(other) > 2 * size(plain)


def test_held_keys_and_step_caches_are_split_over_chips(shapes):
    request = with_inputs(shapes.defaults.request, shapes.outline, False)
    mesh = lambda context: {"data": 1, "context": context, "tensor": 1}
    region = outlined_run(shapes.outline, request, ReuseOptions(active=0.25))
    (_, whole, _), (_, shared, _) = (region.bytes_over(mesh(n)) for n in (1, 4))
    assert shared == whole // 4 > 0
    cached = outlined_run(
        shapes.outline, request, ReuseOptions(cache=registry.parse("pab"))
    )
    arrays = [cached.bytes_over(mesh(n))[0] for n in (1, 4)]
    states = cached.state.caches[0].outputs.arrays
    size = sum(x.size * x.dtype.itemsize for x in states)
    assert arrays[0] - arrays[1] == size * 3 // 4


def test_too_few_steps_have_no_region(shapes):
    request = with_inputs(
        shapes.defaults.request.changed(steps=1), shapes.outline, False
    )
    with pytest.raises(ValueError, match="no region steps: ask for more steps"):
        outlined_run(shapes.outline, request, ReuseOptions(active=0.25))


def test_an_idle_expert_on_the_host_takes_no_memory_of_a_chip():
    planned = planned_model("Wan 2.2 T2V-A14B")
    sizes = {"data": 1, "context": 2, "tensor": 4}
    topology = Topology.named("v6e:2x4")
    question = Question(
        planned.outline, planned.defaults.request, topology, sizes=sizes
    )
    run = replace(question, idle_expert="host").run()
    assert run.resident == ("transformer",)
    none = LargestOperations(0, 0, 0)
    step = estimated(run, sizes, none)
    answer = answered(run, sizes, topology.bytes, step)
    assert answer.weights["transformer_2"] == 0 < answer.weights["transformer"]
    both = estimated(replace(run, options=LoadOptions()), sizes, none)["step"]
    saved = both.arguments - step["step"].arguments
    assert saved == answer.weights["transformer"]
