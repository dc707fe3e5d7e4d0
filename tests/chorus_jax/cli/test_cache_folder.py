"""`chorus cache`: what is there, checked and deleted."""

from pathlib import Path

import pytest

from chorus_jax.cli import cache_folder
from chorus_jax.cli.commands import main

SIZE = ["--frames", "1", "--height", "32", "--width", "32", "--steps", "2"]


@pytest.fixture
def cache(weights, tmp_path, capsys):
    """A cache folder with two entries in one namespace and one in another."""
    folder = tmp_path / "cache"
    out = ["--weights", str(weights), "--out", str(tmp_path / "v.png"), *SIZE]
    reuse = ["--cache", str(folder), "--cache-mode", "write", "--seed"]
    assert main(["generate", "a red circle", *out, *reuse, "1,2"]) == 0
    more = [*reuse, "3", "--namespace", "mine"]
    assert main(["generate", "a square", *out, *more]) == 0
    capsys.readouterr()
    return folder


def test_what_is_there_by_model_and_size(cache, capsys):
    assert main(["cache", str(cache)]) == 0
    head, one, two, total = capsys.readouterr().out.splitlines()
    assert head.split()[0] == "model" and total.startswith("3 entries, ")
    for line, namespace, count in ((one, "default", "2"), (two, "mine", "1")):
        assert "tiny transformer" in line and "1x32x32" in line
        assert "unipc, 2 steps" in line
        assert line.split()[6:8] == [namespace, count]


def test_what_is_chosen_is_deleted(cache, capsys):
    assert main(["cache", str(cache), "--delete", "--older-than", "1h"]) == 0
    assert "deleted 0 entries" in capsys.readouterr().out
    assert main(["cache", str(cache), "--delete", "--namespace", "mine"]) == 0
    assert "deleted 1 entry" in capsys.readouterr().out
    assert main(["cache", str(cache), "--delete"]) == 0
    assert main(["cache", str(cache)]) == 0
    out = capsys.readouterr().out
    assert "deleted 2 entries" in out and "0 entries, 0.0 MiB" in out
    assert not list(cache.glob("*.record")) and not list(cache.glob("*.json"))


def test_damaged_entries_are_dropped(cache, capsys):
    victim = next(cache.glob("*.record"))
    with open(victim, "r+b") as file:
        file.seek(victim.stat().st_size // 2)
        file.write(b"damaged!")
    assert main(["cache", str(cache), "--verify"]) == 0
    assert "2 entries read whole, 1 damaged and dropped" in capsys.readouterr().out
    assert not victim.exists()


def test_records_that_go_meanwhile_are_left_out(cache, capsys, monkeypatch):
    """Another process evicts one after this one has listed it."""
    true = cache_folder.rows_of

    def going(store, folder):
        for record in list(folder.glob("*.record"))[:1]:
            record.unlink()
        return true(store, folder)

    monkeypatch.setattr(cache_folder, "rows_of", going)
    assert main(["cache", str(cache)]) == 0
    assert capsys.readouterr().out.splitlines()[-1].startswith("2 entries, ")
    assert main(["cache", str(cache), "--delete"]) == 0
    assert "deleted 1 entry" in capsys.readouterr().out
    assert not list(cache.glob("*.json"))


def test_a_namespace_writes_nothing_to_the_terminal_but_its_name():
    row = cache_folder.EntryRow("0" * 32, "1" * 64, "a\x1b[2J\nb", 1, 0.0, 0.0)
    text = list(cache_folder.table([row], Path("none")))
    assert len(text) == 3 and all(line.isprintable() for line in text)


def test_without_a_note_the_recipe_is_named(cache, capsys):
    for file in cache.glob("*.recipe.json"):
        file.write_text("{")
    assert main(["cache", str(cache)]) == 0
    assert "recipe " in capsys.readouterr().out


def test_what_is_no_cache_is_left_alone(tmp_path, capsys):
    (tmp_path / "thesis.txt").write_text("mine")
    for folder, message in (
        (tmp_path, "is no cache folder"),
        (tmp_path / "none", "is no folder"),
    ):
        assert main(["cache", str(folder), "--delete"]) == 1
        err = capsys.readouterr().err
        assert message in err and err.count("\n") == 1
    assert [path.name for path in tmp_path.iterdir()] == ["thesis.txt"]


def test_an_empty_folder_is_not_made_a_cache(tmp_path, capsys):
    for option in ([], ["--delete"], ["--verify"]):
        assert main(["cache", str(tmp_path), *option]) == 0
        assert "no request has left anything" in capsys.readouterr().out
    assert not list(tmp_path.iterdir())
