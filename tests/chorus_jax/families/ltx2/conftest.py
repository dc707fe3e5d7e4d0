"""A tiny LTX-2 pipeline of diffusers, and the same weights converted."""

import pytest

TRANSFORMER = {
    "in_channels": 4,
    "out_channels": 4,
    "num_attention_heads": 2,
    "attention_head_dim": 16,
    "cross_attention_dim": 32,
    "audio_in_channels": 8,
    "audio_out_channels": 8,
    "audio_num_attention_heads": 2,
    "audio_attention_head_dim": 8,
    "audio_cross_attention_dim": 16,
    "num_layers": 2,
    "caption_channels": 16,
    "rope_type": "split",
    "perturbed_attn": True,
}
VAE = {
    "latent_channels": 4,
    "block_out_channels": (4, 8, 8, 8),
    "layers_per_block": (1, 1, 1, 1, 1),
    "decoder_block_out_channels": (8, 16, 32),
    "decoder_layers_per_block": (1, 1, 1, 1),
    "decoder_causal": False,
    # diffusers takes these from the config, and counts wrong without.
    "spatial_compression_ratio": 32,
    "temporal_compression_ratio": 8,
}
AUDIO_VAE = {
    "base_channels": 8,
    "latent_channels": 2,
    "mel_bins": 16,
    "num_res_blocks": 1,
}
VOCODER = {
    "in_channels": 32,
    "hidden_channels": 16,
    "upsample_kernel_sizes": [8, 4],
    "upsample_factors": [4, 2],
    "resnet_kernel_sizes": [3],
    "resnet_dilations": [[1, 3]],
    "output_sampling_rate": 16000,
}
GEMMA = dict(
    hidden_size=16,
    intermediate_size=24,
    num_hidden_layers=2,
    num_attention_heads=2,
    num_key_value_heads=1,
    head_dim=8,
    sliding_window=1024,
    query_pre_attn_scalar=8,
)
TRANSFORMER_23 = TRANSFORMER | {
    "gated_attn": True,
    "audio_gated_attn": True,
    "cross_attn_mod": True,
    "audio_cross_attn_mod": True,
    "use_prompt_embeddings": False,
}
VOCODER_23 = {
    "in_channels": 32,
    "hidden_channels": 8,
    "upsample_kernel_sizes": [11, 4],
    "upsample_factors": [5, 2],
    "resnet_kernel_sizes": [3],
    "resnet_dilations": [[1, 3]],
    "bwe_in_channels": 32,
    "bwe_hidden_channels": 8,
    "bwe_upsample_kernel_sizes": [12, 11],
    "bwe_upsample_factors": [6, 5],
    "bwe_resnet_kernel_sizes": [3],
    "bwe_resnet_dilations": [[1, 3]],
    "filter_length": 32,
    "window_length": 32,
    "hop_length": 10,
    "num_mel_channels": 16,
}
CONNECTORS = {
    "caption_channels": 16,
    "text_proj_in_factor": 3,
    "video_connector_num_attention_heads": 2,
    "video_connector_attention_head_dim": 8,
    "video_connector_num_layers": 1,
    "audio_connector_num_attention_heads": 2,
    "audio_connector_attention_head_dim": 8,
    "audio_connector_num_layers": 1,
    "rope_type": "split",
}
CONNECTORS_23 = CONNECTORS | {
    "per_modality_projections": True,
    "video_hidden_dim": 32,
    "audio_hidden_dim": 16,
    "video_connector_attention_head_dim": 16,
    "audio_connector_attention_head_dim": 8,
    "proj_bias": True,
    "video_gated_attn": True,
    "audio_gated_attn": True,
}
SCHEDULER = {
    "use_dynamic_shifting": True,
    "base_shift": 0.95,
    "max_shift": 2.05,
    "base_image_seq_len": 1024,
    "max_image_seq_len": 4096,
    "shift_terminal": 0.1,
}


def text_encoder(words):
    """Gemma 3 that sees pictures too, as the published folders have it."""
    from transformers import Gemma3Config, Gemma3ForConditionalGeneration

    seen = dict(
        hidden_size=8,
        intermediate_size=8,
        num_hidden_layers=1,
        num_attention_heads=1,
        image_size=28,
        patch_size=14,
    )
    config = Gemma3Config(
        text_config={**GEMMA, "vocab_size": words + 8},
        vision_config=seen,
        mm_tokens_per_image=4,
        image_token_index=words + 2,
        boi_token_index=words + 3,
        eoi_token_index=words + 4,
    )
    return Gemma3ForConditionalGeneration(config)


def make_pipeline(tokenizer, transformer, connectors, vocoder):
    """diffusers' LTX2Pipeline with random weights, in float32."""
    import torch
    from diffusers import (
        AutoencoderKLLTX2Audio,
        AutoencoderKLLTX2Video,
        FlowMatchEulerDiscreteScheduler,
        LTX2Pipeline,
        LTX2VideoTransformer3DModel,
    )
    from diffusers.pipelines.ltx2.connectors import LTX2TextConnectors

    torch.manual_seed(0)
    vae, audio = AutoencoderKLLTX2Video(**VAE), AutoencoderKLLTX2Audio(**AUDIO_VAE)
    for part, count in ((vae, 4), (audio, 8)):
        part.latents_mean = torch.randn(count)
        part.latents_std = 0.5 + torch.rand(count)
    made = LTX2Pipeline(
        scheduler=FlowMatchEulerDiscreteScheduler(**SCHEDULER),
        vae=vae.eval(),
        audio_vae=audio.eval(),
        text_encoder=text_encoder(len(tokenizer)).eval(),
        tokenizer=tokenizer,
        connectors=LTX2TextConnectors(**connectors).eval(),
        transformer=LTX2VideoTransformer3DModel(**transformer).eval(),
        vocoder=vocoder.eval(),
    )
    made.set_progress_bar_config(disable=True)
    return made


def convert(pipeline, folder):
    """The pipeline's weights converted, in float32."""
    from convert.__main__ import main

    pipeline.save_pretrained(folder / "source")
    source, out = str(folder / "source"), str(folder / "converted")
    assert main(["ltx2", source, out, "--dtype", "float32"]) == 0
    return folder / "converted"


@pytest.fixture(scope="session")
def ltx2_pipeline(word_tokenizer):
    """That of 2.0."""
    from diffusers.pipelines.ltx2.vocoder import LTX2Vocoder

    vocoder = LTX2Vocoder(**VOCODER)
    return make_pipeline(word_tokenizer, TRANSFORMER, CONNECTORS, vocoder)


@pytest.fixture(scope="session")
def ltx2_weights(ltx2_pipeline, tmp_path_factory):
    """Those of `ltx2_pipeline`."""
    return convert(ltx2_pipeline, tmp_path_factory.mktemp("ltx2"))


@pytest.fixture(scope="session")
def ltx23_pipeline(word_tokenizer):
    """That of 2.3."""
    import torch
    from diffusers.pipelines.ltx2.vocoder import LTX2VocoderWithBWE

    vocoder = LTX2VocoderWithBWE(**VOCODER_23)
    # These come with the checkpoint: fresh ones are zeros.
    torch.manual_seed(1)
    for basis in (vocoder.mel_stft.mel_basis, vocoder.mel_stft.stft_fn.forward_basis):
        basis.copy_(torch.rand_like(basis) / 4)
    return make_pipeline(word_tokenizer, TRANSFORMER_23, CONNECTORS_23, vocoder)


@pytest.fixture(scope="session")
def ltx23_weights(ltx23_pipeline, tmp_path_factory):
    """Those of `ltx23_pipeline`."""
    return convert(ltx23_pipeline, tmp_path_factory.mktemp("ltx23"))
