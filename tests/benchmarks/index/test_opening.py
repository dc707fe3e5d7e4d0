"""The benchmark of opening folders: all entries are found, or it is an error."""

import numpy as np
import pytest

from benchmarks.index.opening import opened
from benchmarks.index.records import LATENTS, RECIPE, entry, fill


def test_all_entries_of_a_folder_are_found(tmp_path):
    fill(tmp_path, 3, np.random.default_rng(0))
    seconds, core = opened(tmp_path, 3)
    assert 0 < core and 0 < seconds
    with pytest.raises(SystemExit, match=r"\(3, 3\) of 4 entries"):
        opened(tmp_path, 4)


def test_a_record_of_full_size_has_what_wan_leaves():
    made = entry(np.random.default_rng(0), 1, LATENTS)
    assert made.recipe == RECIPE and 8.3e6 < made.nbytes < 8.5e6
