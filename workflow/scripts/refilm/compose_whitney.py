"""An abstract film after John Whitney's Matrix III (1972), with its sound, by his principle of differential dynamics.

Element n of a family turns n times while the first turns once. So all start in one line, scatter, and at every simple
fraction p/q of the whole fall into figures of q-fold symmetry, until they are in line again. Element n sounds the n-th
harmonic each time it passes the line: what is seen and what is heard are one set of ratios.

    python -m refilm.compose_whitney --film results/demo/films/whitney.mp4
"""

import argparse
import colorsys
import math
import wave
from fractions import Fraction

import numpy as np
from PIL import Image, ImageDraw

from refilm.core.command_line import command_parser, run_command
from refilm.core.files import scratch_folder
from refilm.media.encode import encode_video
from refilm.media.sound import film_sound

ELEMENTS = 40
WIDTH, HEIGHT = 512, 288
FPS = 24
CRF = 14
SMOOTHING = 2  # drawn this much larger and averaged down
RATE = 48000
FUNDAMENTAL = 55.0  # Hz


def angle(element: int, phase: float) -> float:
    """Radians of an element (from 1) when the first has made `phase` (0 to 1) of its turn."""
    return 2 * math.pi * element * phase


def draw_frame(phase: float) -> np.ndarray:
    """uint8 (HEIGHT, WIDTH, 3): polygons on a spiral; their corners turn from triangles to hexagons and back."""
    scale = SMOOTHING
    image = Image.new("RGB", (WIDTH * scale, HEIGHT * scale))
    draw = ImageDraw.Draw(image)
    corners = 3 + round(3 * math.sin(math.pi * phase) ** 2)
    for element in range(ELEMENTS, 0, -1):
        share = element / ELEMENTS
        theta = angle(element, phase) - math.pi / 2
        radius = HEIGHT * scale * (0.04 + 0.37 * share)
        x = WIDTH * scale / 2 + 1.45 * radius * math.cos(theta)
        y = HEIGHT * scale / 2 + radius * math.sin(theta)
        size = HEIGHT * scale * (0.025 + 0.055 * share)
        hue = (share + 2 * phase) % 1.0
        colour = tuple(round(255 * c) for c in colorsys.hsv_to_rgb(hue, 0.75, 1.0))
        around = [theta + 2 * math.pi * k / corners for k in range(corners)]
        points = [(x + size * math.cos(a), y + size * math.sin(a)) for a in around]
        draw.line([*points, points[0], points[1]], fill=colour, width=2 * scale, joint="curve")
    return np.asarray(image.reduce(scale))


def compose_sound(seconds: float) -> np.ndarray:
    """int16 (samples, 2): element n strikes its harmonic at k/n of the film for every k, high ones softer and aside."""
    lasting = np.arange(int(1.6 * RATE)) / RATE
    sound = np.zeros((int(seconds * RATE) + len(lasting), 2))
    for element in range(1, ELEMENTS + 1):
        attack = np.minimum(1.0, lasting / 0.004)
        decay = np.exp(-lasting * (2.5 + 0.12 * element))
        tone = attack * decay * np.sin(2 * math.pi * FUNDAMENTAL * element * lasting) / element**0.8
        aside = 0.5 + 0.4 * math.sin(2.4 * element)
        stereo = np.outer(tone, [math.sqrt(1 - aside), math.sqrt(aside)])
        for strike in range(element):
            first = round(strike / element * seconds * RATE)
            sound[first : first + len(tone)] += stereo
    sound = sound[: int(seconds * RATE)]
    return (32000 * np.tanh(sound / np.abs(sound).max() * 1.6) / math.tanh(1.6)).astype("<i2")


def main(args: argparse.Namespace) -> None:
    count = args.seconds * FPS
    with scratch_folder() as scratch:
        sound = scratch / "whitney.wav"
        with wave.open(str(sound), "wb") as file:
            file.setparams((2, 2, RATE, 0, "NONE", ""))
            file.writeframes(compose_sound(args.seconds).tobytes())
        frames = (draw_frame(n / count) for n in range(count))
        encode_video(
            args.film, frames, count, (WIDTH, HEIGHT), Fraction(FPS), CRF, film_sound(str(sound), Fraction(0)), "whitney"
        )
    print(f"{args.film}: {count} frames")


if __name__ == "__main__":
    parser = command_parser(__doc__.splitlines()[0])
    parser.add_argument("--film", required=True, help="the MP4 to write")
    parser.add_argument("--seconds", type=int, default=40, help="how long it lasts")
    run_command(main, parser)
