"""Reads a scheduler_config.json of diffusers, and refuses unsupported values.

For every field with a single supported value, a table lists this value and diffusers'
default, which applies if the file omits the field.
"""

from collections.abc import Mapping
from typing import Any

# Scheduler classes of diffusers, and our solvers.
SOLVERS = {
    "FlowMatchEulerDiscreteScheduler": "euler",
    "UniPCMultistepScheduler": "unipc",
    "DPMSolverMultistepScheduler": "dpmpp",
}
STOCHASTIC = "stochastic_sampling"  # an option of Euler's class, a solver here
SHIFTS = {
    "euler": "shift",
    "renoise": "shift",
    "unipc": "flow_shift",
    "dpmpp": "flow_shift",
}

# By field: diffusers' default, and the value that is supported here.
_EVERY = {
    "num_train_timesteps": (1000, 1000),
    "use_karras_sigmas": (False, False),
    "use_exponential_sigmas": (False, False),
    "use_beta_sigmas": (False, False),
    "use_dynamic_shifting": (False, False),
    "shift_terminal": (None, None),
}
_MULTISTEP = _EVERY | {
    "solver_order": (2, 2),
    "prediction_type": ("epsilon", "flow_prediction"),
    "use_flow_sigmas": (False, True),
    "thresholding": (False, False),
    "lower_order_final": (True, True),
    "final_sigmas_type": ("zero", "zero"),
}
FIELDS: Mapping[str, Mapping[str, tuple[Any, Any]]] = {
    "euler": _EVERY | {STOCHASTIC: (False, False), "invert_sigmas": (False, False)},
    "renoise": _EVERY | {STOCHASTIC: (False, True), "invert_sigmas": (False, False)},
    "unipc": _MULTISTEP
    | {
        "solver_type": ("bh2", "bh2"),
        "predict_x0": (True, True),
        "disable_corrector": ([], []),
        "solver_p": (None, None),
        "sigma_min": (None, None),
        "sigma_max": (None, None),
    },
    "dpmpp": _MULTISTEP
    | {
        "algorithm_type": ("dpmsolver++", "dpmsolver++"),
        "solver_type": ("midpoint", "midpoint"),
        "euler_at_final": (False, False),
        "use_lu_lambdas": (False, False),
        "variance_type": (None, None),
    },
}
# Fields that have no effect with the values above.
UNREAD = {
    *("beta_start", "beta_end", "beta_schedule", "trained_betas", "timestep_spacing"),
    *("steps_offset", "rescale_betas_zero_snr", "dynamic_thresholding_ratio"),
    *("sample_max_value", "lambda_min_clipped", "time_shift_type", "base_shift"),
    *("max_shift", "base_image_seq_len", "max_image_seq_len", "shift", "flow_shift"),
}

ADVICE = (
    "If the model is to run with another, convert it with --scheduler FILE, a "
    "scheduler_config.json that says so (in a folder of a whole LTX, replace it)"
)


def read(config: Mapping[str, Any]) -> dict[str, Any]:
    """The settings in a scheduler file: the solver, and the shift if there is one.

    Args:
        config: the object in the file.

    Raises:
        ValueError: for an unsupported class, or fields with unsupported values.
    """
    name = config.get("_class_name")
    solver = SOLVERS.get(str(name))
    if solver is None:
        raise ValueError(
            f"the scheduler file says {name}, which is not run here: supported are "
            f"{', '.join(SOLVERS)}. {ADVICE}"
        )
    if solver == "euler" and config.get(STOCHASTIC):
        solver = "renoise"
    wrong = [*_differing(solver, config), *_unknown(solver, config)]
    if wrong:
        raise ValueError(
            f"the scheduler file ({name}) says what is not run here: "
            f"{'; '.join(wrong)}. {ADVICE}"
        )
    shift = config.get(SHIFTS[solver])
    return {"solver": solver} | ({} if shift is None else {"shift": float(shift)})


def _differing(solver: str, config: Mapping[str, Any]) -> list[str]:
    wrong = []
    for field, (usual, run) in FIELDS[solver].items():
        value = config.get(field, usual)
        if value != run:
            note = "" if field in config else " (its default)"
            wrong.append(f"{field} {value!r}{note}, run is {run!r}")
    return wrong


def _unknown(solver: str, config: Mapping[str, Any]) -> list[str]:
    """Messages about unknown fields, except fields whose value is None or False."""
    return [
        f"{field} {value!r}, which is not known"
        for field, value in config.items()
        if field not in FIELDS[solver]
        and field not in UNREAD
        and not field.startswith("_")
        and value not in (None, False)
    ]
