"""A toy family: two experts, video and sound, a schedule that knows the token count."""

import hashlib
import math

import jax
import jax.numpy as jnp
import numpy as np
from jax.sharding import NamedSharding, PartitionSpec

from chorus_jax.families.forward import Geometry
from chorus_jax.nets.tokens import Tiling
from chorus_jax.schedulers import named
from chorus_jax.schedulers.flow import add_noise
from chorus_jax.text.prompts import Tokens
from tests.chorus_jax.families.toy.forward import (
    CHANNELS,
    PASSES,
    PATCH,
    SOUND,
    WIDTH,
    ToyConditions,
    ToyTransformer,
)

WORDS, SIDE = 8, 4  # text tokens; pixels per latent along height and width


class ToyModel:
    """The toy (see `protocols.VideoModel`)."""

    family = "toy"
    tokenizer_fingerprint = "words"
    numerics = "float32"

    def __init__(self, mesh=None):
        self.mesh = mesh
        made = {"high": ToyTransformer.drawn(1), "low": ToyTransformer.drawn(2)}
        if mesh is not None:
            made = jax.device_put(made, NamedSharding(mesh, PartitionSpec()))
        self.transformers = made

    @property
    def fingerprints(self):
        return {"vae": "v", "text_encoder": "t", "high": "a", "low": "b"}

    def geometry(self, request):
        if request.height % (2 * SIDE) or request.width % (2 * SIDE):
            raise ValueError("sizes are multiples of 8 pixels")
        f, h, w = request.frames, request.height // SIDE, request.width // SIDE
        grid = (f // PATCH[0], h // PATCH[1], w // PATCH[2])
        streams = (("video", (f, h, w, CHANNELS)), ("sound", (2 * f, SOUND)))
        return Geometry(streams, grid, PATCH, Tiling.fitting(grid, (1, 2, 2)).tile)

    def check_mesh(self, request, count):
        if self.mesh is not None and PASSES * count % self.mesh.shape["data"]:
            raise ValueError("the mesh does not divide the passes")

    def solver(self, request):
        count = math.prod(self.geometry(request).grid)
        shift = request.shift * (1 + count / 64)
        return named(request.solver).spaced(request.steps, shift)

    def experts(self, request):
        steps = request.steps
        return ("high",) * (steps // 2) + ("low",) * (steps - steps // 2)

    def fps(self, request):
        return None

    def tokens(self, requests):
        texts = [request.prompt for request in requests]
        return self.read(texts + [request.negative_prompt for request in requests])

    def read(self, prompts):
        ids = np.zeros((len(prompts), WORDS), np.int64)
        spans, cut = np.zeros((len(prompts), WORDS, 2), np.int32), []
        for row, prompt in enumerate(prompts):
            end = 0
            for place, word in enumerate(prompt.split()[:WORDS]):
                first = prompt.index(word, end)
                end = first + len(word)
                ids[row, place] = number(word)
                spans[row, place] = first, end
            cut.append(prompt[end:].strip())
        ends = spans[..., 1].max(axis=1)
        texts = tuple(prompt[:end] for prompt, end in zip(prompts, ends))
        return Tokens(ids, ids > 0, spans, tuple(cut), texts)

    def forget_prompts(self, tenant=None):
        """It remembers none."""

    def condition(self, requests, tenant="", tokens=None):
        first, b = requests[0], len(requests)
        tokens = tokens or self.tokens(requests)
        prompts, negative = tokens.ids[:b], tokens.ids[b:]
        ids = np.concatenate([prompts, negative, prompts, prompts])
        known = ids > 0
        known[:, 0] = True
        f, h, w = self.geometry(first).grid
        rng = np.random.default_rng(3)
        # Of words that the prompts share the vectors are the same.
        text = np.stack([[vector(x) for x in row] for row in ids])
        scales = [[r.guidance_scale - 1, 0.5, 0.25] for r in requests]
        given = ToyConditions(
            text=jnp.asarray(text, jnp.float32),
            known=jnp.asarray(known),
            times=jnp.asarray(self.solver(first).schedule.timesteps, jnp.float32),
            places=jnp.asarray(rng.normal(size=(f * h * w, WIDTH)), jnp.float32),
            clean=jnp.asarray(np.arange(f * h * w) < h * w, jnp.float32),
            scales=jnp.asarray(scales, jnp.float32).reshape(b, 3),
        )
        return {"high": given, "low": given}, tokens.cut[:b]

    def begin(self, noise, requests, start):
        initial = start.initial_latents.items()
        return noise | {k: add_noise(x, noise[k], start.level) for k, x in initial}

    def initial_latents(self, requests, tenant=""):
        return {}

    def text_values(self, conditions):
        given, weights = conditions["high"], self.transformers["high"].layers
        return jnp.einsum("mc,lcd->lmd", given.text[0], weights["text_value"])

    def decode(self, latents, requests):
        video = jnp.tanh(latents["video"][..., :3])
        for i in range(video.shape[1]):
            yield video[:, i : i + 1].repeat(SIDE, axis=2).repeat(SIDE, axis=3)

    def free_text_encoder(self):
        pass


def number(word):
    """A number above 0 for a word."""
    return int(hashlib.sha256(word.encode()).hexdigest()[:6], 16) + 1


def vector(id):
    """What the text encoder gives for a word, zeros for padding."""
    if not id:
        return np.zeros(WIDTH)
    return np.random.default_rng(int(id)).normal(size=WIDTH)
