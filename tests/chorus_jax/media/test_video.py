"""Video files: they read back as written, and a failure leaves nothing."""

import errno
import os
from fractions import Fraction
from types import SimpleNamespace

import av
import jax.numpy as jnp
import numpy as np
import pytest
from PIL import Image

from chorus_jax.media import video


def moving_gradient(frames=9, height=48, width=64):
    """Smooth colours that move: floats in [-1, 1]."""
    f, h, w = np.meshgrid(
        np.arange(frames), np.arange(height), np.arange(width), indexing="ij"
    )
    phases = [(h + 2 * f) / 20, (w - 3 * f) / 25, (h + w + f) / 30]
    return np.sin(np.stack(phases, axis=-1)).astype(np.float32)


def psnr(a, b):
    return 10 * np.log10(255**2 / np.square(a.astype(float) - b.astype(float)).mean())


def test_floats_become_bytes():
    values = np.float32([-1.2, -1, 0.001, 0.999, 1, 7]).reshape(1, 1, 2, 3)
    expected = [0, 0, 128, 255, 255, 255]
    assert video.to_uint8(values).ravel().tolist() == expected
    assert video.to_uint8(jnp.asarray(values)).ravel().tolist() == expected
    low = jnp.asarray(values).astype(jnp.bfloat16)
    np.testing.assert_allclose(video.to_uint8(low).ravel(), expected, atol=1)
    every_byte = np.arange(255, dtype=np.uint8).reshape(1, 1, -1, 3)
    np.testing.assert_array_equal(video.to_uint8(every_byte), every_byte)
    back = every_byte.astype(np.float32) / 127.5 - 1
    np.testing.assert_array_equal(video.to_uint8(back), every_byte)


@pytest.mark.parametrize(
    ("frames", "message"),
    [
        (np.zeros((2, 4, 4), np.uint8), r"got shape \(2, 4, 4\)"),
        (np.zeros((2, 4, 4, 4), np.uint8), r"got shape \(2, 4, 4, 4\)"),
        (np.zeros((0, 4, 4, 3), np.uint8), r"got shape \(0, 4, 4, 3\)"),
        (np.zeros((2, 4, 4, 3), np.int32), "got int32"),
    ],
)
def test_wrong_frames_are_refused(frames, message):
    with pytest.raises(ValueError, match=message):
        video.to_uint8(frames)


@pytest.mark.parametrize("value", [np.nan, np.inf])
def test_numbers_that_went_wrong_are_refused(value):
    frames = moving_gradient(3)
    frames[1, 2, 3, 0] = value
    with pytest.raises(ValueError, match="1 of 3 frames .* the first is frame 1"):
        video.to_uint8(frames)


@pytest.mark.parametrize("fps", [16, 24, 24000 / 1001])
def test_mp4_reads_back(tmp_path, fps):
    frames = moving_gradient()
    video.write_mp4(tmp_path / "a.mp4", frames, fps)
    back = video.read_mp4(tmp_path / "a.mp4")
    assert back.shape == frames.shape
    assert psnr(back, video.to_uint8(frames)) > 35
    with av.open(str(tmp_path / "a.mp4")) as container:
        stream = container.streams.video[0]
        assert stream.average_rate == Fraction(fps).limit_denominator(1001)
        assert stream.frames == len(frames)
        assert stream.codec_context.name == "h264"
        assert stream.codec_context.pix_fmt == "yuv420p"
    assert os.listdir(tmp_path) == ["a.mp4"]


@pytest.mark.parametrize(
    "colour", [(255, 0, 0), (0, 255, 0), (0, 0, 255), (40, 90, 200)]
)
def test_mp4_keeps_colours(tmp_path, colour):
    frames = np.full((3, 32, 32, 3), colour, np.uint8)
    video.write_mp4(tmp_path / "a.mp4", frames, crf=5)
    assert np.abs(video.read_mp4(tmp_path / "a.mp4").astype(int) - colour).max() <= 4


def test_mp4_index_comes_first(tmp_path):
    video.write_mp4(tmp_path / "a.mp4", moving_gradient())
    data = (tmp_path / "a.mp4").read_bytes()
    assert 0 < data.index(b"moov") < data.index(b"mdat")


def test_mp4_pads_odd_sizes_by_the_edge(tmp_path):
    frames = video.to_uint8(moving_gradient(4, 33, 47))
    video.write_mp4(tmp_path / "a.mp4", frames)
    back = video.read_mp4(tmp_path / "a.mp4")
    assert back.shape == (4, 34, 48, 3)
    assert psnr(back[:, :33, :47], frames) > 30
    assert psnr(back[:, 33, :47], frames[:, 32]) > 25


def test_mp4_without_its_encoder_is_refused(tmp_path, monkeypatch):
    monkeypatch.setattr(av, "codecs_available", {"mpeg4"})
    with pytest.raises(RuntimeError, match="no libx264 encoder"):
        video.write_mp4(tmp_path / "a.mp4", moving_gradient())
    assert not os.listdir(tmp_path)


def test_gif_reads_back(tmp_path):
    frames = moving_gradient()
    video.write_gif(tmp_path / "a.gif", frames, fps=16)
    with Image.open(tmp_path / "a.gif") as image:
        assert (image.n_frames, image.size, image.info["loop"]) == (9, (64, 48), 0)
        images, times = [], []
        for i in range(image.n_frames):
            image.seek(i)
            images.append(np.asarray(image.convert("RGB")))
            times.append(image.info["duration"])
    assert psnr(np.stack(images), video.to_uint8(frames)) > 25
    assert sum(times) == 560 and set(times) == {60, 70}


def test_contact_sheet_has_a_row_a_video(tmp_path):
    short, large = moving_gradient(3), moving_gradient(8, 100, 512)
    path = tmp_path / "a.png"
    video.write_contact_sheet(
        path, [short, large], ["short", "a large\none"], columns=4
    )
    with Image.open(path) as image:
        assert image.size == (4 * 256 + 3 * 4, (20 + 48) + 4 + (20 + 50))
        sheet = np.asarray(image)
    np.testing.assert_array_equal(sheet[20:68, :64], video.to_uint8(short)[0])
    np.testing.assert_array_equal(sheet[20:68, 136:200], video.to_uint8(short)[2])
    assert sheet[:20, :100].min() < 100, "the label is drawn"


def test_contact_sheet_without_labels(tmp_path):
    video.write_contact_sheet(tmp_path / "a.png", [moving_gradient()], columns=2)
    with Image.open(tmp_path / "a.png") as image:
        assert image.size == (64 + 4 + 64, 48)


@pytest.mark.parametrize(
    ("videos", "labels", "columns"),
    [(0, 0, 6), (2, 1, 6), (1, 0, 0)],
)
def test_a_wrong_contact_sheet_is_refused(tmp_path, videos, labels, columns):
    with pytest.raises(ValueError, match=f"{videos} videos, {labels} labels, columns"):
        video.write_contact_sheet(
            tmp_path / "a.png", [moving_gradient()] * videos, ["x"] * labels, columns
        )


@pytest.mark.parametrize("name", ["a.mp4", "a.gif", "A.PNG"])
def test_the_suffix_chooses(tmp_path, name):
    frames = moving_gradient()
    video.write(tmp_path / name, frames)
    video.write(str(tmp_path / name), frames)
    assert os.listdir(tmp_path) == [name]


@pytest.mark.parametrize("name", ["a.webm", "a"])
def test_an_unknown_suffix_lists_the_known(tmp_path, name):
    with pytest.raises(ValueError, match=r"\.mp4, \.gif or \.png"):
        video.write(tmp_path / name, moving_gradient())


@pytest.mark.parametrize("fps", [0, -1, float("nan"), 1e6, 1e-4])
@pytest.mark.parametrize("name", ["a.mp4", "a.gif"])
def test_a_wrong_rate_is_refused(tmp_path, name, fps):
    with pytest.raises(ValueError, match="frames per second"):
        video.write(tmp_path / name, moving_gradient(), fps)
    assert not os.listdir(tmp_path)


@pytest.mark.parametrize("fps", [16, 23.976, 0.01])
@pytest.mark.parametrize("name", ["a.mp4", "a.gif"])
def test_any_number_in_range_is_a_rate(tmp_path, name, fps):
    video.write(tmp_path / name, moving_gradient(), fps)
    assert os.listdir(tmp_path) == [name]


suffixes = pytest.mark.parametrize("name", ["a.mp4", "a.gif", "a.png"])


@suffixes
def test_a_missing_folder_is_named(tmp_path, name):
    path = tmp_path / "missing" / name
    with pytest.raises(FileNotFoundError, match=f"cannot write .*missing/{name}"):
        video.write(path, moving_gradient())
    (tmp_path / "missing").write_text("a file")
    with pytest.raises(NotADirectoryError, match="its folder is missing"):
        video.write(path, moving_gradient())


@suffixes
def test_a_folder_that_is_not_writable_is_named(tmp_path, name, monkeypatch):
    def refuse(*args, **kwargs):
        raise PermissionError(errno.EACCES, os.strerror(errno.EACCES))

    # Not by the folder's mode: it does not hold root back.
    monkeypatch.setattr("tempfile.mkdtemp", refuse)
    with pytest.raises(PermissionError, match=f"{name}.*not writable"):
        video.write(tmp_path / name, moving_gradient())
    assert not os.listdir(tmp_path)


@suffixes
def test_a_failure_leaves_the_old_file_and_nothing_else(tmp_path, name, monkeypatch):
    def fail(*args, **kwargs):
        raise OSError(errno.ENOSPC, os.strerror(errno.ENOSPC))

    video.write(tmp_path / name, moving_gradient())
    before = (tmp_path / name).read_bytes()
    monkeypatch.setattr(Image.Image, "save", fail)
    monkeypatch.setattr(av, "VideoFrame", SimpleNamespace(from_ndarray=fail))
    with pytest.raises(OSError, match="No space left"):
        video.write(tmp_path / name, moving_gradient(5))
    assert os.listdir(tmp_path) == [name]
    assert (tmp_path / name).read_bytes() == before


def test_a_comment_goes_into_an_mp4(tmp_path):
    frames = np.zeros((2, 16, 16, 3), np.uint8)
    text = '{"prompt": "ein Kreis, \\n 灰"}'
    video.write(tmp_path / "a.mp4", frames, comment=text)
    video.write(tmp_path / "b.mp4", frames)
    assert video.read_comment(tmp_path / "a.mp4") == text
    assert video.read_comment(tmp_path / "b.mp4") == ""
    assert (
        video.read_mp4(tmp_path / "a.mp4") == video.read_mp4(tmp_path / "b.mp4")
    ).all()
