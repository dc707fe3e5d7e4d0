"""DBCache: the first layers decide whether the middle ones run; the last always run.

vipshop/cache-dit (DBCache, "dual block cache"). It is the first-block cache
(`first_block`) with further layers at the end of the model that run in every step, on
what the skipped layers would have given them.
"""

from dataclasses import dataclass
from typing import Any

import jax
import jax.numpy as jnp
from jaxtyping import Array, Bool

from chorus_jax.families.forward import Forward, Held
from chorus_jax.intra_request.first_block import FirstBlock
from chorus_jax.intra_request.fitting import RunProperties, check_layers
from chorus_jax.nets.control import select, when, zeros


@dataclass(frozen=True)
class DBCache(FirstBlock):
    """Skips the middle layers while the residual of the first ones hardly changes.

    Attributes:
        front: the number of first layers, which decide; cache-dit's default is 8.
        back: the number of last layers, which run in every step, 1 or more.

    The other attributes are those of `FirstBlock`.

    Raises:
        ValueError: for numbers out of range.
    """

    front: int = 8
    back: int = 8

    def __post_init__(self) -> None:
        super().__post_init__()
        if self.back < 1:
            raise ValueError(
                f"DBCache has 1 or more layers at the back, got {self.back}: without "
                "any take first-block"
            )

    def check(self, run: RunProperties) -> None:
        """Raises a ValueError for a model without layers in the middle."""
        check_layers("front + back", self.always, run)

    @property
    def always(self) -> int:
        """The number of layers that run in every step."""
        return self.front + self.back

    def behind(
        self,
        forward: Forward,
        computed: Bool[Array, " r"],
        tokens: Any,
        reused: Any,
        held: Held,
        sides: Any,
    ) -> tuple[Any, Any, Held]:
        """The layers behind the first ones (see `FirstBlock.behind`)."""
        end = forward.layers - self.back
        middle = lambda tokens: forward.blocks(tokens, self.front, end)
        run = lambda before, tokens: middle(tokens)
        none = zeros(jax.eval_shape(middle, tokens)[1])
        after, more = when(computed.any(), run, (reused, none), tokens)
        after = select(computed, after, reused)
        others = jax.tree.map(jnp.subtract, after, tokens)
        after, last = forward.blocks(after, end)
        hold = lambda held, *sides: forward.hold(held, *sides)
        held = when(computed.any(), hold, held, sides, more, last)
        return after, others, held
