"""Tiny LTX-Video pipelines of diffusers, and the same weights converted."""

import pytest

TRANSFORMER = {
    "in_channels": 4,
    "out_channels": 4,
    "num_attention_heads": 2,
    "attention_head_dim": 16,
    "cross_attention_dim": 32,
    "num_layers": 2,
    "caption_channels": 16,
}
VAE_090 = {
    "latent_channels": 4,
    "block_out_channels": (4, 8, 8, 8),
    "decoder_block_out_channels": (4, 8, 8, 8),
    "layers_per_block": (1, 1, 1, 1, 1),
    "decoder_layers_per_block": (1, 1, 1, 1, 1),
}
VAE_091 = VAE_090 | {
    "decoder_block_out_channels": (8, 16, 32),
    "decoder_layers_per_block": (1, 1, 1, 1),
    "decoder_spatio_temporal_scaling": (True,) * 3,
    "decoder_inject_noise": (False,) * 4,
    "upsample_residual": (True,) * 3,
    "upsample_factor": (2, 2, 2),
    "timestep_conditioning": True,
}
SCHEDULER = {
    "use_dynamic_shifting": True,
    "base_shift": 0.95,
    "max_shift": 2.05,
    "base_image_seq_len": 1024,
    "max_image_seq_len": 4096,
    "shift_terminal": 0.1,
}


def make_pipeline(tokenizer, vae):
    """diffusers' LTXPipeline with random weights, in float32."""
    import torch
    from diffusers import (
        AutoencoderKLLTXVideo,
        FlowMatchEulerDiscreteScheduler,
        LTXPipeline,
        LTXVideoTransformer3DModel,
    )
    from transformers import T5Config, T5EncoderModel

    torch.manual_seed(0)
    text = T5Config(
        vocab_size=len(tokenizer),
        d_model=16,
        d_kv=8,
        d_ff=24,
        num_layers=2,
        num_heads=2,
        feed_forward_proj="gated-gelu",
    )
    decoder = AutoencoderKLLTXVideo(**vae)
    decoder.latents_mean = torch.randn(4)
    decoder.latents_std = 0.5 + torch.rand(4)
    return LTXPipeline(
        scheduler=FlowMatchEulerDiscreteScheduler(**SCHEDULER),
        vae=decoder.eval(),
        text_encoder=T5EncoderModel(text).eval(),
        tokenizer=tokenizer,
        transformer=LTXVideoTransformer3DModel(**TRANSFORMER).eval(),
    )


def convert(pipeline, folder):
    """The pipeline's weights converted, in float32, and read again."""
    from convert.__main__ import main

    pipeline.save_pretrained(folder / "source")
    source, out = str(folder / "source"), str(folder / "converted")
    assert main(["ltx", source, out, "--dtype", "float32", "--verify"]) == 0
    return folder / "converted"


@pytest.fixture(scope="session")
def ltx_pipeline(word_tokenizer):
    """With the VAE of 0.9.0."""
    return make_pipeline(word_tokenizer, VAE_090)


@pytest.fixture(scope="session")
def ltx_weights(ltx_pipeline, tmp_path_factory):
    """Those of `ltx_pipeline`."""
    return convert(ltx_pipeline, tmp_path_factory.mktemp("ltx"))


@pytest.fixture(scope="session")
def ltx_pipeline_091(word_tokenizer):
    """With a VAE whose decoder is told a timestep, as that of 0.9.1."""
    return make_pipeline(word_tokenizer, VAE_091)


@pytest.fixture(scope="session")
def ltx_weights_091(ltx_pipeline_091, tmp_path_factory):
    """Those of `ltx_pipeline_091`."""
    return convert(ltx_pipeline_091, tmp_path_factory.mktemp("ltx_091"))


@pytest.fixture(scope="session")
def convert_ltx():
    """A function: the weights of a pipeline converted into a folder."""
    return convert
