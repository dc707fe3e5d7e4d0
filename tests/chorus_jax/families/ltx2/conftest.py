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


@pytest.fixture(scope="session")
def ltx2_pipeline(word_tokenizer):
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
    from diffusers.pipelines.ltx2.vocoder import LTX2Vocoder

    torch.manual_seed(0)
    vae, audio = AutoencoderKLLTX2Video(**VAE), AutoencoderKLLTX2Audio(**AUDIO_VAE)
    for part, count in ((vae, 4), (audio, 8)):
        part.latents_mean = torch.randn(count)
        part.latents_std = 0.5 + torch.rand(count)
    made = LTX2Pipeline(
        scheduler=FlowMatchEulerDiscreteScheduler(**SCHEDULER),
        vae=vae.eval(),
        audio_vae=audio.eval(),
        text_encoder=text_encoder(len(word_tokenizer)).eval(),
        tokenizer=word_tokenizer,
        connectors=LTX2TextConnectors(**CONNECTORS).eval(),
        transformer=LTX2VideoTransformer3DModel(**TRANSFORMER).eval(),
        vocoder=LTX2Vocoder(**VOCODER).eval(),
    )
    made.set_progress_bar_config(disable=True)
    return made


@pytest.fixture(scope="session")
def ltx2_weights(ltx2_pipeline, tmp_path_factory):
    """The pipeline's weights converted, in float32."""
    from convert.__main__ import main

    folder = tmp_path_factory.mktemp("ltx2")
    ltx2_pipeline.save_pretrained(folder / "source")
    source, out = str(folder / "source"), str(folder / "converted")
    assert main(["ltx2", source, out, "--dtype", "float32"]) == 0
    return folder / "converted"
