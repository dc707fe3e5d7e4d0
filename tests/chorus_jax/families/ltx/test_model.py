"""A whole LTX-Video pipeline against diffusers' LTXPipeline, and its conversion."""

import json

import jax
import jax.numpy as jnp
import numpy as np
import pytest
import torch

from chorus_jax import checkpoints
from chorus_jax.checkpoints import Card
from chorus_jax.denoise import loop
from chorus_jax.engine.pipeline import Pipeline
from chorus_jax.families.ltx.vae import decoding_key
from chorus_jax.families.registry import family_of
from chorus_jax.request import Request, scheduled

RED = "a red circle moves left on a gray background"


def small(**changes):
    fields = dict(frames=17, height=64, width=96, steps=4, solver="euler", shift=1.0)
    more = dict(guidance_scale=3.0, negative_prompt="blue square", seed=7)
    return Request(**{"prompt": RED, **fields, **more, **changes})


def encoded(theirs, prompt):
    """Embeddings and mask as the makers make them: padding is not attended to."""
    tokens = theirs.tokenizer(
        prompt, padding="max_length", max_length=16, return_tensors="pt"
    )
    mask = tokens.attention_mask
    return theirs.text_encoder(tokens.input_ids, attention_mask=mask)[0], mask.bool()


def diffusers_frames(theirs, request, geometry, **options):
    noise = loop.noise(jnp.array([request.seed], jnp.uint32), geometry)
    packed = torch.from_numpy(np.array(noise).reshape(1, -1, noise.shape[-1]))
    embeds, mask = encoded(theirs, request.prompt)
    negative, negative_mask = encoded(theirs, request.negative_prompt)
    theirs.set_progress_bar_config(disable=True)
    return theirs(
        prompt_embeds=embeds,
        prompt_attention_mask=mask,
        negative_prompt_embeds=negative,
        negative_prompt_attention_mask=negative_mask,
        height=request.height,
        width=request.width,
        num_frames=request.frames,
        num_inference_steps=request.steps,
        guidance_scale=request.guidance_scale,
        latents=packed,
        output_type="np",
        **options,
    ).frames[0]


@pytest.mark.parametrize(
    "changes",
    [{}, {"guidance_scale": 1.0, "frames": 9}, {"frames": 1, "steps": 7}],
    ids=["guided", "no guidance", "one frame"],
)
def test_equals_diffusers(changes, ltx_pipeline, ltx_weights):
    ours, request = Pipeline.load(ltx_weights), small(**changes)
    want = diffusers_frames(ltx_pipeline, request, ours.model.geometry(request))
    [video] = ours(request)
    assert video.frames.shape == want.shape
    # Ours are rounded to whole levels, which is up to half a level.
    assert np.abs(video.frames.astype(float) - 255 * want).max() <= 1


def test_a_decoder_with_a_timestep_equals_diffusers(
    ltx_pipeline_091, ltx_weights_091, monkeypatch
):
    ours, request = Pipeline.load(ltx_weights_091), small()
    geometry, vae = ours.model.geometry(request), ours.model.vae
    noise = jax.random.normal(decoding_key(jnp.uint32(7)), geometry.streams[0][1])
    # The makers add it to normalised latents, diffusers to raw ones.
    raw = np.moveaxis(np.asarray(vae.denormalise(noise[None])), -1, 1)
    module = "diffusers.pipelines.ltx.pipeline_ltx.randn_tensor"
    monkeypatch.setattr(module, lambda *_, **__: torch.from_numpy(raw.copy()))
    times = dict(decode_timestep=0.05, decode_noise_scale=0.025)
    want = diffusers_frames(ltx_pipeline_091, request, geometry, **times)
    [video] = ours(request)
    assert np.abs(video.frames.astype(float) - 255 * want).max() <= 1


def test_a_folder_says_what_it_is(ltx_weights):
    card = Card.read(ltx_weights)
    assert card.family == "ltx" == family_of(ltx_weights).name
    assert scheduled(card.scheduler) == {"solver": "euler", "shift": 1.0}
    names = dict(family_of(ltx_weights).lines(ltx_weights))
    assert "LTXDiT" in names["transformer"] and "LTXVAE" in names["vae"]


@pytest.mark.parametrize(
    "changes, message",
    [
        ({"frames": 16}, "frames must be 1 + a multiple of 8, got 16"),
        ({"height": 48}, "height must be a multiple of 32, got 48"),
    ],
)
def test_sizes_that_do_not_divide_are_refused(changes, message, ltx_weights):
    with pytest.raises(ValueError, match=message.replace("+", r"\+")):
        Pipeline.load(ltx_weights)(small(**changes))


def test_what_is_exported_is_what_was_converted(
    ltx_pipeline_091, ltx_weights_091, tmp_path
):
    from diffusers import LTXPipeline

    from convert.__main__ import main

    out = tmp_path / "exported"
    assert main(["export", str(ltx_weights_091), str(out), "--verify"]) == 0
    back = LTXPipeline.from_pretrained(out, local_files_only=True)
    for part in ("transformer", "vae", "text_encoder"):
        before = getattr(ltx_pipeline_091, part).state_dict()
        after = getattr(back, part).state_dict()
        assert before.keys() == after.keys()
        assert all(torch.equal(before[name], after[name]) for name in before)


def test_later_versions_stand_otherwise_in_time(ltx_weights, tmp_path):
    from convert.__main__ import main

    source = ltx_weights.parent / "source"
    (tmp_path / "source").mkdir()
    for part in source.iterdir():
        (tmp_path / "source" / part.name).symlink_to(part)
    index = json.loads((source / "model_index.json").read_text())
    file = tmp_path / "source" / "model_index.json"
    file.unlink()
    file.write_text(json.dumps({**index, "_class_name": "LTXConditionPipeline"}))
    out = tmp_path / "converted"
    arguments = ["ltx", str(tmp_path / "source"), str(out), "--dtype", "float32"]
    assert main(arguments) == 0
    assert Card.read(out).part("transformer").config["causal_positions"]
    file.write_text(json.dumps({**index, "_class_name": "WanPipeline"}))
    assert main([*arguments[:2], str(tmp_path / "other")]) == 1


def test_weights_of_other_families_are_refused(weights):
    from chorus_jax.families.ltx.sizes import LTXSizes

    with pytest.raises(ValueError, match="of the family 'wan', not 'ltx'"):
        LTXSizes.read(weights)


def test_fingerprints_are_those_of_the_arrays(ltx_weights):
    model = Pipeline.load(ltx_weights).model
    parts = {"transformer": model.transformer, "vae": model.vae}
    for name, part in parts.items():
        assert checkpoints.digested(part) == model.fingerprints[name]
