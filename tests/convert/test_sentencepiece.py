"""Damaged and crafted files of sentencepiece. Whole ones: test_opening."""

import struct

import numpy as np
import pytest

from convert import sentencepiece
from tests.convert import made


def number(value):
    return (
        bytes([value])
        if value < 128
        else bytes([value & 127 | 128]) + number(value >> 7)
    )


def part(field, data):
    return number(field << 3 | 2) + number(len(data)) + data


def charsmap(units, texts):
    data = np.array(units, "<u4").tobytes()
    return struct.pack("<I", len(data)) + data + texts


def mapped(data):
    """A tokenizer's file with this map of characters."""
    return made.words() + part(3, part(2, data))


LEAF = 1 << 31


def test_a_whole_map_is_taken():
    units = [0] * 256
    units[5] = LEAF | 2
    sentencepiece.rules(mapped(charsmap(units, b"ab\xc3\xa9\0")))


@pytest.mark.parametrize(
    "data",
    [
        b"\xff\xff\xff\xff",
        b"\x00\x00\x00\x00a\0",
        charsmap([0] * 255, b"a\0"),
        charsmap([200 << 10] + [0] * 255, b"a"),
        charsmap([300 << 10] + [0] * 255, b"a\0"),
        charsmap([1 << 10 | 1 << 9] + [0] * 255, b"a\0"),
        charsmap([LEAF | 9] + [0] * 255, b"a\0"),
        charsmap([LEAF | 1] + [0] * 255, b"\xc3\xa9\0"),
        charsmap([0] * 256, b"\xff\0"),
        charsmap([0] * 256, b""),
    ],
    ids=[
        *("longer than the file", "no trie", "a step too far", "no end", "far"),
        *("far by a shift", "text beyond", "within a character", "no text", "empty"),
    ],
)
def test_a_map_that_leads_out_of_itself_is_refused(data):
    """The tokenizers library aborts or panics at it, some only at some prompts."""
    with pytest.raises(ValueError, match="no sentencepiece model"):
        sentencepiece.rules(mapped(data))


@pytest.mark.parametrize(
    "data",
    [
        b"\x08" + b"\xff" * 10**6 + b"\x01",
        part(1, part(2, b"")),
        part(1, number(1 << 3) + number(5)),
        part(3, number(2 << 3) + number(7)),
        part(1, part(1, b"a") + number(2 << 3) + number(7)),
        b"\x0a\xff",
    ],
    ids=["endless", "no text", "number as text", "number as map", "score", "short"],
)
def test_what_is_no_message_is_refused(data):
    with pytest.raises(ValueError, match="no sentencepiece model"):
        sentencepiece.rules(made.words() + data)
