"""Modulation of LTX-2 by the timestep."""

from typing import NamedTuple

import jax
import jax.numpy as jnp
from flax import nnx
from jaxtyping import Array, Float, Float32, Int

from chorus_jax.families.ltx2.config import LTX2Config
from chorus_jax.families.ltx2.streams import Streams
from chorus_jax.nets.layers import Linear, sinusoidal
from chorus_jax.nets.modulation import Mlp


class AudioVideoTimes(NamedTuple):
    """Modulation inputs in float32, one row per timestep: made once per schedule.

    Attributes:
        blocks: shift, scale and gate for self-attention, feed-forward and, if they are
            modulated, the queries of attention to the text. With given frames the
            video's `blocks` and `head` have one more axis, the kinds of its tokens.
        across: for attention between the streams: scale and shift for the video's
            attention to the audio, scale and shift for the audio's attention to the
            video, and a gate.
        text: shift and scale for the text's tokens; None if they are not modulated.
        head: the embedding of the timestep, for the output projection.
    """

    blocks: Streams
    across: Streams
    text: Streams | None
    head: Streams

    def at(self, i: Int[Array, " r"]) -> "AudioVideoTimes":
        """Modulation inputs at step `i` of each row."""
        return jax.tree.map(lambda x: x[i], self)


class TimeTable(nnx.Module):
    """Computes `rows` modulation rows of a timestep, and the embedding that they come
    from.

    Attributes:
        time: sinusoidal features of the timestep to its embedding, in float32, because
            bfloat16 cannot tell timestep 999 from 1000.
        modulation: projects the embedding to the rows.
    """

    def __init__(self, rows: int, width: int, config: LTX2Config, rngs: nnx.Rngs):
        self.rows, self.features = rows, config.time_width
        silu, single = jax.nn.silu, jnp.dtype("float32")
        self.time = Mlp(config.time_width, width, width, silu, single, rngs)
        dtype = jnp.dtype(config.dtype)
        self.modulation = Linear(width, rows * width, dtype=dtype, rngs=rngs)

    def __call__(
        self, timestep: Float32[Array, " *t"]
    ) -> tuple[Float32[Array, "*t rows c"], Float32[Array, "*t c"]]:
        dtype = self.modulation.kernel[...].dtype
        embedding = self.time(sinusoidal(timestep, self.features)).astype(dtype)
        rows = self.modulation(jax.nn.silu(embedding)).astype(jnp.float32)
        shape = (*timestep.shape, self.rows, -1)
        return rows.reshape(shape), embedding.astype(jnp.float32)


class StreamTimes(nnx.Module):
    """The networks that compute one stream's modulation from the timestep.

    Attributes:
        blocks: for the stream's layers and its head.
        across: for attention between the streams, except for the gate.
        gate: for the gate of its attention to the other stream.
        text: for the text's tokens; None if they are not modulated.
    """

    def __init__(self, width: int, config: LTX2Config, *, rngs: nnx.Rngs):
        self.gate_rate = config.gate_rate
        self.blocks = TimeTable(config.rows, width, config, rngs)
        self.across = TimeTable(4, width, config, rngs)
        self.gate = TimeTable(1, width, config, rngs)
        self.text = TimeTable(2, width, config, rngs) if config.text_modulated else None

    def __call__(
        self, timestep: Float32[Array, " t"], own: Float32[Array, " t *k"]
    ) -> tuple[Array | None, ...]:
        """The stream's fields of `AudioVideoTimes`.

        Args:
            timestep: the timestep of each step, for attention to the other stream and
                to the text.
            own: the timesteps of the stream's tokens, per step or per step and kind.
        """
        blocks, head = self.blocks(own)
        gate = self.gate(timestep * self.gate_rate)[0]
        across = jnp.concatenate([self.across(timestep)[0], gate], axis=-2)
        text = None if self.text is None else self.text(timestep)[0]
        return blocks, across, text, head


def times_of(
    modules: Streams,
    timestep: Float[Array, " t"],
    kinds: Float[Array, "t k"] | None = None,
) -> AudioVideoTimes:
    """Modulation inputs of timesteps, 0 to 1000.

    Args:
        modules: the networks of both streams.
        timestep: the timestep of each step.
        kinds: the timestep of each step and kind of the video's tokens; None if all
            have the step's.
    """
    single = timestep.astype(jnp.float32)
    own = Streams(single if kinds is None else kinds.astype(jnp.float32), single)
    made = (module(single, times) for module, times in zip(modules, own, strict=True))
    pairs = zip(*made, strict=True)
    blocks, across, text, head = (Streams(*pair) for pair in pairs)
    return AudioVideoTimes(blocks, across, None if text.video is None else text, head)
