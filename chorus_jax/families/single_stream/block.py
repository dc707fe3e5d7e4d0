"""One block of a transformer with a stream of video tokens that attends to text."""

from collections.abc import Callable
from typing import Any, TypeVar

from flax import nnx
from jaxtyping import Array, Bool, Float

from chorus_jax.devices.sharding import constrain
from chorus_jax.families.forward import BranchReuse
from chorus_jax.nets.control import select, when
from chorus_jax.nets.layers import LayerNorm, RMSNorm
from chorus_jax.nets.modulation import Mlp, TokenTimes, enter, leave, modulate
from chorus_jax.nets.token_attention import (
    Alone,
    AttendedKeys,
    Context,
    CrossAttention,
    Keys,
    Observed,
    SelfAttention,
)

T = TypeVar("T")

# The branches of a layer.
BRANCHES = ("self_attention", "cross_attention", "mlp")


class ModulatedBlock(nnx.Module):
    """Self-attention, cross-attention and feed-forward, modulated by the timestep.

    Returns the tokens and the layer's side outputs. If `attended_keys` is `HeldKeys`,
    tokens attend to cached keys and values of all tiles. A family's block makes the
    parts. With `reuse`, only branches that are `needed` have side outputs.

    Attributes:
        modulation: learnt rows that are added to the timestep's six.
        norm: the norm before self-attention and feed-forward, without weights.
        attn: self-attention.
        cross_norm: the norm before cross-attention; None without one.
        cross: cross-attention to the text.
        mlp: the feed-forward network.
    """

    modulation: nnx.Param
    norm: LayerNorm | RMSNorm
    attn: SelfAttention
    cross_norm: LayerNorm | None
    cross: CrossAttention
    mlp: Mlp

    def __call__(
        self,
        x: Float[Array, "b n c"],
        times: Float[Array, " b *n 6 c"] | TokenTimes,
        rotary: Float[Array, "2 *b n r"],
        context: Context,
        attended_keys: AttendedKeys = Alone(),
        reuse: BranchReuse | None = None,
        passive: Bool[Array, " b"] | None = None,
        needed: tuple[bool, bool, bool] = (False, False, False),
    ) -> tuple[Float[Array, "b n c"], Observed]:
        shift, scale, gate, mlp_shift, mlp_scale, mlp_gate = modulate(
            self.modulation[...], times
        )

        def attend(x: Array) -> tuple[Array, Keys]:
            return self.attn(
                enter(self.norm, x, shift, scale), rotary, attended_keys, passive
            )

        def read(x: Array) -> tuple[Array, Array | None]:
            return self.cross(
                x if self.cross_norm is None else self.cross_norm(x), context
            )

        def feed(x: Array) -> tuple[Array, None]:
            return self.mlp(enter(self.norm, x, mlp_shift, mlp_scale)), None

        attended, keys = taken(reuse, 0, attend, x, needed[0])
        x = leave(x, attended, gate)
        words, share = taken(reuse, 1, read, x, needed[1])
        x = x + words
        fed, _ = taken(reuse, 2, feed, x)
        x = leave(x, fed, mlp_gate)
        outputs = None if reuse is None else (attended, words, fed)
        observed = Observed(keys, share, outputs)
        return constrain(x, "batch", "tokens", None), observed


def taken(
    reuse: BranchReuse | None,
    branch: int,
    compute: Callable[[Any], tuple[Array, T]],
    x: Any,
    needed: bool = False,
) -> tuple[Array, T | None]:
    """The output of one branch, computed or reused, and its side output (None if the
    branch may be reused and is not needed)."""
    if reuse is None or needed:
        return compute(x)
    wanted, earlier = reuse.compute[branch], reuse.outputs[branch]
    if wanted.dtype != bool:
        weight = wanted[:, None, None]
        blend = weight * compute(x)[0] + (1 - weight) * earlier
        return blend.astype(earlier.dtype), None
    output = when(wanted.any(), lambda _, x: compute(x)[0], earlier, x)
    return select(wanted, output, earlier), None
