"""The benchmark of conversions, with sizes that convert at once."""

import pytest

from benchmarks.speed import conversion

SMALL = {"dim": 256, "ffn_dim": 512, "num_heads": 2, "in_dim": 16, "out_dim": 16}


@pytest.mark.slow
def test_a_killed_conversion_is_gone_on_with(tmp_path):
    fields = {**conversion.COMMON, **SMALL, "num_layers": 40}
    row = conversion.measured("killed", tmp_path, (fields, fields))
    assert row["seconds"] > 0 and 0.05 < row["written_gb"] < 1
    assert 0 < row["peak_gib"] and row["limit_gib"] > 1
    assert not list(tmp_path.iterdir())
