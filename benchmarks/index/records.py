"""Random records with heads like Wan 1.3B's, written to a folder without a store."""

from pathlib import Path

import numpy as np
from tqdm import tqdm

from chorus_jax.inter_request.match import meaning
from chorus_jax.inter_request.match.words import split_words, word_keys
from chorus_jax.inter_request.store import Entry, Secret, record

LATENTS, WIDTH = (21, 60, 104, 16), 1536
SMALL = (1, 1, 1, 1)  # shape of latents in records that are never loaded
WORDS = "a red blue green small large circle star cat dog runs on snow sand".split()
RECIPE, LENGTH = "0" * 64, 12
CREATED = 1.7e9


def entry(rng: np.random.Generator, number: int, shape: tuple[int, ...]) -> Entry:
    """A random entry with a prompt of twelve words.

    Args:
        rng: the random number generator.
        number: determines the digest of the request and the time of creation.
        shape: the shape of the latents.
    """
    vector = rng.standard_normal(WIDTH).astype(np.float32)
    latents = rng.standard_normal(shape, np.float32)
    meanings = rng.standard_normal((LENGTH, meaning.WIDTH))
    prompt = " ".join(rng.choice(WORDS, LENGTH))
    return Entry(
        recipe=RECIPE,
        exact=f"{number % 2**64:064x}",
        namespace="default",
        noises=(number % 2**32,),
        embedding=vector / np.linalg.norm(vector),
        words=word_keys(split_words(prompt), Secret().for_words),
        meanings=meanings.astype(np.float16),
        created=CREATED + number,
        latents=latents,
    )


def fill(folder: Path, count: int, rng: np.random.Generator) -> None:
    """Writes `count` records with small latents into a folder."""
    folder.mkdir(parents=True, exist_ok=True)
    for number in tqdm(range(count), unit="record"):
        made = entry(rng, number, SMALL)
        (folder / f"{made.id}.record").write_bytes(record.packed(made, Secret()))
