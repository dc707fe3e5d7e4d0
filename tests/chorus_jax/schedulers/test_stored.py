"""A scheduler file is run as it says, or its fields are refused by name."""

import diffusers
import pytest

from chorus_jax.schedulers import stored

FLOW = {"prediction_type": "flow_prediction", "use_flow_sigmas": True}


def of(name, **fields):
    """The whole file as diffusers writes it."""
    scheduler = getattr(diffusers, name)(**fields)
    return {"_class_name": name, **scheduler.config}


UNIPC = of("UniPCMultistepScheduler", flow_shift=5.0, **FLOW)
DPMPP = of("DPMSolverMultistepScheduler", flow_shift=3.0, **FLOW)
EULER = of("FlowMatchEulerDiscreteScheduler", shift=7.0)


@pytest.mark.parametrize(
    ("config", "solver", "shift"),
    [(UNIPC, "unipc", 5.0), (DPMPP, "dpmpp", 3.0), (EULER, "euler", 7.0)],
)
def test_whole_files_of_diffusers_are_read(config, solver, shift):
    assert stored.read(config) == {"solver": solver, "shift": shift}


def test_stochastic_sampling_is_a_solver_of_its_own():
    assert stored.read(EULER | {"stochastic_sampling": True})["solver"] == "renoise"


def test_a_file_without_a_shift_leaves_it_open():
    config = {"_class_name": "UniPCMultistepScheduler", **FLOW}
    assert stored.read(config) == {"solver": "unipc"}


@pytest.mark.parametrize(
    ("config", "message"),
    [
        (of("LCMScheduler"), "says LCMScheduler, which is not run here"),
        ({}, "says None, which is not run"),
        (of("UniPCMultistepScheduler"), "prediction_type 'epsilon', run is 'flow"),
        ({"_class_name": "UniPCMultistepScheduler"}, r"'epsilon' \(its default\)"),
        (UNIPC | {"solver_order": 3}, "solver_order 3, run is 2"),
        (UNIPC | {"solver_type": "bh1"}, "solver_type 'bh1', run is 'bh2'"),
        (UNIPC | {"disable_corrector": [0]}, r"disable_corrector \[0\]"),
        (UNIPC | {"use_karras_sigmas": True}, "use_karras_sigmas True"),
        (UNIPC | {"final_sigmas_type": "sigma_min"}, "final_sigmas_type 'sigma_min'"),
        (EULER | {"use_dynamic_shifting": True}, "use_dynamic_shifting True"),
        (EULER | {"shift_terminal": 0.1}, "shift_terminal 0.1, run is None"),
        (DPMPP | {"algorithm_type": "sde-dpmsolver++"}, "'sde-dpmsolver\\+\\+'"),
        (DPMPP | {"solver_type": "heun"}, "solver_type 'heun', run is 'midpoint'"),
        (EULER | {"something_new": 2}, "something_new 2, which is not known"),
    ],
)
def test_what_is_not_run_is_refused_by_name(config, message):
    with pytest.raises(ValueError, match=message) as caught:
        stored.read(config)
    assert "convert it with --scheduler FILE" in str(caught.value)


def test_every_field_that_diffusers_has_is_known():
    for config, solver in ((UNIPC, "unipc"), (DPMPP, "dpmpp"), (EULER, "euler")):
        known = stored.FIELDS[solver].keys() | stored.UNREAD
        names = {name for name in config if not name.startswith("_")}
        assert names <= known
