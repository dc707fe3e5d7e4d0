"""Reading torch's pickled state dicts: every tensor, and no code."""

import os
import pickle
import zipfile

import numpy as np
import pytest

from convert.pickled import check_checksums, read_pickle
from convert.tensors import by_name

torch = pytest.importorskip("torch")


def test_values(tmp_path):
    base = torch.arange(24, dtype=torch.float32).reshape(4, 6)
    state = {
        "plain": base,
        "row": base[1],
        "transposed": base.T,
        "half": base.to(torch.float16),
        "bf16": base.to(torch.bfloat16),
        "integers": torch.arange(3),
        "scalar": torch.tensor(2.5),
        "parameter": torch.nn.Parameter(torch.ones(2)),
    }
    torch.save(state, tmp_path / "x.pth")
    tensors = by_name(read_pickle(tmp_path / "x.pth"))
    assert tensors.keys() == state.keys()
    for name, value in state.items():
        theirs = value.detach().to(torch.float64).numpy()
        np.testing.assert_array_equal(tensors[name].read().astype(np.float64), theirs)
        if theirs.ndim:
            cut = tensors[name].read(slice(1, 2)).astype(np.float64)
            np.testing.assert_array_equal(cut, theirs[1:2])
    assert tensors["bf16"].dtype.name == "bfloat16"


def test_module_state(tmp_path):
    torch.save(torch.nn.Linear(2, 3).state_dict(), tmp_path / "x.pth")
    assert by_name(read_pickle(tmp_path / "x.pth")).keys() == {"weight", "bias"}


class Hostile:
    def __init__(self, call, *arguments):
        self.call = call, arguments

    def __reduce__(self):
        return self.call


@pytest.mark.parametrize(
    ("call", "named"),
    [
        (os.mkdir, "posix.mkdir"),
        (eval, "__builtin__.eval"),
        (getattr, "__builtin__.getattr"),
    ],
)
def test_code_is_refused_and_not_run(tmp_path, call, named):
    argument = (
        "__import__('os').mkdir('ran')" if call is eval else str(tmp_path / "ran")
    )
    torch.save({"a": Hostile(call, argument)}, tmp_path / "x.pth")
    with pytest.raises(ValueError, match="x.pth is refused") as caught:
        read_pickle(tmp_path / "x.pth")
    assert f"it names {named}, which is not a tensor; nothing in it was run" in str(
        caught.value
    )
    assert not (tmp_path / "ran").exists() and not os.path.exists("ran")


@pytest.mark.parametrize(
    "data",
    [
        # The state of a function, a class and a storage cannot be set.
        b"\x80\x02ctorch._utils\n_rebuild_tensor_v2\n}U\x08__code__K\x01sb.",
        b"\x80\x02ccollections\nOrderedDict\n}U\x01aK\x01sb.",
        b"\x80\x02ctorch\nFloatStorage\n}U\x01aK\x01sb.",
        b"\x80\x02ctorch._utils\n_rebuild_tensor_v2\n(K\x01K\x01K\x01K\x01tR.",
        b"garbage",
        b"",
    ],
)
def test_other_pickles_are_refused(tmp_path, data):
    with zipfile.ZipFile(tmp_path / "x.pth", "w") as archive:
        archive.writestr("x/data.pkl", data)
    with pytest.raises(ValueError, match="refused|not a state dict"):
        read_pickle(tmp_path / "x.pth")


def test_not_a_state_dict(tmp_path):
    torch.save({"weights": {"a": torch.ones(2)}, "epoch": 3}, tmp_path / "x.pth")
    with pytest.raises(
        ValueError, match=r"more than named tensors: \['weights', 'epoch'\]"
    ):
        read_pickle(tmp_path / "x.pth")
    torch.save([torch.ones(2)], tmp_path / "x.pth")
    with pytest.raises(ValueError, match="holds a list, not a state dict"):
        read_pickle(tmp_path / "x.pth")


def test_truncated(tmp_path):
    torch.save({"a": torch.ones(1000)}, tmp_path / "x.pth")
    data = (tmp_path / "x.pth").read_bytes()
    (tmp_path / "x.pth").write_bytes(data[:-100])
    with pytest.raises(ValueError, match="is truncated .* found 5... bytes|truncated"):
        read_pickle(tmp_path / "x.pth")


def test_damaged_pickle(tmp_path):
    file = tmp_path / "x.pth"
    torch.save({"a": torch.ones(10)}, file)
    data = file.read_bytes()
    file.write_bytes(data.replace(b"_rebuild_tensor_v2", b"_rebuild_tensor_v3"))
    with pytest.raises(ValueError, match="x.pth is damaged: Bad CRC-32"):
        read_pickle(file)


def test_view_beyond_its_storage(tmp_path):
    torch.save({"a": torch.ones(10)}, tmp_path / "x.pth")
    with zipfile.ZipFile(tmp_path / "x.pth") as archive:
        contents = {name: archive.read(name) for name in archive.namelist()}
    with zipfile.ZipFile(tmp_path / "x.pth", "w") as archive:
        for name, data in contents.items():
            archive.writestr(name, data[:20] if name.endswith("/data/0") else data)
    with pytest.raises(ValueError, match="truncated"):
        read_pickle(tmp_path / "x.pth")


def test_before_the_zip_format(tmp_path):
    torch.save(
        {"a": torch.ones(2)}, tmp_path / "a", _use_new_zipfile_serialization=False
    )
    (tmp_path / "b").write_bytes(pickle.dumps({"a": 1}))
    for name in "ab":
        with pytest.raises(ValueError, match="not in torch's zip format"):
            read_pickle(tmp_path / name)


def crafted(file, body, storage=b"\x00" * 64, compress=zipfile.ZIP_STORED):
    """A file of torch.save with a pickle that is written by hand."""
    with zipfile.ZipFile(file, "w") as archive:
        archive.writestr("x/data.pkl", body, compress)
        archive.writestr("x/data/0", storage)


def view(offset=0, shape=(2,), strides=(1,)):
    """The opcodes of one tensor."""

    def number(n):
        return b"J" + int(n).to_bytes(4, "little", signed=True)

    def tuple_of(numbers):
        return b"(" + b"".join(map(number, numbers)) + b"t"

    storage = b"(X\x07\x00\x00\x00storagectorch\nFloatStorage\nX\x01\x00\x00\x000X\x03"
    storage += b"\x00\x00\x00cpu" + number(16) + b"tQ"
    return (
        b"ctorch._utils\n_rebuild_tensor_v2\n("
        + storage
        + number(offset)
        + tuple_of(shape)
        + tuple_of(strides)
        + b"\x89N"
        + b"tR"
    )


def pickled(item):
    """A dictionary of one item."""
    return b"\x80\x02}X\x01\x00\x00\x00a" + item + b"s."


def test_the_hand_written_pickle_is_one(tmp_path):
    crafted(tmp_path / "x.pth", pickled(view()))
    [tensor] = read_pickle(tmp_path / "x.pth")
    assert tensor.shape == (2,) and (tensor.read() == 0).all()


HUGE = b"J\xff\xff\xff\x7f"
STATES = {
    "slots of a tensor": view() + b"N}X\x06\x00\x00\x00offset" + HUGE + b"s\x86b",
    "a list of fields": view() + b"(KdJ\xff\xff\xff\x7fKdKdlb",
    "a dictionary": view() + b"}X\x06\x00\x00\x00offset" + HUGE + b"sb",
    "a constructor": (
        b"ctorch._utils\n_rebuild_tensor_v2\n}X\x04\x00\x00\x00makeNsb0" + view()
    ),
}


@pytest.mark.parametrize("how", STATES)
def test_what_was_checked_cannot_be_changed(tmp_path, how):
    """BUILD calls `__setstate__` of any object, frozen ones of dataclasses too."""
    crafted(tmp_path / "x.pth", pickled(STATES[how]))
    with pytest.raises(ValueError, match="changes an object that was checked"):
        read_pickle(tmp_path / "x.pth")


@pytest.mark.parametrize(
    "fields", [{"offset": -1}, {"shape": (-2,)}, {"strides": (-1,)}, {"shape": (2, 2)}]
)
def test_a_tensor_that_cannot_be_is_refused(tmp_path, fields):
    crafted(tmp_path / "x.pth", pickled(view(**fields)))
    with pytest.raises(ValueError, match="describes a tensor that cannot be"):
        read_pickle(tmp_path / "x.pth")


@pytest.mark.parametrize("fields", [{"offset": 15}, {"shape": (17,)}])
def test_a_tensor_beyond_its_bytes_is_refused(tmp_path, fields):
    crafted(tmp_path / "x.pth", pickled(view(**fields)))
    with pytest.raises(ValueError, match="truncated"):
        read_pickle(tmp_path / "x.pth")


def test_a_pickle_that_unpacks_to_gigabytes_is_refused(tmp_path):
    body = b"\x80\x02" + b"N0" * 2**26 + b"}."
    crafted(tmp_path / "x.pth", body, compress=zipfile.ZIP_DEFLATED)
    assert (tmp_path / "x.pth").stat().st_size < 2**20
    with pytest.raises(ValueError, match="its pickle unpacks to 134217"):
        read_pickle(tmp_path / "x.pth")


def test_bounds_are_asked_before_it_is_unpickled(tmp_path):
    """Thirty bytes that make Python's unpickler fill 4 GB."""
    crafted(tmp_path / "x.pth", b"\x80\x02}r\x00\x00\x00\x10.")
    with pytest.raises(ValueError, match="its memo has a place 268435456"):
        read_pickle(tmp_path / "x.pth")


@pytest.mark.parametrize(
    "fields",
    [
        {"shape": (10**6, 10**3), "strides": (0, 0)},
        {"shape": (10, 7), "strides": (1, 1)},
    ],
)
def test_a_tensor_of_more_values_than_it_has_bytes_is_refused(tmp_path, fields):
    crafted(tmp_path / "x.pth", pickled(view(**fields)))
    with pytest.raises(ValueError, match="a repeats its values, 64 bytes as"):
        read_pickle(tmp_path / "x.pth")


def member(name, data=b"x", compress=zipfile.ZIP_STORED):
    return lambda archive: archive.writestr(f"x/{name}", data, compress)


def flagged(file):
    """Marks the last member as encrypted."""
    data = bytearray(file.read_bytes())
    data[data.rfind(b"PK\1\2") + 8] |= 1
    file.write_bytes(data)


def longer(file):
    """The last member seems to be longer than it is."""
    data = bytearray(file.read_bytes())
    at = data.rfind(b"PK\1\2") + 24
    data[at : at + 4] = (4000).to_bytes(4, "little")
    file.write_bytes(data)


def overlapping(file):
    """A further member has the bytes of the last one."""
    data = bytearray(file.read_bytes())
    at, end = data.rfind(b"PK\1\2"), data.rfind(b"PK\5\6")
    again = data[at:end].replace(b"x/data/0", b"x/data/1")
    data[end + 8 : end + 12] = b"\3\0\3\0"
    length = int.from_bytes(data[end + 12 : end + 16], "little") + len(again)
    data[end + 12 : end + 16] = length.to_bytes(4, "little")
    file.write_bytes(data[:end] + again + data[end:])


@pytest.mark.filterwarnings("ignore:Duplicate name")
@pytest.mark.parametrize(
    "add",
    [
        member("data/0"),
        member("data.pkl"),
        member("junk", bytes(2**20), zipfile.ZIP_DEFLATED),
        member("junk", bytes(2**20), zipfile.ZIP_LZMA),
    ],
    ids=["storage twice", "pickle twice", "deflated", "lzma"],
)
def test_members_are_stored_once(tmp_path, add):
    """What is not read, such as a bomb beside the tensors, is not unpacked either."""
    crafted(tmp_path / "x.pth", pickled(view()))
    with zipfile.ZipFile(tmp_path / "x.pth", "a") as archive:
        add(archive)
    for read in (read_pickle, check_checksums):
        with pytest.raises(ValueError, match="members must be stored once"):
            read(tmp_path / "x.pth")


@pytest.mark.parametrize("change", [flagged, longer, overlapping])
def test_members_that_lie_are_refused(tmp_path, change):
    crafted(tmp_path / "x.pth", pickled(view()), bytes(4096))
    change(tmp_path / "x.pth")
    for read in (read_pickle, check_checksums):
        with pytest.raises(ValueError, match="members must be stored once"):
            read(tmp_path / "x.pth")


def test_another_order_of_bytes_is_refused(tmp_path):
    crafted(tmp_path / "x.pth", pickled(view()))
    with zipfile.ZipFile(tmp_path / "x.pth", "a") as archive:
        archive.writestr("x/byteorder", "big")
    with pytest.raises(ValueError, match="another order of bytes"):
        read_pickle(tmp_path / "x.pth")
