"""`chorus fit`: tells, without a TPU, whether a model and a video fit one."""

import argparse
from collections.abc import Iterator

from chorus_jax.cli.given import step_cache
from chorus_jax.fit.answer import GIB, FitAnswer, Phase
from chorus_jax.fit.answering import (
    ALL,
    PROGRAMS,
    Question,
    compiled_answer,
    quick_answer,
)
from chorus_jax.fit.meshes import remedies
from chorus_jax.fit.models import PlannedModel, planned_model
from chorus_jax.fit.run import ReuseOptions
from chorus_jax.fit.topologies import Topology
from chorus_jax.intra_request import EveryStep, StepCache, registry

UNFIT = 3  # the exit status of a run that does not fit; errors have 1 or 2
PHASES = {
    "text": "text encoding",
    "conditions": "conditions",
    "step": "denoising",
    "decode": "decoding",
}


def fit(options: argparse.Namespace) -> int:
    """Prints whether a run fits a TPU; returns the exit status, 3 if it does not.

    Raises:
        ValueError: for an unknown model or topology, for what the model refuses, and
            if libtpu is needed but not installed.
    """
    topology = Topology.named(options.topology)  # before anything that takes time
    model = planned_model(options.model)
    question = question_of(options, model, topology)
    if options.quick:
        answer = quick_answer(question)
    else:
        answer = compiled_answer(question, ALL if options.decoder else PROGRAMS)
    for line in lines(model, question, answer):
        print(line, flush=True)
    return 0 if answer.fits else UNFIT


def question_of(
    options: argparse.Namespace, model: PlannedModel, topology: Topology
) -> Question:
    """The run and the topology that the options describe."""
    names = ("steps", "guidance_scale", "tokens")
    given = {name: getattr(options, name) for name in names}
    fields = {name: value for name, value in given.items() if value is not None}
    request = model.defaults.request.changed(**fields, **(options.size or {}))
    if options.active is not None and not 0 < options.active < 1:
        raise ValueError(
            f"--active is a share above 0 and below 1, got {options.active:g}"
        )
    cache = cache_of(options.step_cache)
    if options.active is not None and options.step_cache:
        raise ValueError(
            "--active plans a hit, --step-cache a miss: give only one of them"
        )
    one = {"data": 1, "context": 1, "tensor": 1}
    sizes = None if options.mesh is None else {**one, **options.mesh}
    return Question(
        model.outline,
        request,
        topology,
        ReuseOptions(options.active, cache),
        not options.free_text_encoder,
        options.image,
        sizes,
        options.idle_expert,
    )


def cache_of(text: str | None) -> StepCache:
    """The step cache of `--step-cache`, by its name or from a file."""
    if not text:
        return EveryStep()
    named = step_cache(text, None)
    return registry.parse(named) if isinstance(named, str) else named or EveryStep()


def lines(model: PlannedModel, question: Question, answer: FitAnswer) -> Iterator[str]:
    """The lines that are printed: the run, its memory by phase, and what would fit."""
    request, sizes = question.request, answer.sizes
    yield (
        f"{model.name}, {request.height}x{request.width}x{request.frames}, "
        f"{request.step_count} steps, on {question.topology.name} "
        f"({question.topology.count} devices of {answer.limit / GIB:.2f} GiB)"
    )
    mesh = " x ".join(f"{axis} {size}" for axis, size in sizes.items())
    parts = ", ".join(f"{k} {v / GIB:.2f}" for k, v in answer.weights.items())
    yield f"{'mesh':16}{mesh}"
    yield f"{'weights':16}{parts} (GiB per device)"
    yield f"{'':16}{'weights':>9}{'arrays':>9}{'working':>9}{'total':>9}"
    for phase in answer.phases:
        yield phase_line(phase, answer.limit)
    peak = answer.peak
    how = "estimated" if peak.estimated else "compiled for the TPU"
    if answer.fits:
        free = (answer.limit - peak.total) / GIB
        yield f"fits: {free:.2f} GiB are free in {PHASES[peak.name]} ({how})"
        return
    over = (peak.total - answer.limit) / GIB
    least = "at least " if not peak.exact else ""
    yield f"does not fit: {PHASES[peak.name]} needs {least}{over:.2f} GiB more ({how})"
    others = list(
        remedies(
            question.outline,
            question.request_with_image,
            question.reuse,
            question.topology,
            question.keep_text_encoder,
            question.idle_expert,
        )
    )
    if others:
        yield f"would fit, by estimate: {'; or '.join(others)}"


def phase_line(phase: Phase, limit: int) -> str:
    """The memory of a phase as a row of the table, in GiB."""
    figures = (phase.weights, phase.arrays, phase.working, phase.total)
    row = "".join(f"{x / GIB:9.2f}" for x in figures)
    how = "  estimated" if phase.estimated else ""
    beyond = "" if phase.total <= limit else "  does not fit"
    return f"{PHASES[phase.name]:16}{row}{how}{beyond}"
