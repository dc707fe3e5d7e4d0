"""What the store keeps of a request: its latents, its prompt's traces, its use."""

import math
import re
import secrets
from dataclasses import dataclass, field, fields, replace
from itertools import pairwise

import numpy as np
from jaxtyping import BFloat16, Float, Float16, Float32, Int32

ID = re.compile("[0-9a-f]{32}")
ROUNDING = 1e-3


def new_id() -> str:
    """A random id, which no other entry has: 32 hex digits."""
    return secrets.token_hex(16)


@dataclass(frozen=True)
class Statistics:
    """How an entry was made and used; times in seconds since the epoch.

    `cost` is the seconds that making it took, `saved` those that its hits saved in all.
    `uses` counts for each key step the hits that started there; hits that started at
    none of them (exact repeats) are in `hits` only.
    """

    created: float
    cost: float
    last_used: float
    hits: int = 0
    saved: float = 0.0
    uses: tuple[int, ...] = ()

    @classmethod
    def new(cls, created: float, cost: float, steps: tuple[int, ...]) -> "Statistics":
        """Those of an entry with these key steps that was never used."""
        return cls(created, cost, last_used=created, uses=(0,) * len(steps))

    def hit(self, now: float, saved: float, row: int | None) -> "Statistics":
        """With one more hit, which started from the key step in this row."""
        return replace(
            self,
            last_used=max(self.last_used, now),
            hits=self.hits + 1,
            saved=self.saved + saved,
            uses=tuple(n + (i == row) for i, n in enumerate(self.uses)),
        )


@dataclass(frozen=True, kw_only=True, eq=False)
class Head:
    """An entry without its latents: what finding and judging it needs.

    `recipe` is a recipe's digest, `exact` that of a whole request (`Secret.exact`);
    both are hex. An entry is seen by its own namespace only, unless it is `shared`.
    `steps` are the key steps, rising. The embedding has norm 1. `words` are the
    prompt's `word_keys`, and row i of `meanings` is what the model reads of word i (see
    `meaning`). `score` is that of the source that it was made from, 1 if none was.
    `prompt` is the prompt in clear, None unless it was asked for: it goes to disk as it
    is. ValueError for impossible values.
    """

    recipe: str
    exact: str
    namespace: str
    steps: tuple[int, ...]
    embedding: Float32[np.ndarray, " d"]
    token_ids: Int32[np.ndarray, " m"]
    words: tuple[bytes, ...]
    meanings: Float16[np.ndarray, "u e"]
    statistics: Statistics
    score: float = 1.0
    shared: bool = False
    prompt: str | None = None
    id: str = field(default_factory=new_id)

    def __post_init__(self) -> None:
        if not ID.fullmatch(self.id):
            raise ValueError(f"an id is 32 hex digits, got {self.id!r}; leave it out")
        rising = all(i < j for i, j in pairwise((0, *self.steps)))
        if not rising or len(self.statistics.uses) != len(self.steps):
            raise ValueError(
                "key steps rise from 1 or more, with one count of uses each; got "
                f"{self.steps} and {self.statistics.uses}"
            )
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
        numbers = (self.statistics.created, self.statistics.cost, self.score)
        if not all(map(math.isfinite, numbers)):
            raise ValueError(
                f"times and score are finite, got {self.statistics} and {self.score}"
            )

    def row(self, step: int | None) -> int | None:
        """The row of a key step, None if it is none of them."""
        return self.steps.index(step) if step in self.steps else None


@dataclass(frozen=True, kw_only=True, eq=False)
class Entry(Head):
    """What one request leaves for later ones: a head and latents.

    Row i of `latents` are those before step `steps[i]`; `final` are the clean ones, in
    float32 or bfloat16. ValueError for impossible values.
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
        if not np.isfinite(self.final).all():
            raise ValueError("the final latents are not finite: do not admit the run")

    @property
    def head(self) -> Head:
        """This entry without its latents."""
        return Head(**{one.name: getattr(self, one.name) for one in fields(Head)})

    @property
    def nbytes(self) -> int:
        """The bytes of its arrays."""
        told = (self.embedding, self.token_ids, self.meanings)
        return sum(array.nbytes for array in (self.latents, self.final, *told))

    def at(self, step: int) -> BFloat16[np.ndarray, "f h w c"]:
        """The latents before a key step. ValueError if it is none of them."""
        row = self.row(step)
        if row is None:
            raise ValueError(
                f"step {step} is not kept: this entry has {self.steps} (an eviction "
                "may have taken it); plan with the steps of the entry itself"
            )
        return self.latents[row]

    def without(self, step: int) -> "Entry":
        """This entry less one key step, in memory of its own."""
        row = self.row(step)
        kept = [i for i in range(len(self.steps)) if i != row]
        uses = tuple(self.statistics.uses[i] for i in kept)
        return replace(
            self,
            steps=tuple(self.steps[i] for i in kept),
            latents=self.latents[kept],
            statistics=replace(self.statistics, uses=uses),
        ).owned()

    def owned(self) -> "Entry":
        """This entry with arrays that nobody else has and nobody can write."""
        return replace(
            self,
            latents=_owned(self.latents),
            final=_owned(self.final),
            embedding=_owned(self.embedding),
            token_ids=_owned(self.token_ids),
            meanings=_owned(self.meanings),
        )


def _owned(array: np.ndarray) -> np.ndarray:
    copy = np.array(array, order="C")
    copy.flags.writeable = False
    return copy
