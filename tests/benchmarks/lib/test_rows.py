"""Rows name their device, and replace earlier rows of the same device."""

import pytest

from benchmarks.lib import older_processor, rows


@pytest.fixture
def processor(tmp_path, monkeypatch):
    """A machine of two cores whose cpuinfo is this."""

    def make(text):
        path = tmp_path / "cpuinfo"
        path.write_text(text)
        monkeypatch.setattr(rows, "CPU", path)
        monkeypatch.setattr(rows.os, "sched_getaffinity", lambda _: {0, 1})

    return make


CPUINFO = "model name\t: AMD EPYC\nflags\t\t: fpu sse2 avx512f avx2 avx512_vnni\n\n"


def test_a_device_names_its_instruction_sets(processor):
    processor(2 * CPUINFO)
    assert rows.device() == "2 cores of AMD EPYC (avx2, avx512f, avx512_vnni)"
    processor("model name\t: Old\nflags\t\t: fpu sse2\n")
    assert rows.device() == "2 cores of Old"


def test_a_device_is_named_by_what_it_is_limited_to(processor, monkeypatch):
    processor(CPUINFO)
    monkeypatch.setenv(older_processor.NAME, "avx2")
    assert rows.device() == "2 cores of AMD EPYC (limited to avx2)"


def test_rows_without_instruction_sets_are_replaced_too(tmp_path, monkeypatch):
    monkeypatch.setattr(rows, "RESULTS", tmp_path)
    monkeypatch.setattr(rows, "commit", lambda: "abc")
    for device in ("2 cores of A", "2 cores of B", "2 cores of A (avx2)"):
        monkeypatch.setattr(rows, "device", lambda device=device: device)
        rows.update("quality", [{"row": "vae"}])
    found = [row["device"] for row in rows.load("quality")]
    assert found == ["2 cores of B", "2 cores of A (avx2)"]
    monkeypatch.setattr(rows, "device", lambda: "2 cores of B (avx2)")
    rows.save("quality", [])
    assert [row["device"] for row in rows.load("quality")] == ["2 cores of A (avx2)"]


def test_rows_of_other_weights_are_dropped(tmp_path, monkeypatch):
    """Those of other parts and of other devices stay."""
    monkeypatch.setattr(rows, "RESULTS", tmp_path)
    monkeypatch.setattr(rows, "commit", lambda: "abc")
    before, other = {"vae": "1", "few": "2"}, {"vae": "1", "many": "3"}
    for device in ("A", "B"):
        monkeypatch.setattr(rows, "device", lambda device=device: device)
        new = [{"row": "few", "weights": before}, {"row": "many", "weights": other}]
        rows.update("caches", new)
    rows.drop_other_weights("caches", {"vae": "1", "many": "4"})
    left = [(row["device"], row["row"]) for row in rows.load("caches")]
    assert left == [("A", "few"), ("A", "many"), ("B", "few")]


def test_rows_of_a_machine_whose_files_are_copied_are_complete(tmp_path, monkeypatch):
    monkeypatch.setattr(rows, "RESULTS", tmp_path / "results")
    monkeypatch.setattr(rows, "commit", lambda: "abc")
    rows.update("speed", [{"row": "a", "seconds": 1.0}])
    rows.append(tmp_path / "speed.jsonl", "speed", {"row": "a", "seconds": 1.0})
    (copied,) = (tmp_path / "speed.jsonl").read_text().splitlines()
    assert [copied] == (tmp_path / "results/speed.jsonl").read_text().splitlines()
