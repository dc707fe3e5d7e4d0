"""A whole LTX-Video pipeline against diffusers' LTXPipeline, and its conversion."""

import json
from dataclasses import replace

import jax
import jax.numpy as jnp
import numpy as np
import pytest
import torch

from chorus_jax import checkpoints
from chorus_jax.checkpoints import Card
from chorus_jax.denoise import loop
from chorus_jax.engine.pipeline import Pipeline
from chorus_jax.engine.recipes import recipe_of
from chorus_jax.families.ltx.config import LTXConfig
from chorus_jax.families.ltx.sizes import LTXSizes
from chorus_jax.families.ltx.variants import defaults_of
from chorus_jax.families.ltx_vae.vae import decoding_key
from chorus_jax.families.ltx_vae.vae_config import LTXVAEConfig
from chorus_jax.families.registry import family_of
from chorus_jax.inter_request.policy.policy import Policy
from chorus_jax.nets.t5 import T5Config
from chorus_jax.request import Request
from convert.__main__ import main

RED = "a red circle moves left on a gray background"


def small(**changes):
    fields = dict(frames=17, height=64, width=96, steps=4, solver="euler", shift=1.0)
    more = dict(guidance_scale=3.0, negative_prompt="blue square", seed=7, fps=25)
    return Request(**{"prompt": RED, **fields, **more, **changes})


def encoded(theirs, prompt):
    """Embeddings and mask as the makers make them: padding is not attended to."""
    tokens = theirs.tokenizer(
        prompt, padding="max_length", max_length=16, return_tensors="pt"
    )
    mask = tokens.attention_mask
    return theirs.text_encoder(tokens.input_ids, attention_mask=mask)[0], mask.bool()


def run(theirs, request, **options):
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
        frame_rate=request.fps,
        **options,
    ).frames[0]


def diffusers_frames(theirs, request, geometry, **options):
    noise = loop.noise(jnp.array([request.seed], jnp.uint32), geometry)
    packed = torch.from_numpy(np.array(noise).reshape(1, -1, noise.shape[-1]))
    return run(theirs, request, latents=packed, output_type="np", **options)


@pytest.mark.parametrize(
    "changes",
    [
        {},
        {"fps": 12.5, "frames": 9},
        {"guidance_scale": 1.0, "frames": 9},
        {"frames": 1, "steps": 7},
    ],
    ids=["guided", "slow", "no guidance", "one frame"],
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
    names = dict(family_of(ltx_weights).lines(ltx_weights))
    assert "LTXDiT" in names["transformer"] and "LTXVAE" in names["vae"]


@pytest.mark.parametrize(
    "changes, message",
    [
        ({"frames": 16}, "frames must be 1 + a multiple of 8, got 16"),
        ({"height": 48}, "height must be a multiple of 32, got 48"),
        ({"guidance_scale_low": 2.0}, "two experts, got None and 2.0"),
    ],
)
def test_sizes_that_do_not_divide_are_refused(changes, message, ltx_weights):
    with pytest.raises(ValueError, match=message.replace("+", r"\+")):
        Pipeline.load(ltx_weights)(small(**changes))


def test_what_is_exported_is_what_was_converted(
    ltx_pipeline_091, ltx_weights_091, tmp_path
):
    from diffusers import LTXPipeline

    out = tmp_path / "exported"
    assert main(["export", str(ltx_weights_091), str(out), "--verify"]) == 0
    back = LTXPipeline.from_pretrained(out, local_files_only=True)
    for part in ("transformer", "vae", "text_encoder"):
        before = getattr(ltx_pipeline_091, part).state_dict()
        after = getattr(back, part).state_dict()
        assert before.keys() == after.keys()
        assert all(torch.equal(before[name], after[name]) for name in before)


def test_later_versions_equal_diffusers(
    ltx_pipeline, convert_ltx, tmp_path, monkeypatch
):
    """Positions in time, noise levels and scheduler of 0.9.5 and later."""
    from diffusers import FlowMatchEulerDiscreteScheduler, LTXConditionPipeline

    parts = {**ltx_pipeline.components, "scheduler": FlowMatchEulerDiscreteScheduler()}
    theirs = LTXConditionPipeline(**parts)
    weights = convert_ltx(theirs, tmp_path)
    assert Card.read(weights).part("transformer").config["causal_positions"]
    ours, request = Pipeline.load(weights), small(frames=9)
    geometry = ours.model.geometry(request)
    noise = loop.noise(jnp.array([request.seed], jnp.uint32), geometry)
    first = torch.from_numpy(np.moveaxis(np.array(noise), -1, 1).copy())
    module = "diffusers.pipelines.ltx.pipeline_ltx_condition.randn_tensor"
    monkeypatch.setattr(module, lambda *_, **__: first)
    want = run(theirs, request, output_type="latent", image_cond_noise_scale=0.0)
    [video] = ours(request)
    want = np.moveaxis(want.numpy(), 0, -1)
    np.testing.assert_allclose(video.latents, want, atol=1e-4)
    assert ours.model.solver(request).schedule.sigmas[1] == pytest.approx(0.9875)


def test_other_folders_are_refused(ltx_weights, tmp_path, capsys):
    index = json.dumps({"_class_name": "WanPipeline"})
    (tmp_path / "model_index.json").write_text(index)
    assert main(["ltx", str(tmp_path), str(tmp_path / "other")]) == 1
    assert "describes a WanPipeline, expected one of" in capsys.readouterr().err
    assert main(["ltx", str(ltx_weights), str(tmp_path / "other")]) == 1
    assert "is converted already" in capsys.readouterr().err


def test_what_is_not_in_a_folder_is_as_the_makers_have_it(ltx_weights_091):
    sizes = LTXSizes.read(ltx_weights_091)
    assert sizes.transformer.text_limit == 256
    assert (sizes.vae.decode_timestep, sizes.vae.decode_noise) == (0.05, 0.025)


def test_prompts_are_stripped_and_otherwise_left(ltx_weights):
    """As the makers do; Wan's would repair them."""
    texts = ("a  “red”\ncircle &amp; left", "blue\t\tsquare")
    request = small(prompt=f" {texts[0]} ", negative_prompt=f"\n{texts[1]}\n")
    assert Pipeline.load(ltx_weights).model.tokens([request]).texts == texts


def test_weights_of_other_families_are_refused(weights):
    with pytest.raises(ValueError, match="of the family 'wan', not 'ltx'"):
        LTXSizes.read(weights)


def test_recipes_know_the_frames_per_second(ltx_weights):
    model = Pipeline.load(ltx_weights).model
    policy = Policy(4, ())
    usual, same, other = (
        recipe_of(small(fps=fps), model, policy).digest for fps in (None, 30, 25)
    )
    assert usual == same != other


def test_the_makers_settings_are_the_defaults(ltx_weights):
    found = family_of(ltx_weights).defaults(ltx_weights)
    assert found.fps == 30 and "not recognised" in found.source
    sizes = LTXSizes(LTXConfig.b2(), LTXVAEConfig.v091(), T5Config.t5_xxl())
    assert "2B 0.9.1" in defaults_of(sizes, None).source
    later = replace(sizes, transformer=LTXConfig.b13(), vae=LTXVAEConfig.v095())
    assert "not recognised" in defaults_of(later, None).source
    # Without a number the kind tells, but 0.9.6-distilled does not tell its own.
    assert defaults_of(later, None, True).request.step_count == 7
    assert defaults_of(later, None, False).request.guidance_schedule is not None
    small = replace(sizes.transformer, causal_positions=True)
    small = replace(later, transformer=small)
    assert "not recognised" in defaults_of(small, None, False).source
    distilled = defaults_of(later, "0.9.8-distilled").request
    assert distilled.step_count == 7 and not distilled.guided


def test_fingerprints_are_those_of_the_arrays(ltx_weights):
    model = Pipeline.load(ltx_weights).model
    parts = {"transformer": model.transformer, "vae": model.vae}
    for name, part in parts.items():
        assert checkpoints.digested(part) == model.fingerprints[name]
