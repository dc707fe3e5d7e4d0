"""Converts a `spiece.model` to a tokenizer of the tokenizers library.

The file is a protocol buffer: google/sentencepiece, src/sentencepiece_model.proto. The
tokenizer works as T5's (transformers, convert_slow_tokenizer.py): spaces become marks
before words, characters without a token are encoded as bytes if the file has pieces for
bytes, and `</s>` ends a text.
"""

import struct
from collections.abc import Iterator
from dataclasses import dataclass
from typing import Any

import numpy as np
from tokenizers import (
    AddedToken,
    Regex,
    Tokenizer,
    decoders,
    models,
    normalizers,
    pre_tokenizers,
    processors,
)

MARK = "\N{LOWER ONE EIGHTH BLOCK}"
UNKNOWN, CONTROL, USER, BYTE = 2, 3, 4, 6  # kinds of pieces
UNIGRAM = 1
PAD, END = "<pad>", "</s>"


@dataclass(frozen=True)
class Pieces:
    """The vocabulary and normalisation in a `spiece.model`.

    Attributes:
        rows: text, score and kind of each piece.
        model: the number of the algorithm (`UNIGRAM`).
        charsmap: the compiled map that normalises characters before tokenising.
    """

    rows: tuple[tuple[str, float, int], ...]
    model: int
    charsmap: bytes

    @classmethod
    def read(cls, data: bytes) -> "Pieces":
        """Parses the bytes of a file. Raises a ValueError if it is no sentencepiece
        model."""
        rows, model, charsmap = [], UNIGRAM, b""
        try:
            for number, value in _fields(data):
                if number == 1:
                    rows.append(_piece(value))
                if number == 2:
                    model = dict(_fields(value)).get(3, UNIGRAM)
                if number == 3:
                    charsmap = checked_map(dict(_fields(value)).get(2, b""))
        except (AttributeError, LookupError, TypeError, struct.error) as error:
            raise ValueError(f"it is no sentencepiece model: {error!r}") from error
        except ValueError as error:
            raise ValueError(f"it is no sentencepiece model: {error}") from error
        if not rows:
            raise ValueError("it is no sentencepiece model: it has no pieces")
        return cls(tuple(rows), model, charsmap)


def rules(data: bytes) -> Tokenizer:
    """The tokenizer in the bytes of a `spiece.model`.

    Raises:
        ValueError: if it is no such file, does not use the unigram algorithm, or lacks
            the token for padding, the end, or unknown text.
    """
    pieces = Pieces.read(data)
    texts = [text for text, _, _ in pieces.rows]
    unknown = [i for i, row in enumerate(pieces.rows) if row[2] == UNKNOWN]
    if pieces.model != UNIGRAM or not unknown or not {PAD, END} <= set(texts):
        raise ValueError(
            f"it is a sentencepiece model, but none of T5's: expected unigram with "
            f"{PAD}, {END} and an unknown piece"
        )
    vocabulary = [(text, score) for text, score, _ in pieces.rows]
    in_bytes = any(kind == BYTE for _, _, kind in pieces.rows)
    tokenizer = Tokenizer(
        models.Unigram(vocabulary, unk_id=unknown[0], byte_fallback=in_bytes)
    )
    steps: list[Any] = []
    if pieces.charsmap:
        steps.append(normalizers.Precompiled(pieces.charsmap))
    steps.append(normalizers.Replace(Regex(" {2,}"), " "))
    tokenizer.normalizer = normalizers.Sequence(steps)
    tokenizer.pre_tokenizer = pre_tokenizers.Metaspace(MARK, prepend_scheme="always")
    tokenizer.decoder = decoders.Metaspace(MARK, prepend_scheme="always")
    tokenizer.post_processor = processors.TemplateProcessing(
        single=f"$A {END}", special_tokens=[(END, texts.index(END))]
    )
    tokenizer.add_special_tokens(_added(pieces, (UNKNOWN, CONTROL), special=True))
    tokenizer.add_tokens(_added(pieces, (USER,), special=False))
    return tokenizer


def checked_map(data: bytes) -> bytes:
    """Returns a compiled map of characters. Raises a ValueError if it is damaged.

    A damaged map makes the tokenizers library end the process, or panic at some
    prompts. A map consists of the size of a trie, the trie's units, and zero-terminated
    texts. Format: google/sentencepiece, src/normalizer.cc, and s-yata/darts-clone,
    include/darts.h.
    """
    if not data:
        return data
    (size,) = struct.unpack_from("<I", data)
    if size % 4 or not 0 < size <= len(data) - 4:
        raise ValueError(f"its map of characters has a trie of {size} bytes")
    units = np.frombuffer(data, "<u4", size // 4, 4).astype(np.int64)
    data[4 + size :].decode()
    texts = np.frombuffer(data, np.uint8, offset=4 + size)
    values = units[units >> 31 == 1] & (2**31 - 1)
    inner = units >> 31 == 0
    offsets = (units >> 10) << ((units & 2**9) >> 6)
    farthest = (np.arange(len(units)) ^ offsets)[inner] | 255
    valid = not len(values) or (
        values.max() < len(texts) and (texts[values] & 192 != 128).all()
    )
    ends = len(texts) > 0 and texts[-1] == 0
    if not (valid and ends) or farthest.max(initial=0) >= len(units):
        raise ValueError("its map of characters leads out of itself")
    return data


def _added(pieces: Pieces, kinds: tuple[int, ...], special: bool) -> list[AddedToken]:
    return [
        AddedToken(text, normalized=False, special=special)
        for text, _, kind in pieces.rows
        if kind in kinds
    ]


def _piece(data: bytes) -> tuple[str, float, int]:
    pieces_read = dict(_fields(data))
    (score,) = struct.unpack("<f", pieces_read.get(2, b"\0\0\0\0"))
    return pieces_read[1].decode(), score, pieces_read.get(3, 1)


def _fields(data: bytes) -> Iterator[tuple[int, Any]]:
    """The fields of a protocol buffer message: numbers with integers or bytes."""
    at = 0
    while at < len(data):
        key, at = _whole(data, at)
        number, kind = key >> 3, key & 7
        if kind == 0:
            value, at = _whole(data, at)
            yield number, value
            continue
        if kind not in (1, 2, 5):
            raise ValueError(f"a field of the unknown kind {kind}")
        count, at = _whole(data, at) if kind == 2 else ({1: 8, 5: 4}[kind], at)
        if at + count > len(data):
            raise ValueError("it ends too early")
        yield number, data[at : at + count]
        at += count


def _whole(data: bytes, at: int) -> tuple[int, int]:
    value = shift = 0
    while shift < 70:
        byte = data[at]
        value |= (byte & 127) << shift
        at, shift = at + 1, shift + 7
        if byte < 128:
            return value, at
    raise ValueError("a number of more than 64 bits")
