"""Sound in and beside videos."""

import wave

import numpy as np
import pytest

from chorus_jax.media import video
from chorus_jax.media.sound import Sound, read_sound, write_wav

RATE = 24000


def tone(seconds=1.0, channels=2, loud=0.5):
    time = np.arange(int(seconds * RATE)) / RATE
    wave = loud * np.sin(2 * np.pi * 440 * time)
    return Sound(np.stack([wave] * channels, axis=1).astype(np.float32), RATE)


@pytest.mark.parametrize("channels", [1, 2])
def test_an_mp4_has_the_sound_beside_the_frames(tmp_path, channels):
    frames = np.zeros((24, 32, 32, 3), np.uint8)
    path, sound = tmp_path / "a.mp4", tone(channels=channels)
    video.write(path, frames, 24, sound=sound)
    assert video.read_mp4(path).shape == frames.shape
    read = read_sound(path)
    assert read.rate == RATE and read.samples.shape[1] == channels
    assert abs(read.seconds - sound.seconds) < 0.1
    # Aac keeps no sample, but it keeps the tone.
    spectrum = np.abs(np.fft.rfft(read.samples[:RATE, 0]))
    assert abs(int(spectrum.argmax()) - 440) <= 1
    assert np.abs(read.samples).max() == pytest.approx(0.5, abs=0.05)


def test_an_mp4_without_sound_has_none(tmp_path):
    video.write(tmp_path / "a.mp4", np.zeros((2, 32, 32, 3), np.uint8), 24)
    assert read_sound(tmp_path / "a.mp4") is None


def test_a_wav_holds_every_sample(tmp_path):
    sound = tone(0.1)
    write_wav(tmp_path / "a.wav", sound)
    with wave.open(str(tmp_path / "a.wav")) as file:
        assert (file.getnchannels(), file.getframerate()) == (2, RATE)
        values = np.frombuffer(file.readframes(-1), "<i2").reshape(-1, 2)
    np.testing.assert_allclose(values / 32767, sound.samples, atol=1 / 32767)


@pytest.mark.parametrize(
    "samples, rate, message",
    [
        (np.zeros((4, 3), np.float32), 8, "1 or 2 channels"),
        (np.full((4, 1), np.nan, np.float32), 8, "NaN or infinity"),
        (np.zeros((4, 1), np.float32), 0, "1 or more samples per second"),
    ],
)
def test_what_is_no_sound_is_refused(samples, rate, message):
    with pytest.raises(ValueError, match=message):
        Sound(samples, rate)
