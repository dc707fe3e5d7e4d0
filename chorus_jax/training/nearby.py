"""Higher weights of the error near an object, at noise levels that show where it is.

Most latents are ground, whose texture no model can predict, and the silhouette of an
object is a tenth of them. The weight depends on the clean clip. Where the noisy clip
determines the weight, the weight leaves the optimal velocity unchanged. At high noise
levels the place of the object is unknown, and the weight would change the optimum: an
object would seem more likely at all places where it may be. So the weight grows from 1
at the noise level `UNSEEN` to its full size at `SEEN`.
"""

from typing import Final

import jax.numpy as jnp
from jaxtyping import Array, Float

from chorus_jax.training.structure import NEAR, PLACES

UNSEEN: Final = 0.95  # noise level above which all places weigh the same
SEEN: Final = 0.8  # noise level below which the weight is full
REACH: Final = 1.8  # radii around the object's centre, which contain any silhouette
SOFT: Final = 0.2  # radii over which the weight falls


def near_weight(
    structure: Float[Array, "b f h w s"], sigmas: Float[Array, " b"], extra: float
) -> Float[Array, "b f h w 1"]:
    """1 on the ground, up to 1 + `extra` on an object and around it.

    Args:
        structure: what clips show, from `structure.structure`; if a clip has two
            objects, only the first counts.
        sigmas: noise level of each clip.
        extra: additional weight of an object's error at noise levels up to `SEEN`.

    Returns:
        A weight per latent.
    """
    places = structure[..., -PLACES:]
    way = NEAR * jnp.arctanh(jnp.clip(places[..., :2] / 2, -0.999, 0.999))
    radius = (places[..., 2] + 2.5) / 16
    distance = jnp.sqrt(jnp.square(way).sum(axis=-1)) / radius
    closeness = jnp.clip((REACH - distance) / SOFT, 0, 1)
    seen = jnp.clip((UNSEEN - sigmas) / (UNSEEN - SEEN), 0, 1)
    return 1 + extra * (closeness * seen[:, None, None, None])[..., None]
