"""Batches: rendered crops for the VAE, encoded clips and captions for the flow.

Every clip and every batch depends only on the seed and on its number, so any process
can make it at any time.
"""

import json
from dataclasses import asdict, dataclass
from pathlib import Path

import numpy as np
from jaxtyping import Float16, UInt8

from chorus_jax.training.world.attributes import Attributes
from chorus_jax.training.world.captions import paraphrase
from chorus_jax.training.world.examples import (
    Example,
    training_example,
    training_pair,
)
from chorus_jax.training.world.scene import World


@dataclass(frozen=True)
class Clips:
    """An endless list of captioned videos.

    Attributes:
        world: the size of the videos and of their objects.
        pairs: the share of them with two objects, 0 to 1.
        seed: equal seeds give equal videos.
    """

    world: World
    pairs: float
    seed: int

    def __call__(self, number: int) -> Example:
        """The clip of this number, the same in every call."""
        rng = np.random.default_rng((self.seed, number))
        pair = rng.random() < self.pairs
        return (training_pair if pair else training_example)(rng, self.world)


@dataclass(frozen=True)
class Crops:
    """Batches for the VAE: each video is a crop of a new clip, in space and in time.

    Attributes:
        clips: the clips that the parts are taken from.
        batch: clips per batch.
        frames: frames of a part.
        side: height and width of a part, in pixels.
    """

    clips: Clips
    batch: int
    frames: int
    side: int

    def __call__(self, step: int) -> UInt8[np.ndarray, "b f h w 3"]:
        """The batch of a step."""
        numbers = range(step * self.batch, (step + 1) * self.batch)
        return np.stack([self.crop(number) for number in numbers])

    def crop(self, number: int) -> UInt8[np.ndarray, "f h w 3"]:
        """A random part of a clip."""
        video = self.clips(number).video
        rng = np.random.default_rng((self.clips.seed, number, 1))
        sizes = (self.frames, self.side, self.side)
        starts = [
            int(rng.integers(length - size + 1))
            for length, size in zip(video.shape[:3], sizes, strict=True)
        ]
        f, y, x = (slice(at, at + size) for at, size in zip(starts, sizes))
        return video[f, y, x]


@dataclass(frozen=True)
class Encoded:
    """Clips that were encoded to a folder.

    Attributes:
        folder: holds `latents.npy`, `structure.npy`, `chances.npy`, and `asked.jsonl`
            with the attributes, one line per clip.
    """

    folder: Path

    def create(self, name: str, count: int, shape: tuple[int, ...]) -> np.memmap:
        """Opens the float16 array of this name for all clips; creates it if needed.

        Raises a ValueError if clips were encoded without it.
        """
        path = self.folder / f"{name}.npy"
        if self.done() and not path.exists():
            raise ValueError(
                f"{self.folder} has clips but no {name}.npy, so they were encoded by "
                "an earlier version: remove the folder and encode them anew"
            )
        self.folder.mkdir(parents=True, exist_ok=True)
        if path.exists():
            return np.lib.format.open_memmap(path, "r+")
        return np.lib.format.open_memmap(path, "w+", np.float16, (count, *shape))

    def latents(self) -> Float16[np.memmap, "clips f h w c"]:
        """The array of all latents. Raises a ValueError if some are missing."""
        return self.array("latents")

    def structure(self) -> Float16[np.memmap, "clips f h w s"]:
        """The structure targets of the clips (see `structure.py`). Raises a ValueError
        if some are missing."""
        return self.array("structure")

    def chances(self) -> Float16[np.memmap, "clips n"]:
        """The chance targets of the clips (see `chances.py`). Raises a ValueError if
        some are missing."""
        return self.array("chances")

    def array(self, name: str) -> np.memmap:
        """An array of all clips. Raises a ValueError if some are missing."""
        path = self.folder / f"{name}.npy"
        if not path.exists() or len(np.load(path, mmap_mode="r")) != self.done():
            raise ValueError(
                f"{self.folder} does not hold all clips yet: run "
                "`python -m chorus_jax.training encode` to its end"
            )
        return np.lib.format.open_memmap(path, "r")

    def done(self) -> int:
        """The number of encoded clips."""
        path = self.folder / "asked.jsonl"
        return len(path.read_text().splitlines()) if path.exists() else 0

    def add(self, attributes: list[tuple[Attributes, ...]]) -> None:
        """Appends the attributes of further clips, once their arrays are written."""
        with (self.folder / "asked.jsonl").open("a") as file:
            for attributes_of_clip in attributes:
                file.write(
                    json.dumps([asdict(one) for one in attributes_of_clip]) + "\n"
                )

    def attributes(self) -> list[tuple[Attributes, ...]]:
        """The attributes of each clip's objects. Raises a ValueError if some are
        missing."""
        self.latents()
        lines = (self.folder / "asked.jsonl").read_text().splitlines()
        return [tuple(Attributes(**one) for one in json.loads(line)) for line in lines]


def reworded(attributes: tuple[Attributes, ...], rng: np.random.Generator) -> str:
    """A new caption of a clip."""
    first, *second = attributes
    return paraphrase(first, rng, *second)
