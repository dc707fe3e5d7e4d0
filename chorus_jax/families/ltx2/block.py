"""One layer of LTX-2: self-attention, attention to the text, and attention between the
streams."""

from typing import Any, NamedTuple

import jax.numpy as jnp
from flax import nnx
from jaxtyping import Array, Bool, Float

from chorus_jax.devices.sharding import constrain
from chorus_jax.families.forward import BranchReuse
from chorus_jax.families.ltx2.attention import (
    AttentionWidths,
    GatedAttention,
    Words,
    among_themselves,
    over_stream,
    over_words,
)
from chorus_jax.families.ltx2.config import LTX2Config
from chorus_jax.families.ltx2.streams import Streams
from chorus_jax.families.ltx2.times import AudioVideoTimes
from chorus_jax.families.single_stream.block import taken
from chorus_jax.nets.layers import RMSNorm
from chorus_jax.nets.modulation import (
    Mlp,
    TokenTimes,
    enter,
    gelu_tanh,
    leave,
    modulate,
)
from chorus_jax.nets.token_attention import Alone, Keys

BRANCHES = (
    *("self_attention", "audio_self_attention"),
    *("cross_attention", "audio_cross_attention"),
    *("audio_to_video", "video_to_audio"),
    *("mlp", "audio_mlp"),
)


class VideoKeys(NamedTuple):
    """Keys and values of the video's tokens, or stand-ins for those of tokens not run.

    Attributes:
        own: the keys and values that the video attends to.
        seen: the keys and values that the audio attends to.
    """

    own: Any
    seen: Any


class Positions(NamedTuple):
    """Rotary tables of both streams.

    Attributes:
        own: the tables for self-attention, by stream.
        across: the tables for attention between the streams, by stream.
    """

    own: Streams
    across: Streams


class Apart(NamedTuple):
    """Rows of the batch that leave out a part of the attention.

    Attributes:
        passive: True for rows whose tokens attend only to themselves; None if no row
            does so.
        isolated: True for rows whose streams do not attend to each other; None if all
            do.
    """

    passive: Bool[Array, " b"] | None = None
    isolated: Bool[Array, " b"] | None = None


class AudioVideoSides(NamedTuple):
    """Side outputs of a layer.

    Attributes:
        keys: keys and values of the video's tokens; None where branches are reused and
            no keys are needed.
        share: the share of the video's attention to the text that goes to the watched
            words; None if none are watched.
        outputs: the outputs of `BRANCHES`, where they may be reused.
    """

    keys: VideoKeys | None
    share: Float[Array, "*l b n"] | None
    outputs: tuple[Float[Array, "*l b n c"], ...] | None = None


class NeededSides(NamedTuple):
    """The side outputs that a pass needs: the branches that they come from are computed
    in every step, even if the pass reuses branches.

    Attributes:
        keys: whether keys and values of the video's tokens are needed.
        share: whether the share of the attention to the text is needed.
    """

    keys: bool = False
    share: bool = False

    @property
    def branches(self) -> tuple[bool, ...]:
        """For each of `BRANCHES`, whether these outputs come from it."""
        video = (self.keys, self.share, False, False)
        sound = (False, False, self.keys, False)
        return tuple(x for pair in zip(video, sound, strict=True) for x in pair)


class LayerInputs(NamedTuple):
    """Inputs of a layer besides its tokens.

    Attributes:
        times: modulation of each row.
        positions: rotary tables.
        text: keys and values of the text; its tokens if the timestep modulates them.
        words: the gains, and the words whose attention is measured.
        attended_keys: the keys that tokens of both streams attend to in the video.
        apart: rows that leave out a part of the attention.
        needed: the side outputs that the pass needs.
    """

    times: AudioVideoTimes
    positions: Positions
    text: Streams
    words: Words
    attended_keys: VideoKeys = VideoKeys(Alone(), Alone())
    apart: Apart = Apart()
    needed: NeededSides = NeededSides()


class StreamParts(nnx.Module):
    """The parts of a layer that one stream has.

    Attributes:
        modulation: learnt rows that are added to the timestep's modulation.
        across_modulation: the same for attention between the streams.
        text_modulation: the same for the text's tokens; None if they have none.
        attn: self-attention.
        cross: attention to the text.
        other: attention to the other stream.
        mlp: the feed-forward network.
    """

    def __init__(
        self,
        config: LTX2Config,
        width: int,
        other: int,
        heads: tuple[int, int],
        rngs: nnx.Rngs,
    ):
        """`width` is the stream's width, `other` the other stream's; `heads` is the
        number and the width of the heads of the stream's own attentions."""
        dtype = jnp.dtype(config.dtype)
        across = (config.audio_heads, config.audio_head_width)
        options = (config.epsilon, config.gated)
        self.modulation = table(config.rows, width, width**-0.5, rngs)
        self.across_modulation = table(5, width, 1.0, rngs)
        self.text_modulation = (
            table(2, width, 1.0, rngs) if config.text_modulated else None
        )
        own = AttentionWidths(width, width, *heads, *options)
        self.attn = GatedAttention(own, dtype, rngs)
        self.cross = GatedAttention(own, dtype, rngs)
        widths = AttentionWidths(width, other, *across, *options)
        self.other = GatedAttention(widths, dtype, rngs)
        self.mlp = Mlp(width, 4 * width, width, gelu_tanh, dtype, rngs)

    def rows(
        self, times: Float[Array, "b s c"] | TokenTimes
    ) -> tuple[list[Array], ...]:
        """Shift, scale and gate for self-attention, for the feed-forward network and,
        if these are modulated, for the queries of attention to the text."""
        rows = modulate(self.modulation[...], times)
        return rows[:3], rows[3:6], rows[6:]

    def text_keys(
        self, text: Keys | Float[Array, "b m c"], times: Float[Array, "b 2 c"] | None
    ) -> Keys:
        """Keys and values of the text; tokens are modulated and projected, keys
        returned as they are."""
        if isinstance(text, Keys):
            return text
        if self.text_modulation is not None and times is not None:
            shift, scale = modulate(self.text_modulation[...], times)
            text = (text * (1 + scale) + shift).astype(text.dtype)
        return self.cross.keys(text)


def table(rows: int, width: int, scale: float, rngs: nnx.Rngs) -> nnx.Param:
    """Modulation rows of a layer."""
    return nnx.Param(scale * rngs.params.normal((rows, width)), axes=(None, "width"))


class AudioVideoBlock(nnx.Module):
    """One layer: self-attention, attention to the text, attention between the streams,
    and feed-forward networks.

    Returns the streams' tokens and the layer's side outputs.

    Attributes:
        norm: the norm of both streams, without weights.
        video: the parts of the video's stream.
        audio: the parts of the audio's stream.
    """

    def __init__(self, config: LTX2Config, *, rngs: nnx.Rngs):
        # One width stands for both: the norm has no weights.
        self.norm = RMSNorm(config.width, affine=False, epsilon=config.block_epsilon)
        heads = (config.heads, config.head_width)
        audio = (config.audio_heads, config.audio_head_width)
        widths = (config.width, config.audio_width)
        self.video = StreamParts(config, *widths, heads, rngs)
        self.audio = StreamParts(config, *widths[::-1], audio, rngs)

    @property
    def streams(self) -> Streams:
        """The parts of each stream."""
        return Streams(self.video, self.audio)

    def __call__(
        self,
        tokens: Streams,
        given: LayerInputs,
        reuse: BranchReuse | None = None,
    ) -> tuple[Streams, AudioVideoSides]:
        tokens, attended, own = self.over_themselves(tokens, given, reuse)
        tokens, read, share = self.over_text(tokens, given, reuse)
        tokens, heard, seen = self.over_each_other(tokens, given, reuse)
        tokens, fed = self.feed(tokens, given, reuse)
        tokens = Streams(
            constrain(tokens.video, "batch", "tokens", None),
            constrain(tokens.audio, "batch", None, None),
        )
        keys = None if own is None else VideoKeys(own, seen)
        outputs = None if reuse is None else (*attended, *read, *heard, *fed)
        return tokens, AudioVideoSides(keys, share, outputs)

    def over_themselves(
        self, tokens: Streams, given: LayerInputs, reuse: BranchReuse | None
    ) -> tuple[Streams, Streams, Keys | None]:
        """Self-attention of both streams. Returns the tokens, the attention's outputs,
        and the video's keys and values."""
        attended_keys = Streams(given.attended_keys.own, Alone())
        moved: list[Array] = []
        outputs: list[Array] = []
        video_keys: Keys | None = None
        for branch, (part, x) in enumerate(zip(self.streams, tokens)):
            (shift, scale, gate), *_ = part.rows(given.times.blocks[branch])
            turned, beside = given.positions.own[branch], attended_keys[branch]

            def attend(x: Array) -> tuple[Array, Keys]:
                y = enter(self.norm, x, shift, scale)
                return among_themselves(
                    part.attn, y, turned, beside, given.apart.passive
                )

            needed = branch == 0 and given.needed.keys
            out, keys = taken(reuse, branch, attend, x, needed)
            video_keys = keys if branch == 0 else video_keys
            outputs.append(out)
            moved.append(leave(x, out, gate))
        return Streams(*moved), Streams(*outputs), video_keys

    def over_text(
        self, tokens: Streams, given: LayerInputs, reuse: BranchReuse | None
    ) -> tuple[Streams, Streams, Array | None]:
        """Attention of both streams to the text. Returns the tokens, the attention's
        outputs, and the share of the video's attention that goes to the watched
        words."""
        moved: list[Array] = []
        outputs: list[Array] = []
        shares: list[Array | None] = []
        for place, (part, x) in enumerate(zip(self.streams, tokens)):
            rows = part.rows(given.times.blocks[place])[2]
            times = None if given.times.text is None else given.times.text[place]
            # The audio's share of attention is not asked for.
            words = given.words if place == 0 else given.words._replace(watched=None)

            def read(x: Array) -> tuple[Array, Array | None]:
                y = enter(self.norm, x, *rows[:2]) if rows else self.norm(x)
                keys = part.text_keys(given.text[place], times)
                return over_words(part.cross, y, keys, words)

            needed = place == 0 and given.needed.share
            out, share = taken(reuse, 2 + place, read, x, needed)
            shares.append(share)
            outputs.append(out)
            moved.append(leave(x, out, rows[2]) if rows else x + out)
        return Streams(*moved), Streams(*outputs), shares[0]

    def over_each_other(
        self, tokens: Streams, given: LayerInputs, reuse: BranchReuse | None
    ) -> tuple[Streams, Streams, Keys | None]:
        """Attention of each stream to the other one before this update. Returns the
        tokens, the attention's outputs, and the video's keys and values that the audio
        attends to."""
        modulations = [
            modulate(part.across_modulation[...], times)
            for part, times in zip(self.streams, given.times.across)
        ]
        attended_keys = Streams(Alone(), given.attended_keys.seen)
        moved: list[Array] = []
        outputs: list[Array] = []
        seen: Keys | None = None
        for place, part in enumerate(self.streams):
            # Rows 0 and 1 are of the video's listening, 2 and 3 of the audio's looking.
            first, other = 2 * place, 1 - place

            def attend(tokens: Streams) -> tuple[Array, Keys]:
                entered = [
                    enter(self.norm, x, rows[first + 1], rows[first])
                    for x, rows in zip(tokens, modulations)
                ]
                turned = given.positions.across
                memory = part.other.keys(entered[other], turned[other])
                out = over_stream(
                    part.other,
                    entered[place],
                    turned[place],
                    memory,
                    attended_keys[place],
                    "tokens" if place == 1 else None,
                )
                return out, memory

            needed = place == 1 and given.needed.keys
            out, memory = taken(reuse, 4 + place, attend, tokens, needed)
            seen = memory if place == 1 else seen
            outputs.append(out)
            gate = modulations[place][4]
            if given.apart.isolated is not None:
                gate = jnp.where(given.apart.isolated[:, None, None], 0.0, gate)
            moved.append(leave(tokens[place], out, gate))
        return Streams(*moved), Streams(*outputs), seen

    def feed(
        self, tokens: Streams, given: LayerInputs, reuse: BranchReuse | None
    ) -> tuple[Streams, Streams]:
        """The feed-forward networks of both streams. Returns the tokens and the
        outputs."""
        moved: list[Array] = []
        outputs: list[Array] = []
        for place, (part, x) in enumerate(zip(self.streams, tokens)):
            _, (shift, scale, gate), _ = part.rows(given.times.blocks[place])

            def compute(x: Array) -> tuple[Array, None]:
                return part.mlp(enter(self.norm, x, shift, scale)), None

            out, _ = taken(reuse, 6 + place, compute, x)
            outputs.append(out)
            moved.append(leave(x, out, gate))
        return Streams(*moved), Streams(*outputs)
