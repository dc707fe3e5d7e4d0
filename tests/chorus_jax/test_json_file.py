"""JSON that is damaged, deep, endless or huge."""

import os

import pytest

from chorus_jax import json_file


def test_the_value_of_a_file(tmp_path):
    (tmp_path / "x.json").write_text('{"a": [1]}', encoding="utf-8")
    assert json_file.read(tmp_path / "x.json") == {"a": [1]}
    assert json_file.parsed(b"[2]") == [2]
    assert json_file.parsed('{"a": 1, "a": 2}', list) == [("a", 1), ("a", 2)]


@pytest.mark.parametrize("text", ["{", "[" * 10**5, b"\xff", "1" * 5000])
def test_what_is_no_json(text):
    with pytest.raises(ValueError):
        json_file.parsed(text)


def test_pipes_and_huge_files_are_not_read(tmp_path):
    os.mkfifo(tmp_path / "pipe")
    with pytest.raises(ValueError, match="is a pipe or a device"):
        json_file.read(tmp_path / "pipe")
    with open(tmp_path / "huge", "wb") as file:
        file.truncate(2**40)
    with pytest.raises(ValueError, match="has 1099511627776 bytes: expected at most"):
        json_file.read(tmp_path / "huge")
    with pytest.raises(OSError):
        json_file.read(tmp_path)
