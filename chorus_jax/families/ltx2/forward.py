"""One pass of the LTX-2 transformer, in pieces."""

from collections.abc import Callable, Sequence
from dataclasses import dataclass, replace
from functools import partial
from typing import Any, Protocol, runtime_checkable

import jax
import jax.numpy as jnp
from jaxtyping import Array, Bool, Float, Int

from chorus_jax.devices.sharding import constrain
from chorus_jax.families.forward import (
    ALL,
    BranchReuse,
    Held,
    Latents,
    TextGains,
    TileTokens,
    TokenSet,
)
from chorus_jax.families.ltx2.block import (
    BRANCHES,
    Apart,
    AudioVideoBlock,
    AudioVideoSides,
    LayerInputs,
    NeededSides,
    Positions,
    VideoKeys,
)
from chorus_jax.families.ltx2.conditions import AudioVideoConditions
from chorus_jax.families.ltx2.config import LTX2Config
from chorus_jax.families.ltx2.given_tokens import TokenBlend
from chorus_jax.families.ltx2.guidance import JointGuidance
from chorus_jax.families.ltx2.streams import Streams
from chorus_jax.families.ltx2.times import AudioVideoTimes
from chorus_jax.families.ltx_shared.given_frames import GIVEN
from chorus_jax.families.single_stream.forward import of_run
from chorus_jax.nets.modulation import TokenTimes, enter
from chorus_jax.nets.tile_keys import TileKeys, layer_of, with_layer
from chorus_jax.nets.token_attention import Alone, HeldKeys
from chorus_jax.nets.tokens import from_patches, to_patches


@runtime_checkable
class AudioVideoNetwork(Protocol):
    """The parts of the transformer that a pass reads (see `transformer.LTX2DiT`)."""

    config: LTX2Config
    layers: AudioVideoBlock

    @property
    def ends(self) -> Streams: ...


@dataclass(frozen=True, eq=False)
class AudioVideoForward:
    """One pass in pieces (see `families.forward.Forward`).

    Attributes:
        model: the transformer.
        conditions: what all passes of the run read.
        latents: noisy latents, `video` and `audio`, and `given` if frames are given
            outside the video's grid. The video's are whole, or patches of the active
            tiles; the audio always runs whole.
        i: the step of each request.
        gains: the gains of cross-attention to the prompt.
        tokens: the video's tokens that this pass runs.
        unroll: whether the layers are unrolled instead of scanned, so that the
            compiler's cost figures count each.
    """

    model: AudioVideoNetwork
    conditions: AudioVideoConditions
    latents: Latents
    i: Int[Array, " b"]
    gains: TextGains | None = None
    tokens: TokenSet = ALL
    unroll: bool = False

    @property
    def times(self) -> AudioVideoTimes:
        """The modulation of each row."""
        return self.conditions.times.at(self.rows(self.i))

    def rows(self, x: Array) -> Array:
        """Repeats an array with one row per request to one row per branch and
        request."""
        return jnp.concatenate([x] * len(self.conditions.branches))

    def of_branch(self, name: str) -> Bool[Array, " r"] | None:
        """A mask of the rows of a branch; None if this run has no such branch."""
        names = self.conditions.branches
        if name not in names:
            return None
        flags = jnp.arange(len(names)) == names.index(name)
        return jnp.repeat(flags, len(self.i))

    def signal(self, name: str) -> Float[Array, "r ..."]:
        """The video's time embedding of each row, or the modulated input of its first
        layer. Raises a ValueError for another name."""
        signals: dict[str, Callable[[], Array]] = {
            "embedding": self.embedding,
            "modulation": self.first_input,
        }
        if name not in signals:
            raise ValueError(
                f"LTX-2 has the signals {', '.join(signals)}, got {name!r}"
            )
        return signals[name]()

    def embedding(self) -> Float[Array, "r ..."]:
        """The video's time embedding of generated tokens; given frames have one of
        their own, which says nothing."""
        head = self.times.head.video
        return head if self.conditions.given is None else head[:, 0]

    def first_input(self) -> Float[Array, "r n c"]:
        """The modulated input of the first layer's self-attention over the video."""
        first: AudioVideoBlock = jax.tree.map(lambda x: x[0], self.model.layers)
        times = self.of_kinds(self.times.blocks.video)
        (shift, scale, _), *_ = first.streams.video.rows(times)
        return enter(first.norm, self.stem().video, shift, scale)

    @property
    def patches(self) -> Streams:
        """The noisy latents of the tokens that are run."""
        return self.patches_of(self.latents)

    def patches_of(self, latents: Latents) -> Streams:
        """Latents or velocities cut into one patch per token that this pass runs."""
        video = latents["video"]
        if isinstance(self.tokens, TileTokens):
            video = video.reshape(len(video), -1, video.shape[-1])
        else:
            video = to_patches(video, self.model.config.patch)
        if GIVEN in latents:
            video = jnp.concatenate([latents[GIVEN], video], axis=1)
        return Streams(video, latents["audio"])

    def arranged(self, patches: Streams) -> Latents:
        """The reverse of `patches_of`, for any number of channels."""
        video, extra = patches.video, {}
        if GIVEN in self.latents:
            count = self.latents[GIVEN].shape[1]
            extra, video = {GIVEN: video[:, :count]}, video[:, count:]
        if self.regional:
            video = video.reshape(len(video), *self.latents["video"].shape[1:3], -1)
        else:
            grid = self.latents["video"].shape[1:4]
            video = from_patches(video, grid, self.model.config.patch)
        return {"video": video, "audio": patches.audio, **extra}

    def kinds(self) -> Int[Array, "b n"] | None:
        """The kind (see `GivenTokens`) of each video token that this pass runs; None
        without given frames."""
        given = self.conditions.given
        return None if given is None else of_run(given.kinds, self.tokens, len(self.i))

    def of_kinds(self, rows: Float[Array, "r *k c"]) -> Array | TokenTimes:
        """Expands modulation inputs per row and kind to one per video token."""
        kinds = self.kinds()
        return rows if kinds is None else TokenTimes(rows, self.rows(kinds))

    def moves(self) -> Latents | None:
        """A mask of the latents that this step may change, False for given tokens
        without noise; None if all may change."""
        kinds, given = self.kinds(), self.conditions.given
        if kinds is None or given is None:
            return None
        moving = (given.strengths < 1)[kinds][..., None].astype(jnp.float32)
        audio = jnp.ones((len(kinds), 1, 1), jnp.float32)
        flags = self.arranged(Streams(moving, audio))
        return jax.tree.map(lambda x: x > 0, flags)

    def blend(self) -> TokenBlend | None:
        """The correction of the velocity towards given latents; None if none are
        given."""
        kinds, given, tokens = self.kinds(), self.conditions.given, self.tokens
        if kinds is None or given is None:
            return None
        clean = given.clean
        if isinstance(tokens, TileTokens):
            rows = jnp.arange(len(clean))[:, None]
            active = tokens.tiling.tiles(clean)[rows, tokens.tiles]
            clean = active.reshape(len(clean), -1, clean.shape[-1])
        strength, level = (x[kinds][..., None] for x in (given.strengths, given.levels))
        return TokenBlend(strength, level, clean)

    def stem(self) -> Streams:
        """The latents as tokens: the same in all branches."""
        video, audio = (
            end.patch(x) for end, x in zip(self.model.ends, self.patches, strict=True)
        )
        video = constrain(video, None, "tokens", None)
        # One request has a row per branch: only these are many enough to be split.
        return Streams(
            constrain(self.rows(video), "batch", "tokens", None),
            constrain(self.rows(audio), "batch", None, None),
        )

    def blocks(
        self,
        tokens: Streams,
        first: int = 0,
        last: int | None = None,
        reuse: BranchReuse | None = None,
    ) -> tuple[Streams, AudioVideoSides]:
        """Runs these layers in a scan. Returns the tokens and the layers' side outputs.

        A pass of all layers over a region writes its keys into the held ones, layer by
        layer; a pass of some layers leaves them in a stack, for `hold`.
        """
        watched = getattr(self.tokens, "words", None)
        needed = self.needed_sides
        conditions, b = self.conditions, len(self.i)
        times, positions = self.times, self.positions()
        own = times.blocks._replace(video=self.of_kinds(times.blocks.video))
        times = times._replace(blocks=own)
        words = conditions.words(self.gains, watched)

        def layer(
            tokens: Streams, held: VideoKeys | None, scanned: Sequence[Any]
        ) -> tuple[Streams, AudioVideoSides]:
            block, keys, passive, branches = scanned
            text = conditions.text.tokens if keys is None else keys
            given = LayerInputs(
                times,
                positions,
                conditions.of_rows(text, b),
                words,
                self.attended_keys(held),
                self.apart(passive),
                needed,
            )
            tokens, sides = block(tokens, given, branches)
            return tokens, sides._replace(keys=self.held_layout(sides.keys))

        tiles = self.tokens if isinstance(self.tokens, TileTokens) else None
        held = tiles.keys if tiles is not None and self.keeps_keys else None
        stacked: Any = (self.model.layers, conditions.text.keys)
        stacked = (*stacked, conditions.guidance.layers)
        places = jnp.arange(self.layers)[first:last]
        if (first, last) == (0, None):
            every = partial(self.written, layer)
            (tokens, held), sides = jax.lax.scan(
                every, (tokens, held), (*stacked, reuse, places), unroll=self.unroll
            )
            return tokens, sides if held is None else sides._replace(keys=held)

        def placed(tokens: Streams, scanned: tuple) -> tuple[Streams, AudioVideoSides]:
            place, branches = scanned
            # Indexed one by one: a slice of the layers would be a copy of weights.
            given = jax.tree.map(lambda x: x[place], stacked)
            return layer(tokens, layer_of(held, place), (*given, branches))

        return jax.lax.scan(placed, tokens, (places, reuse), unroll=self.unroll)

    def written(
        self, layer: Callable[..., Any], carried: tuple, scanned: tuple
    ) -> tuple[tuple, AudioVideoSides]:
        """A layer whose fresh keys are written into the held ones, if there are any: as
        a stack of all layers they would need memory of their own."""
        (tokens, held), (*given, place) = carried, scanned
        if held is None:
            tokens, sides = layer(tokens, None, given)
            return (tokens, None), sides
        before = layer_of(held, place)
        tokens, sides = layer(tokens, before, given)
        after = self.replaced(before, sides.keys)
        return (tokens, with_layer(held, place, after)), sides._replace(keys=None)

    def replaced(self, held: VideoKeys, fresh: VideoKeys) -> VideoKeys:
        """Held keys with those of the active tiles replaced."""
        assert isinstance(self.tokens, TileTokens)
        active = self.rows(self.tokens.tiles)
        pairs = zip(held, fresh, strict=True)
        return VideoKeys(*(old.written(active, new) for old, new in pairs))

    def apart(self, perturbed: Bool[Array, ""] | None) -> Apart:
        """The rows that leave out a part of one layer's attention."""
        passive = self.of_branch("perturbed")
        if passive is not None and perturbed is not None:
            passive = passive & perturbed
        return Apart(passive, self.of_branch("joint"))

    @property
    def regional(self) -> bool:
        """Whether only tiles of the video are run."""
        return isinstance(self.tokens, TileTokens)

    @property
    def keeps_keys(self) -> bool:
        """Whether the pass writes or reads held keys and values."""
        if isinstance(self.tokens, TileTokens):
            return self.tokens.keys != ()
        return self.tokens.tiling is not None

    def held_layout(self, keys: VideoKeys | None) -> VideoKeys | None:
        """The keys of a layer in the layout in which they are held (by tile); None if
        they are not held."""
        if not self.keeps_keys or keys is None:
            return None
        tiling = self.tokens.tiling
        if self.regional or tiling is None:
            return keys
        return VideoKeys(*(TileKeys.of(x, tiling) for x in keys))

    def attended_keys(self, held: VideoKeys | None) -> VideoKeys:
        """The keys of the video that are attended to: held keys of all tiles updated
        with this pass's own, or this pass's own alone."""
        tokens = self.tokens
        if not isinstance(tokens, TileTokens):
            return VideoKeys(Alone(), Alone())
        if held is not None:
            active = self.rows(tokens.tiles)
            count = tokens.tiling.count
            return VideoKeys(*(HeldKeys(keys, active, count) for keys in held))
        rows = len(tokens.tiles) * len(self.conditions.branches)
        bias = jnp.broadcast_to(tokens.bias, (rows, len(tokens.bias)))
        alone = Alone(bias, tokens.tiling.size)
        return VideoKeys(alone, alone)

    def positions(self) -> Positions:
        """Rotary tables of the tokens: all of the video's, or those of each row's
        active tiles."""
        own, across = self.conditions.positions
        return Positions(
            own._replace(video=self.of_tokens(own.video)),
            across._replace(video=self.of_tokens(across.video)),
        )

    def of_tokens(self, table: Float[Array, "2 n r"]) -> Float[Array, "2 *b k r"]:
        """The rows of a table over the video's tokens that belong to the tokens of this
        pass."""
        if not isinstance(self.tokens, TileTokens):
            return table
        tiles = self.tokens.tiling.tiles(table)[:, self.tokens.tiles]
        rows = tiles.reshape(2, len(self.tokens.tiles), -1, table.shape[-1])
        return jnp.concatenate([rows] * len(self.conditions.branches), axis=1)

    @property
    def layers(self) -> int:
        """The number of layers."""
        return self.model.config.depth

    @property
    def branch_names(self) -> tuple[str, ...]:
        """The branches of a layer."""
        return BRANCHES

    @property
    def needed_sides(self) -> NeededSides:
        """The side outputs that this pass needs."""
        words = getattr(self.tokens, "words", None)
        return NeededSides(self.keeps_keys, words is not None)

    @property
    def needed_branches(self) -> tuple[bool, ...]:
        """For each branch, whether its keys or its attention to words are needed."""
        return self.needed_sides.branches

    def branches(self, *sides: AudioVideoSides) -> tuple[Array, ...]:
        """The outputs of the branches of all layers."""
        outputs = [side.outputs for side in sides]
        return jax.tree.map(lambda *x: jnp.concatenate(x), *outputs)

    def unknown_branches(self) -> tuple[Array, ...]:
        """Zeros of the shapes of `branches`."""
        tokens = jax.eval_shape(self.stem)
        zeros = [jnp.zeros((self.layers, *x.shape), x.dtype) for x in tokens]
        return tuple(zeros * (len(BRANCHES) // 2))

    def head(self, tokens: Streams) -> Latents:
        """The guided velocities, in float32."""
        return self.arranged(self.guided(self.velocity_patches(tokens)))

    def velocity_patches(self, tokens: Streams) -> Streams:
        """The velocities of each row, before guidance."""
        head = self.times.head
        head = head._replace(video=self.of_kinds(head.video))
        pairs = zip(self.model.ends, tokens, head)
        return Streams(*(end.out(x, times) for end, x, times in pairs))

    def guided(self, out: Streams) -> Streams:
        """Combines the velocities of all branches into the guided velocities."""
        sigma, guidance = self.conditions.sigmas[self.i], self.conditions.guidance
        return guidance.guided(out, self.patches, sigma, self.blend())

    def velocities(self, tokens: Streams) -> Latents:
        """The velocities of each row, in the layout of the latents, in float32."""
        return self.arranged(self.velocity_patches(tokens))

    def guide(self, velocities: Latents) -> Latents:
        """Combines the velocities of all branches into the guided velocities."""
        return self.arranged(self.guided(self.patches_of(velocities)))

    def prompt(self) -> "AudioVideoForward":
        """The pass of the prompt's branch alone."""
        count, tokens = len(self.i), self.tokens
        if isinstance(tokens, TileTokens):
            keys = jax.tree.map(lambda x: x[:, :count], tokens.keys)
            tokens = replace(tokens, keys=keys)
        conditions = self.conditions._replace(guidance=JointGuidance())
        return replace(self, conditions=conditions, tokens=tokens)

    def hold(self, held: Held, *sides: AudioVideoSides) -> Held:
        """The state after the pass: keys and values of all tiles, and the mean over all
        layers of the attention to the requested words."""
        layers = jax.tree.map(lambda *x: jnp.concatenate(x), *sides)
        if isinstance(self.tokens, TileTokens):
            if not self.keeps_keys:
                return held
            if isinstance(layers.keys.own, TileKeys):
                return Held(layers.keys)
            return Held(self.replaced(held.keys, layers.keys))
        keys = () if layers.keys is None else layers.keys
        if layers.share is None:
            return Held(keys)
        # The rows of other branches come last and have no such words.
        return Held(keys, layers.share[:, : len(self.i)].mean(0, jnp.float32))
