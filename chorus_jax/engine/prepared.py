"""A request on the devices, before its source is known."""

from collections.abc import Mapping
from dataclasses import dataclass

from chorus_jax.engine.pipeline import Pipeline
from chorus_jax.engine.prompt import PromptReading, PromptText
from chorus_jax.families.forward import Conditions, Latents
from chorus_jax.request import Request


@dataclass(frozen=True, eq=False)
class PreparedRequest:
    """The inputs of a request's run, without those from its source.

    Attributes:
        prompt: the features of its prompt, by which sources are found.
        conditions: the conditions of the denoising loop, by transformer.
        drawn: the noise of the request's seed, without given frames.
        cut: the end of the prompt that is beyond the text limit, mostly "".
    """

    prompt: PromptReading
    conditions: Mapping[str, Conditions]
    drawn: Latents
    cut: str

    @classmethod
    def of(
        cls, pipeline: Pipeline, request: Request, text: PromptText, namespace: str
    ) -> "PreparedRequest":
        """Encodes a request's prompt and images, and draws its noise.

        Args:
            pipeline: the pipeline that runs the request.
            request: the request, with a seed.
            text: its tokens and words.
            namespace: the namespace whose remembered prompts may be used.
        """
        conditions, [cut] = pipeline.condition([request], namespace, text.tokens)
        values = pipeline.model.text_values(conditions)
        # Before the prompt is read, which waits until the device has encoded it.
        drawn = pipeline.drawn([request], pipeline.model.geometry(request), conditions)
        return cls(PromptReading.of(text, values), conditions, drawn, cut)
