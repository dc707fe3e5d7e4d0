"""Initial weights of the VAE: an identity on a subset of the pixels and frames.

A stack of random convolutions loses a pixel's colour, and the norm before each output
loses its magnitude; learning these again takes most of a short training. So every
convolution outside a residual branch starts by passing its channels on, and residual
branches add nothing. Before an output norm, one channel is large and constant, so that
small values in other channels pass the norm almost linearly.
"""

import jax.numpy as jnp
from jaxtyping import Array, Float

from chorus_jax.families.wan.vae import WanVAE
from chorus_jax.families.wan.vae_config import WanVAEConfig
from chorus_jax.training.params import Params, random_params

# Beside a channel of size LARGE, the norm halves the others, and the SiLU after it
# halves them again; GAIN makes up for both.
LARGE, GAIN = 2.0, 4.0
# Initial bias of the log-variances: without it the first latents are mostly noise.
QUIET = -5.0


def initial_vae(config: WanVAEConfig, seed: int) -> Params:
    """The parameters of a VAE that passes on every 4th pixel, if it compresses by 4."""
    params = random_params(lambda rngs: WanVAE(config, rngs=rngs), seed)
    params = {name: started(name, x) for name, x in params.items()}
    widest = config.width * config.multipliers[-1]
    last = len(config.multipliers) - 1
    for name, width in (
        ("encoder.middle.2.conv2.bias", widest),
        (
            f"decoder.stages.{last}.blocks.{config.depth}.conv2.bias",
            config.width * config.multipliers[0],
        ),
    ):
        params[name] = params[name].at[-1].set(LARGE * width**0.5)
    half = config.latent_channels
    params["moments.kernel"] = params["moments.kernel"].at[:, half:].set(0.0)
    params["moments.bias"] = params["moments.bias"].at[half:].set(QUIET)
    return params


def started(name: str, x: Array) -> Array:
    """The initial value of a parameter, given its random value."""
    if name.endswith(("conv2.kernel", ".out.kernel")):
        return jnp.zeros_like(x)
    if name.endswith("output.conv.kernel"):
        return GAIN * passing(x)
    if name.endswith(("conv1.kernel", "qkv.kernel")) or not name.endswith("kernel"):
        return x
    if name.endswith("resample.time.kernel") and x.shape[-1] == 2 * x.shape[-2]:
        return jnp.concatenate([passing(half) for half in jnp.split(x, 2, -1)], -1)
    return passing(x)


def passing(kernel: Float[Array, "*taps i o"]) -> Float[Array, "*taps i o"]:
    """The kernel changed to pass its first channels on; further outputs stay random."""
    *taps, inputs, outputs = kernel.shape
    shared = min(inputs, outputs)
    kernel = kernel.at[..., :shared].set(0.0)
    # In time the newest frame, as convolutions are causal; in space the middle.
    centre = [size // 2 for size in taps]
    if len(taps) == 3:
        centre[0] = taps[0] - 1
    return kernel.at[(*centre, slice(shared), slice(shared))].set(jnp.eye(shared))
