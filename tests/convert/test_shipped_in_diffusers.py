"""The shipped weights, exported and run by diffusers' WanPipeline."""

from dataclasses import replace

import jax.numpy as jnp
import numpy as np
import pytest

from chorus_jax.checkpoints import shipped
from chorus_jax.denoise import loop
from chorus_jax.engine.pipeline import Pipeline
from configs import shapes
from convert.__main__ import main


@pytest.fixture(scope="module")
def theirs(tmp_path_factory):
    import torch
    from diffusers import WanPipeline

    folder = tmp_path_factory.mktemp("exported") / "shapes"
    assert main(["export", str(shipped.folder(shapes.WEIGHTS)), str(folder)]) == 0
    loaded = WanPipeline.from_pretrained(
        folder, local_files_only=True, torch_dtype=torch.float32
    )
    loaded.set_progress_bar_config(disable=True)
    return loaded


def test_diffusers_makes_the_same_video(theirs):
    import torch

    prompt = "a red circle moves left on a gray background"
    request = replace(shapes.get_config(), prompt=prompt, seed=1, steps=16)
    ours = Pipeline.load(shipped.folder(shapes.WEIGHTS), dtype="float32")
    geometry = ours.model.geometry(request)
    noise = loop.noise(jnp.array([1], jnp.uint32), geometry)
    frames = theirs(
        request.prompt,
        request.negative_prompt,
        height=request.height,
        width=request.width,
        num_frames=request.frames,
        num_inference_steps=request.steps,
        guidance_scale=request.guidance_scale,
        latents=torch.from_numpy(np.array(noise.transpose(0, 4, 1, 2, 3))),
        max_sequence_length=ours.model.sizes.transformer.text_limit,
        output_type="np",
    ).frames[0]
    [video] = ours(request)
    assert video.frames.std() > 10
    error = np.square(video.frames / 255 - frames).mean()
    assert -10 * np.log10(error) > 45
