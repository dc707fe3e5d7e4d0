"""Rules for the LTX-Video VAE in diffusers' layout and original single files.

The original release numbers residual blocks, resizing layers and changes of width in
one list, so the rules depend on the sizes. Sources: huggingface/diffusers,
models/autoencoders/autoencoder_kl_ltx.py; Lightricks/LTX-Video,
ltx_video/models/autoencoders/causal_video_autoencoder.py.
"""

from collections.abc import Iterator
from dataclasses import dataclass
from itertools import count

from chorus_jax.families.ltx_vae.vae_config import LTXVAEConfig
from convert.rules import CONV3D, LINEAR, Fix, Rule

# torch [out, in, 1, 1, 1] <-> ours [in, out]
POINT = Fix(lambda x: x.reshape(x.shape[:2]).T, lambda x: x.T[:, :, None, None, None])
# torch [c, 1, 1] <-> ours [c]
STRENGTH = Fix(lambda x: x.reshape(-1), lambda x: x.reshape(-1, 1, 1))
# torch [] <-> ours [1]
SCALAR = Fix(lambda x: x.reshape(1), lambda x: x.reshape(()))


@dataclass(frozen=True)
class StageNames:
    """The source names of a stage's modules.

    Attributes:
        blocks: the module that contains the residual blocks.
        resize: the layer that changes the size; "" if there is none.
        change: the block that changes the width; "" if there is none.
    """

    blocks: str
    resize: str = ""
    change: str = ""


@dataclass(frozen=True)
class VAENames:
    """The names that a source layout uses.

    Attributes:
        residuals: the list of residual blocks in a stage.
        shortcut: the convolution on the shortcut of a residual block.
        norm: the norm before the shortcut.
        mean: the means of the latent channels.
        std: the standard deviations of the latent channels.
        last: the prefix of the timestep embedding and table at the decoder's end.
        encoder: the encoder's stages; the middle one comes last.
        decoder: the decoder's stages; the middle one comes first.
    """

    residuals: str
    shortcut: str
    norm: str
    mean: str
    std: str
    last: str
    encoder: tuple[StageNames, ...]
    decoder: tuple[StageNames, ...]


def diffusers(sizes: LTXVAEConfig) -> tuple[Rule, ...]:
    """Rules for the names of diffusers' AutoencoderKLLTXVideo."""
    down = (f"encoder.down_blocks.{i}" for i in range(len(sizes.down)))
    up = (f"decoder.up_blocks.{i}" for i in range(len(sizes.up)))
    return _rules(
        sizes,
        VAENames(
            *("resnets", "conv_shortcut.conv", "norm3", "latents_mean", "latents_std"),
            last="",
            encoder=(
                *(StageNames(x, f"{x}.downsamplers.0", f"{x}.conv_out") for x in down),
                StageNames("encoder.mid_block"),
            ),
            decoder=(
                StageNames("decoder.mid_block"),
                *(StageNames(x, f"{x}.upsamplers.0", f"{x}.conv_in") for x in up),
            ),
        ),
    )


def original(sizes: LTXVAEConfig) -> tuple[Rule, ...]:
    """Rules for the names in original single files, without their prefix."""
    means = "per_channel_statistics.{}-of-means"
    return _rules(
        sizes,
        VAENames(
            *("res_blocks", "conv_shortcut", "norm3.norm"),
            *(means.format("mean"), means.format("std")),
            last="last_",
            encoder=tuple(_numbered_encoder(sizes)),
            decoder=tuple(_numbered_decoder(sizes)),
        ),
    )


def _numbered_encoder(sizes: LTXVAEConfig) -> Iterator[StageNames]:
    numbers = (f"encoder.down_blocks.{i}" for i in count())
    widths = zip(sizes.encoder_widths, sizes.encoder_widths[1:])
    for down, (before, after) in zip(sizes.down, widths):
        changes = down in ("conv", "none") and before != after
        yield StageNames(
            next(numbers),
            "" if down == "none" else next(numbers),
            next(numbers) if changes else "",
        )
    yield StageNames(next(numbers))


def _numbered_decoder(sizes: LTXVAEConfig) -> Iterator[StageNames]:
    numbers = (f"decoder.up_blocks.{i}" for i in count())
    yield StageNames(next(numbers))
    for changes, factor in zip(sizes.changes, sizes.up):
        change = next(numbers) if changes else ""
        resize = next(numbers) if factor else ""
        yield StageNames(next(numbers), resize, change)


def _rules(sizes: LTXVAEConfig, names: VAENames) -> tuple[Rule, ...]:
    return (*_ends(names), *_encoder(sizes, names), *_decoder(sizes, names))


def _ends(names: VAENames) -> Iterator[Rule]:
    yield Rule(names.mean, "mean")
    yield Rule(names.std, "std")
    for half in ("encoder", "decoder"):
        yield from _conv(f"{half}.conv_in.conv", f"{half}.input")
        yield from _conv(f"{half}.conv_out.conv", f"{half}.output")
    yield from _time(f"decoder.{names.last}time_embedder", "decoder")
    yield Rule(f"decoder.{names.last}scale_shift_table", "decoder.table")
    yield Rule("decoder.timestep_scale_multiplier", "decoder.time_scale", SCALAR)


def _encoder(sizes: LTXVAEConfig, names: VAENames) -> Iterator[Rule]:
    *stages, middle = names.encoder
    yield from _blocks(names, middle, "encoder.middle")
    for i, (stage, down) in enumerate(zip(stages, sizes.down)):
        here = f"encoder.stages.{i}"
        yield from _blocks(names, stage, here)
        changed = 0 if down == "none" else 1
        yield from _residual(names, stage.change, f"{here}.after.{changed}")
        if down == "conv":
            yield from _conv(f"{stage.resize}.conv", f"{here}.after.0")
        else:
            yield from _conv(f"{stage.resize}.conv.conv", f"{here}.after.0.conv")


def _decoder(sizes: LTXVAEConfig, names: VAENames) -> Iterator[Rule]:
    changes = (False, *sizes.changes)
    for i, (stage, changed) in enumerate(zip(names.decoder, changes)):
        here = f"decoder.stages.{i}"
        yield from _blocks(names, stage, here)
        yield from _time(f"{stage.blocks}.time_embedder", here)
        yield from _residual(names, stage.change, f"{here}.before.0")
        place = f"{here}.before.{int(changed)}.conv"
        yield from _conv(f"{stage.resize}.conv.conv", place)


def _blocks(names: VAENames, stage: StageNames, here: str) -> Iterator[Rule]:
    source = f"{stage.blocks}.{names.residuals}.{{j}}"
    yield from _residual(names, source, f"{here}.blocks.{{j}}")


def _residual(names: VAENames, published: str, here: str) -> Iterator[Rule]:
    for number in (1, 2):
        yield from _conv(f"{published}.conv{number}.conv", f"{here}.conv{number}")
        source = f"{published}.per_channel_scale{number}"
        yield Rule(source, f"{here}.noise{number}.scale", STRENGTH)
    yield Rule(f"{published}.scale_shift_table", f"{here}.table")
    yield Rule(f"{published}.{names.norm}.weight", f"{here}.shortcut_norm.scale")
    yield Rule(f"{published}.{names.norm}.bias", f"{here}.shortcut_norm.bias")
    shortcut = f"{published}.{names.shortcut}"
    yield Rule(f"{shortcut}.weight", f"{here}.shortcut.kernel", POINT)
    yield Rule(f"{shortcut}.bias", f"{here}.shortcut.bias")


def _conv(published: str, here: str) -> Iterator[Rule]:
    yield Rule(f"{published}.weight", f"{here}.kernel", CONV3D)
    yield Rule(f"{published}.bias", f"{here}.bias")


def _time(published: str, here: str) -> Iterator[Rule]:
    for number, name in ((1, "inner"), (2, "outer")):
        source = f"{published}.timestep_embedder.linear_{number}"
        yield Rule(f"{source}.weight", f"{here}.time.mlp.{name}.kernel", LINEAR)
        yield Rule(f"{source}.bias", f"{here}.time.mlp.{name}.bias")
