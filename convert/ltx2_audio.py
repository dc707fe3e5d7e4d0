"""Rules for LTX-2's audio VAE and vocoder in diffusers' layout.

Source: huggingface/diffusers, models/autoencoders/autoencoder_kl_ltx2_audio.py and
pipelines/ltx2/vocoder.py.
"""

from collections.abc import Iterator

from chorus_jax.families.ltx2.audio_vae import AudioVAEConfig
from chorus_jax.families.ltx2.vocoder import VocoderConfig
from convert.ltx2 import check
from convert.rules import CONV2D, Fix, Rule

# torch [out, in, 1, 1] <-> ours [in, out]
POINT = Fix(lambda x: x[:, :, 0, 0].T, lambda x: x.T[:, :, None, None])
# torch [out, in, t] <-> ours [t, in, out]; a transposed convolution's is [in, out, t]
CONV1D = Fix(lambda x: x.transpose(2, 1, 0), lambda x: x.transpose(2, 1, 0))
WIDER = Fix(lambda x: x.transpose(2, 0, 1), lambda x: x.transpose(1, 2, 0))

VAE_REQUIRED = {
    **{"causality_axis": "height", "norm_type": "pixel", "attn_resolutions": None},
    **{"mid_block_add_attention": False, "is_causal": True, "double_z": True},
}
VOCODER_REQUIRED = {
    **{"act_fn": "leaky_relu", "antialias": False, "final_act_fn": "tanh"},
    "final_bias": True,
}


def audio_vae(sizes: AudioVAEConfig) -> tuple[Rule, ...]:
    """Rules for the names of diffusers' AutoencoderKLLTX2Audio."""
    return tuple(_audio_vae(sizes))


def _audio_vae(sizes: AudioVAEConfig) -> Iterator[Rule]:
    yield Rule("latents_mean", "mean")
    yield Rule("latents_std", "std")
    last = len(sizes.multipliers) - 1
    for half, published, step in (("encoder", "down", 1), ("decoder", "up", -1)):
        for name in ("conv_in.conv", "conv_out.conv"):
            here = {"conv_in.conv": "input", "conv_out.conv": "output"}[name]
            yield from _conv(f"{half}.{name}", f"{half}.{here}")
        for number in (1, 2):
            block = f"{half}.middle.blocks.{number - 1}"
            yield from _residual(f"{half}.mid.block_{number}", block)
        for level in range(last + 1):
            # The decoder's stages count from the one that is run last.
            stage = level if step == 1 else last - level
            source, here = f"{half}.{published}.{level}", f"{half}.stages.{stage}"
            yield from _residual(f"{source}.block.{{j}}", f"{here}.blocks.{{j}}")
            # Only those that make a picture larger are wrapped.
            resize = "downsample.conv" if step == 1 else "upsample.conv.conv"
            yield from _conv(f"{source}.{resize}", f"{here}.resize")


def _residual(published: str, here: str) -> Iterator[Rule]:
    for name in ("conv1", "conv2"):
        yield from _conv(f"{published}.{name}.conv", f"{here}.{name}")
    shortcut = f"{published}.nin_shortcut.conv"
    yield Rule(f"{shortcut}.weight", f"{here}.shortcut.kernel", POINT)
    yield Rule(f"{shortcut}.bias", f"{here}.shortcut.bias")


def _conv(published: str, here: str) -> Iterator[Rule]:
    yield Rule(f"{published}.weight", f"{here}.kernel", CONV2D)
    yield Rule(f"{published}.bias", f"{here}.bias")


def audio_vae_config(source: dict, dtype: str) -> AudioVAEConfig:
    """The sizes in diffusers' audio_vae/config.json.

    Raises ValueError for a VAE of another make.
    """
    fixed = VAE_REQUIRED | {"in_channels": source["output_channels"]}
    check(source, fixed, "the audio VAE")
    made = AudioVAEConfig(
        width=source["base_channels"],
        multipliers=tuple(source["ch_mult"]),
        depth=source["num_res_blocks"],
        channels=source["output_channels"],
        latent_channels=source["latent_channels"],
        mel_bins=source["mel_bins"],
        sample_rate=source["sample_rate"],
        hop=source["mel_hop_length"],
        dtype=dtype,
    )
    # diffusers keeps a mean per channel of the first stage: as many as a token has.
    check(source, {"base_channels": made.token_width}, "the audio VAE")
    return made


def vocoder(sizes: VocoderConfig) -> tuple[Rule, ...]:
    """Rules for the names of diffusers' LTX2Vocoder."""
    return tuple(_vocoder(sizes))


def _vocoder(sizes: VocoderConfig) -> Iterator[Rule]:
    for published, here in (("conv_in", "input"), ("conv_out", "output")):
        yield from _sound(published, here)
    for stage in range(len(sizes.factors)):
        up, here = f"upsamplers.{stage}", f"stages.{stage}"
        yield Rule(f"{up}.weight", f"{here}.up.kernel", WIDER)
        yield Rule(f"{up}.bias", f"{here}.up.bias")
        for block in range(len(sizes.kernels)):
            source = f"resnets.{stage * len(sizes.kernels) + block}"
            for number, name in ((1, "dilated"), (2, "plain")):
                target = f"{here}.blocks.{block}.{name}.{{j}}"
                yield from _sound(f"{source}.convs{number}.{{j}}", target)


def _sound(published: str, here: str) -> Iterator[Rule]:
    yield Rule(f"{published}.weight", f"{here}.kernel", CONV1D)
    yield Rule(f"{published}.bias", f"{here}.bias")


def vocoder_config(source: dict, dtype: str) -> VocoderConfig:
    """The sizes in diffusers' vocoder/config.json.

    Raises ValueError for a vocoder of another make, such as that of LTX-2.3, which
    widens the band of what it makes.
    """
    if any(name.startswith("bwe_") for name in source):
        raise ValueError(
            "the vocoder extends the band of its sound (LTX-2.3, LTX2VocoderWithBWE): "
            "that is not run here; supported is LTX2Vocoder"
        )
    check(source, VOCODER_REQUIRED, "the vocoder")
    return VocoderConfig(
        mel_bins=source["in_channels"] // source["out_channels"],
        channels=source["out_channels"],
        width=source["hidden_channels"],
        factors=tuple(source["upsample_factors"]),
        factor_kernels=tuple(source["upsample_kernel_sizes"]),
        kernels=tuple(source["resnet_kernel_sizes"]),
        dilations=tuple(map(tuple, source["resnet_dilations"])),
        slope=source["leaky_relu_negative_slope"],
        sample_rate=source["output_sampling_rate"],
        dtype=dtype,
    )
