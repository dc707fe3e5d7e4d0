"""Initial weights of the VAE: an identity that skips pixels and frames.

Random convolutions in a row lose what colour a pixel has, and the norm before each
output loses how strong it is; learning that back takes most of a short training. So
every convolution that is not in a residual branch starts by passing its channels on,
residual branches add nothing, and before an output norm one channel is large and
constant: what is small beside it passes the norm almost unchanged.
"""

import jax.numpy as jnp
from jaxtyping import Array, Float

from chorus_jax.families.wan.vae import WanVAE
from chorus_jax.families.wan.vae_config import WanVAEConfig
from chorus_jax.training.params import Params, random_params

# Beside it a channel is halved by the norm, and halved again by the SiLU after it.
LARGE, GAIN = 2.0, 4.0
# Added at the start to log-variances: without it the first latents are mostly noise.
QUIET = -5.0


def initial_vae(config: WanVAEConfig, seed: int) -> Params:
    """The parameters of a VAE that shows every 4th pixel, if it compresses by 4."""
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
    """A parameter at the start, from a random one."""
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
    """The kernel with its first channels passed on; further outputs stay random."""
    *taps, inputs, outputs = kernel.shape
    shared = min(inputs, outputs)
    kernel = kernel.at[..., :shared].set(0.0)
    # The newest frame of a causal convolution, the middle of a picture.
    centre = [size // 2 for size in taps]
    if len(taps) == 3:
        centre[0] = taps[0] - 1
    return kernel.at[(*centre, slice(shared), slice(shared))].set(jnp.eye(shared))
