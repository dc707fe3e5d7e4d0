"""The LTX-2 transformer (arXiv 2601.03233): velocities of video and audio latents.

`LTX2DiT` holds the weights and makes once what does not change from step to step;
`forward.AudioVideoForward` is one pass in pieces. Neither knows schedulers or requests.

Source of the architecture: Lightricks/LTX-2, packages/ltx-core; diffusers,
models/transformers/transformer_ltx2.py.
"""

from functools import partial

import jax
import jax.numpy as jnp
import numpy as np
from flax import nnx
from jaxtyping import Array, Float, Int

from chorus_jax.families.forward import ALL, Latents, TextGains, TokenSet, evaluate
from chorus_jax.families.ltx2.block import AudioVideoBlock, Positions
from chorus_jax.families.ltx2.conditions import AudioVideoConditions, AudioVideoText
from chorus_jax.families.ltx2.config import LTX2Config
from chorus_jax.families.ltx2.forward import AudioVideoForward
from chorus_jax.families.ltx2.positions import AudioVideoScale, position_table
from chorus_jax.families.ltx2.streams import Streams
from chorus_jax.families.ltx2.times import StreamTimes, times_of
from chorus_jax.families.ltx_shared.given_frames import FrameLayout
from chorus_jax.nets.layers import Linear, stack
from chorus_jax.nets.modulation import Head, Mlp, gelu_tanh
from chorus_jax.nets.tokens import Size


class StreamEnds(nnx.Module):
    """The parts of one stream outside its layers.

    Attributes:
        patch: projects latents to tokens.
        text: projects the prompt's embeddings to the stream's width; None if they have
            it.
        times: modulation by the timestep.
        out: projects tokens to velocities.
    """

    def __init__(
        self, config: LTX2Config, width: int, channels: int, out: int, rngs: nnx.Rngs
    ):
        dtype, inputs = jnp.dtype(config.dtype), config.text_width
        self.patch = Linear(
            channels, width, axes=(None, "width"), dtype=dtype, rngs=rngs
        )
        self.text = (
            None
            if inputs is None
            else Mlp(inputs, width, width, gelu_tanh, dtype, rngs)
        )
        self.times = StreamTimes(width, config, rngs=rngs)
        self.out = Head(width, out, 1e-6, dtype, rngs)


class LTX2DiT(nnx.Module):
    """The LTX-2 transformer.

    Attributes:
        config: its sizes.
        video: the parts of the video's stream outside the layers.
        audio: the parts of the audio's stream outside the layers.
        layers: the blocks; their parameters are stacked and scanned.
    """

    def __init__(self, config: LTX2Config, *, rngs: nnx.Rngs):
        self.config = config
        ends = partial(StreamEnds, config, rngs=rngs)
        sound = config.audio_channels
        self.video = ends(config.width, config.in_channels, config.out_channels)
        self.audio = ends(config.audio_width, sound, sound)
        self.layers = stack(
            lambda rngs: AudioVideoBlock(config, rngs=rngs), config.depth, rngs
        )

    @property
    def ends(self) -> Streams:
        """The parts of each stream outside the layers."""
        return Streams(self.video, self.audio)

    def __call__(
        self,
        latents: Latents,
        timestep: Float[Array, " b"],
        text: Streams,
        scale: AudioVideoScale,
    ) -> Latents:
        """Velocities without guidance.

        Args:
            latents: noisy latents, `video` [b f h w i] and `audio` [b n i].
            timestep: 0 to 1000, one per request.
            text: embeddings of the prompts for each stream; all of them are read.
            scale: converts token indices to seconds and pixels.
        """
        read = self.text(text)
        conditions = AudioVideoConditions(
            read,
            self.values(read),
            times_of(Streams(*(end.times for end in self.ends)), timestep),
            timestep / 1000,
            self.positions(
                latents["video"].shape[1:4], latents["audio"].shape[1], scale
            ),
        )
        return evaluate(self.forward(conditions, latents, jnp.arange(len(timestep))))[0]

    def forward(
        self,
        conditions: AudioVideoConditions,
        latents: Latents,
        i: Int[Array, " b"],
        gains: TextGains | None = None,
        tokens: TokenSet = ALL,
    ) -> AudioVideoForward:
        """The pass at step `i` of each request (see `families.forward.Transformer`)."""
        return AudioVideoForward(self, conditions, latents, i, gains, tokens)

    def text(self, embeddings: Streams) -> AudioVideoText:
        """The text in the form that all layers read, computed once per request."""
        tokens = Streams(
            *(
                x.astype(self.config.dtype) if end.text is None else end.text(x)
                for end, x in zip(self.ends, embeddings)
            )
        )
        if self.config.text_modulated:
            return AudioVideoText(None, tokens)

        def project(carry: None, layer: AudioVideoBlock) -> tuple[None, Streams]:
            pairs = zip(layer.streams, tokens)
            return carry, Streams(*(part.cross.keys(x) for part, x in pairs))

        return AudioVideoText(jax.lax.scan(project, None, self.layers)[1], None)

    def values(self, text: AudioVideoText) -> Float[Array, "l m c"]:
        """The values of the first prompt's tokens in the video's attention to the text;
        computed from unmodulated tokens if the timestep modulates them."""
        if text.keys is not None:
            values = text.keys.video.value[:, 0]
            return values.reshape(*values.shape[:2], -1)
        assert text.tokens is not None
        first = text.tokens.video[0]

        def project(carry: None, layer: AudioVideoBlock) -> tuple[None, Array]:
            return carry, layer.streams.video.cross.v(first)

        return jax.lax.scan(project, None, self.layers)[1]

    def positions(
        self,
        grid: Size,
        audio_tokens: int,
        scale: AudioVideoScale,
        layout: FrameLayout | None = None,
    ) -> Positions:
        """Rotary tables of all tokens; tokens of given frames outside the video's grid
        come first. Attention between the streams uses the time axis only."""
        config = self.config
        video, audio = scale.video(grid), scale.audio(audio_tokens)
        if layout is not None:
            beside = [scale.beside(*size) for size in layout.beside_sizes(grid)]
            video = np.concatenate([*beside, video])
        seconds = (max(config.extent[0], config.audio_extent),)
        width = config.audio_width
        return Positions(
            Streams(
                position_table(video, config.extent, config.width),
                position_table(audio, (config.audio_extent,), width),
            ),
            Streams(
                position_table(video[:, :1], seconds, width),
                position_table(audio, seconds, width),
            ),
        )
