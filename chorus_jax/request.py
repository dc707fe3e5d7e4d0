"""Requests: what a caller asks for, and the solver that runs it."""

import math
from collections.abc import Callable, Iterable
from dataclasses import dataclass, replace
from numbers import Integral, Real
from typing import Any, no_type_check

from chorus_jax.audio_video import AudioVideoGuidance
from chorus_jax.guidance_schedule import GuidanceSchedule
from chorus_jax.intra_request import StepCache, qualities, registry
from chorus_jax.intra_request.beside_budgets import check_beside, own_budgets
from chorus_jax.intra_request.fitting import RunProperties, check_fits, check_velocities
from chorus_jax.media.inputs import InputMedia
from chorus_jax.schedulers import Solver, listed, named
from chorus_jax.spatio_temporal import SpatioTemporalGuidance
from chorus_jax.token_budgets import ActiveSets, presets

MOST_STEPS = 1000
MOST_SHIFT = 1000.0  # above it, steps have equal noise levels in float32


# Not type-checked in tests, because it refuses wrong types itself.
@no_type_check
@dataclass(frozen=True)
class Request:
    """One video to make.

    The defaults are those of Wan 2.1 (its generate.py) at 480p, except for the negative
    prompt, which is empty; `Pipeline.request` uses the defaults of the loaded model.
    Numbers may be numpy's, and `steps` any sequence of numbers.

    Attributes:
        prompt: what the video shows, in words.
        negative_prompt: what the video should avoid; used only with guidance.
        frames: the number of frames; for Wan 4n + 1.
        height: the height in pixels; for Wan a multiple of 16.
        width: the width in pixels; for Wan a multiple of 16.
        steps: the number of denoising steps, spaced by the solver; or a list of sigmas
            falling from 1, for distilled models. In both cases the noise levels are
            shifted by `shift`. Or a list of timesteps falling from 1000, which are
            passed to the network unchanged; each step then has the nearest noise level
            of a schedule shifted by `shift`.
        solver: `euler`, `unipc` or `dpmpp`, with steps spaced as in diffusers;
            `renoise` and `res_2s`, which add noise drawn from the seed in every step;
            `wan_unipc` or `wan_dpmpp`, with steps spaced as in Wan's own code.
        shift: the flow shift of the schedule; above 1 moves steps towards high noise, 1
            changes nothing.
        guidance_scale: the classifier-free guidance scale; at 1 or below, the negative
            prompt is not evaluated.
        seed: the seed of the noise, 0 to 2**32 - 1; None for a random one.
        guidance_scale_high: the guidance scale of the high-noise steps of a model with
            two transformers, up to 1 for none; None for `guidance_scale`.
        guidance_scale_low: the guidance scale of its low-noise steps, likewise.
        inputs: the images that an image-to-video model begins with, keyframes, or a
            video to begin from.
        fps: the frames per second that the video is made for, for models that read it
            (LTX); None for the model's default.
        perturbed: spatio-temporal guidance, for models that have it (LTX); None for
            none.
        joint: further guidance scales, for models that make audio too (LTX-2); None for
            none.
        guidance_schedule: classifier-free and spatio-temporal guidance by noise level,
            in place of `guidance_scale` and `perturbed`, for models that have it (LTX).
        tokens: which tokens are run in which steps: the name of a preset (`hsa-75`,
            `hsa-50`, `hsa-25`), or `TokenBudgets` or a `TokenSchedule` for the same
            number of steps; None runs all tokens in all steps.
        step_cache: what is reused across the steps of the video, on hits and misses
            alike: a quality (`lossless`, `high`, `balanced`, `fast`), a description
            such as `taylor:interval=2` (see `intra_request.registry`), or a
            `StepCache`; None leaves it to the engine's policy. It can be combined with
            `tokens` only if it forecasts velocities and its computed steps are known
            before the run; a token is then run in the steps that both run.

    Raises:
        ValueError: for a value of a wrong type or out of range.
    """

    prompt: str
    negative_prompt: str = ""
    frames: int = 81
    height: int = 480
    width: int = 832
    steps: int | tuple[float, ...] = 50
    solver: str = "unipc"
    shift: float = 5.0
    guidance_scale: float = 5.0
    seed: int | None = None
    guidance_scale_high: float | None = None
    guidance_scale_low: float | None = None
    inputs: InputMedia | None = None
    fps: float | None = None
    perturbed: SpatioTemporalGuidance | None = None
    joint: AudioVideoGuidance | None = None
    guidance_schedule: GuidanceSchedule | None = None
    tokens: str | ActiveSets | None = None
    step_cache: str | StepCache | None = None

    def __post_init__(self) -> None:
        for name in ("prompt", "negative_prompt", "solver"):
            if not isinstance(getattr(self, name), str):
                raise ValueError(f"{name} must be text, got {getattr(self, name)!r}")
            check_text(name, getattr(self, name))
        for name in ("frames", "height", "width"):
            self._whole(name, 1, 2**31 - 1)
        if self.seed is not None:
            self._whole("seed", 0, 2**32 - 1)
        if isinstance(self.steps, str) or not isinstance(self.steps, Iterable):
            self._whole("steps", 1, MOST_STEPS)
        else:
            sigmas = tuple(number("a sigma or timestep", x) for x in self.steps)
            if len(sigmas) > MOST_STEPS + 1:
                raise ValueError(
                    f"a schedule has at most {MOST_STEPS} steps, got {len(sigmas)} "
                    "sigmas or timesteps"
                )
            object.__setattr__(self, "steps", sigmas)
        scales = ["guidance_scale"]
        for name in ("guidance_scale_high", "guidance_scale_low"):
            scales += [] if getattr(self, name) is None else [name]
        for name in ("shift", *scales):
            object.__setattr__(self, name, number(name, getattr(self, name)))
        if not isinstance(self.inputs, InputMedia | None):
            raise ValueError(f"inputs must be InputMedia, got {self.inputs!r:.80}")
        if not isinstance(self.perturbed, SpatioTemporalGuidance | None):
            raise ValueError(
                f"perturbed must be SpatioTemporalGuidance, got {self.perturbed!r:.80}"
            )
        if not isinstance(self.joint, AudioVideoGuidance | None):
            raise ValueError(
                f"joint must be AudioVideoGuidance, got {self.joint!r:.80}"
            )
        if not isinstance(self.guidance_schedule, GuidanceSchedule | None):
            raise ValueError(
                "guidance_schedule must be a GuidanceSchedule, got "
                f"{self.guidance_schedule!r:.80}"
            )
        if self.guidance_schedule is not None and self.perturbed is not None:
            raise ValueError(
                "a guidance_schedule has spatio-temporal guidance of its own: leave "
                "perturbed out"
            )
        # Comparisons with NaN are false, so these three checks are negated.
        if self.fps is not None:
            object.__setattr__(self, "fps", number("fps", self.fps))
            if not 0 < self.fps <= 1000:
                raise ValueError(f"fps must be above 0, up to 1000, got {self.fps}")
        if not 1 / MOST_SHIFT <= self.shift <= MOST_SHIFT:
            raise ValueError(
                f"shift must be from {1 / MOST_SHIFT:g} to {MOST_SHIFT:g} (1 changes "
                f"nothing), got {self.shift:g}"
            )
        for name in scales:
            scale = getattr(self, name)
            if not (math.isfinite(scale) and scale >= 0):
                raise ValueError(
                    f"{name} must be finite and 0 or more (up to 1 is none), got "
                    f"{scale}"
                )
        self.make_solver()
        self._check_step_cache()
        self._check_tokens()

    def _check_tokens(self) -> None:
        tokens, budgets = self.tokens, self.token_budgets
        if not isinstance(budgets, ActiveSets | None):
            raise ValueError(
                f"tokens must be the name of a preset or TokenBudgets, got {tokens!r}"
            )
        if budgets is not None and self.velocity_obstacle:
            raise ValueError(
                f"{self.velocity_obstacle}, so that velocities of earlier steps cannot "
                "be used again, as token budgets do: leave them out"
            )
        if budgets is not None and budgets.steps != self.step_count:
            raise ValueError(
                f"the token budgets are for {budgets.steps} steps, but the schedule "
                f"has {self.step_count}: make them for as many"
            )
        if budgets is not None and self.own_cache is not None:
            check_beside(self.own_cache, budgets)

    def _check_step_cache(self) -> None:
        cache = self.own_cache
        if not isinstance(cache, StepCache | None):
            raise ValueError(
                "step_cache must be a quality, a line such as 'taylor:interval=2' or a "
                f"StepCache, got {self.step_cache!r:.80}"
            )
        if cache is not None:
            check_velocities(cache, self.velocity_obstacle)

    def _whole(self, name: str, least: int, most: int) -> None:
        value = whole_number(name, getattr(self, name), least, most)
        object.__setattr__(self, name, value)

    @property
    def guided(self) -> bool:
        """Whether the negative prompt is evaluated beside the prompt."""
        if self.guidance_schedule is not None:
            return self.guidance_schedule.guided
        return max(self.guidance_scales) > 1

    @property
    def passes(self) -> int:
        """Forward passes per step: prompt, negative prompt, perturbed pass."""
        schedule = self.guidance_schedule
        own = schedule is not None and schedule.perturbed
        return 1 + self.guided + (self.perturbed is not None or own)

    @property
    def velocity_obstacle(self) -> str:
        """Why velocities of earlier steps cannot be used again in this run; "" if they
        can.

        A velocity leads away from the noise that it was computed with, which a step
        that adds noise replaces; and it has the guidance of its own step.
        """
        if self.make_solver().stochastic:
            return f"the solver {self.solver} adds new noise in every step"
        schedule, levels = self.guidance_schedule, None
        if schedule is not None and not isinstance(self.steps, int):
            # A model may shift the levels of a number of steps further.
            levels = [t / 1000 for t in self.make_solver().schedule.timesteps]
        if schedule is not None and schedule.changes(levels):
            return "the guidance schedule changes the guidance between steps"
        return ""

    @property
    def guidance_scales(self) -> tuple[float, float]:
        """The scales above and below the boundary of a model with two experts."""
        high, low = self.guidance_scale_high, self.guidance_scale_low
        usual = self.guidance_scale
        return usual if high is None else high, usual if low is None else low

    @property
    def token_budgets(self) -> ActiveSets | None:
        """The request's token budgets for its number of steps, or those of its step
        cache; None runs all tokens."""
        if isinstance(self.tokens, str):
            return presets.named(self.tokens, self.step_count)
        return own_budgets(self.own_cache) if self.tokens is None else self.tokens

    @property
    def own_cache(self) -> StepCache | None:
        """The request's step cache; None if it leaves that to the engine's policy."""
        if not isinstance(self.step_cache, str):
            return self.step_cache
        if self.step_cache in qualities.QUALITIES:
            return qualities.named(self.step_cache, self.step_count)
        return registry.parse(self.step_cache)

    def check_cache(
        self,
        solver: Callable[[], Solver],
        layers: int,
        branches: tuple[str, ...],
        size: tuple[int, int],
    ) -> None:
        """Checks that the request's step cache fits its run.

        Args:
            solver: makes the solver of the run; called only if there is a step cache.
            layers: the number of layers of the transformer.
            branches: the names of a layer's branches.
            size: height and width of the video's latents.

        Raises:
            ValueError: for a step cache that is made for other steps, another shift or
                size, or another model.
        """
        if self.own_cache is not None:
            run = RunProperties(solver().schedule, layers, branches, size)
            check_fits(self.own_cache, run)

    @property
    def step_count(self) -> int:
        """The number of steps of its schedule that are run."""
        return self.make_solver().schedule.steps

    def changed(self, **fields: Any) -> "Request":
        """This request with other fields. A `guidance_scale` given without
        `guidance_scale_high` and `_low` applies to all transformers, and given without
        a `guidance_schedule` it takes the place of one."""
        if "guidance_scale" in fields:
            levels = ("guidance_scale_high", "guidance_scale_low", "guidance_schedule")
            fields = dict.fromkeys(levels) | fields
        return replace(self, **fields)

    def make_solver(self) -> Solver:
        """The solver for this request's schedule.

        If the request starts from a video, only the schedule's last steps are left, by
        the video's strength.
        """
        method = named(self.solver)
        if isinstance(self.steps, int):
            solver = method.spaced(self.steps, self.shift)
        else:
            solver = method(listed(self.steps, self.shift))
        return self.last_steps(solver)

    def last_steps(self, solver: Solver) -> Solver:
        """The solver without the steps that are skipped by starting from a video.

        The video's strength decides how many last steps remain; without a video, all.
        """
        video = None if self.inputs is None else self.inputs.video
        if video is None:
            return solver
        schedule = solver.schedule
        return replace(solver, schedule=schedule.last(video.steps(schedule.steps)))

    def program(self) -> dict[str, object]:
        """The fields that decide the compiled program; a batch must agree on them."""
        names = ("frames", "height", "width", "fps", "steps", "solver", "shift")
        layers = None if self.perturbed is None else self.perturbed.layers
        return {
            **{name: getattr(self, name) for name in (*names, "guided")},
            "perturbed layers": layers,
            "isolated": self.joint is not None and self.joint.isolates,
            "guidance schedule": self.guidance_schedule,
            "given frames": None if self.inputs is None else self.inputs.layout,
            "tokens": self.token_budgets,
            "step cache": self.own_cache,
        }


def check_text(name: str, text: str) -> None:
    """Raises a ValueError for text that cannot be encoded in UTF-8.

    Such text has half of a surrogate pair, for example from a JSON string cut in two,
    or from an argument of a command line that is not UTF-8.
    """
    try:
        text.encode()
    except UnicodeEncodeError as error:
        raise ValueError(
            f"{name} is no valid text: character {error.start} is half of one, "
            f"or a byte that is not UTF-8 ({text[error.start]!r}): cut texts at whole "
            "characters, and encode them in UTF-8"
        ) from None


def whole_number(name: str, value: object, least: int, most: int) -> int:
    """The value as a Python int.

    Raises:
        ValueError: unless it is a whole number from `least` to `most`.
    """
    if isinstance(value, Integral) and not isinstance(value, bool):
        if least <= int(value) <= most:
            return int(value)
    raise ValueError(
        f"{name} must be a whole number from {least} to {most}, got {value!r}"
    )


def number(name: str, value: object) -> float:
    """The value as a Python float. Raises a ValueError unless it is a real number."""
    if isinstance(value, bool) or not isinstance(value, Real):
        raise ValueError(f"{name} must be a number, got {value!r}")
    return float(value)


def check_request(request: object) -> None:
    """Raises a ValueError unless this is a single Request."""
    if isinstance(request, Request):
        return
    if isinstance(request, list | tuple):
        raise ValueError(
            f"expected a Request, got a {type(request).__name__} of {len(request)}: "
            "give requests one by one, as in pipeline(*requests)"
        )
    raise ValueError(
        f"expected a Request, got {request!r:.80}: make one with "
        "pipeline.request(PROMPT) or Request(PROMPT)"
    )


def same_program(requests: tuple[Request, ...]) -> None:
    """Raises a ValueError, with the fields that differ, unless requests can share a
    batch."""
    if not requests:
        raise ValueError("no request is given: give at least one")
    for request in requests:
        check_request(request)
    first = requests[0].program()
    for request in requests[1:]:
        differing = {
            name: (first[name], value)
            for name, value in request.program().items()
            if value != first[name]
        }
        if differing:
            raise ValueError(
                f"the requests of a batch must agree, but these differ: {differing}; "
                "run them one after the other"
            )
