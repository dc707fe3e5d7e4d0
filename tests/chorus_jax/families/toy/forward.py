"""A toy transformer of two streams: video in tiles, and sound beside it.

Four passes per request: with the prompt, with the negative prompt, without the other
stream, and without self-attention in the first layer. Tokens of the first latent frame
are clean: their timestep and their velocity are 0.
"""

from dataclasses import dataclass, replace
from typing import Any, NamedTuple

import jax
import jax.numpy as jnp
import numpy as np
from jaxtyping import Array

from chorus_jax.devices.sharding import constrain
from chorus_jax.families.forward import ALL, Held, TextGains, TileTokens, TokenSet
from chorus_jax.nets.tokens import from_patches, to_patches

WIDTH, LAYERS, CHANNELS, SOUND, PASSES = 8, 2, 3, 2, 4
PATCH = (1, 2, 2)


class ToyConditions(NamedTuple):
    """What all steps read: text rows of all passes, timesteps, positions of the tokens,
    1 for each clean token, and three scales per request."""

    text: Array  # [4b m d]
    known: Array  # [4b m]: False for padding
    times: Array  # [steps]
    places: Array  # [n d]
    clean: Array  # [n]
    scales: Array  # [b 3]


class ToyTransformer(NamedTuple):
    """Weights, stacked over layers where there are several."""

    patch: Array
    sound: Array
    layers: dict[str, Array]
    video_out: Array
    sound_out: Array

    @classmethod
    def drawn(cls, seed: int) -> "ToyTransformer":
        """Random weights."""
        rng = np.random.default_rng(seed)

        def weight(*shape):
            drawn = rng.normal(size=shape) / np.sqrt(shape[-2])
            return jnp.asarray(drawn, jnp.float32)

        names = ("query", "key", "value", "text_query", "text_key", "text_value", "mlp")
        size = CHANNELS * int(np.prod(PATCH))
        return cls(
            weight(size, WIDTH),
            weight(SOUND, WIDTH),
            {name: weight(LAYERS, WIDTH, WIDTH) for name in names},
            weight(WIDTH, size),
            weight(WIDTH, SOUND),
        )

    def forward(
        self,
        conditions: ToyConditions,
        latents: Any,
        i: Array,
        gains: TextGains | None = None,
        tokens: TokenSet = ALL,
    ) -> "ToyForward":
        """The pass at step `i` of each request."""
        return ToyForward(self, conditions, latents, i, gains, tokens)


class Side(NamedTuple):
    """What a run of layers leaves: keys and values of the video, attention to words."""

    keys: Any
    share: Any


@dataclass(frozen=True, eq=False)
class ToyForward:
    """One pass (see `protocols.Forward`)."""

    model: ToyTransformer
    conditions: ToyConditions
    latents: Any
    i: Array
    gains: TextGains | None
    tokens: TokenSet
    passes: int = PASSES

    @property
    def regional(self) -> bool:
        return isinstance(self.tokens, TileTokens)

    def rows(self, x):
        return jnp.concatenate([x] * self.passes)

    def in_passes(self, *values):
        """A number for each pass, as one for each row."""
        values = jnp.array(values[: self.passes], jnp.float32)
        return jnp.repeat(values, len(self.i))[:, None, None]

    def embedded(self, times):
        """Sines of timesteps of any shape."""
        speeds = jnp.arange(1, WIDTH + 1, dtype=jnp.float32)
        return jnp.sin(jnp.multiply.outer(times / 1000, speeds))

    def moves(self):
        return None

    def signal(self, name):
        if name != "embedding":
            raise ValueError(f"the toy has the signal embedding, got {name!r}")
        return self.rows(self.embedded(self.conditions.times[self.i]))

    def of_tokens(self, x):
        """One row per token of the video as one per token that is run, [b n ...]."""
        if not self.regional:
            return jnp.broadcast_to(x, (len(self.i), *x.shape))
        tiles = self.tokens.tiling.tiles(x, axis=0)[self.tokens.tiles]
        return tiles.reshape(len(self.i), -1, *x.shape[1:])

    @property
    def noisy(self):
        return 1 - self.of_tokens(self.conditions.clean)

    def stem(self):
        now = self.conditions.times[self.i][:, None]
        video = self.latents["video"]
        if self.regional:
            video = video.reshape(len(video), -1, video.shape[-1])
        else:
            video = to_patches(video, PATCH)
        video = video @ self.model.patch + self.of_tokens(self.conditions.places)
        video = video + self.embedded(now * self.noisy)
        sound = self.latents["sound"] @ self.model.sound + self.embedded(now)
        video = constrain(video, "batch", "tokens", None)
        return {"video": self.rows(video), "sound": self.rows(sound)}

    def blocks(self, tokens, first=0, last=None, reuse=None):
        if reuse is not None:
            raise ValueError("the toy has no branches to reuse")
        sides, weights = [], lambda j: {k: x[j] for k, x in self.model.layers.items()}
        for j in range(LAYERS)[first:last]:
            tokens, side = self.layer(j, weights(j), tokens)
            sides.append(side)
        if not sides:
            shapes = jax.eval_shape(lambda x: self.layer(0, weights(0), x)[1], tokens)
            return tokens, jax.tree.map(
                lambda x: jnp.zeros((0, *x.shape), x.dtype), shapes
            )
        return tokens, jax.tree.map(lambda *x: jnp.stack(x), *sides)

    def layer(self, j, layer, tokens):
        video, sound = tokens["video"], tokens["sound"]
        fresh = (video @ layer["key"], video @ layer["value"])
        keys, bias = self.around(j, fresh)
        other = (sound @ layer["key"], sound @ layer["value"])
        linked = jnp.log(self.in_passes(1, 1, 1e-9, 1))
        attends = self.in_passes(1, 1, 1, 1 if j else 0)
        mixed = []
        for own, mine, theirs, of_mine, of_theirs in (
            (video, keys, other, bias, linked),
            (sound, other, keys, 0.0, linked + bias),
        ):
            logits = [
                own @ layer["query"] @ x[0].swapaxes(1, 2) / WIDTH**0.5 + added
                for x, added in ((mine, of_mine), (theirs, of_theirs))
            ]
            weights = jax.nn.softmax(jnp.concatenate(logits, axis=2), axis=2)
            values = jnp.concatenate([mine[1], theirs[1]], axis=1)
            mixed.append(own + attends * (weights @ values))
        (video, share), (sound, _) = (self.with_text(layer, x) for x in mixed)
        video, sound = (x + jnp.tanh(x @ layer["mlp"]) for x in (video, sound))
        watched = None if getattr(self.tokens, "words", None) is None else share
        kept = fresh if self.keeps_keys else None
        return {"video": video, "sound": sound}, Side(kept, watched)

    @property
    def keeps_keys(self):
        if self.regional:
            return self.tokens.keys != ()
        return self.tokens.tiling is not None

    def around(self, j, fresh):
        """The keys and values that the video's tokens are among, and their bias."""
        if not self.regional:
            return fresh, 0.0
        if not self.keeps_keys:
            return fresh, self.tokens.bias[None, None, :]
        written = (self.written(x[j], y) for x, y in zip(self.tokens.keys, fresh))
        return tuple(x.reshape(x.shape[0], -1, WIDTH) for x in written), 0.0

    def written(self, tiles, fresh):
        """Keys of all tiles, [r t s d], with those of the active ones replaced."""
        rows = jnp.arange(len(tiles))[:, None]
        fresh = fresh.reshape(len(tiles), -1, *tiles.shape[2:])
        return tiles.at[rows, self.rows(self.tokens.tiles)].set(fresh)

    def with_text(self, layer, x):
        """Cross-attention to the text, and the share that goes to the words."""
        text, known = self.conditions.text, self.conditions.known
        key, b = text @ layer["text_key"], len(self.i)
        if self.gains is not None:
            key = key.at[:b].multiply(self.gains.key[..., None])
        logits = x @ layer["text_query"] @ key.swapaxes(1, 2) / WIDTH**0.5
        weights = jax.nn.softmax(jnp.where(known[:, None], logits, -jnp.inf), axis=2)
        out = weights @ (text @ layer["text_value"])
        if self.gains is not None:
            out = out.at[:b].multiply(self.gains.output[:, None, None])
        words = getattr(self.tokens, "words", None)
        share = None if words is None else (weights[:b] * words[:, None]).sum(axis=2)
        return x + out, share

    @property
    def layers(self):
        return LAYERS

    @property
    def branch_names(self):
        return ()

    @property
    def needed_branches(self):
        return ()

    def branches(self, *sides):
        return ()

    def unknown_branches(self):
        return ()

    def guide(self, velocities):
        """The four passes brought together."""
        if self.passes == 1:
            return velocities
        return jax.tree.map(self.guided, velocities)

    def prompt(self):
        b, tokens = len(self.i), self.tokens
        given = self.conditions
        given = given._replace(text=given.text[:b], known=given.known[:b])
        if self.regional:
            tokens = replace(tokens, keys=tuple(x[:, :b] for x in tokens.keys))
        return replace(self, conditions=given, tokens=tokens, passes=1)

    def guided(self, out):
        prompt, *others = jnp.split(out, PASSES)
        shape = (3, len(prompt), *(1,) * (prompt.ndim - 1))
        scales = self.conditions.scales.T.reshape(shape)
        return prompt + sum(w * (prompt - x) for w, x in zip(scales, others))

    def velocities(self, tokens):
        video = tokens["video"] @ self.model.video_out
        video = video * self.rows(self.noisy)[..., None]
        sound = tokens["sound"] @ self.model.sound_out
        if self.regional:
            shape = self.latents["video"].shape[1:]
            return {"video": video.reshape(-1, *shape), "sound": sound}
        _, f, h, w, _ = self.latents["video"].shape
        grid = (f // PATCH[0], h // PATCH[1], w // PATCH[2])
        return {"video": from_patches(video, grid, PATCH), "sound": sound}

    def head(self, tokens):
        return self.guide(self.velocities(tokens))

    def hold(self, held, *sides):
        whole = jax.tree.map(lambda *x: jnp.concatenate(x), *sides)
        if self.regional:
            if not self.keeps_keys:
                return held
            pairs = zip(held.keys, whole.keys)
            return Held(tuple(jax.vmap(self.written)(x, y) for x, y in pairs))
        keys = ()
        if self.keeps_keys:
            keys = tuple(self.tokens.tiling.tiles(x, axis=2) for x in whole.keys)
        return Held(keys, () if whole.share is None else whole.share.mean(axis=0))
