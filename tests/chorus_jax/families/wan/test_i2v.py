"""Image-to-video: whole models against diffusers' pipeline, and what is refused."""

import math
from dataclasses import replace

import numpy as np
import pytest
from PIL import Image

from chorus_jax.engine.cache import Cache
from chorus_jax.engine.engine import Engine
from chorus_jax.engine.pipeline import Pipeline
from chorus_jax.engine.recipes import recipe_of
from chorus_jax.families.wan.images import given_mask
from chorus_jax.inter_request.policy.policy import Policy, Regions, Tier
from chorus_jax.media.inputs import InputMedia
from chorus_jax.request import Request
from convert.__main__ import main

CHANNELS = 4 + 4 + 4  # noise, mask, latents of the given frames


def picture(seed, height=64, width=96):
    draw = np.random.default_rng(seed)
    return draw.integers(0, 256, (height, width, 3), np.uint8)


def small(image=picture(0), last=None, **changes):
    fields = {"frames": 9, "height": 64, "width": 96, "steps": 4, "seed": 7}
    inputs = None if image is None else InputMedia(image, last)
    fields |= {"guidance_scale": 3.0, "inputs": inputs} | changes
    return Request("a red circle moves left", **fields)


def compared(theirs, pipeline, frames_of, request, **given):
    inputs = request.inputs
    given["image"] = Image.fromarray(inputs.image)
    if inputs.last_image is not None:
        given["last_image"] = Image.fromarray(inputs.last_image)
    want = frames_of(theirs, pipeline.model, request, **given)
    [video] = pipeline(request)
    assert video.frames.shape == want.shape
    return np.abs(video.frames.astype(float) - 255 * want).max()


@pytest.fixture(scope="module")
def parts(diffusers_pipeline):
    """Those of the tiny pipeline; this pipeline asks the VAE how much it compresses."""
    theirs = diffusers_pipeline.vae
    fields = {k: v for k, v in theirs.config.items() if k != "_use_default_values"}
    vae = type(theirs).from_config(fields | {"scale_factor_spatial": 4})
    vae.load_state_dict(theirs.state_dict())
    return dict(diffusers_pipeline.components) | {"vae": vae.eval()}


@pytest.fixture(scope="module")
def pictures(parts):
    """The parts with an image tower and its processor."""
    import torch
    from transformers import CLIPImageProcessor, CLIPVisionConfig, CLIPVisionModel

    torch.manual_seed(5)
    tower = CLIPVisionModel(
        CLIPVisionConfig(
            hidden_size=18,
            num_hidden_layers=3,
            num_attention_heads=2,
            intermediate_size=20,
            image_size=12,
            patch_size=4,
            hidden_act="gelu",
        )
    ).eval()
    for parameter in tower.parameters():
        parameter.data += 0.1 * torch.randn_like(parameter)
    # As the original code: squeezed to a square, not cropped.
    squeezed = {"height": 12, "width": 12}
    processor = CLIPImageProcessor(size=squeezed, do_center_crop=False)
    both = {"image_encoder": tower, "image_processor": processor}
    return parts | both | {"transformer_2": None}


READING = {"in_channels": CHANNELS, "image_dim": 18, "added_kv_proj_dim": 24}


@pytest.fixture(scope="module")
def first(pictures, another):
    """Wan 2.1 I2V: with the image tower."""
    from diffusers import WanImageToVideoPipeline

    return WanImageToVideoPipeline(**pictures | {"transformer": another(6, **READING)})


@pytest.fixture(scope="module")
def between(pictures, another):
    """Wan 2.1 FLF2V: the tokens of two images have learnt places."""
    from diffusers import WanImageToVideoPipeline

    transformer = another(9, **READING, pos_embed_seq_len=2 * (3 * 3 + 1))
    return WanImageToVideoPipeline(**pictures | {"transformer": transformer})


@pytest.fixture(scope="module")
def second(parts, another):
    """Wan 2.2 I2V-A14B: two experts, no image tower."""
    from diffusers import WanImageToVideoPipeline

    shape = {"in_channels": CHANNELS}
    pair = {"transformer": another(7, **shape), "transformer_2": another(8, **shape)}
    return WanImageToVideoPipeline(**parts | pair, boundary_ratio=0.9)


@pytest.fixture(scope="module")
def folder(first, convert):
    return convert(first, "i2v21")


@pytest.fixture(scope="module")
def ours_first(folder):
    return Pipeline.load(folder)


@pytest.fixture(scope="module")
def ours_between(between, convert):
    return Pipeline.load(convert(between, "flf2v"))


@pytest.fixture(scope="module")
def ours_second(second, convert):
    return Pipeline.load(convert(second, "i2v22"))


@pytest.mark.parametrize(
    "changes",
    [
        {"negative_prompt": "gray background"},
        {"image": picture(1, 80, 50), "guidance_scale": 1.0},
    ],
    ids=["guided", "another size, no guidance"],
)
def test_wan21_equals_diffusers(changes, first, ours_first, frames_of):
    request = small(**changes)
    scale = {"guidance_scale": request.guidance_scale}
    assert compared(first, ours_first, frames_of, request, **scale) <= 0.51


@pytest.mark.parametrize("last", [None, picture(2)], ids=["first", "first and last"])
def test_wan22_experts_equal_diffusers(last, second, ours_second, frames_of):
    scales = {"guidance_scale_high": 4.0, "guidance_scale_low": 3.0}
    request = small(last=last, **scales)
    assert len(set(ours_second.model.experts(request))) == 2
    scales = {"guidance_scale": 4.0, "guidance_scale_2": 3.0}
    assert compared(second, ours_second, frames_of, request, **scales) <= 0.51


def test_first_and_last_image_equal_diffusers(between, ours_between, frames_of):
    request = small(last=picture(2), guidance_scale=2.0)
    assert compared(between, ours_between, frames_of, request, guidance_scale=2.0) < 0.6
    places = ours_between.model.transformer.image.positions[...]
    assert places.shape == (20, 18) and np.abs(places).max() > 0


def test_a_model_between_two_images_wants_both(ours_between):
    with pytest.raises(ValueError, match="between two images: give the last one too"):
        ours_between(small())


def test_a_last_image_of_another_size_is_cut_to_the_first(between, ours_between):
    """diffusers squeezes it, but for its example, which cuts it before."""
    wide = picture(2, 64, 120)
    cut, whole = small(last=wide[:, 12:-12]), small(last=wide)
    images = [ours_between.model.images([request]) for request in (cut, whole)]
    for ours, want in zip(*images, strict=True):
        np.testing.assert_array_equal(ours, want)


def test_the_image_moves_the_video(ours_first):
    one, other = (ours_first(small(picture(seed)))[0] for seed in (0, 3))
    assert np.abs(one.latents - other.latents).max() > 1e-3


def test_a_last_frame_is_the_last_of_its_latent_frame():
    """Whatever the number of frames: the original code is for 81 only."""
    mask = given_mask(9, 4, last=True)
    np.testing.assert_array_equal(mask, [[1] * 4, [0] * 4, [0, 0, 0, 1]])
    np.testing.assert_array_equal(given_mask(5, 4, last=False), [[1] * 4, [0] * 4])


def test_recipes_tell_images_apart(ours_first):
    model, policy = ours_first.model, Policy(4, ())
    recipes = [recipe_of(small(picture(i)), model, policy) for i in (0, 0, 3)]
    assert recipes[0].digest == recipes[1].digest != recipes[2].digest
    tower = ours_first.fingerprints["image_encoder"]
    assert recipes[0].inputs == f"{small().inputs.digest} {tower}"


def test_reuse_with_the_same_image_and_a_miss_with_another(ours_first):
    policy = Policy(4, (Tier(0.0, 1, 3, 0.25),), Regions(limit=math.inf))
    cache = Cache.in_memory()
    engine = Engine(ours_first, cache, policy)
    engine.generate(small())
    other = replace(small(), prompt="a blue circle moves left")
    hit = engine.generate(other).ledger
    assert hit.kind == "semantic" and hit.active < 1
    elsewhere = replace(other, inputs=InputMedia(picture(4)), seed=8)
    assert engine.generate(elsewhere).ledger.kind == "miss"
    cache.close()


def test_export_gives_image_encoder_and_processor_back(folder, first, tmp_path):
    from diffusers import WanImageToVideoPipeline

    assert main(["export", str(folder), str(tmp_path / "back")]) == 0
    again = WanImageToVideoPipeline.from_pretrained(tmp_path / "back")
    for name in ("image_encoder", "transformer"):
        made, want = (getattr(x, name).state_dict() for x in (again, first))
        assert made.keys() == want.keys()
        assert all((made[key] == want[key]).all() for key in want)
    image = Image.fromarray(picture(0))
    made, want = (x.image_processor(image).pixel_values[0] for x in (again, first))
    np.testing.assert_allclose(made, want, atol=1e-6)


def test_requests_without_what_the_model_reads(ours_first, ours_second, weights):
    with pytest.raises(ValueError, match="makes videos of an image: give one"):
        ours_first(small(None))
    with pytest.raises(ValueError, match="makes videos of words alone"):
        Pipeline.load(weights)(small())
    with pytest.raises(ValueError, match="tokens of one image"):
        ours_first(small(last=picture(2)))
    with pytest.raises(ValueError, match="one frame has no last image"):
        ours_second(small(last=picture(2), frames=1))
