"""Entries of the store: latents, digests of the prompt, and times of use."""

import math
import re
import secrets
from copy import copy
from dataclasses import dataclass, field
from typing import Any

import numpy as np
from jaxtyping import Float16, Float32

ID = re.compile("[0-9a-f]{32}")
ROUNDING = 1e-3
# Memory per header, including the structures that find its entry: copies of its
# embedding (its own, the index's, the searcher's; the second index's of shared ones),
# bytes per word, bytes of objects.
COPIES, SHARED_COPIES, WORD_BYTES, OBJECT_BYTES = 4, 7, 64, 2048


def new_id() -> str:
    """A new random id of 32 hex digits."""
    return secrets.token_hex(16)


@dataclass(frozen=True, kw_only=True, eq=False)
class EntryHeader:
    """An entry without its latents: all that is needed to find and judge it.

    Attributes:
        recipe: the recipe's digest, in hex.
        exact: the digest of the whole request (`Secret.exact`), in hex.
        policy: the digest of the policy by which the video was made from a source; ""
            if it was computed in full.
        namespace: the only namespace that may use the entry, unless it is shared.
        noises: the noise seeds of all runs along its chain of sources, its own run's
            seed last.
        embedding: the prompt's embedding, of norm 1.
        words: the keys of the prompt's words (`word_keys`).
        meanings: the model's representation of each word, a row per word (see
            `meaning`).
        created: when the entry was made, in seconds since the epoch.
        last_used: when it was last a hit; `created` if it was not.
        score: how well the video follows its prompt, 0 to 1: 1 if it was computed in
            full, else the similarity to its source's prompt times the source's score.
        shared: whether all namespaces may use it.
        own: whether all sources along its chain belong to its namespace too.
        prompt: the prompt in clear, or None. It is written to disk unencrypted.
        id: the entry's id, random.

    Raises:
        ValueError: for invalid values.
    """

    recipe: str
    exact: str
    namespace: str
    noises: tuple[int, ...]
    embedding: Float32[np.ndarray, " d"]
    words: tuple[bytes, ...]
    meanings: Float16[np.ndarray, "u e"]
    created: float
    last_used: float = 0.0
    score: float = 1.0
    shared: bool = False
    own: bool = True
    prompt: str | None = None
    policy: str = ""
    id: str = field(default_factory=new_id)

    @property
    def nbytes(self) -> int:
        """The header's bytes in memory, with its share of indexes and look-up
        tables."""
        text = WORD_BYTES * len(self.words) + 4 * len(self.prompt or "")
        copies = SHARED_COPIES if self.shared else COPIES
        arrays = copies * self.embedding.nbytes + self.meanings.nbytes
        return arrays + text + OBJECT_BYTES

    def __post_init__(self) -> None:
        for name in ("id", "recipe", "exact", "policy", "namespace"):
            if not isinstance(getattr(self, name), str):
                raise ValueError(f"{name} must be text, got {getattr(self, name)!r}")
        for name in ("shared", "own"):
            if not isinstance(getattr(self, name), bool):
                raise ValueError(f"{name} is a bool, got {getattr(self, name)!r}")
        if not isinstance(self.prompt, str | None):
            raise ValueError(f"a prompt is text or None, got {self.prompt!r}")
        if not ID.fullmatch(self.id):
            raise ValueError(f"an id is 32 hex digits, got {self.id!r}; leave it out")
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
        if not math.isfinite(self.created):
            raise ValueError(f"times are finite, got {self.created}")
        if not self.last_used:
            object.__setattr__(self, "last_used", self.created)
        if not 0 <= self.score <= 1:
            raise ValueError(f"a score is 0 to 1, got {self.score}")


@dataclass(frozen=True, kw_only=True, eq=False)
class Entry(EntryHeader):
    """The record that one request leaves for later ones: a header and latents.

    Attributes:
        latents: the clean latents.

    Raises:
        ValueError: for invalid values.
    """

    latents: Float32[np.ndarray, "f h w c"]

    def __post_init__(self) -> None:
        super().__post_init__()
        if self.latents.dtype != np.float32:
            raise ValueError(f"latents are float32, got {self.latents.dtype}")
        if not np.isfinite(self.latents).all():
            raise ValueError("the latents are not finite: do not admit the run")

    @property
    def head(self) -> EntryHeader:
        """This entry without its latents."""
        head = object.__new__(EntryHeader)  # skips checks that were made before
        vars(head).update(vars(self))
        del vars(head)["latents"]
        return head

    @property
    def nbytes(self) -> int:
        """The bytes of its header (see `EntryHeader.nbytes`) and its latents."""
        return super().nbytes + self.latents.nbytes

    def used(self, when: float) -> "Entry":
        """This entry with another time of its last use."""
        return self._with(last_used=when)

    def owned(self) -> "Entry":
        """This entry with read-only copies of its arrays."""
        names = ("latents", "embedding", "meanings")
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
