"""Films that say what is right: each frame shows its own number, and short tones sound at known times.

A picture has twelve squares in three rows of four, dark for 0 and light for 1: the bits of its number, the lowest first.
Every beep is 1 kHz on the left and 2 kHz on the right, so that exchanged, mixed and lost sides differ. The distances
between the beeps differ, so that a sound moved by any amount is noticed.
"""

import subprocess
import wave
from fractions import Fraction
from itertools import pairwise
from pathlib import Path

import h5py
import numpy as np

from refilm.frames.store import FrameStore
from refilm.media.encode import encode_video
from refilm.media.ffmpeg import executable
from refilm.media.sound import film_sound

ROWS, COLUMNS = 3, 4
DARK, LIGHT, BETWEEN = 50, 205, (90, 110, 70)  # RGB levels
RATE = 48000  # Hz
BEEPS = (0.4, 0.9, 1.2, 1.9, 2.3)  # seconds at which one begins
BEEP_SECONDS = 0.05
LEFT_HZ, RIGHT_HZ = 1000, 2000
LEVEL = 0.5
SURROUND = 6  # channels: front left, front right, centre, low frequencies, back left, back right


def picture(number: int, width: int = 96, height: int = 64) -> np.ndarray:
    """The picture of a frame number from 0 to 4095: uint8 (height, width, 3)."""
    pixels = np.empty((height, width, 3), np.uint8)
    pixels[:] = BETWEEN
    for bit in range(ROWS * COLUMNS):
        pixels[_square(bit, height, width, margin=1 / 8)] = LIGHT if number >> bit & 1 else DARK
    return pixels


def number_of(pixels: np.ndarray) -> int:
    """The number that a picture shows: uint8 (height, width, 3). Raises ValueError for a picture that shows none."""
    grey, number = pixels.mean(2), 0
    for bit in range(ROWS * COLUMNS):
        level = grey[_square(bit, *grey.shape, margin=0.3)].mean()
        if not (abs(level - DARK) < 60 or abs(level - LIGHT) < 60):
            raise ValueError(f"square {bit} has a level of {level:.0f}, neither dark nor light")
        number |= int(level > (DARK + LIGHT) / 2) << bit
    return number


def _square(bit: int, height: int, width: int, margin: float) -> tuple[slice, slice]:
    """The rows and columns of a square without a margin, a part of its side."""
    row, column = divmod(bit, COLUMNS)
    high, wide = height / ROWS, width / COLUMNS
    rows = slice(round((row + margin) * high), round((row + 1 - margin) * high))
    return rows, slice(round((column + margin) * wide), round((column + 1 - margin) * wide))


def write_beeps(path: Path, seconds: float, layout: str = "stereo", beeps: tuple[float, ...] = BEEPS) -> Path:
    """A WAV file of so many seconds with the beeps that end before it does.

    layout: 'stereo'; 'left' or 'right', one channel with the tone of that side; '5.1', where all but the two sides are
    silent.
    """
    time, heard = np.arange(round(seconds * RATE)) / RATE, np.zeros((2, round(seconds * RATE)))
    for begin in (begin for begin in beeps if begin + BEEP_SECONDS <= seconds):
        beeping = (begin <= time) & (time < begin + BEEP_SECONDS)
        for side, hertz in enumerate((LEFT_HZ, RIGHT_HZ)):
            heard[side, beeping] = LEVEL * np.sin(2 * np.pi * hertz * (time[beeping] - begin))
    silent = np.zeros((SURROUND - 2, heard.shape[1]))
    channels = {"stereo": heard, "left": heard[:1], "right": heard[1:], "5.1": np.concatenate([heard, silent])}[layout]
    with wave.open(str(path), "wb") as out:
        out.setparams((len(channels), 2, RATE, 0, "NONE", ""))
        out.writeframes((channels.T * 32767).astype("<i2").tobytes())
    return path


def write_film(path: Path, numbers, fps: Fraction | int, *options, size=(96, 64), sounds=(), before_sound=()) -> Path:
    """A film of the pictures of these numbers at so many frames per second, encoded with these options of ffmpeg.

    size: (width, height) in pixels; sounds: WAV files, which become one soundtrack each; before_sound: options of their
    inputs. Raises AssertionError if ffmpeg fails.
    """
    raw = b"".join(picture(number, *size).tobytes() for number in numbers)
    command = [executable(), "-v", "error", "-y", "-f", "rawvideo", "-pix_fmt", "rgb24", "-s", "{}x{}".format(*size)]
    command += ["-r", str(fps), "-i", "pipe:0"]
    for sound in sounds:
        command += [*map(str, before_sound), "-i", str(sound)]
    maps = [word for n in range(len(sounds) + 1) for word in ("-map", str(n))]
    # Without identifiers drawn by chance, and on any number of cores: the same film is the same file.
    options = (*options, "-fflags", "+bitexact", "-threads", "1")
    done = subprocess.run([*command, *maps, *map(str, options), str(path)], input=raw, capture_output=True)
    assert done.returncode == 0, done.stderr.decode(errors="replace")
    return path


def numbers_in(frames_file: Path) -> list[int]:
    """The numbers that the frames of a frames file show. Raises ValueError where one shows none."""
    with h5py.File(frames_file) as file:
        return [number_of(pixels) for pixels in file["frames"]]


def rate_in(frames_file: Path) -> Fraction:
    """Frames per second of a frames file."""
    with h5py.File(frames_file) as file:
        return Fraction(file.attrs["fps"])


def samples_in(video: Path) -> np.ndarray:
    """The first soundtrack of a video, float32 (2, samples) at 48 kHz; mono sounds on both sides."""
    command = [executable(), "-v", "error", "-i", str(video), "-map", "0:a:0", "-ar", str(RATE), "-f", "f32le"]
    # Of one channel ffmpeg would make two that are 3 dB softer.
    command += ["-af", "pan=stereo|c0=c0|c1=c0" if _is_mono(video) else "anull", "-"]
    raw = subprocess.run(command, capture_output=True, check=True).stdout
    return np.frombuffer(raw, "<f4").reshape(-1, 2).T


def _is_mono(video: Path) -> bool:
    described = subprocess.run([executable(), "-hide_banner", "-i", str(video)], capture_output=True, text=True).stderr
    return " Hz, mono," in described or " Hz, 1 channels," in described


def beeps_in(samples: np.ndarray) -> list[float]:
    """Seconds at which the beeps begin in a sound, float (2, samples)."""
    loud = np.flatnonzero(np.abs(samples).max(0) > LEVEL / 5)
    begins = [int(loud[0])] if len(loud) else []
    begins += [int(after) for before, after in pairwise(loud) if after - before > RATE * BEEP_SECONDS]
    return [begin / RATE for begin in begins]


def tones_in(samples: np.ndarray, beep: float) -> dict[str, tuple[float, float]]:
    """Of the beep that begins at `beep` seconds: the amplitude on the (left, right) of the tone of each side."""
    part = samples[:, round((beep + 0.01) * RATE) : round((beep + 0.04) * RATE)]
    time = np.arange(part.shape[1]) / RATE
    levels = {}
    for name, hertz in (("left", LEFT_HZ), ("right", RIGHT_HZ)):
        wave_of_tone = np.exp(-2j * np.pi * hertz * time)
        amplitudes = 2 * np.abs(part @ wave_of_tone) / max(1, part.shape[1])
        levels[name] = (float(amplitudes[0]), float(amplitudes[1]))
    return levels


def make_video(frames_file: Path, film: Path, video: Path, audio: str = "auto") -> bool:
    """A video of the frames themselves with the sound of their film, made as every result is. False if it is silent."""
    with FrameStore(frames_file) as frames:
        sound = film_sound(str(film), frames.metadata.start_time, audio)
        encode_video(video, frames.batches(64), len(frames), (frames.width, frames.height), frames.fps, 30, sound, "")
    return sound is not None
