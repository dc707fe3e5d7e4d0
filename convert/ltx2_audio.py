"""Rules for LTX-2's audio VAE and vocoders in diffusers' layout.

Source: huggingface/diffusers, models/autoencoders/autoencoder_kl_ltx2_audio.py and
pipelines/ltx2/vocoder.py; Lightricks/LTX-2, packages/ltx-core,
ltx_core/model/audio_vae.
"""

from collections.abc import Iterator

from chorus_jax.families.ltx2.audio_vae import AudioVAEConfig
from chorus_jax.families.ltx2.band_vocoder import BandVocoderConfig
from chorus_jax.families.ltx2.vocoder import VocoderConfig
from convert.ltx2 import check
from convert.rules import CONV2D, LINEAR, Fix, Rule

# torch [out, in, 1, 1] <-> ours [in, out]
POINT = Fix(lambda x: x[:, :, 0, 0].T, lambda x: x.T[:, :, None, None])
# torch [out, in, t] <-> ours [t, in, out]; a transposed convolution's is [in, out, t]
CONV1D = Fix(lambda x: x.transpose(2, 1, 0), lambda x: x.transpose(2, 1, 0))
WIDER = Fix(lambda x: x.transpose(2, 0, 1), lambda x: x.transpose(1, 2, 0))

# torch [1, 1, k] <-> ours [k]; torch [frequencies, 1, k] <-> ours [k, frequencies]
TAPS = Fix(lambda x: x.reshape(-1), lambda x: x.reshape(1, 1, -1))
WAVES = Fix(lambda x: x[:, 0].T, lambda x: x.T[:, None])

BAND_MARKER = "bwe_hidden_channels"  # a config field that only 2.3's vocoder has
MAKERS_VAE = {
    "latents_mean": "per_channel_statistics.mean-of-means",
    "latents_std": "per_channel_statistics.std-of-means",
}
MAKERS_VOCODER = {
    **{"upsamplers": "ups", "resnets": "resblocks", "act_out": "act_post"},
    **{"conv_in": "conv_pre", "conv_out": "conv_post"},
    "downsample": "downsample.lowpass",
}
VAE_REQUIRED = {
    **{"causality_axis": "height", "norm_type": "pixel", "attn_resolutions": None},
    **{"mid_block_add_attention": False, "is_causal": True, "double_z": True},
}
VOCODER_REQUIRED = {
    **{"act_fn": "leaky_relu", "antialias": False, "final_act_fn": "tanh"},
    "final_bias": True,
}
BAND_REQUIRED = {
    f"{half}{name}": value
    for half in ("", "bwe_")
    for name, value in {
        "act_fn": "snakebeta",
        "antialias": True,
        "antialias_ratio": 2,
        "final_act_fn": None,
        "final_bias": False,
    }.items()
}
UNUSED = "mel_stft.stft_fn.inverse_basis"  # turns a spectrum into sound


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
            # The published decoder counts its stages from the last one that is run.
            stage = level if step == 1 else last - level
            source, here = f"{half}.{published}.{level}", f"{half}.stages.{stage}"
            yield from _residual(f"{source}.block.{{j}}", f"{here}.blocks.{{j}}")
            # Upsampling convolutions are wrapped in a module, downsampling ones not.
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
    """Our config from diffusers' audio_vae/config.json.

    Raises:
        ValueError: for an unsupported VAE.
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
    # diffusers stores `base_channels` means; they must be as many as a token is wide.
    check(source, {"base_channels": made.token_width}, "the audio VAE")
    return made


def vocoder(sizes: VocoderConfig) -> tuple[Rule, ...]:
    """Rules for the names of diffusers' LTX2Vocoder."""
    return tuple(_vocoder(sizes, "", ""))


def band_vocoder(sizes: BandVocoderConfig) -> tuple[Rule, ...]:
    """Rules for the names of diffusers' LTX2VocoderWithBWE."""
    return (
        *_vocoder(sizes.base, "vocoder.", "base."),
        *_vocoder(sizes.band, "bwe_generator.", "band."),
        Rule("mel_stft.mel_basis", "mel", LINEAR),
        Rule("mel_stft.stft_fn.forward_basis", "waves", WAVES),
    )


def _vocoder(sizes: VocoderConfig, prefix: str, ours: str) -> Iterator[Rule]:
    for published, here in (("conv_in", "input"), ("conv_out", "output")):
        yield from _sound(f"{prefix}{published}", f"{ours}{here}")
    yield from _snake(f"{prefix}act_out", f"{ours}last")
    for stage in range(len(sizes.factors)):
        up, here = f"{prefix}upsamplers.{stage}", f"{ours}stages.{stage}"
        yield Rule(f"{up}.weight", f"{here}.up.kernel", WIDER)
        yield Rule(f"{up}.bias", f"{here}.up.bias")
        for block in range(len(sizes.kernels)):
            source = f"{prefix}resnets.{stage * len(sizes.kernels) + block}"
            target = f"{here}.blocks.{block}"
            for number, name in ((1, "dilated"), (2, "plain")):
                conv = f"{source}.convs{number}.{{j}}"
                yield from _sound(conv, f"{target}.{name}.{{j}}")
            for number, name in ((1, "first"), (2, "second")):
                act = f"{source}.acts{number}.{{j}}"
                yield from _snake(act, f"{target}.{name}.{{j}}")


def _snake(published: str, here: str) -> Iterator[Rule]:
    for name in ("alpha", "beta"):
        yield Rule(f"{published}.act.{name}", f"{here}.{name}")
    for name in ("up", "down"):
        yield Rule(f"{published}.{name}sample.filter", f"{here}.{name}", TAPS)


def _sound(published: str, here: str) -> Iterator[Rule]:
    yield Rule(f"{published}.weight", f"{here}.kernel", CONV1D)
    yield Rule(f"{published}.bias", f"{here}.bias")


def vocoder_config(source: dict, dtype: str) -> VocoderConfig:
    """Our config from diffusers' vocoder/config.json for an LTX2Vocoder.

    Raises:
        ValueError: for an unsupported vocoder.
    """
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


def band_vocoder_config(source: dict, dtype: str) -> BandVocoderConfig:
    """Our config from diffusers' vocoder/config.json for an LTX2VocoderWithBWE.

    Raises:
        ValueError: for an unsupported vocoder.
    """
    names = (
        *("in_channels", "out_channels", "resnet_kernel_sizes"),
        *("resnet_dilations", "antialias_kernel_size"),
    )
    alike = {f"bwe_{name}": source[name] for name in names}
    mel = source["in_channels"] // source["out_channels"]
    sizes = {"num_mel_channels": mel, "window_length": source["filter_length"]}
    check(source, {**BAND_REQUIRED, **alike, **sizes}, "the vocoder")
    return BandVocoderConfig(
        mel_bins=mel,
        channels=source["out_channels"],
        width=source["hidden_channels"],
        factors=tuple(source["upsample_factors"]),
        factor_kernels=tuple(source["upsample_kernel_sizes"]),
        band_width=source["bwe_hidden_channels"],
        band_factors=tuple(source["bwe_upsample_factors"]),
        band_factor_kernels=tuple(source["bwe_upsample_kernel_sizes"]),
        kernels=tuple(source["resnet_kernel_sizes"]),
        dilations=tuple(map(tuple, source["resnet_dilations"])),
        taps=source["antialias_kernel_size"],
        window=source["window_length"],
        hop=source["hop_length"],
        base_rate=source["input_sampling_rate"],
        sample_rate=source["output_sampling_rate"],
        dtype=dtype,
    )
