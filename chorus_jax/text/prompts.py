"""Prompts to text embeddings: cleaning, tokenising, truncation and encoding.

Independent of guidance and of the model that reads the embeddings. Tokens and zeroed
padding follow diffusers' WanPipeline (pipelines/wan/pipeline_wan.py).
"""

import hashlib
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from functools import partial
from pathlib import Path
from typing import Any, Protocol, no_type_check, runtime_checkable

import jax
import jax.numpy as jnp
import numpy as np
from jaxtyping import Array, Bool, Float, Int, Int32
from tokenizers import Encoding
from tokenizers import Tokenizer as Rules

from chorus_jax.text.token_rules import read_rules

# Lengths that the encoder is compiled for, besides the limit.
BUCKETS = (64, 128, 256, 512)


@runtime_checkable
class TextEncoder(Protocol):
    """A network from tokens to embeddings: a pytree of weights."""

    def __call__(
        self, ids: Int[Array, "b m"], mask: Bool[Array, "b m"]
    ) -> Float[Array, "b m c"]:
        """The embeddings of tokens; tokens that `mask` leaves out have no effect."""


@dataclass(frozen=True)
class Tokens:
    """Ids of prompts, padded on the right to the text limit.

    Attributes:
        ids: one row per prompt.
        mask: False on padding.
        spans: each token's range of characters in the cleaned prompt: the first, and
            the one after the last; both 0 for padding and special tokens.
        cut: the part of each prompt beyond the limit, mostly "".
        texts: the cleaned prompts up to the limit, which is all that a model reads.
    """

    ids: Int[np.ndarray, "b m"]
    mask: Bool[np.ndarray, "b m"]
    spans: Int32[np.ndarray, "b m 2"]
    cut: tuple[str, ...]
    texts: tuple[str, ...]

    def row(self, i: int) -> "Tokens":
        """One prompt's tokens, as a batch of one."""
        return Tokens(*(column[i : i + 1] for column in self._columns))

    @property
    def _columns(self) -> tuple[Any, ...]:
        return self.ids, self.mask, self.spans, self.cut, self.texts


# Not type-checked, since jax rebuilds it with other objects in place of its arrays. The
# cut text is dropped inside jit, where it would be part of the key of a program.
@partial(
    jax.tree_util.register_dataclass,
    data_fields=("embeddings", "lengths"),
    meta_fields=("limit",),
    drop_fields=("cut",),
)
@no_type_check
@dataclass(frozen=True)
class Conditioning:
    """Text embeddings that a video model reads.

    Attributes:
        embeddings: zero from `lengths` on; m is `limit`, or more than every length.
        lengths: the number of tokens of each prompt.
        limit: the number of rows that the model expects; rows beyond m are zero.
        cut: as in `Tokens`.
    """

    embeddings: Float[Array, "b m c"]
    lengths: Int[Array, " b"]
    limit: int
    cut: tuple[str, ...] = ()


class Tokenizer:
    """Cleans prompts and turns each into `limit` ids, padding included.

    Attributes:
        rules: the tokenizer of the tokenizers library.
        limit: the most tokens of a prompt; the text beyond them is cut.
        clean: changes a prompt before it is split, as the makers of its model do.
        fingerprint: SHA-256 digest of the rules.
    """

    def __init__(
        self,
        rules: Rules,
        pad: str,
        limit: int = 512,
        *,
        clean: Callable[[str], str],
    ):
        """`pad` is the padding token of the rules."""
        self.rules, self.limit, self.clean = rules, limit, clean
        self.fingerprint = hashlib.sha256(rules.to_str().encode()).hexdigest()
        rules.enable_truncation(limit)
        rules.enable_padding(
            direction="right",
            pad_id=rules.token_to_id(pad),
            pad_token=pad,
            length=limit,
        )

    @classmethod
    def load(
        cls, folder: str | Path, limit: int = 512, *, clean: Callable[[str], str]
    ) -> "Tokenizer":
        """The tokenizer in a local folder. Raises a ValueError if there is none."""
        return cls(*read_rules(folder), limit, clean=clean)

    @property
    def size(self) -> int:
        """The size of the vocabulary."""
        return self.rules.get_vocab_size()

    def __call__(self, prompts: Sequence[str]) -> Tokens:
        """Tokens of the cleaned prompts. Raises a ValueError if there are none."""
        if isinstance(prompts, str) or not prompts:
            raise ValueError(f"expected a list of one or more prompts, got {prompts!r}")
        texts = [self.clean(prompt) for prompt in prompts]
        encoding = self.rules.encode_batch(texts)
        ends = [max(end for _, end in row.offsets) for row in encoding]
        cut = (
            text[end:].strip() if row.overflowing else ""
            for text, end, row in zip(texts, ends, encoding)
        )
        spans = [self.spans(*pair) for pair in zip(texts, encoding)]
        read = (max(end for _, end in row) for row in spans)
        return Tokens(
            ids=np.array([row.ids for row in encoding], np.int32),
            mask=np.array([row.attention_mask for row in encoding]) > 0,
            spans=np.array(spans, np.int32),
            cut=tuple(cut),
            texts=tuple(text[:end] for text, end in zip(texts, read)),
        )

    def spans(self, text: str, encoding: Encoding) -> list[tuple[int, int]]:
        """Each token's range of characters in a text: first, and one after the last.

        Special tokens have (0, 0): tokens that the tokenizer adds, and special tokens
        that the text spells out, such as "</s>". An unknown word is no special token
        here, since its token's name is not in the text.
        """
        names = self.rules.get_added_tokens_decoder()
        special = {i: str(token) for i, token in names.items() if token.special}
        rows = zip(encoding.ids, encoding.offsets, encoding.special_tokens_mask)
        return [
            (0, 0) if added or text[slice(*span)].strip() == special.get(i) else span
            for i, span, added in rows
        ]


@dataclass
class PromptEncoder:
    """Encodes prompts one by one, so that embeddings do not depend on the batch.

    Attributes:
        encoder: the text encoder; None once it is freed.
        tokenizer: tokenises the prompts.
        remembered: the number of most recent prompts whose embeddings are kept in host
            memory (up to 4 MB each for Wan).
        known: the embeddings by tenant and tokens. A tenant never gets embeddings that
            another one's request encoded: the time of an answer would reveal what
            others asked (arXiv 2508.20424).
    """

    encoder: TextEncoder | None
    tokenizer: Tokenizer
    remembered: int = 128
    known: dict[tuple[str, bytes], np.ndarray] = field(default_factory=dict, repr=False)

    def __call__(self, prompts: Sequence[str], tenant: str = "") -> Conditioning:
        """Text conditioning for prompts, with as many rows as the longest needs.

        Raises a ValueError if the encoder was freed and a prompt is not remembered.
        """
        return self.encoded(self.tokenizer(prompts), tenant)

    def encoded(self, tokens: Tokens, tenant: str = "") -> Conditioning:
        """Text conditioning for tokenised prompts."""
        rows = [self.embed(tokens.row(i), tenant) for i in range(len(tokens.ids))]
        most = max(len(row) for row in rows)
        even = [np.pad(row, ((0, most - len(row)), (0, 0))) for row in rows]
        embeddings = jnp.asarray(np.stack(even))
        return Conditioning(
            embeddings, lengths(tokens), self.tokenizer.limit, tokens.cut
        )

    def embed(self, tokens: Tokens, tenant: str = "") -> Float[np.ndarray, "m c"]:
        """The embeddings of one prompt."""
        ids = tokens.ids.tobytes()
        key = (tenant, ids)
        row = self.known.pop(key, None)
        if row is None and self.encoder is None:
            row = self.known.get(("", ids))  # encoded for all tenants before the free
        if row is None:
            if self.encoder is None:
                raise ValueError(
                    "this prompt is new, but the text encoder was freed: load the "
                    "pipeline again, or encode all prompts before freeing it"
                )
            row = np.asarray(encode(self.encoder, tokens).embeddings[0])
        self.known[key] = row
        while len(self.known) > self.remembered:
            del self.known[next(iter(self.known))]
        return row

    def forget(self, tenant: str | None = None) -> None:
        """Forgets the embeddings of a tenant's prompts, or all for None."""
        for key in [key for key in self.known if tenant in (None, key[0])]:
            del self.known[key]

    def free(self) -> None:
        """Releases the encoder; remembered prompts still work."""
        self.encoder = None


def encode(encoder: TextEncoder, tokens: Tokens) -> Conditioning:
    """Text conditioning for tokenised prompts, computed without most of the padding.

    Masked positions have no effect on others, so fewer rows give the same embeddings.
    """
    limit = tokens.ids.shape[1]
    rows = bucket(int(tokens.mask.sum(axis=1).max()), limit)
    embeddings = _embed(encoder, tokens.ids[:, :rows], tokens.mask[:, :rows])
    return Conditioning(embeddings, lengths(tokens), limit, tokens.cut)


def bucket(longest: int, limit: int) -> int:
    """The number of rows to encode: the least bucket above `longest`, else `limit`.

    A bucket has at least one row of padding, which can represent all padding rows.
    """
    return next((size for size in BUCKETS if longest < size < limit), limit)


def lengths(tokens: Tokens) -> Int[Array, " b"]:
    """The number of tokens of each prompt."""
    return jnp.asarray(tokens.mask.sum(axis=1), jnp.int32)


@jax.jit
def _embed(
    encoder: TextEncoder, ids: Int[Array, "b m"], mask: Bool[Array, "b m"]
) -> Float[Array, "b m c"]:
    return jnp.where(mask[..., None], encoder(ids, mask), 0)
