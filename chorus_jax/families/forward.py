"""The interface between a transformer and the denoising loop: a pass in pieces.

Nothing here depends on requests, prompts or schedules; `protocols` has the interface of
a whole model.
"""

import math
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any, NamedTuple, Protocol, runtime_checkable

import numpy as np
from jaxtyping import Array, Bool, Float, Int

from chorus_jax.nets.tokens import Size, Tiling

Latents = Any  # a pytree of float32 arrays, one per stream, each [b f h w c] or [b n c]
Activations = Any  # a pytree that the model defines; one row per row of the pass
Conditions = Any  # a pytree of inputs that all steps of a run share

TRANSFORMER = "transformer"  # the name of the default transformer


class Held(NamedTuple):
    """State that a pass leaves for later passes of the same run.

    Attributes:
        keys: keys and values of the tokens of all tiles, a pytree; () if none are held.
        share: per video token, the share of its cross-attention that goes to the
            requested words (`AllTokens.words`); () if no words were requested.
    """

    keys: Any = ()
    share: Any = ()


class TextGains(NamedTuple):
    """Gains of cross-attention to the prompt in one step (arXiv 2604.04451, TGAA).

    They act on the guidance branch of the prompt, not on the negative prompt's.

    Attributes:
        key: factor on the keys, per text token.
        output: factor on the attention's output, per request.
    """

    key: Float[Array, "b m"]
    output: Float[Array, " b"]


class BranchReuse(NamedTuple):
    """Branch outputs of an earlier pass to reuse, and which branches to recompute.

    Attributes:
        outputs: one array per branch of a layer (`Forward.branch_names`), before its
            gate, stacked over the layers.
        compute: True where a branch is computed instead of reused, per layer and row.
            A branch whose side outputs are needed (the keys of a region) is always
            computed. Numbers from 0 to 1 instead blend the two: everything is computed,
            and gradients reach the numbers.
    """

    outputs: tuple[Float[Array, "l r n c"], ...]
    compute: Bool[Array, "l branches r"] | Float[Array, "l branches r"]


@dataclass(frozen=True, eq=False)
class AllTokens:
    """The token set of a pass over the whole video.

    Attributes:
        tiling: if given, the pass returns the keys and values of all tiles, which
            later passes over a region attend to.
        words: 1 for each text token whose share of the cross-attention is to be
            measured.
    """

    tiling: Tiling | None = None
    words: Float[Array, "b m"] | None = None


@dataclass(frozen=True, eq=False)
class TileTokens:
    """The token set of a pass over some tiles of the video; other streams run whole.

    Attributes:
        tiling: the tiles of the whole video.
        tiles: the tiles that are run, per request.
        keys: keys and values of all tiles (`Held.keys`), which the active tokens attend
            to; with () the active tokens attend only to each other.
        bias: attention bias per token, log(r) for a token that represents r tokens;
            used if `keys` is ().
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

    The rows cover all guidance branches: `r` is the number of branches times b.
    With `TileTokens` the video's latents are patches of the active tiles, [b k s p].
    """

    @property
    def latents(self) -> Latents:
        """The noisy latents."""

    def moves(self) -> Latents | None:
        """Mask of the latents that this step may change, broadcastable against them:
        False where latents are given (an image to animate). None if all may change."""

    def signal(self, name: str) -> Float[Array, "r ..."]:
        """A cheap quantity by which step caches predict how much a step changes the
        velocity: `embedding` (of the timestep) or `modulation` (of the first layer's
        input). Raises a ValueError for a name that the family does not support."""

    def stem(self) -> Activations:
        """The embedded tokens, as the first layer reads them."""

    def blocks(
        self,
        tokens: Activations,
        first: int = 0,
        last: int | None = None,
        reuse: BranchReuse | None = None,
    ) -> tuple[Activations, Any]:
        """Layers `first` to `last` (exclusive; None: all that follow).

        Args:
            tokens: the input of layer `first`.
            first: the first layer to run.
            last: the layer to stop before.
            reuse: branch outputs of these layers to use instead of computing them.

        Returns:
            The tokens after these layers, and their side outputs, for `hold` and
            `branches`.
        """

    @property
    def layers(self) -> int:
        """The number of layers."""

    @property
    def branch_names(self) -> tuple[str, ...]:
        """The branches of a layer, in the order of `BranchReuse`."""

    @property
    def needed_branches(self) -> tuple[bool, ...]:
        """For each branch, whether this pass computes it whatever is reused, since side
        outputs of it are needed."""

    def branches(self, *sides: Any) -> tuple[Array, ...]:
        """The branch outputs, computed or reused, of all layers that ran with `reuse`:
        `BranchReuse.outputs` of the next step."""

    def unknown_branches(self) -> tuple[Array, ...]:
        """Zeros in the shapes that `branches` returns for all layers."""

    def head(self, tokens: Activations) -> Latents:
        """The guided velocity, in the layout of the latents."""

    def hold(self, held: Held, *sides: Any) -> Held:
        """The state after the pass: `held` updated with the side outputs of all layers.

        Args:
            held: the state before the pass.
            sides: the side outputs of each call of `blocks`, in the order of layers.
        """

    def rows(self, x: Array) -> Array:
        """Repeats an array with one row per request to one row per row of the pass."""


@runtime_checkable
class GuidedForward(Forward, Protocol):
    """A pass whose guidance branches can be run separately and combined afterwards."""

    def velocities(self, tokens: Activations) -> Latents:
        """The velocity of each row before guidance, laid out as the latents are."""

    def guide(self, velocities: Latents) -> Latents:
        """Combines the velocities of all rows into the guided velocity."""

    def prompt(self) -> "GuidedForward":
        """This pass with the prompt's guidance branch only: a row per request."""


@runtime_checkable
class Transformer(Protocol):
    """A transformer: a pytree of weights that makes the `Forward` of each step."""

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
    """Runs the whole pass; returns the guided velocity and the state after it."""
    tokens, sides = forward.blocks(forward.stem())
    return forward.head(tokens), forward.hold(held, sides)


@dataclass(frozen=True)
class Geometry:
    """The shapes of one request's latents, and the tokens of its video.

    Latents are an array if there is one stream, else a dictionary by stream name.

    Attributes:
        streams: name and shape (without batch) of each stream of latents.
        grid: the video's tokens along frames, height and width.
        patch: the number of latents per token along the same axes.
        tile: the box of tokens that regions are made of; it divides the grid.
        video: the stream that is cut into tiles.
        given: the frames of the grid whose latents are given without noise, so that no
            step changes them.
        soft: whether other frames are given in part, with a strength between 0 and 1.
    """

    streams: tuple[tuple[str, tuple[int, ...]], ...]
    grid: Size
    patch: Size
    tile: Size
    video: str = "video"
    given: tuple[int, ...] = ()
    soft: bool = False

    @property
    def tiling(self) -> Tiling:
        """The tiles of the video's tokens."""
        return Tiling(self.grid, self.tile)

    @property
    def region_tiling(self) -> Tiling:
        """The tiles that a hit's region is made of.

        Beside frames that are given in part it is one tile, so that hits run all
        tokens: a source's velocity there does not follow from its latents.
        """
        return Tiling(self.grid, self.grid) if self.soft else self.tiling

    @property
    def given_tiles(self) -> tuple[int, ...]:
        """The indices of the tiles that have given tokens only."""
        if not self.given:
            return ()
        tiling = self.tiling
        frames = tiling.order.reshape(tiling.count, -1) // math.prod(self.grid[1:])
        whole = np.isin(frames, self.given).all(axis=1)
        return tuple(np.flatnonzero(whole).tolist())

    def latents(self, arrays: Mapping[str, Any]) -> Latents:
        """Latents in the model's layout, from arrays by stream name."""
        if len(self.streams) == 1:
            return arrays[self.video]
        return {name: arrays[name] for name, _ in self.streams}

    def named(self, latents: Latents) -> dict[str, Any]:
        """The array of each stream by name: the reverse of `latents`."""
        return {self.video: latents} if len(self.streams) == 1 else dict(latents)

    def packed(self, latents: Latents) -> Any:
        """One request's latents as one array of four axes, for the store: several
        streams are flattened and concatenated."""
        if len(self.streams) == 1:
            return latents
        rows = [np.ravel(latents[name]) for name, _ in self.streams]
        return np.concatenate(rows).reshape(1, 1, 1, -1)

    @property
    def packed_shape(self) -> tuple[int, ...]:
        """The shape of the array that `packed` makes."""
        shapes = [shape for _, shape in self.streams]
        if len(shapes) == 1:
            return shapes[0]
        return 1, 1, 1, sum(math.prod(shape) for shape in shapes)

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
