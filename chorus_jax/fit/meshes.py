"""Meshes that a topology's devices can form, and remedies for runs that do not fit."""

from collections.abc import Iterator
from typing import Any

from chorus_jax.families.outlines import Outline
from chorus_jax.families.protocols import DEVICES, HOST, LoadOptions
from chorus_jax.fit import placing
from chorus_jax.fit.answer import FitAnswer, answered
from chorus_jax.fit.estimate import LargestOperations, estimated
from chorus_jax.fit.placing import Sizes
from chorus_jax.fit.run import OutlinedRun, ReuseOptions, outlined_run
from chorus_jax.fit.topologies import Topology
from chorus_jax.request import Request

# Smaller heights and widths to try, in pixels; they suit all families.
SMALLER = ((704, 1280), (480, 832), (320, 576), (256, 448))
FEWER = (121, 81, 49, 25)


def sizes_of(count: int) -> Iterator[Sizes]:
    """The axis sizes of all meshes of `count` devices; the first split tokens most."""
    for tensor in range(1, count + 1):
        for data in (1, 2):
            if count % (tensor * data) == 0:
                context = count // (tensor * data)
                yield {"data": data, "context": context, "tensor": tensor}


def divides(model: Any, request: Request, sizes: Sizes) -> bool:
    """Whether the model runs the request over a mesh of these sizes."""
    try:
        model.sizes.check_mesh(placing.abstract_mesh(sizes), request, 1)
    except ValueError:
        return False
    return True


def best(run: OutlinedRun, topology: Topology, keep_text_encoder: bool) -> FitAnswer:
    """The estimate for the topology's mesh that needs the least memory per chip.

    Raises:
        ValueError: if no mesh of all its devices divides the run.
    """
    answers, operations = [], LargestOperations.of(run)
    model = run.model(run.outline.parts)
    fitting = lambda sizes: divides(model, run.request, sizes)
    for sizes in filter(fitting, sizes_of(topology.count)):
        try:
            memory = estimated(run, sizes, operations)
            answers.append(
                answered(run, sizes, topology.bytes, memory, keep_text_encoder)
            )
        except ValueError:  # the mesh does not divide the weights
            continue
    if not answers:
        raise ValueError(
            f"no mesh of the {topology.count} devices of {topology.name} divides this "
            "model and size: choose another topology or size"
        )
    return min(answers, key=lambda answer: answer.peak.total)


def remedies(
    outline: Outline,
    request: Request,
    reuse: ReuseOptions,
    topology: Topology,
    keep_text_encoder: bool,
    idle_expert: str = DEVICES,
) -> Iterator[str]:
    """Changes with which the run would fit, by estimates: more chips, a smaller video,
    a text encoder that is freed, or an idle expert in the host's memory."""

    def fits(request: Request, place: Topology, keep: bool, idle: str) -> bool:
        """False also where the model or all meshes refuse the run."""
        try:
            run = outlined_run(outline, request, reuse, LoadOptions(idle_expert=idle))
            return best(run, place, keep).fits
        except ValueError:
            return False

    for larger in topology.larger:
        if fits(request, larger, keep_text_encoder, idle_expert):
            yield f"{larger.name} ({larger.count} devices)"
            break
    for smaller in smaller_requests(request):
        if fits(smaller, topology, keep_text_encoder, idle_expert):
            size = f"{smaller.height}x{smaller.width}x{smaller.frames}"
            yield f"{size} on {topology.name}"
            break
    if keep_text_encoder and fits(request, topology, False, idle_expert):
        yield "the text encoder freed once prompts are encoded"
    if idle_expert != HOST and fits(request, topology, keep_text_encoder, HOST):
        yield "the idle expert in the host's memory (--idle-expert host)"


def smaller_requests(request: Request) -> Iterator[Request]:
    """Smaller requests to try, first with smaller frames, then with fewer frames."""
    for height, width in SMALLER:
        if height * width < request.height * request.width:
            yield request.changed(height=height, width=width)
    for frames in FEWER:
        if frames < request.frames:
            height, width = SMALLER[-1]
            if height * width >= request.height * request.width:
                height, width = request.height, request.width
            yield request.changed(height=height, width=width, frames=frames)
