"""A folder is packed into pieces, and unpacked again."""

import io
import tarfile

from benchmarks.accelerator.packing import pack


def test_pieces_are_the_folder(tmp_path):
    folder = tmp_path / "folder"
    (folder / "a").mkdir(parents=True)
    (folder / "a" / "b").write_bytes(bytes(range(256)) * 300)
    out = tmp_path / "x.tar"
    sources = {"model": folder, "none": tmp_path / "none"}
    first = pack(sources, out, piece=20_000)
    (folder / "a" / "b").write_bytes(bytes(range(256)) * 100)
    second = pack(sources, out, piece=20_000)
    assert 1 < len(second) < len(first)
    assert sorted(tmp_path.glob("x.tar*")) == second
    assert all(path.stat().st_size == 20_000 for path in second[:-1])
    whole = io.BytesIO(b"".join(path.read_bytes() for path in second))
    with tarfile.open(fileobj=whole) as tar:
        file = tar.extractfile("model/a/b")
        assert file is not None and file.read() == bytes(range(256)) * 100
        assert "none" not in tar.getnames()
