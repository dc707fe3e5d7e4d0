"""Video files are read as frames, those of others too."""

import av
import numpy as np
import pytest

from chorus_jax.media.reading import read_frames, upright
from chorus_jax.media.video import read_mp4, write


@pytest.fixture(scope="module")
def file(tmp_path_factory):
    path = tmp_path_factory.mktemp("video") / "a.mp4"
    ramp = np.linspace(0, 255, 32 * 48 * 3).reshape(32, 48, 3).astype(np.uint8)
    write(path, np.stack([np.roll(ramp, i, axis=1) for i in range(6)]), 8)
    return path


def test_a_file_of_ours_gives_its_frames(file):
    np.testing.assert_array_equal(read_frames(file, 100), read_mp4(file))
    np.testing.assert_array_equal(read_frames(file, 2), read_mp4(file)[:2])


@pytest.mark.parametrize("rotation, turns", [(0, 0), (-90, 3), (90, 1), (180, 2)])
def test_a_phone_s_videos_are_turned_upright(rotation, turns):
    """A file says by how much, counterclockwise."""
    pixels = np.arange(2 * 3 * 3, dtype=np.uint8).reshape(2, 3, 3)
    np.testing.assert_array_equal(upright(pixels, rotation), np.rot90(pixels, turns))


def test_a_file_that_asks_to_be_turned_is_turned(tmp_path):
    """A phone's portrait: stored on its side, to be turned clockwise."""
    if not hasattr(av.VideoStream, "set_display_rotation"):
        pytest.skip("this PyAV cannot write such a file")
    portrait = np.zeros((64, 32, 3), np.uint8)
    portrait[:16] = 200
    with av.open(str(tmp_path / "a.mp4"), "w") as container:
        stream = container.add_stream("libx264", rate=8)
        stream.height, stream.width, stream.pix_fmt = 32, 64, "yuv420p"
        stream.set_display_rotation(-90)
        stored = np.ascontiguousarray(np.rot90(portrait))
        frame = av.VideoFrame.from_ndarray(stored, format="rgb24")
        container.mux(stream.encode(frame))
        container.mux(stream.encode())
    [made] = read_frames(tmp_path / "a.mp4", 9)
    assert made.shape == portrait.shape
    assert np.abs(made.astype(int) - portrait).mean() < 10


def test_a_gif_gives_its_colours(tmp_path):
    frames = np.zeros((3, 16, 16, 3), np.uint8)
    frames[..., 0] = 200
    for i, frame in enumerate(frames):  # equal ones would be written as one
        frame[:, 4 * i : 4 * i + 4, 1] = 90
    write(tmp_path / "a.gif", frames, 8)
    made = read_frames(tmp_path / "a.gif", 100)
    assert made.shape == frames.shape
    assert np.abs(made.astype(int) - frames).max() <= 2


def test_files_that_are_no_videos(tmp_path):
    (tmp_path / "a.mp4").write_text("words")
    for name in ("a.mp4", "none.mp4"):
        with pytest.raises(ValueError, match=f"{name} is not a video that can be read"):
            read_frames(tmp_path / name, 5)
