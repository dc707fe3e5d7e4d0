"""Rules for the LTX-Video VAE in diffusers' layout, which follow from its sizes.

Source: huggingface/diffusers, models/autoencoders/autoencoder_kl_ltx.py.
"""

from collections.abc import Iterator

from chorus_jax.families.ltx_vae.vae_config import LTXVAEConfig
from convert.rules import CONV3D, LINEAR, Fix, Rule

# torch [out, in, 1, 1, 1] <-> ours [in, out]
POINT = Fix(lambda x: x.reshape(x.shape[:2]).T, lambda x: x.T[:, :, None, None, None])
# torch [c, 1, 1] <-> ours [c]
STRENGTH = Fix(lambda x: x.reshape(-1), lambda x: x.reshape(-1, 1, 1))
# torch [] <-> ours [1]
SCALAR = Fix(lambda x: x.reshape(1), lambda x: x.reshape(()))

DOWN = {
    "LTXVideoDownBlock3D": ("conv",),
    "LTXVideo095DownBlock3D": ("spatial", "temporal", "spatiotemporal"),
}


def diffusers(sizes: LTXVAEConfig) -> tuple[Rule, ...]:
    """Rules for the names of diffusers' AutoencoderKLLTXVideo."""
    return (*_ends(), *_encoder(sizes), *_decoder(sizes))


def config(source: dict, dtype: str) -> LTXVAEConfig:
    """The sizes in diffusers' vae/config.json.

    Raises ValueError for a VAE of another make.
    """
    _check(source)
    down = _down(source)
    widths, count = list(source["block_out_channels"]), len(down)
    decoder = source["decoder_block_out_channels"][::-1]
    scaled = source["decoder_spatio_temporal_scaling"][::-1]
    factors = source["upsample_factor"][::-1]
    stages = list(zip(decoder, scaled, factors, strict=True))
    return LTXVAEConfig(
        encoder_widths=tuple(widths + widths[-1:] * (count + 1 - len(widths))),
        encoder_depths=tuple(source["layers_per_block"]),
        down=down,
        decoder_widths=(decoder[0], *(width // by for width, _, by in stages)),
        decoder_depths=tuple(source["decoder_layers_per_block"][::-1]),
        up=tuple(factor if on else 0 for _, on, factor in stages),
        up_residual=bool(source["upsample_residual"][0]),
        decoder_noise=tuple(source["decoder_inject_noise"][::-1]),
        timestep=source["timestep_conditioning"],
        decoder_causal=source["decoder_causal"],
        latent_channels=source["latent_channels"],
        patch=source["patch_size"],
        dtype=dtype,
    )


def _check(source: dict) -> None:
    fixed = {
        **{"in_channels": 3, "out_channels": 3, "patch_size_t": 1},
        **{"scaling_factor": 1.0, "encoder_causal": True, "resnet_norm_eps": 1e-6},
    }
    for key, expected in fixed.items():
        value = source.get(key, expected)
        if value != expected:
            raise ValueError(f"the VAE has {key}={value!r}; supported is {expected!r}")
    if len(set(source["upsample_residual"])) > 1:
        raise ValueError(
            "the VAE adds what it doubles in some stages of its decoder, got "
            f"upsample_residual={source['upsample_residual']}; supported is all or none"
        )


def _down(source: dict) -> tuple[str, ...]:
    kinds = source.get("down_block_types") or ["LTXVideoDownBlock3D"]
    kind = kinds[-1]
    if kind not in DOWN or len(set(kinds)) > 1:
        raise ValueError(
            f"the VAE has down_block_types={kinds}; supported is one of "
            f"{', '.join(DOWN)} in all stages"
        )
    names = source["downsample_type"] if "095" in kind else ["conv"] * 99
    names = [
        name if on else "none"
        for name, on in zip(names, source["spatio_temporal_scaling"])
    ]
    if not set(names) <= {*DOWN[kind], "none"}:
        raise ValueError(f"the VAE shrinks by {names}; supported is {DOWN[kind]}")
    return tuple(names)


def _ends() -> Iterator[Rule]:
    yield Rule("latents_mean", "mean")
    yield Rule("latents_std", "std")
    for half in ("encoder", "decoder"):
        yield from _conv(f"{half}.conv_in.conv", f"{half}.input")
        yield from _conv(f"{half}.conv_out.conv", f"{half}.output")
    yield from _time("decoder", "decoder")
    yield Rule("decoder.scale_shift_table", "decoder.table")
    yield Rule("decoder.timestep_scale_multiplier", "decoder.time_scale", SCALAR)


def _encoder(sizes: LTXVAEConfig) -> Iterator[Rule]:
    yield from _blocks("encoder.mid_block", "encoder.middle")
    for stage, down in enumerate(sizes.down):
        published, here = f"encoder.down_blocks.{stage}", f"encoder.stages.{stage}"
        yield from _blocks(published, here)
        changed = 0 if down == "none" else 1
        yield from _residual(f"{published}.conv_out", f"{here}.after.{changed}")
        if down == "conv":
            yield from _conv(f"{published}.downsamplers.0.conv", f"{here}.after.0")
        else:
            source = f"{published}.downsamplers.0.conv.conv"
            yield from _conv(source, f"{here}.after.0.conv")


def _decoder(sizes: LTXVAEConfig) -> Iterator[Rule]:
    yield from _blocks("decoder.mid_block", "decoder.stages.0")
    yield from _time("decoder.mid_block", "decoder.stages.0")
    for stage, changes in enumerate(sizes.changes):
        published, here = f"decoder.up_blocks.{stage}", f"decoder.stages.{stage + 1}"
        yield from _blocks(published, here)
        yield from _time(published, here)
        yield from _residual(f"{published}.conv_in", f"{here}.before.0")
        place = f"{here}.before.{int(changes)}.conv"
        yield from _conv(f"{published}.upsamplers.0.conv.conv", place)


def _blocks(published: str, here: str) -> Iterator[Rule]:
    yield from _residual(f"{published}.resnets.{{j}}", f"{here}.blocks.{{j}}")


def _residual(published: str, here: str) -> Iterator[Rule]:
    for number in (1, 2):
        yield from _conv(f"{published}.conv{number}.conv", f"{here}.conv{number}")
        source = f"{published}.per_channel_scale{number}"
        yield Rule(source, f"{here}.noise{number}.scale", STRENGTH)
    yield Rule(f"{published}.scale_shift_table", f"{here}.table")
    yield Rule(f"{published}.norm3.weight", f"{here}.shortcut_norm.scale")
    yield Rule(f"{published}.norm3.bias", f"{here}.shortcut_norm.bias")
    yield Rule(
        f"{published}.conv_shortcut.conv.weight", f"{here}.shortcut.kernel", POINT
    )
    yield Rule(f"{published}.conv_shortcut.conv.bias", f"{here}.shortcut.bias")


def _conv(published: str, here: str) -> Iterator[Rule]:
    yield Rule(f"{published}.weight", f"{here}.kernel", CONV3D)
    yield Rule(f"{published}.bias", f"{here}.bias")


def _time(published: str, here: str) -> Iterator[Rule]:
    for number, name in ((1, "inner"), (2, "outer")):
        source = f"{published}.time_embedder.timestep_embedder.linear_{number}"
        yield Rule(f"{source}.weight", f"{here}.time.mlp.{name}.kernel", LINEAR)
        yield Rule(f"{source}.bias", f"{here}.time.mlp.{name}.bias")
