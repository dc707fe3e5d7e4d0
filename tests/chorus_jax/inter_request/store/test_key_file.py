"""The two files of the secret: damage to one loses nothing, to both is told."""

import errno
import os
from pathlib import Path

import pytest

from chorus_jax.inter_request.store import Store

BOTH = ("secret", "secret.copy")
HARM = {
    "flipped": lambda path: path.write_bytes(b"g" + path.read_bytes()[1:]),
    "cut": lambda path: path.write_bytes(path.read_bytes()[:-1]),
    "emptied": lambda path: path.write_bytes(b""),
    "gone": lambda path: path.unlink(),
}


@pytest.fixture(params=[None, bytes(range(32))], ids=["inside", "elsewhere"])
def given(request):
    return request.param


@pytest.fixture
def folder(make, given, tmp_path):
    """A folder with three entries."""
    with Store(0, folder=tmp_path, disk_bytes=2**24, secret=given) as store:
        for i in range(3):
            store.admit(make(i))
    return tmp_path


def everything(folder):
    return {path.name: path.read_bytes() for path in folder.iterdir()}


def opened(folder, given=None):
    return Store(0, folder=folder, disk_bytes=2**24, secret=given)


@pytest.mark.parametrize("harm", HARM.values(), ids=HARM)
@pytest.mark.parametrize("first, then", [BOTH, BOTH[::-1]], ids=BOTH)
def test_harm_to_one_after_the_other_loses_nothing(
    folder, given, make, same, harm, first, then
):
    before = {name: (folder / name).read_bytes() for name in BOTH}
    for name in (first, then, first):
        harm(folder / name)
        with opened(folder, given) as store:
            for i in range(3):
                assert same(store.get(make(i).id, "us"), make(i))
        assert {name: (folder / name).read_bytes() for name in BOTH} == before


@pytest.mark.parametrize("harm", HARM.values(), ids=HARM)
@pytest.mark.parametrize("given", [None])
def test_harm_to_both_is_told_and_changes_nothing(folder, make, same, harm):
    whole = everything(folder)
    for name in BOTH:
        harm(folder / name)
    harmed = everything(folder)
    with pytest.raises(ValueError, match="its 3 records .* put one back from a backup"):
        opened(folder)
    assert everything(folder) | {"lock": b""} == harmed | {"lock": b""}
    (folder / BOTH[1]).write_bytes(whole[BOTH[1]])
    with opened(folder) as store:
        assert all(same(store.get(make(i).id, "us"), make(i)) for i in range(3))


@pytest.mark.parametrize("given", [bytes(range(32))])
def test_harm_to_both_is_mended_by_who_has_the_secret(folder, given, make, same):
    whole = everything(folder)
    for name in BOTH:
        (folder / name).unlink()
    with opened(folder, given) as store:
        assert all(same(store.get(make(i).id, "us"), make(i)) for i in range(3))
    assert everything(folder) | {"lock": b""} == whole | {"lock": b""}


def test_without_records_harm_to_both_is_a_new_secret(make, same, tmp_path):
    with opened(tmp_path) as store:
        old = store.secret
    for name in BOTH:
        (tmp_path / name).write_bytes(b"")
    with opened(tmp_path) as store:
        assert store.secret != old
        store.admit(make(1))
    with opened(tmp_path) as store:
        assert same(store.get(make(1).id, "us"), make(1))


@pytest.mark.parametrize("given", [None])
def test_two_secrets_are_told(folder, tmp_path_factory):
    other = tmp_path_factory.mktemp("other")
    opened(other).close()
    (folder / BOTH[0]).write_bytes((other / BOTH[0]).read_bytes())
    before = everything(folder)
    with pytest.raises(ValueError, match="secret and secret.copy in .* differ: remove"):
        opened(folder)
    assert everything(folder) | {"lock": b""} == before | {"lock": b""}


def test_a_file_that_cannot_be_mended_is_no_end(
    folder, given, make, same, monkeypatch, caplog
):
    (folder / BOTH[0]).write_bytes(b"")

    def full(*_):
        raise OSError(errno.ENOSPC, os.strerror(errno.ENOSPC))

    monkeypatch.setattr("os.fsync", full)
    with opened(folder, given) as store:
        assert same(store.get(make(1).id, "us"), make(1))
    assert "cannot write" in caplog.text and "No space left" in caplog.text


def test_a_file_that_cannot_be_read_is_as_good_as_damaged(
    folder, given, make, same, monkeypatch
):
    true = Path.read_bytes

    def fail(path):
        if path.name == BOTH[0]:
            raise OSError(errno.EIO, os.strerror(errno.EIO))
        return true(path)

    monkeypatch.setattr(Path, "read_bytes", fail)
    with opened(folder, given) as store:
        assert same(store.get(make(1).id, "us"), make(1))
