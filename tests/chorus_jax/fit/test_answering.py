"""Answers: phases, meshes, and the estimate beside what is compiled."""

from dataclasses import replace
from types import SimpleNamespace

import pytest

from benchmarks.lib import rows
from chorus_jax.families.forward import TRANSFORMER
from chorus_jax.families.protocols import LoadOptions
from chorus_jax.families.registry import FAMILIES
from chorus_jax.fit import meshes
from chorus_jax.fit.answer import answered
from chorus_jax.fit.answering import Question, compiled_answer, quick_answer
from chorus_jax.fit.compiled import GIB, ProgramMemory, beyond
from chorus_jax.fit.meshes import divides, remedies, sizes_of
from chorus_jax.fit.models import planned_model
from chorus_jax.fit.run import ReuseOptions, assembled, with_inputs
from chorus_jax.fit.topologies import Topology
from chorus_jax.request import Request

SMALL = {"data": 1, "context": 4, "tensor": 1}


@pytest.fixture(scope="module")
def question():
    shapes = planned_model("shapes")
    return Question(shapes.outline, shapes.defaults.request, Topology.named("v5e:2x2"))


@pytest.fixture(scope="module")
def quick(question):
    return quick_answer(question)


def tiny(topology, share):
    """A topology with less memory."""
    less = replace(topology.generation, gib=topology.generation.gib * share)
    return replace(topology, generation=less)


def test_phases_hold_all_weights_and_what_is_read(question):
    run = question.run()
    memory = {
        "text": ProgramMemory(0, 10, 1),
        "step": ProgramMemory(0, 30, 0),
        "decode": ProgramMemory(0, 20, 5),
    }
    answer = answered(run, SMALL, 10**9, memory)
    weights = sum(answer.weights.values())
    text, step, decode = answer.phases
    assert (text.weights, text.arrays, text.working) == (weights, 0, 11)
    assert step.total - decode.total == 5 and step.arrays > 0
    freed = answered(run, SMALL, 10**9, memory, keep_text_encoder=False).phases
    assert freed[0] == text
    assert step.weights - freed[1].weights == answer.weights["text_encoder"]


def test_the_mesh_that_needs_least_uses_all_devices(question, quick):
    count = 1
    for size in quick.sizes.values():
        count *= size
    assert count == question.topology.count and quick.fits


def heads_of(config):
    """All counts of attention heads in a part's config."""
    values = [value for name, value in vars(config).items() if name.endswith("heads")]
    return [n for x in values for n in (x if isinstance(x, tuple) else (x,))]


QUICK = ("Wan 2.1 T2V-1.3B", "LTX-Video 2B 0.9.8-distilled", "LTX-2 19B dev")


@pytest.mark.parametrize(
    "name",
    [
        name if name in QUICK else pytest.param(name, marks=pytest.mark.slow)
        for family in FAMILIES.values()
        for name in family.published
    ],
)
def test_meshes_that_are_tried_divide_all_heads_of_a_model(name):
    planned = planned_model(name)
    outline, request = planned.outline, planned.defaults.request
    model = assembled(outline, outline.parts, LoadOptions())
    request = with_inputs(request, outline, False)
    tried = [sizes for sizes in sizes_of(8) if divides(model, request, sizes)]
    parts = (
        outline.parts[x] for x in outline.parts if x in ("connectors", TRANSFORMER)
    )
    heads = [n for part in parts for n in heads_of(part.config)]
    assert tried and heads
    assert all(n % sizes["tensor"] == 0 for n in heads for sizes in tried)


def test_weights_that_do_not_divide_are_named(question):
    sizes = {"data": 1, "context": 1, "tensor": 4}
    with pytest.raises(ValueError, match="table .* does not divide over"):
        quick_answer(replace(question, sizes=sizes))


def test_a_mesh_of_other_devices_is_refused(question):
    with pytest.raises(ValueError, match="--mesh has 8 devices, but v5e:2x2 has 4"):
        quick_answer(replace(question, sizes={"data": 1, "context": 8, "tensor": 1}))


def test_what_would_fit_is_said(question, quick):
    less = tiny(question.topology, 0.7 * quick.peak.total / question.topology.bytes)
    assert not quick_answer(replace(question, topology=less)).fits
    request = question.request_with_image
    said = list(remedies(question.outline, request, ReuseOptions(), less, True))
    words = ("v5e:2x2", "devices", "freed")
    assert all(any(word in x for word in words) for x in said)


def test_an_idle_expert_in_the_host_s_memory_would_fit(question, monkeypatch):
    """It is proposed where it is enough, and the other remedies keep it."""
    asked = []

    outline = question.outline

    def run(outline, request, reuse, options):
        asked.append(options.idle_expert)
        return options.idle_expert

    fits = lambda run, place, keep: SimpleNamespace(fits=run == "host")
    monkeypatch.setattr(meshes, "outlined_run", run)
    monkeypatch.setattr(meshes, "best", fits)
    request, place = Request("a"), Topology.named("v5e:2x2")
    [said] = remedies(outline, request, ReuseOptions(), place, False)
    assert said.endswith("(--idle-expert host)")
    asked.clear()
    larger, *_ = remedies(outline, request, ReuseOptions(), place, False, "host")
    assert "devices" in larger and {*asked} == {"host"}


@pytest.mark.parametrize(
    "message, size",
    [
        ("for HLO temporaries (4.50G) exceeds available HBM (1.0G)", 4.5),
        ("Used 512.00M of 15.75G hbm. Exceeded", 0.5),
    ],
)
def test_a_compilers_refusal_says_how_much(message, size):
    error = RuntimeError(message)
    assert beyond(message, error) == ProgramMemory(0, int(size * GIB), 0, False)
    with pytest.raises(RuntimeError, match="other"):
        beyond("other", RuntimeError("other"))


def test_the_estimate_is_near_what_is_compiled(question):
    """A TPU fills up the axes of so small a model, hence the factor."""
    pytest.importorskip("libtpu", reason="needs libtpu: Linux on x86-64")
    asked = replace(question, sizes=SMALL)
    phases = compiled_answer(asked, ["step"]).phases
    compiled = next(x for x in phases if not x.estimated)
    step = next(x for x in quick_answer(asked).phases if x.name == "step")
    assert compiled.exact and compiled.weights == step.weights
    assert step.total / 3 < compiled.total < step.total * 3


@pytest.mark.parametrize("row", rows.load("aot"), ids=lambda row: row["row"])
def test_estimates_are_near_the_rows_of_published_sizes(row):
    if "estimate_gib" not in row:
        pytest.skip("of before there were estimates")
    assert row["estimate_gib"] == pytest.approx(row["total_gib"], rel=0.25)
