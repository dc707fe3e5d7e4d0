"""A request on the devices, before its source is known."""

from collections.abc import Mapping
from dataclasses import dataclass

from jaxtyping import Array, Integer

from chorus_jax.engine.pipeline import Pipeline
from chorus_jax.engine.prompt import PromptReading, PromptText
from chorus_jax.engine.task import Task
from chorus_jax.families.forward import Conditions, Latents


@dataclass(frozen=True, eq=False)
class PreparedRequest:
    """The inputs of a request's run, without those from its source.

    Attributes:
        prompt: the features of its prompt, by which sources are found.
        conditions: the conditions of the denoising loop, by transformer.
        seeds: the request's seed, on the devices of the conditions.
        drawn: the noise of that seed, without given frames.
        cut: the end of the prompt beyond the text limit, which is not read; usually "".
    """

    prompt: PromptReading
    conditions: Mapping[str, Conditions]
    seeds: Integer[Array, "1"]
    drawn: Latents
    cut: str

    @classmethod
    def of(cls, pipeline: Pipeline, task: Task, text: PromptText) -> "PreparedRequest":
        """Encodes a request's prompt and images, and draws its noise.

        Args:
            pipeline: the pipeline that runs the request.
            task: the request.
            text: its tokens and words.
        """
        request, namespace = task.request, task.reuse.namespace
        conditions, [cut] = pipeline.condition([request], namespace, text.tokens)
        values = pipeline.model.text_values(conditions)
        # Before the prompt is read, which waits until the device has encoded it.
        seeds = pipeline.seeds([request], conditions)
        drawn = pipeline.drawn(seeds, task.geometry)
        return cls(PromptReading.of(text, values), conditions, seeds, drawn, cut)
