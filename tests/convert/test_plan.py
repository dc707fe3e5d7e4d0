"""Matching tensors with parameters: every mismatch in one list."""

from pathlib import Path

import jax
import ml_dtypes
import numpy as np
import pytest

from convert.plan import make_plan, raise_problems, source_shape, sources
from convert.rules import LINEAR, Alias, Rule
from convert.tensors import Tensor

RULES = (
    Rule("embed.weight", "table"),
    Alias("tied.weight", of="embed.weight"),
    Rule("blocks.{layer}.w", "layers.kernel", LINEAR),
    Rule("heads.{i}.w", "heads.{i}.kernel", LINEAR),
    Rule("image.w", "image.kernel", LINEAR),
)
FLOAT = np.dtype(np.float32)


def tensors(**changes):
    shapes = {
        "embed.weight": (5, 3),
        **{f"blocks.{i}.w": (4, 3) for i in range(2)},
        "heads.0.w": (2, 4),
        "heads.1.w": (2, 4),
    }
    shapes |= changes
    return {
        name: Tensor(name, shape, FLOAT, Path("x"), 0)
        for name, shape in shapes.items()
        if shape is not None
    }


def targets(**changes):
    shapes = {
        "table": (5, 3),
        "layers.kernel": (2, 3, 4),
        "heads.0.kernel": (4, 2),
        "heads.1.kernel": (4, 2),
    }
    shapes |= changes
    return {
        name: jax.ShapeDtypeStruct(shape, ml_dtypes.bfloat16)
        for name, shape in shapes.items()
    }


def problems(given=None, wanted=None, rules=RULES):
    plan = make_plan("net", rules, given or tensors(), wanted or targets())
    return list(plan.problems)


def test_everything_matches():
    plan = make_plan("net", RULES, tensors(), targets())
    assert not plan.problems
    assert [t.name for t in plan.fills["layers.kernel"].tensors] == [
        "blocks.0.w",
        "blocks.1.w",
    ]
    assert plan.fills["layers.kernel"].stacked
    assert not plan.fills["heads.1.kernel"].stacked


def test_missing():
    assert problems(tensors(**{"blocks.1.w": None})) == [
        "net: missing: blocks.1.w, which fills layers.kernel"
    ]


def test_extra_layer():
    assert problems(tensors(**{"blocks.2.w": (4, 3)})) == [
        "net: extra: blocks.2.w (float32 [4, 3]), which no rule takes"
    ]


def test_renamed():
    given = tensors(**{"heads.1.w": None, "heads.1.weight": (2, 4)})
    assert problems(given) == [
        "net: missing: heads.1.w, which fills heads.1.kernel; was it renamed to "
        "heads.1.weight?",
        "net: extra: heads.1.weight (float32 [2, 4]), which no rule takes",
    ]


def test_wrong_shape():
    assert problems(tensors(**{"blocks.0.w": (3, 4)})) == [
        "net: wrong shape: blocks.0.w is [3, 4], expected [4, 3] to fill layers.kernel "
        "[2, 3, 4]"
    ]


def test_wrong_dtype():
    given = tensors()
    given["blocks.0.w"] = Tensor("blocks.0.w", (4, 3), np.dtype("int8"), Path("x"), 0)
    (problem,) = problems(given)
    assert problem.startswith("net: wrong dtype: blocks.0.w is int8, expected one of")


def test_rule_without_a_parameter():
    assert not problems(
        tensors(**{"image.w": (3, 2)}), targets(**{"image.kernel": (2, 3)})
    )
    assert len(problems(tensors(**{"image.w": (3, 2)}))) == 1
    assert len(problems(None, targets(**{"image.kernel": (2, 3)}))) == 1


def test_alias_may_be_alone_or_beside():
    assert not problems(tensors(**{"tied.weight": (5, 3)}))
    plan = make_plan("net", RULES, tensors(**{"tied.weight": (5, 3)}), targets())
    ((one, other),) = plan.repeats
    assert (one.name, other.name) == ("tied.weight", "embed.weight")
    assert not problems(tensors(**{"embed.weight": None, "tied.weight": (5, 3)}))


def test_tables_with_a_gap_or_an_overlap():
    assert problems(None, targets(extra=(1,))) == ["net: no rule fills extra"]
    double = (*RULES, Rule("embed.weight", "again"))
    assert problems(None, targets(again=(5, 3)), double) == [
        "net: embed.weight fills both table and again"
    ]


def test_all_are_raised_at_once():
    raise_problems([])
    with pytest.raises(
        ValueError, match="does not fit the model, 50 problems"
    ) as caught:
        raise_problems([f"p{i}" for i in range(50)])
    assert "p9\n  and 40 more" in str(caught.value)


def test_both_sides_are_shown_of_many():
    needed = [f"net: missing: {i}" for i in range(500)]
    extra = [f"net: extra: {i}" for i in range(500)]
    with pytest.raises(ValueError, match="1000 problems") as caught:
        raise_problems(needed + extra)
    lines = str(caught.value).splitlines()[1:]
    assert len(lines) == 11 and lines[-1] == "  and 990 more"
    assert sum(": extra: " in line for line in lines) == 5


def test_source_shape():
    assert source_shape(RULES[2], (2, 3, 4)) == (4, 3)
    # No memory is taken: this one would be 2 TB.
    assert source_shape(RULES[2], (2, 10**6, 2 * 10**6)) == (2 * 10**6, 10**6)


def test_more_layers_than_any_model_has_are_refused():
    """Names are made for each, so a damaged config would fill the memory."""
    rule = Rule("blocks.{layer}.bias", "layers.bias")
    assert len(sources(rule, "layers.bias", (40, 8))) == 40
    with pytest.raises(ValueError, match="would have 1000000000 layers"):
        sources(rule, "layers.bias", (10**9, 8))
