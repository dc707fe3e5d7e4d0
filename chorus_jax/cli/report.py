"""Printed lines, video metadata and JSON files of `chorus generate`."""

import dataclasses
import json
from collections.abc import Iterator
from pathlib import Path
from typing import Any

from chorus_jax.checkpoints import Card
from chorus_jax.cli.choice import CommandSettings
from chorus_jax.engine import Ledger, Result
from chorus_jax.intra_request.registry import describe
from chorus_jax.media import video, writing
from chorus_jax.request import Request

SHORT = 60  # characters of a negative prompt that are shown


def chosen(choice: CommandSettings, cache: str) -> Iterator[str]:
    """The lines printed before a run: model, settings, size and cache, one per line.

    Args:
        choice: the settings of the command.
        cache: the cache in words.
    """
    request, card = choice.request, Card.read(choice.folder)
    size = f"{request.frames} frames of {request.width}x{request.height} pixels"
    rows = {
        "model": f"{choice.folder.name}, {choice.transformer} "
        f"({card.family}, fingerprint {card.fingerprint[:12]})",
        "settings": choice.source,
        "sampling": sampling(request),
        "negative prompt": shortened(request.negative_prompt) or "none",
        "size": f"{size}, {choice.fps} per second",
        **images(request),
        "cache": cache,
    }
    if request.step_cache is not None:
        rows["step cache"] = cache_line(request)
    for name, value in rows.items():
        yield f"{name:16}{value}"


def cache_line(request: Request) -> str:
    """A request's step cache in words: the name it was given by, and its settings."""
    own = request.own_cache
    return str(own) if request.step_cache == own else f"{request.step_cache}: {own}"


def images(request: Request) -> dict[str, str]:
    """The row that describes a request's input images or video; {} if it has none."""
    if request.inputs is None:
        return {}
    video = request.inputs.video
    if video is not None:
        f, h, w, _ = video.frames.shape
        read = f"{request.frames} of {f} frames of {w}x{h} pixels"
        return {"begins from": f"{read}, strength {video.strength:g}"}
    pictures = (request.inputs.image, request.inputs.last_image)
    sizes = [f"{x.shape[1]}x{x.shape[0]}" for x in pictures if x is not None]
    keyframes = request.inputs.keyframes
    sizes += [f"{x.frames.shape[2]}x{x.frames.shape[1]}" for x in keyframes]
    return {"images": f"{' and '.join(sizes)} pixels, fitted to the video's size"}


def sampling(request: Request) -> str:
    """Solver, shift, steps and guidance in words."""
    count = request.step_count
    steps = f"{count} step{'s' if count > 1 else ''}"
    if isinstance(request.steps, tuple):
        steps += f" at {', '.join(f'{sigma:g}' for sigma in request.steps)}"
    words = f"{request.solver}, shift {request.shift:g}, {steps}, {guidance(request)}"
    return words if request.tokens is None else f"{words}, tokens {request.tokens}"


def guidance(request: Request) -> str:
    """The scales of guidance in words."""
    if request.guidance_schedule is not None:
        return "guidance by noise level"
    if not request.guided:
        return "no guidance"
    high, low = request.guidance_scales
    if high == low:
        return f"guidance {high:g}"
    return f"guidance {high:g} at high noise and {low:g} at low noise"


def shortened(text: str) -> str:
    """A text in one line, cut to `SHORT` characters."""
    line = " ".join(text.split())
    return line if len(line) <= SHORT else line[: SHORT - 3] + "..."


def ledger_line(path: Path, result: Result, reading: bool) -> str:
    """The line printed for a video: its seed, what was reused, and the seconds taken.

    Args:
        path: the path of the video.
        result: the engine's result.
        reading: whether the cache was read.
    """
    ledger = result.ledger
    parts = {part.replace("_", "-"): took for part, took in ledger.seconds.items()}
    seconds = ", ".join(f"{part} {took:.1f} s" for part, took in parts.items())
    seed = result.video.request.seed
    words = outcome(ledger) if reading else computed(ledger)
    return f"{path}: seed {seed}, {words}, {seconds}"


def computed(ledger: Ledger) -> str:
    """The amount of computation in words, in full steps, and what took its place."""
    words = [f"{ledger.equivalents:.4g} of {ledger.steps} steps computed"]
    others = {"reused": ledger.reused, "forecast": ledger.forecast}
    return ", ".join(words + [f"{x:.4g} {name}" for name, x in others.items() if x])


def outcome(ledger: Ledger) -> str:
    """The kind of hit or miss and the amount of computation in words."""
    if ledger.kind == "exact":
        return "exact repeat, no step computed"
    score = "" if ledger.score is None else f" (score {ledger.score:.2f})"
    if ledger.kind == "semantic":
        return f"hit{score}, {computed(ledger)}"
    why = f" ({ledger.reason})" if ledger.reason else ""
    return f"miss{why}, {computed(ledger)}"


def described(
    choice: CommandSettings, result: Result, *, seconds: bool
) -> dict[str, Any]:
    """The request, model and ledger of a video as a JSON object.

    Args:
        choice: the settings of the command.
        result: the engine's result.
        seconds: whether to include the times, which differ between equal runs.
    """
    import chorus_jax

    card = Card.read(choice.folder)
    ledger = dataclasses.asdict(result.ledger)
    if not seconds:
        del ledger["seconds"]
    return {
        "chorus_jax": chorus_jax.__version__,
        "request": fields_of(result.video.request),
        "model": {
            "name": choice.folder.name,
            "family": card.family,
            "transformer": choice.transformer,
            "fingerprint": card.fingerprint,
        },
        "fps": choice.fps,
        "ledger": ledger,
    }


def fields_of(request: Request) -> dict[str, Any]:
    """The fields of a request as JSON values; input images are replaced by their
    digest."""
    names = [field.name for field in dataclasses.fields(request)]
    fields = {name: getattr(request, name) for name in names}
    if request.inputs is not None:
        fields["inputs"] = request.inputs.digest
    if request.own_cache is not None:
        fields["step_cache"] = describe(request.own_cache)
    return fields | {
        name: dataclasses.asdict(value)
        for name, value in fields.items()
        if dataclasses.is_dataclass(value) and not isinstance(value, type)
    }


def write(path: Path, choice: CommandSettings, result: Result) -> None:
    """Writes a video, with its description in the file's metadata."""
    content = described(choice, result, seconds=False)
    text = json.dumps(content, ensure_ascii=False)
    video.write(path, result.video.frames, choice.fps, text, sound=result.video.sound)


def write_json(path: Path, choice: CommandSettings, result: Result) -> None:
    """Writes the description of a video to a JSON file of its own."""
    content = described(choice, result, seconds=True)
    text = json.dumps(content, ensure_ascii=False, indent=2) + "\n"
    with writing.aside(path) as part:
        part.write_text(text, encoding="utf-8")
