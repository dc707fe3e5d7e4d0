"""The default settings of an LTX, with those of its scheduler file."""

from dataclasses import replace

import pytest

from chorus_jax.families.ltx.outlines import CARDS
from chorus_jax.families.ltx2.outlines import CARDS as LTX2_CARDS
from chorus_jax.families.registry import family_of

EULER = {"_class_name": "FlowMatchEulerDiscreteScheduler"}


def defaults(card, folder, **fields):
    """The default settings of a published model with this scheduler file."""
    replace(card, scheduler=EULER | fields).write(folder)
    return family_of(folder).defaults(folder)


@pytest.mark.parametrize(
    "card", [CARDS["LTX-Video 2B 0.9.5"], LTX2_CARDS["LTX-2 19B distilled"]]
)
def test_solver_and_shift_are_those_of_the_file(card, tmp_path):
    usual = defaults(card(), tmp_path, shift=1.0)
    assert (usual.request.solver, usual.request.shift) == ("euler", 1.0)
    told = defaults(card(), tmp_path, shift=3.0, stochastic_sampling=True)
    assert told.request == replace(usual.request, solver="renoise", shift=3.0)
    ending = "; solver and shift are those its weights came with"
    assert told.source == usual.source + ending


def test_the_makers_solver_stays_where_the_file_names_none(tmp_path):
    found = defaults(CARDS["LTX-Video 2B 0.9.6-distilled"](), tmp_path)
    assert found.request.solver == "renoise" and "came with" not in found.source
