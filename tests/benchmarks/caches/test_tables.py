"""Tables of step caches: pairs of methods are compared prompt by prompt."""

import pytest

from benchmarks.caches.tables import OURS, in_pairs, paired


def row(name, each, computed=0.24):
    return {
        "row": name,
        "steps": 50,
        "setting": "",
        "device": "",
        "computed": computed,
        "psnr": sum(each) / len(each),
        "psnr_each": each,
    }


def test_differences_are_of_the_same_prompt():
    ours, other = row(OURS, [50.0, 40.0]), row("sea", [47.0, 39.0])
    _, _, first, second = paired([other, ours]).splitlines()
    cells = [x.strip() for x in first.split("|")]
    assert cells[1:4] == [OURS, "2", "0.24"] and cells[5:7] == ["", ""]
    # Ahead by 3 and 1: a mean of 2, a standard deviation of 1.41 over two prompts.
    assert [x.strip() for x in second.split("|")][5:7] == ["2", "1"]


def test_only_rows_that_list_every_prompt_are_paired():
    assert in_pairs(row("sea", [47.0, 39.0]))
    assert not in_pairs(row("sea", [47.0], computed=0.35))
    assert not in_pairs({"row": "sea", "steps": 50, "computed": 0.24})


def test_rows_of_two_models_are_refused():
    rows = [row(OURS, [50.0, 40.0]), row("sea", [47.0, 39.0])]
    for fingerprint, each in zip("ab", rows):
        each.update(weights={"vae": fingerprint}, command="measure")
    with pytest.raises(ValueError, match="rows of one table are of one model"):
        paired(rows)
