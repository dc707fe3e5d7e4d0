"""Wan 2.2 TI2V-5B, text-to-video: the whole model against diffusers' pipeline."""

import numpy as np
import pytest

from chorus_jax.checkpoints import Card
from chorus_jax.engine.pipeline import Pipeline
from chorus_jax.families.wan.residual_vae import WanResidualVAE
from chorus_jax.request import Request
from convert.__main__ import main


def small(**changes):
    fields = {"frames": 9, "height": 64, "width": 96, "steps": 4, "seed": 7, **changes}
    return Request("a red circle moves left", **fields)


@pytest.fixture(scope="module")
def theirs(diffusers_pipeline, another):
    import torch
    from diffusers import AutoencoderKLWan

    torch.manual_seed(3)
    vae = AutoencoderKLWan(
        base_dim=4,
        decoder_base_dim=8,
        z_dim=6,
        dim_mult=[1, 2, 2],
        num_res_blocks=1,
        temperal_downsample=[True, True],
        is_residual=True,
        in_channels=12,
        out_channels=12,
        patch_size=2,
        scale_factor_spatial=8,
        latents_mean=[0.1 * i for i in range(6)],
        latents_std=[1.0 + 0.1 * i for i in range(6)],
    )
    parts = dict(diffusers_pipeline.components)
    parts |= {"transformer": another(4, in_channels=6, out_channels=6)}
    parts |= {"vae": vae.eval(), "transformer_2": None}
    return type(diffusers_pipeline)(**parts, expand_timesteps=True)


@pytest.fixture(scope="module")
def folder(theirs, convert):
    return convert(theirs, "ti2v")


@pytest.fixture(scope="module")
def pipeline(folder):
    return Pipeline.load(folder)


@pytest.mark.parametrize(
    "changes",
    [{"negative_prompt": "gray background"}, {"frames": 1, "guidance_scale": 1.0}],
    ids=["guided", "one frame, no guidance"],
)
def test_equals_diffusers(changes, pipeline, theirs, frames_of):
    request = small(**changes)
    scale = {"guidance_scale": request.guidance_scale}
    want = frames_of(theirs, pipeline.model, request, **scale)
    [video] = pipeline(request)
    assert video.frames.shape == want.shape
    assert np.abs(video.frames.astype(float) - 255 * want).max() <= 0.51


def test_the_card_says_what_it_is(folder, pipeline):
    card = Card.read(folder)
    assert card.settings == {"expand_timesteps": True}
    assert card.part("vae").model == WanResidualVAE.__name__
    assert pipeline.model.geometry(small()).streams == (("video", (3, 8, 12, 6)),)


def test_sizes_are_multiples_of_patch_and_latent(pipeline):
    with pytest.raises(ValueError, match="height must be a multiple of 16, got 40"):
        pipeline(small(height=40))


def test_export_gives_the_vae_back(folder, theirs, tmp_path):
    from diffusers import WanPipeline

    assert main(["export", str(folder), str(tmp_path / "back")]) == 0
    again = WanPipeline.from_pretrained(tmp_path / "back")
    assert again.config.expand_timesteps
    ours, want = (x.vae.state_dict() for x in (again, theirs))
    assert ours.keys() == want.keys()
    assert all((ours[key] == want[key]).all() for key in want)
