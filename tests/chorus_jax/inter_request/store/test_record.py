"""The record: round trips, and files that are no records."""

import os
from contextlib import contextmanager
from dataclasses import replace

import hypothesis.strategies as st
import ml_dtypes
import numpy as np
import pytest
from hypothesis import given

from chorus_jax.inter_request.store import Secret, Statistics, head, record

SECRET = Secret(bytes(range(32)))


@contextmanager
def written(folder, entry):
    path = folder / "record"
    path.write_bytes(b"".join(record.packed(entry, SECRET).pieces))
    os.utime(path, (entry.statistics.last_used,) * 2)
    handle = os.open(path, os.O_RDWR)
    try:
        yield handle
    finally:
        os.close(handle)


@given(
    side=st.integers(1, 5),
    steps=st.sets(st.integers(1, 50), max_size=5).map(sorted).map(tuple),
    dtype=st.sampled_from([np.float32, ml_dtypes.bfloat16]),
    number=st.integers(0, 2**31),
    prompt=st.none() | st.text(max_size=20),
    shared=st.booleans(),
)
def test_round_trip(make, same, tmp_path_factory, side, steps, dtype, number, **fields):
    entry = make(number, steps=steps, side=side, **fields)
    entry = replace(entry, final=entry.final.astype(dtype))
    with written(tmp_path_factory.mktemp("r"), entry) as handle:
        opened = record.opened(handle, entry.id, SECRET)
        found = record.entry(handle, opened)
        assert os.fstat(handle).st_size == record.packed(entry, SECRET).size
    assert same(found, entry)
    assert found.statistics == entry.statistics
    with pytest.raises(ValueError, match="read-only"):
        found.final[0] = 0


def test_other_dtypes_are_refused(make):
    entry = make(0)
    entry = replace(entry, final=entry.final.astype(np.float64))
    with pytest.raises(
        ValueError, match="kept as .'float32', 'bfloat16'., got float64"
    ):
        record.packed(entry, SECRET)


@pytest.mark.parametrize("change", ["id", "secret"])
def test_another_id_or_secret_is_not_ours_to_judge(make, tmp_path, change):
    entry = make(3)
    id = make(4).id if change == "id" else entry.id
    secret = Secret(bytes(32)) if change == "secret" else SECRET
    with written(tmp_path, entry) as handle:
        with pytest.raises(record.UnknownError, match="of another id|another secret"):
            record.opened(handle, id, secret)


def test_a_head_of_other_latents_is_damage(make, tmp_path, monkeypatch):
    entry, true = make(0), head.written

    def lying(entry, check, secret):
        return true(entry, check, secret).replace(b"[2, 4, 4, 8]", b"[2, 4, 9, 8]")

    monkeypatch.setattr(head, "written", lying)
    with written(tmp_path, entry) as handle:
        with pytest.raises(record.DamagedError, match="not those that its head tells"):
            record.opened(handle, entry.id, SECRET)


def test_the_time_of_change_is_that_of_the_last_use(make, tmp_path):
    entry = make(0)
    with written(tmp_path, entry) as handle:
        os.utime(handle, (1234.5, 1234.5))
        found = record.opened(handle, entry.id, SECRET).described.head.statistics
        assert found == replace(entry.statistics, last_used=1234.5)


def test_statistics_of_the_latest_use():
    made = Statistics.new(10.0, 5.0)
    used = made.hit(30.0, 2.0).hit(20.0, 1.5)
    assert used == Statistics(10.0, 5.0, 30.0, hits=2, saved=3.5)
