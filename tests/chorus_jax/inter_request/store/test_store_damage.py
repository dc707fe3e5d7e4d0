"""Damaged files are dropped and never served; a full disk is not fatal."""

import errno
import hashlib
import json
import os
import shutil
import time

import hypothesis.strategies as st
import pytest
from hypothesis import given, settings

from chorus_jax.inter_request.store import Secret, Store, record
from chorus_jax.inter_request.store.head import LENGTH

COUNT = 3


@pytest.fixture(scope="module")
def whole(make, tmp_path_factory):
    """A folder with a few entries, one of them used."""
    folder = tmp_path_factory.mktemp("whole") / "s"
    with Store(0, folder=folder, disk_bytes=2**24) as store:
        for i in range(COUNT):
            store.admit(make(i))
        for _ in range(3):
            store.hit(make(1).id)
    return folder


@pytest.fixture(scope="module")
def place(tmp_path_factory):
    return tmp_path_factory.mktemp("damaged") / "s"


def flip(data, at, bit):
    position = int(at * len(data))
    return data[:position] + bytes([data[position] ^ 1 << bit]) + data[position + 1 :]


def cut(data, at, _):
    return data[: int(at * len(data))]


def blank(data, at, _):
    position = int(at * len(data))
    return data[:position] + bytes(len(data) - position)


def grow(data, at, bit):
    return data + data[int(at * len(data)) :] + bytes([bit])


RECORDS = [f"{i:032x}.record" for i in range(COUNT)]
NAMES = [*RECORDS, "lock"]
DAMAGE = {
    "name": st.sampled_from(NAMES),
    "change": st.sampled_from([flip, flip, flip, cut, blank, grow]),
    "at": st.floats(0, 1, exclude_max=True),
    "bit": st.integers(0, 7),
}


def damage(folder, name, change, at, bit):
    """Whether the file is another one now."""
    path = folder / name
    data = path.read_bytes()
    path.write_bytes(change(data, at, bit))
    return path.read_bytes() != data


@settings(max_examples=60)
@given(**DAMAGE)
def test_damage_is_never_served_after_a_restart(whole, place, make, same, name, **how):
    shutil.rmtree(place, ignore_errors=True)
    shutil.copytree(whole, place)
    changed = damage(place, name, **how)
    with Store(2**24, folder=place, disk_bytes=2**24) as store:
        for _ in range(2):
            check(store, make, same, lost=name if changed else None)


@settings(max_examples=40)
@given(memory=st.sampled_from([0, 2**24]), **DAMAGE)
def test_damage_is_never_served_while_open(
    whole, place, make, same, memory, name, **how
):
    shutil.rmtree(place, ignore_errors=True)
    shutil.copytree(whole, place)
    with Store(memory, folder=place, disk_bytes=2**24) as store:
        check(store, make, same, lost=None)
        changed = damage(place, name, **how)
        # What is in memory is right whatever becomes of the file.
        check(store, make, same, lost=name if changed and not memory else None)


def check(store, make, same, lost):
    folder = store._tiers.disk.folder.path
    for i in range(COUNT):
        found = store.get(make(i).id, "us")
        if found is None:
            assert lost == f"{i:032x}.record"
            # It is dropped, or left because it is no record of this store.
            assert store.unknown == (folder / lost).exists()
            assert not list(folder.glob(f".{i:032x}*"))
        else:
            assert same(found, make(i))


def test_each_dropped_record_has_a_log_line(whole, make, tmp_path, caplog):
    shutil.copytree(whole, tmp_path / "s")
    damage(tmp_path / "s", NAMES[0], flip, 0.05, 0)
    with Store(0, folder=tmp_path / "s", disk_bytes=2**24) as store:
        dropped = "dropped the record {}: the checksum of its {}"
        assert dropped.format(make(0).id, "head") in caplog.text
        damage(tmp_path / "s", NAMES[1], flip, 0.8, 0)
        assert store.get(make(1).id, "us") is None
        assert dropped.format(make(1).id, "latents") in caplog.text
        assert len(caplog.records) == 2
        assert len(store) == 1


def test_records_of_another_format_are_misses_and_stay(
    open_store, make, same, tmp_path, monkeypatch, caplog
):
    with monkeypatch.context() as patch, open_store(0) as store:
        patch.setattr("chorus_jax.inter_request.store.record.VERSION", 2)
        for i in range(2):
            store.admit(make(i))
    store = open_store(0)
    [told] = [each for each in caplog.messages if "no records of this version" in each]
    assert told.startswith("2 files (") and store.unknown == 2
    for i in range(2):
        assert store.find(make(i).exact, "us") is None
        assert store.get(make(i).id, "us") is None
    assert len(store) == store.disk_used == 0
    assert store.admit(make(2))
    assert not len(open_store(0, disk_bytes=0))
    assert len(list((tmp_path / "s").glob("*.record"))) == 2
    # They are there for the version that made them.
    monkeypatch.setattr("chorus_jax.inter_request.store.record.VERSION", 2)
    with open_store(0) as again:
        assert {head.id for head in again} == {make(0).id, make(1).id}
        assert same(again.get(make(0).id, "us"), make(0)) and not again.unknown


def test_records_of_another_store_stay(whole, make, tmp_path):
    shutil.copytree(whole, tmp_path / "s")
    there = {"folder": tmp_path / "other", "disk_bytes": 2**24}
    with Store(0, **there, secret=bytes(range(32))) as other:
        other.admit(make(7))
    [path] = (tmp_path / "other").glob("*.record")
    shutil.copy(path, tmp_path / "s")
    with Store(0, folder=tmp_path / "s", disk_bytes=2**24) as store:
        assert len(store) == COUNT and store.unknown == 1
        assert (tmp_path / "s" / path.name).read_bytes() == path.read_bytes()


@pytest.mark.parametrize("content", [b"", b"of somebody else", bytes(10**5)])
def test_files_that_are_no_records_stay(whole, tmp_path, content):
    shutil.copytree(whole, tmp_path / "s")
    path = tmp_path / "s" / f"{'ab' * 16}.record"
    path.write_bytes(content)
    with Store(0, folder=tmp_path / "s", disk_bytes=2**24) as store:
        assert len(store) == COUNT and store.unknown == 1
        assert store.get("ab" * 16, "us") is None
    assert path.read_bytes() == content


def test_a_record_that_is_being_copied_is_there_when_it_is_whole(whole, make, tmp_path):
    shutil.copytree(whole, tmp_path / "s")
    path = tmp_path / "s" / NAMES[0]
    data = path.read_bytes()
    path.write_bytes(data[: len(data) // 2])
    with Store(0, folder=tmp_path / "s", disk_bytes=2**24) as store:
        assert len(store) == COUNT - 1 and store.unknown == 1
        path.write_bytes(data)
        store.admit(make(8))
        assert store.get(make(0).id, "us") is not None or len(store) == COUNT
    with Store(0, folder=tmp_path / "s", disk_bytes=2**24) as store:
        assert len(store) == COUNT + 1 and not store.unknown


@pytest.mark.parametrize("field", ["namespace", "recipe", "exact", "prompt", "words"])
def test_one_bad_record_costs_one_record(whole, make, tmp_path, monkeypatch, field):
    """Its head is whole, but holds what no entry can."""
    shutil.copytree(whole, tmp_path / "s")
    with Store(0, folder=tmp_path / "s", disk_bytes=2**24) as store:
        secret = store.secret
    true = json.dumps

    def lying(content, **more):
        return true({**content, field: ["org", 7]}, **more)

    with monkeypatch.context() as patch:
        patch.setattr("chorus_jax.inter_request.store.head.json.dumps", lying)
        packed = record.packed(make(5), secret)
    path = tmp_path / "s" / f"{make(5).id}.record"
    path.write_bytes(packed)
    with Store(0, folder=tmp_path / "s", disk_bytes=2**24) as store:
        assert len(store) == COUNT


@pytest.mark.parametrize("name", ["a record", "the lock"])
@pytest.mark.parametrize("kind", ["pipe", "link", "folder"])
def test_what_is_no_plain_file_is_neither_waited_for_nor_followed(
    whole, make, tmp_path, name, kind
):
    shutil.copytree(whole, tmp_path / "s")
    names = {"a record": f"{9:032x}.record", "the lock": "lock"}
    path, outside = tmp_path / "s" / names[name], tmp_path / "outside"
    outside.write_bytes(b"of somebody else")
    path.unlink(missing_ok=True)
    how = {
        "pipe": lambda: os.mkfifo(path),
        "link": lambda: path.symlink_to(outside),
        "folder": path.mkdir,
    }
    how[kind]()
    try:
        with Store(0, folder=tmp_path / "s", disk_bytes=2**24) as store:
            assert name != "the lock" and len(store) == COUNT
            store.admit(make(8))
            assert store.get(make(8).id, "us") is not None
    except ValueError as error:
        assert name == "the lock" and "cannot keep entries in" in str(error)
    assert outside.read_bytes() == b"of somebody else"


def test_another_format_is_noticed_while_open(open_store, make, tmp_path):
    store = open_store(0)
    store.admit(make(0))
    path = tmp_path / "s" / NAMES[0]
    data = bytearray(path.read_bytes())
    data[8] = 2
    path.write_bytes(data)
    assert store.get(make(0).id, "us") is None
    assert len(store) == 0 and path.read_bytes() == data


def test_a_record_under_another_name_is_dropped(whole, make, tmp_path):
    shutil.copytree(whole, tmp_path / "s")
    shutil.copy(tmp_path / "s" / NAMES[0], tmp_path / "s" / f"{9:032x}.record")
    with Store(0, folder=tmp_path / "s", disk_bytes=2**24) as store:
        assert len(store) == COUNT
        assert store.get(f"{9:032x}", "us") is None


def test_what_was_half_written_is_removed_and_told(whole, make, same, tmp_path, caplog):
    shutil.copytree(whole, tmp_path / "s")
    (tmp_path / "s" / f".{NAMES[0]}.0123456789abcdef.partial").write_bytes(b"half")
    for name in ("notes.txt", "notes.record"):
        (tmp_path / "s" / name).write_text("of somebody else")
    with Store(0, folder=tmp_path / "s", disk_bytes=2**24) as store:
        assert same(store.get(make(0).id, "us"), make(0))
    [told] = [each for each in caplog.messages if "half written" in each]
    assert NAMES[0] in told
    names = {path.name for path in (tmp_path / "s").iterdir()}
    assert names == {*NAMES, "notes.txt", "notes.record"}


@pytest.mark.parametrize("call", ["open", "utime", "rename"])
def test_a_full_disk_degrades_to_memory(
    open_store, make, same, tmp_path, monkeypatch, caplog, call
):
    store = open_store()
    store.admit(make(0))
    true = getattr(os, call)

    def full(path, *rest):
        if call != "open" or "partial" in str(path):
            raise OSError(errno.ENOSPC, "No space left on device")
        return true(path, *rest)

    with monkeypatch.context() as patch:
        patch.setattr(f"os.{call}", full)
        for i in (1, 2):
            assert store.admit(make(i))
            assert store.degraded
    assert [record.levelname for record in caplog.records] == ["WARNING"]
    assert "new entries stay in memory, not in" in caplog.text
    assert "No space left" in caplog.text
    for i in range(3):
        assert same(store.get(make(i).id, "us"), make(i))
    files = {path.name for path in (tmp_path / "s").iterdir()}
    assert files == {"lock", NAMES[0]}
    store.admit(make(3))
    assert not store.degraded
    with open_store() as again:
        assert {head.id for head in again} == {make(0).id, make(3).id}


def test_a_disk_that_is_full_from_the_start(make, same, tmp_path, monkeypatch, caplog):
    def full(*_):
        raise OSError(errno.ENOSPC, "No space left on device")

    monkeypatch.setattr("os.rename", full)
    with Store(2**24, folder=tmp_path / "s", disk_bytes=2**24) as store:
        store.admit(make(1))
        assert same(store.get(make(1).id, "us"), make(1))
    assert len(caplog.records) == 1


def test_closing_waits_until_a_loss_of_power_loses_nothing(open_store, make, tmp_path):
    synced = []

    def slow(handle):
        time.sleep(0.02)
        synced.append(os.readlink(f"/proc/self/fd/{handle}"))

    with pytest.MonkeyPatch.context() as patch:
        patch.setattr("os.fsync", slow)
        with open_store() as store:
            for i in range(3):
                store.admit(make(i))
    assert {str(tmp_path / "s" / name) for name in NAMES[:3]} < {*synced}
    assert synced.count(str(tmp_path / "s")) == 3


@pytest.mark.parametrize("kept", [0, 64, 1000, -100])
def test_what_a_loss_of_power_tears_is_never_served(
    open_store, make, same, tmp_path, kept
):
    """The name and the length of a file may be on disk before what it holds."""
    with open_store() as store:
        for i in range(2):
            store.admit(make(i))
    torn = tmp_path / "s" / NAMES[1]
    whole = torn.read_bytes()
    for rest in (b"", bytes(len(whole) - len(whole[:kept]))):
        torn.write_bytes(whole[:kept] + rest)
        with open_store() as store:
            assert store.get(make(1).id, "us") is None
            assert same(store.get(make(0).id, "us"), make(0))


def test_a_folder_that_vanishes(open_store, make, same, tmp_path):
    store = open_store()
    store.admit(make(0))
    shutil.rmtree(tmp_path / "s")
    assert store.get(make(0).id, "us") is None
    assert store.admit(make(1))
    assert store.degraded
    assert same(store.get(make(1).id, "us"), make(1))


def crafted(entry, **changes):
    """A record with right checksums whose head says something else; of the version of
    this store, made by who knows its format."""
    whole = record.packed(entry, Secret())
    magic, version, length, payload = record.PREFIX.unpack_from(whole)
    head = whole[record.PREFIX.size :][:length]
    size = LENGTH.unpack_from(head)[0]
    text = head[LENGTH.size : LENGTH.size + size].decode()
    for name, value in changes.items():
        old = json.dumps({name: json.loads(text)[name]})[1:-1]
        assert old in text
        text = text.replace(old, f'"{name}": {value}')
    new = LENGTH.pack(len(text)) + text.encode() + head[LENGTH.size + size :]
    begin = record.PREFIX.pack(magic, version, len(new), payload) + new
    begin += hashlib.blake2b(begin, digest_size=record.CHECK).digest()
    return begin + whole[-payload:]


@pytest.mark.parametrize(
    "name, value",
    [
        ("created", "1" + "0" * 400),
        ("created", "1e999"),
        ("created", "NaN"),
        ("score", "NaN"),
        ("width", "-1"),
        ("width", "1e3"),
        ("words", "1" + "0" * 12),
        ("words", "-1"),
        ("meanings", "[3, -4]"),
        ("meanings", "[1000000000000, 4]"),
        ("meanings", "{}"),
        ("shape", "[1, 1, 1, 1000000000000]"),
        ("shape", "[" * 100_000 + "]" * 100_000),
        ("shape", "[[1], 2, 3, 4]"),
        ("namespace", '["org", "user"]'),
        ("shared", "[]"),
        ("own", '"no"'),
        ("noises", "3"),
        ("id", "null"),
        ("secret", "1"),
    ],
)
def test_a_crafted_head_costs_one_record(open_store, make, same, tmp_path, name, value):
    with open_store() as store:
        store.admit(make(0))
    (tmp_path / "s" / NAMES[1]).write_bytes(crafted(make(1), **{name: value}))
    began = time.monotonic()
    with open_store() as store:
        assert same(store.get(make(0).id, "us"), make(0))
        assert store.get(make(1).id, "us") is None
        store.admit(make(2))
        assert {head.id for head in store} == {make(0).id, make(2).id}
    assert time.monotonic() - began < 5


def test_a_head_as_long_as_a_disk_is_not_read(open_store, make, tmp_path):
    begin = record.PREFIX.pack(record.MAGIC, record.VERSION, 2**32 - 1, 0)
    (tmp_path / "s").mkdir()
    with (tmp_path / "s" / NAMES[1]).open("xb") as file:
        file.write(begin)
        file.truncate(2**33)  # holes take no room
    store = open_store()
    assert (len(store), store.unknown) == (0, 1)
    with pytest.raises(ValueError, match="keep no prompt as long"):
        store.admit(make(0, prompt="x" * record.LONGEST))


def test_what_is_no_plain_file_is_nobodys_and_stops_nothing(open_store, make, tmp_path):
    """Neither the opening nor a deletion, which it cannot be part of."""
    folder = tmp_path / "s"
    with open_store() as store:
        store.admit(make(0))
    (folder / NAMES[1]).mkdir()
    (folder / NAMES[2]).symlink_to(folder / NAMES[0])
    os.mkfifo(folder / f"{make(3).id}.record")
    (folder / ".odd.partial").mkdir()
    with open_store() as store:
        assert (len(store), store.unknown) == (1, 3)
        assert store.delete_namespace("us") == 1
    assert (folder / NAMES[2]).is_symlink() and (folder / ".odd.partial").is_dir()
