"""Templates."""

import pytest

from convert.rules import CONV2D, CONV3D, LINEAR, SAME, indices


@pytest.mark.parametrize(
    ("template", "name", "found"),
    [
        ("blocks.{layer}.ffn.0.bias", "blocks.12.ffn.0.bias", {"layer": "12"}),
        ("blocks.{layer}.ffn.0.bias", "blocks.12.ffn.2.bias", None),
        ("blocks.{layer}.bias", "blocks.1x2.bias", None),
        ("a.{i}.{j}.{i}", "a.1.2.1", {"i": "1", "j": "2"}),
        ("a.{i}.{j}.{i}", "a.1.2.3", None),
        ("a.b", "a.b", {}),
        ("a.b", "axb", None),
        ("a.b", "a.b.c", None),
    ],
)
def test_indices(template, name, found):
    assert indices(template, name) == found


@pytest.mark.parametrize("fix", [SAME, LINEAR, CONV2D, CONV3D])
def test_back_undoes_there(fix):
    import numpy as np

    rank = {SAME: 1, LINEAR: 2, CONV2D: 4, CONV3D: 5}[fix]
    value = np.arange(2**rank * 3).reshape(3 * 2, *[2] * (rank - 1))
    np.testing.assert_array_equal(fix.back(fix.there(value)), value)
