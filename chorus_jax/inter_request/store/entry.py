"""Entries of the store: latents, digests of the prompt, and statistics of use."""

import math
import re
import secrets
from copy import copy
from dataclasses import dataclass, field, fields, replace
from itertools import pairwise
from typing import Any

import numpy as np
from jaxtyping import BFloat16, Float, Float16, Float32

ID = re.compile("[0-9a-f]{32}")
ROUNDING = 1e-3
# Memory per header, including the structures that find its entry: copies of its
# embedding (its own, the index's, the searcher's), bytes per word, bytes of objects.
COPIES, WORD_BYTES, OBJECT_BYTES = 4, 64, 2048


def new_id() -> str:
    """A new random id of 32 hex digits."""
    return secrets.token_hex(16)


@dataclass(frozen=True)
class Statistics:
    """When an entry was made and how it was used; times in seconds since the epoch.

    Attributes:
        created: when the entry was made.
        cost: how long making it took, in seconds.
        last_used: the time of its last hit; `created` before the first hit.
        hits: the number of hits, including exact repeats.
        saved: the total time that its hits saved, in seconds.
    """

    created: float
    cost: float
    last_used: float
    hits: int = 0
    saved: float = 0.0

    @classmethod
    def new(cls, created: float, cost: float) -> "Statistics":
        """The statistics of an entry that was never used."""
        return cls(created, cost, last_used=created)

    def hit(self, now: float, saved: float) -> "Statistics":
        """These statistics after one more hit, at `now`, that saved `saved` seconds."""
        return replace(
            self,
            last_used=max(self.last_used, now),
            hits=self.hits + 1,
            saved=self.saved + saved,
        )


@dataclass(frozen=True, kw_only=True, eq=False)
class EntryHeader:
    """An entry without its latents: all that is needed to find and judge it.

    Attributes:
        recipe: the recipe's digest, in hex.
        exact: the digest of the whole request (`Secret.exact`), in hex.
        made: for a video that begins from its source's noise, the digest of the same
            request with the seed that stands for this noise; "" if the video has noise
            of its own.
        policy: the digest of the policy by which the video was made from a source; ""
            if it was computed in full.
        namespace: the only namespace that may use the entry, unless it is shared.
        steps: the key steps, rising.
        embedding: the prompt's embedding, of norm 1.
        words: the keys of the prompt's words (`word_keys`).
        meanings: the model's representation of each word, a row per word (see
            `meaning`).
        statistics: when the entry was made and how it was used.
        score: how well the video follows its prompt, 0 to 1: 1 if it was computed in
            full, else the similarity to its source's prompt times the source's score.
        shared: whether all namespaces may use it.
        prompt: the prompt in clear, or None. It is written to disk unencrypted.
        id: the entry's id, random.

    Raises:
        ValueError: for invalid values.
    """

    recipe: str
    exact: str
    namespace: str
    steps: tuple[int, ...]
    embedding: Float32[np.ndarray, " d"]
    words: tuple[bytes, ...]
    meanings: Float16[np.ndarray, "u e"]
    statistics: Statistics
    score: float = 1.0
    shared: bool = False
    prompt: str | None = None
    made: str = ""
    policy: str = ""
    id: str = field(default_factory=new_id)

    @property
    def nbytes(self) -> int:
        """Its bytes in memory, with its share of indexes and look-up tables."""
        text = WORD_BYTES * len(self.words) + 4 * len(self.prompt or "")
        arrays = COPIES * self.embedding.nbytes + self.meanings.nbytes
        return arrays + text + OBJECT_BYTES

    @property
    def source(self) -> bool:
        """Whether later requests may begin from this entry.

        It needs key steps, or clean latents of a video with noise of its own. Any other
        entry serves exact repeats only.
        """
        return bool(self.steps) or not self.made

    def __post_init__(self) -> None:
        for name in ("id", "recipe", "exact", "made", "policy", "namespace"):
            if not isinstance(getattr(self, name), str):
                raise ValueError(f"{name} must be text, got {getattr(self, name)!r}")
        if not isinstance(self.prompt, str | None):
            raise ValueError(f"a prompt is text or None, got {self.prompt!r}")
        if not ID.fullmatch(self.id):
            raise ValueError(f"an id is 32 hex digits, got {self.id!r}; leave it out")
        if not all(i < j for i, j in pairwise((0, *self.steps))):
            raise ValueError(f"key steps rise from 1 or more, got {self.steps}")
        norm = float(np.linalg.norm(self.embedding))
        if not abs(norm - 1) < ROUNDING:
            raise ValueError(f"an embedding has norm 1, got {norm}: divide by its norm")
        if len(self.meanings) != len(self.words):
            raise ValueError(
                f"expected a meaning for each of {len(self.words)} words, got "
                f"{len(self.meanings)}"
            )
        if not np.isfinite(self.meanings).all():
            raise ValueError("the meanings of words are not finite: do not admit them")
        if not all(map(math.isfinite, (self.statistics.created, self.statistics.cost))):
            raise ValueError(f"times are finite, got {self.statistics}")
        if not 0 <= self.score <= 1:
            raise ValueError(f"a score is 0 to 1, got {self.score}")


@dataclass(frozen=True, kw_only=True, eq=False)
class Entry(EntryHeader):
    """The record that one request leaves for later ones: a header and latents.

    Attributes:
        latents: the latents at the key steps; row i holds those before `steps[i]`.
        final: the clean latents, in float32 or bfloat16.

    Raises:
        ValueError: for invalid values.
    """

    latents: BFloat16[np.ndarray, "k f h w c"]
    final: Float[np.ndarray, "f h w c"]

    def __post_init__(self) -> None:
        super().__post_init__()
        if self.latents.shape != (len(self.steps), *self.final.shape):
            raise ValueError(
                f"expected latents {[len(self.steps), *self.final.shape]} for the key "
                f"steps {self.steps} and these final ones, got {self.latents.shape}"
            )
        if not (np.isfinite(self.final).all() and np.isfinite(self.latents).all()):
            raise ValueError("the latents are not finite: do not admit the run")

    @property
    def head(self) -> EntryHeader:
        """This entry without its latents."""
        return EntryHeader(
            **{one.name: getattr(self, one.name) for one in fields(EntryHeader)}
        )

    @property
    def nbytes(self) -> int:
        """The bytes of its header (see `EntryHeader.nbytes`) and its latents."""
        return super().nbytes + self.latents.nbytes + self.final.nbytes

    def at(self, step: int) -> BFloat16[np.ndarray, "f h w c"]:
        """The latents before a key step.

        Raises:
            ValueError: if `step` is no key step of this entry.
        """
        if step not in self.steps:
            raise ValueError(
                f"step {step} is not kept: this entry has {self.steps}; plan with the "
                "steps of the entry itself"
            )
        return self.latents[self.steps.index(step)]

    def used(self, statistics: Statistics) -> "Entry":
        """This entry with other statistics."""
        return self._with(statistics=statistics)

    def owned(self) -> "Entry":
        """This entry with read-only copies of its arrays."""
        names = ("latents", "final", "embedding", "meanings")
        return self._with(**{name: _owned(getattr(self, name)) for name in names})

    def _with(self, **values: Any) -> "Entry":
        # Unlike `replace` this skips the checks, which are slow for large latents.
        other = copy(self)
        for name, value in values.items():
            object.__setattr__(other, name, value)
        return other


def _owned(array: np.ndarray) -> np.ndarray:
    copy = np.array(array, order="C")
    copy.flags.writeable = False
    return copy
