"""Encodes clips to latents on disk with the trained VAE."""

from concurrent.futures import Executor

import jax
import numpy as np
from jaxtyping import Array, Float, UInt8
from tqdm import tqdm

from chorus_jax.families.wan.vae import WanVAE
from chorus_jax.training.data import Clips, Encoded
from chorus_jax.training.loop import prefetched
from chorus_jax.training.structure import CHANNELS, structure
from chorus_jax.training.vae import to_float
from chorus_jax.training.world.chances import COUNT, chances


@jax.jit
def raw_latents(
    vae: WanVAE, video: UInt8[Array, "b f h w 3"]
) -> Float[Array, "b t y x c"]:
    """Means of the posterior, not normalised, in float32."""
    return vae.posterior_at_once(to_float(video)).mean


@jax.jit
def normalised_latents(
    vae: WanVAE, video: UInt8[Array, "b f h w 3"]
) -> Float[Array, "b t y x c"]:
    """Latents as the transformer takes them, in float32."""
    return vae.normalise(raw_latents(vae, video))


def encode_clips(
    vae: WanVAE, clips: Clips, encoded: Encoded, count: int, executor: Executor
) -> None:
    """Encodes the first `count` clips, continuing an earlier call that was stopped."""
    batch, world = 16, clips.world
    grid = vae.config.latent_shape(world.frames, world.height, world.width)
    latents = encoded.create("latents", count, (*grid, vae.config.latent_channels))
    drawn = encoded.create("structure", count, (*grid, CHANNELS))
    chance = encoded.create("chances", count, (COUNT,))
    if len(latents) != count:
        raise ValueError(
            f"{encoded.folder} was begun for {len(latents)} clips, not {count}: "
            "remove it, or ask for as many"
        )
    first = encoded.done()
    bar = tqdm(total=count, initial=first, unit="clip", mininterval=2)
    ahead = prefetched(clips, first, count, executor)
    with bar:
        for start in range(first, count, batch):
            end = min(start + batch, count)
            examples = [next(ahead) for _ in range(start, end)]
            videos = np.stack([example.video for example in examples])
            # The last batch is padded, so that only one program is compiled.
            videos = np.resize(videos, (batch, *videos.shape[1:]))
            made = np.asarray(normalised_latents(vae, videos))[: end - start]
            latents[start:end] = made.astype(np.float16)
            scenes = [example.scene for example in examples]
            drawn[start:end] = np.stack(
                [structure(example, grid) for example in scenes]
            )
            chance[start:end] = np.stack(
                [chances(example).flat() for example in scenes]
            )
            for array in (latents, drawn, chance):
                array.flush()
            encoded.add([example.prompt.attributes for example in examples])
            bar.update(end - start)
