"""Writes frames to files: mp4, gif, and contact sheets in png.

Frames are [f, h, w, 3], uint8 or floats in [-1, 1]. A file appears at its path only
when it is complete; until then it has a temporary name in the same folder.
"""

from collections.abc import Sequence
from fractions import Fraction
from numbers import Real
from pathlib import Path
from typing import TYPE_CHECKING, Final

import jax.numpy as jnp
import numpy as np
from jaxtyping import Array, UInt8
from PIL import Image, ImageDraw, ImageFont

from chorus_jax.media.sound import Sound, mux_sound
from chorus_jax.media.writing import aside

if TYPE_CHECKING:  # PyAV is imported where a file is written or read.
    import av

Frames = np.ndarray | Array
Pixels = UInt8[np.ndarray, "f h w 3"]

ENCODER: Final = "libx264"
BT709, LIMITED = 1, 1  # ISO/IEC 23091-2's number, and ffmpeg's for a range of 16 to 235

CELL, GAP, LABEL = 256, 4, 20  # pixels in a contact sheet


# The highest frames per second of each kind of file; a sheet has no rate.
SLOWEST = 0.01  # frames per second
FASTEST = {".mp4": 1000, ".gif": 50, ".png": float("inf")}


def to_uint8(frames: Frames) -> Pixels:
    """Frames as uint8; floats are clipped to [-1, 1] and rounded."""
    if not isinstance(frames, Frames):
        raise ValueError(f"expected frames as an array, got a {type(frames).__name__}")
    if frames.ndim != 4 or frames.shape[-1] != 3 or not frames.size:
        raise ValueError(
            f"expected frames as [frames, height, width, 3], got shape {frames.shape}"
        )
    if frames.dtype == jnp.uint8:
        return np.asarray(frames)
    if not jnp.issubdtype(frames.dtype, jnp.floating):
        raise ValueError(
            f"frames are uint8, or floats in [-1, 1]; got {frames.dtype}, convert first"
        )
    values = np.asarray(frames).astype(np.float32)
    finite = np.isfinite(values).all(axis=(1, 2, 3))
    if not finite.all():
        bad = np.flatnonzero(~finite)
        raise ValueError(
            f"{bad.size} of {len(values)} frames hold NaN or infinity, the first is "
            f"frame {bad[0]}: the numbers went wrong before the video was written"
        )
    return np.rint((np.clip(values, -1, 1) + 1) * 127.5).astype(np.uint8)


def write(
    path: str | Path,
    frames: Frames,
    fps: int | float = 16,
    comment: str = "",
    sound: Sound | None = None,
) -> None:
    """Writes a video.

    Args:
        path: the suffix chooses the format: .mp4, .gif or .png (a sheet of frames).
        frames: [f, h, w, 3], uint8 or floats in [-1, 1].
        fps: frames per second.
        comment: written to an mp4's metadata, ignored for other files.
        sound: written to an mp4 as aac, ignored for other files.

    Raises:
        ValueError: for another suffix, rate or shape.
        OSError: if the file cannot be written.
    """
    suffix = _kind(path, fps)
    if suffix == ".mp4":
        write_mp4(path, frames, fps, comment=comment, sound=sound)
    elif suffix == ".gif":
        write_gif(path, frames, fps)
    else:
        write_contact_sheet(path, [frames])


def check(path: str | Path, fps: int | float = 16) -> None:
    """Raises the errors that `write` would raise for this path and rate."""
    _kind(path, fps)
    with aside(path, keep=False):
        pass


def _kind(path: str | Path, fps: int | float) -> str:
    """The path's suffix. Raises a ValueError if it cannot be written at this rate."""
    if not isinstance(path, str | Path):
        raise ValueError(f"expected the path of a video file, got {path!r}")
    suffix = Path(path).suffix.lower()
    if suffix not in FASTEST:
        raise ValueError(f"{path} should end in .mp4, .gif or .png, not {suffix!r}")
    _checked(fps, FASTEST[suffix])
    return suffix


def write_mp4(
    path: str | Path,
    frames: Frames,
    fps: int | float = 16,
    crf: int = 18,
    comment: str = "",
    sound: Sound | None = None,
) -> None:
    """Writes an mp4: H.264, 4:2:0 in BT.709, playable while it loads.

    4:2:0 needs even sizes: an odd height or width is padded by its last row or column.

    Args:
        path: the file.
        frames: [f, h, w, 3], uint8 or floats in [-1, 1].
        fps: frames per second.
        crf: x264's quality: 0 is the best, 18 hard to tell from the source, 51 the
            worst.
        comment: written to the metadata (see `read_comment`).
        sound: written as a second stream.

    Raises:
        RuntimeError: if PyAV was built without x264 (its wheels have it).
    """
    import av
    from av.video.reformatter import Colorspace

    if ENCODER not in av.codecs_available:
        raise RuntimeError(
            f"this build of PyAV {av.__version__} has no {ENCODER} encoder: install "
            "av from its wheel, or write a .gif"
        )
    pixels = to_uint8(frames)
    _, height, width, _ = pixels.shape
    pixels = np.pad(pixels, ((0, 0), (0, height % 2), (0, width % 2), (0, 0)), "edge")
    rate = Fraction(_checked(fps, FASTEST[".mp4"])).limit_denominator(1001)
    options = {"movflags": "+faststart"}
    with (
        aside(path) as part,
        av.open(str(part), "w", format="mp4", options=options) as container,
    ):
        if comment:
            container.metadata["comment"] = comment
        stream = container.add_stream(ENCODER, rate=rate, options={"crf": str(crf)})
        stream.height, stream.width = pixels.shape[1:3]
        stream.pix_fmt = "yuv420p"
        beside = None
        if sound is not None:
            beside = container.add_stream("aac", rate=sound.rate, layout=sound.layout)
        context = stream.codec_context
        context.colorspace = context.color_primaries = context.color_trc = BT709
        context.color_range = LIMITED
        for i, image in enumerate(pixels):
            frame = av.VideoFrame.from_ndarray(image, format="rgb24")
            frame = frame.reformat(format="yuv420p", dst_colorspace=Colorspace.ITU709)
            frame.pts, frame.time_base = i, 1 / rate
            container.mux(stream.encode(frame))
        container.mux(stream.encode())
        if sound is not None and beside is not None:
            mux_sound(container, beside, sound)


def read_mp4(path: str | Path) -> Pixels:
    """The frames of a video that `write_mp4` wrote."""
    import av

    with av.open(str(path)) as container:
        return np.stack([_rgb(frame) for frame in container.decode(video=0)])


def read_comment(path: str | Path) -> str:
    """The comment in a video's metadata, "" if it has none."""
    import av

    with av.open(str(path)) as container:
        return container.metadata.get("comment", "")


def _rgb(frame: "av.VideoFrame") -> UInt8[np.ndarray, "h w 3"]:
    from av.video.reformatter import ColorRange, Colorspace

    # All are given: older PyAV (seen in 16.1) ignores the colour range in the file.
    return frame.reformat(
        format="rgb24",
        src_colorspace=Colorspace.ITU709,
        src_color_range=ColorRange.MPEG,
        dst_color_range=ColorRange.JPEG,
    ).to_ndarray()


def write_gif(path: str | Path, frames: Frames, fps: int | float = 16) -> None:
    """Writes a gif that repeats forever, with 256 colours for the whole video.

    A palette per frame would flicker. Frame times are rounded to hundredths of a
    second, the format's unit; equal consecutive frames become one longer frame.
    """
    pixels = to_uint8(frames)
    # Viewers slow down frames shorter than 2 hundredths.
    hundredths = 100 / _checked(fps, FASTEST[".gif"])
    ends = np.rint(np.arange(len(pixels) + 1) * hundredths)
    palette = _palette(pixels)
    dither = Image.Dither.FLOYDSTEINBERG
    first, *others = (
        Image.fromarray(image).quantize(palette=palette, dither=dither)
        for image in pixels
    )
    times = (10 * np.diff(ends)).astype(int).tolist()
    with aside(path) as part:
        first.save(
            part, "GIF", save_all=True, append_images=others, duration=times, loop=0
        )


def _palette(pixels: Pixels) -> Image.Image:
    """256 colours for all frames, from about half a million of their pixels."""
    stride = max(1, round((pixels.size / 3 / 500_000) ** 0.5))
    sample = np.ascontiguousarray(pixels[:, ::stride, ::stride])
    mosaic = Image.fromarray(sample.reshape(-1, sample.shape[2], 3))
    return mosaic.quantize(256, method=Image.Quantize.MEDIANCUT)


def write_contact_sheet(
    path: str | Path,
    videos: Sequence[Frames],
    labels: Sequence[str] = (),
    columns: int = 6,
) -> None:
    """Writes a PNG with one row per video: evenly spaced frames, first to last.

    Frames wider than 256 pixels are made smaller. A label stands above its row.
    """
    if not videos or columns < 1 or len(labels) not in (0, len(videos)):
        raise ValueError(
            "a contact sheet has at least one video and one column, and a label for "
            f"every video or none; got {len(videos)} videos, {len(labels)} labels, "
            f"{columns=}"
        )
    rows = [_row(to_uint8(frames), columns) for frames in videos]
    above = LABEL if labels else 0
    height = sum(row.height + above + GAP for row in rows) - GAP
    sheet = Image.new("RGB", (max(row.width for row in rows), height), "white")
    draw, font, top = ImageDraw.Draw(sheet), ImageFont.load_default(LABEL * 0.7), 0
    for row, label in zip(rows, labels or [""] * len(rows), strict=True):
        draw.text((2, top), " ".join(label.split()), "black", font)
        sheet.paste(row, (0, top + above))
        top += row.height + above + GAP
    with aside(path) as part:
        sheet.save(part, "PNG")


def _row(pixels: Pixels, columns: int) -> Image.Image:
    count, height, width, _ = pixels.shape
    scale = min(1, CELL / width)
    size = round(width * scale), max(1, round(height * scale))
    picks = np.linspace(0, count - 1, min(columns, count)).round().astype(int)
    pitch = size[0] + GAP
    row = Image.new("RGB", (pitch * len(picks) - GAP, size[1]), "white")
    for column, pick in enumerate(picks):
        row.paste(Image.fromarray(pixels[pick]).resize(size), (column * pitch, 0))
    return row


def _checked(fps: int | float, at_most: int | float) -> int | float:
    if not isinstance(fps, Real):
        raise ValueError(f"fps must be a number, got {fps!r}")
    if not SLOWEST <= fps <= at_most:
        raise ValueError(f"frames per second must be {SLOWEST} to {at_most}, got {fps}")
    return fps if isinstance(fps, int) else float(fps)
