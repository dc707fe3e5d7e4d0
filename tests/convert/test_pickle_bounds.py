"""What a pickle may ask for before it is unpickled."""

import pickle
from collections import OrderedDict

import pytest

from convert.pickle_bounds import MOST, check_bounds


@pytest.mark.parametrize("protocol", range(6))
def test_large_flat_ones_are_taken(protocol):
    state = OrderedDict((f"layer.{i}", (i, (2, 3), [4.5, None])) for i in range(3000))
    check_bounds(pickle.dumps({"model": state, "again": state}, protocol))


def chain(count, link):
    """A key of nested tuples, which overflows the stack of Python when it is hashed."""
    return b"\x80\x02})" + link * count + b"K\x01s."


@pytest.mark.parametrize(
    ("data", "message"),
    [
        (b"\x80\x02}r\x00\x00\x00\x10.", "its memo has a place 268435456"),
        (b"\x80\x02}p268435456\n.", "its memo has a place 268435456"),
        (b"\x80\x02(" + b"]" * MOST + b"l.", "more than 1048576 instructions"),
        (chain(2000, b"\x85"), "nested more than 100 deep"),
        (chain(2000, b"K\x01\x86"), "nested more than 100 deep"),
        (chain(2000, b"q\x000h\x00\x85"), "nested more than 100 deep"),
        (chain(2000, b"2\x86"), "nested more than 100 deep"),
        (b"\x80\x02}" + b"(" * 2000 + b"t" * 2000 + b"K\x01s.", "more than 100 deep"),
        (b"", "exhausted"),
    ],
    ids=[
        *("memo", "memo in text", "lists", "tuples", "pairs", "by memo", "doubled"),
        *("marks", "empty"),
    ],
)
def test_what_asks_for_more_is_refused(data, message):
    with pytest.raises(ValueError, match=message):
        check_bounds(data)
