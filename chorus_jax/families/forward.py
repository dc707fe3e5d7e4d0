"""The seam between a transformer and the denoising loop: a pass in pieces.

Nothing here knows requests, prompts or schedules; `protocols` has the seam of a whole
model.
"""

import math
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any, NamedTuple, Protocol, runtime_checkable

import numpy as np
from jaxtyping import Array, Bool, Float, Int

from chorus_jax.nets.tokens import Size, Tiling

Latents = Any  # a pytree of float32 arrays, one per stream, each [b f h w c] or [b n c]
Activations = Any  # a pytree of the model's own, a row per row of the pass
Conditions = Any  # a pytree: what all steps of a run read

TRANSFORMER = "transformer"  # the name of the usual one


class Held(NamedTuple):
    """State that a pass leaves for later passes of the same run.

    Attributes:
        keys: keys and values of the tokens of all tiles, a pytree; () if none are held.
        share: each video token's share of attention to the words asked for; () if none
            were.
    """

    keys: Any = ()
    share: Any = ()


class TextGains(NamedTuple):
    """Factors of cross-attention to the prompt in one step (arXiv 2604.04451, TGAA).

    They act on the branch of the prompt, not on that of the negative prompt.

    Attributes:
        key: a factor of each text token's keys.
        output: a factor of the attention's output.
    """

    key: Float[Array, "b m"]
    output: Float[Array, " b"]


class BranchReuse(NamedTuple):
    """The outputs of an earlier pass, taken in place of computing, as data.

    Attributes:
        outputs: one array per branch of a layer (`Forward.branch_names`), before its
            gate, stacked over the layers.
        compute: which branches of each layer are computed all the same, per row. A
            branch whose side outputs are asked for (the keys of a region) always is.
    """

    outputs: tuple[Float[Array, "l r n c"], ...]
    compute: Bool[Array, "l branches r"]


@dataclass(frozen=True, eq=False)
class AllTokens:
    """All tokens of the video.

    Attributes:
        tiling: with it the pass leaves the keys and values of all tiles for later
            passes of a region to attend to.
        words: 1 for each text token whose share of the attention is asked for.
    """

    tiling: Tiling | None = None
    words: Float[Array, "b m"] | None = None


@dataclass(frozen=True, eq=False)
class TileTokens:
    """The tokens of some tiles of the video; other streams are run whole.

    Attributes:
        tiling: the tiles of the whole video.
        tiles: the tiles that are run, per request.
        keys: those of all tiles (`Held.keys`), which these tokens attend to; with ()
            they attend to each other only.
        bias: log(r) per token that stands for r tokens, where nothing is held.
    """

    tiling: Tiling
    tiles: Int[Array, "b k"]
    keys: Any
    bias: Float[Array, " n"]


ALL = AllTokens()
TokenSet = AllTokens | TileTokens


@runtime_checkable
class Forward(Protocol):
    """One pass of a transformer at one step, in pieces; a piece runs when it is called.

    Its rows are those of all guidance branches: `r` is the number of branches times b.
    With `TileTokens` the video's latents are patches of the active tiles, [b k s p].
    """

    @property
    def latents(self) -> Latents:
        """The noisy latents."""

    def moves(self) -> Latents | None:
        """True where this step may move the latents, in a shape that broadcasts
        against them: given images stay as they are. None if everywhere."""

    def signal(self, name: str) -> Float[Array, "r ..."]:
        """A cheap quantity from which step caches foresee how much a step changes:
        `embedding` (of the timestep) or `modulation` (of the first layer's input).
        ValueError for one that the family does not have."""

    def stem(self) -> Activations:
        """The tokens before the first layer."""

    def blocks(
        self,
        tokens: Activations,
        first: int = 0,
        last: int | None = None,
        reuse: BranchReuse | None = None,
    ) -> tuple[Activations, Any]:
        """Layers `first` to `last` (exclusive; None: all that follow).

        Args:
            tokens: those before layer `first`.
            first: the first layer.
            last: the layer after the last one.
            reuse: outputs to take in place of computing, of these layers.

        Returns:
            The tokens after these layers, and their side outputs, for `hold` and
            `branches`.
        """

    @property
    def branch_names(self) -> tuple[str, ...]:
        """The branches of a layer, in the order of `BranchReuse`."""

    def branches(self, *sides: Any) -> tuple[Array, ...]:
        """The outputs of the branches of all layers that ran with `reuse`, computed or
        taken over: those of the next step's `BranchReuse`."""

    def unknown_branches(self) -> tuple[Array, ...]:
        """Outputs of the shapes of `branches` of all layers, in zeros."""

    def head(self, tokens: Activations) -> Latents:
        """The guided velocity, in the layout of the latents."""

    def hold(self, held: Held, *sides: Any) -> Held:
        """The state after this pass: `held` with the side outputs of all layers, in
        their order, of one call of `blocks` or of several."""

    def rows(self, x: Array) -> Array:
        """An array with a row per request as one with a row per row of the pass."""


@runtime_checkable
class GuidedForward(Forward, Protocol):
    """A pass whose guidance branches can be run and brought together apart."""

    def velocities(self, tokens: Activations) -> Latents:
        """The velocity of each row before guidance, laid out as the latents are."""

    def guide(self, velocities: Latents) -> Latents:
        """The guided velocity of the velocities of all rows."""

    def prompt(self) -> "GuidedForward":
        """The pass of the prompt's branch alone: a row per request."""


@runtime_checkable
class Transformer(Protocol):
    """A transformer: a pytree of weights that gives the pass of a step."""

    def forward(
        self,
        conditions: Conditions,
        latents: Latents,
        i: Int[Array, " b"],
        gains: TextGains | None = None,
        tokens: TokenSet = ALL,
    ) -> Forward:
        """The pass at step `i` of each request."""


def evaluate(forward: Forward, held: Held = Held()) -> tuple[Latents, Held]:
    """The whole pass: the guided velocity, and what is held after it."""
    tokens, sides = forward.blocks(forward.stem())
    return forward.head(tokens), forward.hold(held, sides)


@dataclass(frozen=True)
class Geometry:
    """The shapes of one request's latents, and the tokens of its video.

    Latents of one stream are an array, those of several a dictionary by name.

    Attributes:
        streams: name and shape (without batch) of each stream of latents.
        grid: the video's tokens along frames, height and width.
        patch: the latents of a token along the same axes.
        tile: the box of tokens that regions are made of; it divides the grid.
        video: the stream that is cut into tiles.
    """

    streams: tuple[tuple[str, tuple[int, ...]], ...]
    grid: Size
    patch: Size
    tile: Size
    video: str = "video"

    @property
    def tiling(self) -> Tiling:
        """The tiles of the video's tokens."""
        return Tiling(self.grid, self.tile)

    def latents(self, arrays: Mapping[str, Any]) -> Latents:
        """The latents of these streams."""
        if len(self.streams) == 1:
            return arrays[self.video]
        return {name: arrays[name] for name, _ in self.streams}

    def named(self, latents: Latents) -> dict[str, Any]:
        """The streams of latents by name."""
        return {self.video: latents} if len(self.streams) == 1 else dict(latents)

    def packed(self, latents: Latents) -> Any:
        """One request's latents as one array of four axes, for the store: streams are
        laid end to end."""
        if len(self.streams) == 1:
            return latents
        rows = [np.ravel(latents[name]) for name, _ in self.streams]
        return np.concatenate(rows).reshape(1, 1, 1, -1)

    def unpacked(self, array: Any) -> Latents:
        """The reverse of `packed`."""
        if len(self.streams) == 1:
            return array
        ends = np.cumsum([math.prod(shape) for _, shape in self.streams])
        rows = np.split(np.ravel(array), ends[:-1])
        return self.latents(
            {
                name: row.reshape(shape)
                for row, (name, shape) in zip(rows, self.streams, strict=True)
            }
        )

    def replaced(self, latents: Latents, video: Any) -> Latents:
        """These latents with another array for the video's stream."""
        return self.latents({**self.named(latents), self.video: video})
