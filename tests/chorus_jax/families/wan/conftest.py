"""Tiny pipelines of diffusers for each variant of Wan, and the same weights converted.

A pipeline is compared from our noise, handed to it in torch's layout.
"""

import jax.numpy as jnp
import numpy as np
import pytest

from chorus_jax.denoise import loop


@pytest.fixture(scope="session")
def another(diffusers_pipeline):
    """A function: a transformer of the tiny sizes with other random weights."""
    import torch

    def make(seed=1, **changes):
        torch.manual_seed(seed)
        theirs = type(diffusers_pipeline.transformer)
        fields = dict(diffusers_pipeline.transformer.config)
        # diffusers would put the defaults back in the place of these changes.
        fields.pop("_use_default_values", None)
        model = theirs.from_config(fields | changes).eval()
        for parameter in model.parameters():
            parameter.data += 0.05 * torch.randn_like(parameter)
        return model

    return make


@pytest.fixture(scope="session")
def convert(tmp_path_factory):
    """A function: the folder of a pipeline's weights, converted in float32."""
    from convert.__main__ import main

    def converted(pipeline, name):
        folder = tmp_path_factory.mktemp(name)
        source, out = folder / "source", folder / "converted"
        pipeline.save_pretrained(source)
        assert main(["wan", str(source), str(out), "--dtype", "float32"]) == 0
        return out

    return converted


def their_noise(model, request):
    """The noise of a request's seed, [1 c f h w] in torch."""
    import torch

    seeds = jnp.array([request.seed], jnp.uint32)
    noise = loop.noise(seeds, model.geometry(request))
    return torch.from_numpy(np.array(noise.transpose(0, 4, 1, 2, 3)))


@pytest.fixture(scope="session")
def frames_of():
    """A function: the frames that a pipeline of diffusers makes of our request."""

    def frames(theirs, model, request, **given):
        theirs.set_progress_bar_config(disable=True)
        return theirs(
            prompt=request.prompt,
            negative_prompt=request.negative_prompt,
            height=request.height,
            width=request.width,
            num_frames=request.frames,
            num_inference_steps=request.steps,
            latents=their_noise(model, request),
            output_type="np",
            **given,
        ).frames[0]

    return frames
