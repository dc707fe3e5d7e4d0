"""Relatives of Wan are named when they are refused."""

import pytest

from convert.other_makes import make_of
from convert.plan import raise_problems

GATE = (
    "transformer: extra: blocks.0.to_gate_compress.weight (F32 [4, 4]), which no rule"
)
CONTROLS = "transformer: extra: vace_blocks.0.norm1.bias (F32 [4]), which no rule takes"


@pytest.mark.parametrize(
    "line, make",
    [
        (
            GATE,
            r"this is of FastVideo's sparse attention \(VSA\), .* FullAttn one: the",
        ),
        (CONTROLS, "this is of Wan VACE, .*: the source does not fit"),
    ],
)
def test_the_make_comes_first(line, make):
    missing = "transformer: missing: patch_embedding.weight, which fills patch.kernel"
    with pytest.raises(ValueError, match=make) as caught:
        raise_problems([missing, line])
    assert line in str(caught.value) and missing in str(caught.value)


def test_what_is_not_known_is_not_named():
    assert make_of(["blocks.0.new.weight"]) == ""
    with pytest.raises(ValueError, match="^the source does not fit the model, 1 prob"):
        raise_problems(["transformer: extra: blocks.0.new.weight, which no rule takes"])
