"""Wan 2.2 TI2V-5B, of words and of an image, against diffusers' pipelines."""

import numpy as np
import pytest
from PIL import Image

from chorus_jax.checkpoints import Card
from chorus_jax.engine.pipeline import Pipeline
from chorus_jax.families.wan.images import first_latents
from chorus_jax.families.wan.residual_vae import WanResidualVAE
from chorus_jax.media.inputs import InputMedia, covering
from chorus_jax.request import Request
from convert.__main__ import main


def picture(seed, height=64, width=96):
    draw = np.random.default_rng(seed)
    return draw.integers(0, 256, (height, width, 3), np.uint8)


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


@pytest.fixture(scope="module")
def theirs_of_image(theirs):
    """diffusers' WanPipeline takes no image: this one does."""
    from diffusers import WanImageToVideoPipeline

    return WanImageToVideoPipeline(**theirs.components, expand_timesteps=True)


@pytest.mark.parametrize("size", [(64, 96), (128, 192)], ids=["its size", "larger"])
def test_an_image_equals_diffusers(size, pipeline, theirs_of_image, frames_of):
    request = small(inputs=InputMedia(picture(0, *size)), guidance_scale=3.0)
    image = Image.fromarray(request.inputs.image)
    given = {"guidance_scale": 3.0, "image": image}
    want = frames_of(theirs_of_image, pipeline.model, request, **given)
    [video] = pipeline(request)
    assert np.abs(video.frames.astype(float) - 255 * want).max() <= 0.51
    first = first_latents(pipeline.model.vae, request)
    np.testing.assert_array_equal(video.latents[:1], first)


def test_an_image_of_another_aspect_is_cut_to_the_video():
    """As Wan's own code does: covered and cut, not squeezed."""
    image = np.zeros((4, 12, 3), np.uint8)
    image[:, 4:8] = 200
    cut = covering(image, 4, 4, Image.Resampling.LANCZOS)
    assert cut.shape == (4, 4, 3) and (cut == 200).all()
    assert covering(image, 8, 8, Image.Resampling.LANCZOS).shape == (8, 8, 3)


def test_a_last_image_is_refused(pipeline):
    inputs = InputMedia(picture(0), picture(1))
    with pytest.raises(ValueError, match="reads the first image alone"):
        pipeline(small(inputs=inputs))
