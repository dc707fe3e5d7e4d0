"""Entries of the store: a request's latents, its prompt's traces, its use."""

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
# What a header takes beside its arrays, measured with all that finds its entry: the
# copies of its embedding (its own, an index's, a searcher's), a word's, its objects'.
COPIES, WORD_BYTES, OBJECT_BYTES = 4, 64, 2048


def new_id() -> str:
    """A random id, which no other entry has: 32 hex digits."""
    return secrets.token_hex(16)


@dataclass(frozen=True)
class Statistics:
    """Making and use of an entry; times in seconds since the epoch.

    Attributes:
        created: when it was made.
        cost: the seconds that making it took.
        last_used: when it last was a hit; `created` before the first one.
        hits: how often it was one, exact repeats included.
        saved: the seconds that its hits saved in all.
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
        """With one more hit."""
        return replace(
            self,
            last_used=max(self.last_used, now),
            hits=self.hits + 1,
            saved=self.saved + saved,
        )


@dataclass(frozen=True, kw_only=True, eq=False)
class EntryHeader:
    """An entry without its latents: what finding and judging it needs.

    Attributes:
        recipe: a recipe's digest, in hex.
        exact: the digest of a whole request (`Secret.exact`), in hex.
        made: that of the same request with the seed which stands for its source's
            noise; "" if it was computed from noise of its own.
        policy: the digest of the policy by which it was made from a source; "" if it
            was computed in full.
        namespace: the one that sees the entry, unless it is shared.
        steps: the key steps, rising.
        embedding: that of the prompt, of norm 1.
        words: the prompt's `word_keys`.
        meanings: what the model reads of each word, one row per word (see `meaning`).
        statistics: how it was made and used.
        score: how near it is to what its prompt asks, 0 to 1: 1 if it was computed in
            full, else the similarity to its source's prompt times the source's score.
        shared: whether all namespaces see it.
        prompt: the prompt in clear, None unless it was asked for: it goes to disk as
            it is.
        id: its own, random.

    Raises:
        ValueError: for impossible values.
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
        """The bytes that it takes in memory, and in what finds its entry there."""
        text = WORD_BYTES * len(self.words) + 4 * len(self.prompt or "")
        arrays = COPIES * self.embedding.nbytes + self.meanings.nbytes
        return arrays + text + OBJECT_BYTES

    @property
    def source(self) -> bool:
        """Whether later requests may begin from it: with key steps, or with clean
        latents that have noise of their own. Else it is good for exact repeats only."""
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
        latents: row i are those before step `steps[i]`.
        final: the clean ones, in float32 or bfloat16.

    Raises:
        ValueError: for impossible values.
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
        """The bytes of its header and its latents."""
        return super().nbytes + self.latents.nbytes + self.final.nbytes

    def at(self, step: int) -> BFloat16[np.ndarray, "f h w c"]:
        """The latents before a key step. ValueError if it is none of them."""
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
        """This entry with arrays that nobody else has and nobody can write."""
        names = ("latents", "final", "embedding", "meanings")
        return self._with(**{name: _owned(getattr(self, name)) for name in names})

    def _with(self, **values: Any) -> "Entry":
        # Not checked anew, as `replace` would: latents are large.
        other = copy(self)
        for name, value in values.items():
            object.__setattr__(other, name, value)
        return other


def _owned(array: np.ndarray) -> np.ndarray:
    copy = np.array(array, order="C")
    copy.flags.writeable = False
    return copy
