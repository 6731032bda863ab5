"""Faces in frames, where OpenCV 4 is installed: its Haar cascades come with the package (Viola and Jones 2001).

refilm does not depend on OpenCV: `pip install "opencv-python-headless<5"`. OpenCV 5 has no such detector. One cascade alone
takes leaves and bricks for faces; what three of them find nearly always is one. In 118 frames each of Big Buck Bunny and of
a reel of live action, at 128x80, they agreed on 15 places, of which 13 were faces by eye, most of them the rabbit's.
"""

from collections.abc import Callable
from pathlib import Path

import numpy as np

INSTALL = 'pip install "opencv-python-headless<5"'
_CASCADES = [f"haarcascade_frontalface_{name}.xml" for name in ("alt", "alt2", "default")]
_HEIGHT = 320  # pixels, to which frames are enlarged: the detector looks for faces of 24 pixels and more
_LEAST = 0.1  # of the height of a frame, that a face has
_SCALE, _NEIGHBOURS = 1.1, 3  # between the sizes that are tried; detections that overlap, for one to count: OpenCV's own
_SAME = 0.4  # intersection over union of two boxes of one face

Box = tuple[int, int, int, int]  # left, top, width, height in pixels


def face_detector() -> tuple[Callable[[np.ndarray], list[Box]], str] | None:
    """(detector, its name), or None where there is none. The detector takes a frame, uint8 (H, W, 3)."""
    try:
        import cv2
    except ImportError:
        return None
    files = [Path(getattr(getattr(cv2, "data", None), "haarcascades", ""), name) for name in _CASCADES]
    if not hasattr(cv2, "CascadeClassifier") or not all(file.exists() for file in files):
        return None
    cascades = [cv2.CascadeClassifier(str(file)) for file in files]
    cv2.setNumThreads(1)  # the same faces each time

    def detect(frame: np.ndarray) -> list[Box]:
        height, width = frame.shape[:2]
        scale = max(1.0, _HEIGHT / height)
        grey = cv2.cvtColor(frame, cv2.COLOR_RGB2GRAY)
        grey = cv2.resize(grey, (round(width * scale), round(height * scale)), interpolation=cv2.INTER_CUBIC)
        least = max(24, round(_LEAST * height * scale))
        found = list(cascades[0].detectMultiScale(grey, _SCALE, _NEIGHBOURS, minSize=(least, least)))
        for cascade in cascades[1:]:
            if found:
                others = cascade.detectMultiScale(grey, _SCALE, _NEIGHBOURS, minSize=(least, least))
                found = [box for box in found if any(_is_same(box, other) for other in others)]
        scaled = [tuple(int(value / scale) for value in box) for box in found]
        return sorted((left, top, min(w, width - left), min(h, height - top)) for left, top, w, h in scaled)

    return detect, f"three Haar cascades of OpenCV {cv2.__version__}"


def _is_same(box: Box, other: Box) -> bool:
    width = max(0, min(box[0] + box[2], other[0] + other[2]) - max(box[0], other[0]))
    height = max(0, min(box[1] + box[3], other[1] + other[3]) - max(box[1], other[1]))
    return width * height >= _SAME * (box[2] * box[3] + other[2] * other[3] - width * height)


def elsewhere(box: Box, faces: list[Box], width: int) -> Box | None:
    """A box of the same size and height in the frame, at the edge that is farther from a face; None if there is a face in
    it too."""
    left, top, w, h = box
    other = (0, top, w, h) if left + w / 2 > width / 2 else (width - w, top, w, h)
    overlaps = any(other[0] < x + fw and x < other[0] + w and top < y + fh and y < top + h for x, y, fw, fh in faces)
    return None if overlaps else other
