"""The record: round trips, and files that are no records."""

import hashlib
import os
from contextlib import contextmanager
from dataclasses import replace

import hypothesis.strategies as st
import numpy as np
import pytest
from hypothesis import given

from chorus_jax.inter_request.store import Entry, Secret, head, record

SECRET = Secret(bytes(range(32)))


@contextmanager
def written(folder, entry):
    path = folder / "record"
    path.write_bytes(record.packed(entry, SECRET))
    os.utime(path, (entry.last_used,) * 2)
    handle = os.open(path, os.O_RDWR)
    try:
        yield handle
    finally:
        os.close(handle)


@given(
    side=st.integers(1, 5),
    number=st.integers(0, 2**31),
    prompt=st.none() | st.text(max_size=20),
    shared=st.booleans(),
)
def test_round_trip(make, same, tmp_path_factory, side, number, **fields):
    entry = make(number, side=side, **fields)
    with written(tmp_path_factory.mktemp("r"), entry) as handle:
        opened = record.opened(handle, entry.id, SECRET)
        found = record.entry(handle, opened)
        assert os.fstat(handle).st_size == len(record.packed(entry, SECRET))
    assert same(found, entry)
    assert found.last_used == entry.last_used == entry.created
    with pytest.raises(ValueError, match="read-only"):
        found.latents[0] = 0


def test_latents_that_do_not_lie_in_order_are_written_in_order(make, same, tmp_path):
    turned = np.asfortranarray(make(0).latents)
    with written(tmp_path, replace(make(0), latents=turned)) as handle:
        found = record.entry(handle, record.opened(handle, make(0).id, SECRET))
    assert same(found, make(0))


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
        found = record.opened(handle, entry.id, SECRET).head
        assert (found.created, found.last_used) == (entry.created, 1234.5)


# The digest of the record below, by its format: another digest is another format.
FORMATS = {7: "f3868506effc3eb12e52876357af64dd8e90bc4023a92245663bc8b5c9156861"}


def test_a_change_of_the_bytes_is_a_new_format():
    entry = Entry(
        recipe="ab" * 32,
        exact="cd" * 32,
        namespace="default",
        noises=(3, 2**40),
        embedding=np.eye(4, dtype=np.float32)[1],
        words=(bytes(range(8)),),
        meanings=np.full((1, 2), 0.5, np.float16),
        created=1.5,
        last_used=2.5,
        score=0.75,
        shared=True,
        prompt="a red circle",
        policy="ef" * 32,
        id="0123456789abcdef" * 2,
        latents=np.arange(16, dtype=np.float32).reshape(1, 2, 2, 4),
    )
    packed = record.packed(entry, SECRET)
    assert hashlib.sha256(packed).hexdigest() == FORMATS[record.VERSION], (
        "raise record.VERSION, and take its digest over: records of the version before "
        "must not be read as these"
    )
