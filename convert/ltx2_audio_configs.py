"""Rules and configs for LTX-2's audio VAE and vocoders in original single files.

Source of the defaults: Lightricks/LTX-2, packages/ltx-core, ltx_core/model/audio_vae/
model_configurator.py.
"""

from collections.abc import Mapping, Sequence
from typing import Any

from chorus_jax.families.ltx2.audio_vae import AudioVAEConfig
from chorus_jax.families.ltx2.band_vocoder import BandVocoderConfig
from chorus_jax.families.ltx2.vocoder import VocoderConfig
from convert import ltx2_audio
from convert.ltx2 import check, renamed
from convert.rules import Rule

VAE_REQUIRED = {
    **{"causality_axis": "height", "norm_type": "pixel", "double_z": True},
    "mid_block_add_attention": False,
}
VOCODER_REQUIRED = {
    **{"resblock": "1", "stereo": True, "use_tanh_at_final": True},
    "use_bias_at_final": True,
}
BAND_REQUIRED = {
    **{"resblock": "AMP1", "stereo": True, "activation": "snakebeta"},
    **{"use_tanh_at_final": False, "use_bias_at_final": False},
}
CHANNELS, MEL_BINS, TAPS, SLOPE = 2, 64, 12, 0.1
BAND = "bwe"  # the config field of the bandwidth extension


def audio_vae(sizes: AudioVAEConfig) -> tuple[Rule, ...]:
    """Rules for the audio VAE's names in a single file."""
    return renamed(ltx2_audio.audio_vae(sizes), ltx2_audio.MAKERS_VAE)


def vocoder(sizes: VocoderConfig) -> tuple[Rule, ...]:
    """Rules for the vocoder's names in a single file."""
    return renamed(ltx2_audio.vocoder(sizes), ltx2_audio.MAKERS_VOCODER)


def band_vocoder(sizes: BandVocoderConfig) -> tuple[Rule, ...]:
    """Rules for the names of 2.3's vocoder, which extends the bandwidth."""
    return renamed(ltx2_audio.band_vocoder(sizes), ltx2_audio.MAKERS_VOCODER)


def audio_vae_config(source: Mapping[str, Any], dtype: str) -> AudioVAEConfig:
    """Our config from the metadata of a single file (`config`, `audio_vae`).

    Raises:
        ValueError: for an unsupported VAE.
    """
    params = source["model"]["params"]
    sizes, preparing = params["ddconfig"], source.get("preprocessing", {})
    check(sizes, VAE_REQUIRED, "the audio VAE")
    stft, mel = (preparing.get(name, {}) for name in ("stft", "mel"))
    check(stft, {"causal": True}, "the audio VAE")
    return AudioVAEConfig(
        width=sizes.get("ch", 128),
        multipliers=tuple(sizes.get("ch_mult", (1, 2, 4))),
        depth=sizes.get("num_res_blocks", 2),
        channels=sizes.get("out_ch", CHANNELS),
        latent_channels=sizes.get("z_channels", 8),
        mel_bins=sizes.get("mel_bins") or mel.get("n_mel_channels", MEL_BINS),
        sample_rate=params.get("sampling_rate", 16000),
        hop=stft.get("hop_length", 160),
        dtype=dtype,
    )


def vocoder_config(source: Mapping[str, Any], dtype: str) -> VocoderConfig:
    """Our config from the metadata of a single file (`config`, `vocoder`).

    Raises:
        ValueError: for an unsupported vocoder.
    """
    check(source, VOCODER_REQUIRED, "the vocoder")
    return VocoderConfig(
        **_shared(source),
        width=source.get("upsample_initial_channel", 1024),
        **_factors(source, ""),
        slope=SLOPE,
        sample_rate=source.get("output_sampling_rate", 24000),
        dtype=dtype,
    )


def band_vocoder_config(source: Mapping[str, Any], dtype: str) -> BandVocoderConfig:
    """Our config of LTX-2.3's vocoder, from `vocoder` in the metadata.

    Raises:
        ValueError: for an unsupported vocoder.
    """
    base, band = source["vocoder"], source[BAND]
    shared = _shared(base)
    for half in (base, band):
        # A missing field about the last layer is no problem: the sum is clipped anyway.
        check(half, {**BAND_REQUIRED, **_named(shared)}, "the vocoder")
    check(band, {"num_mels": MEL_BINS}, "the vocoder")
    return BandVocoderConfig(
        **shared,
        width=base.get("upsample_initial_channel", 1024),
        **_factors(base, ""),
        band_width=band.get("upsample_initial_channel", 1024),
        **_factors(band, "band_"),
        taps=TAPS,
        window=band["n_fft"],
        hop=band["hop_length"],
        base_rate=band["input_sampling_rate"],
        sample_rate=band["output_sampling_rate"],
        dtype=dtype,
    )


def _shared(source: Mapping[str, Any]) -> dict[str, Any]:
    dilations: Sequence[Any] = source.get("resblock_dilation_sizes", [[1, 3, 5]] * 3)
    return {
        "mel_bins": MEL_BINS,
        "channels": CHANNELS,
        "kernels": tuple(source.get("resblock_kernel_sizes", (3, 7, 11))),
        "dilations": tuple(map(tuple, dilations)),
    }


def _named(shared: Mapping[str, Any]) -> dict[str, Any]:
    return {
        "resblock_kernel_sizes": list(shared["kernels"]),
        "resblock_dilation_sizes": [list(x) for x in shared["dilations"]],
    }


def _factors(source: Mapping[str, Any], prefix: str) -> dict[str, Any]:
    return {
        f"{prefix}factors": tuple(source.get("upsample_rates", (6, 5, 2, 2, 2))),
        f"{prefix}factor_kernels": tuple(
            source.get("upsample_kernel_sizes", (16, 15, 8, 4, 4))
        ),
    }
