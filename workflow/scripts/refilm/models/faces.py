"""Faces in frames, where OpenCV 4 is installed: its Haar cascades come with the package (Viola and Jones 2001).

OpenCV is no dependency of refilm: `pip install "opencv-python-headless<5"`. OpenCV 5 has no such detector.
"""

from collections.abc import Callable
from pathlib import Path

import numpy as np

INSTALL = 'pip install "opencv-python-headless<5"'
_CASCADE = "haarcascade_frontalface_default.xml"
_HEIGHT = 432  # pixels, to which frames are enlarged: the detector looks for faces of 24 pixels and more
_LEAST = 0.1  # of the height of a frame, that a face has
_NEIGHBOURS = 6  # detections that overlap, for one to count; fewer find faces in leaves

Box = tuple[int, int, int, int]  # left, top, width, height in pixels


def face_detector() -> tuple[Callable[[np.ndarray], list[Box]], str] | None:
    """(detector, its name), or None where there is none. The detector takes a frame, uint8 (H, W, 3)."""
    try:
        import cv2
    except ImportError:
        return None
    folder = getattr(getattr(cv2, "data", None), "haarcascades", "")
    if not hasattr(cv2, "CascadeClassifier") or not Path(folder, _CASCADE).exists():
        return None
    cascade = cv2.CascadeClassifier(str(Path(folder, _CASCADE)))
    cv2.setNumThreads(1)  # the same faces each time

    def detect(frame: np.ndarray) -> list[Box]:
        height, width = frame.shape[:2]
        scale = max(1.0, _HEIGHT / height)
        grey = cv2.cvtColor(frame, cv2.COLOR_RGB2GRAY)
        grey = cv2.resize(grey, (round(width * scale), round(height * scale)), interpolation=cv2.INTER_CUBIC)
        least = max(24, round(_LEAST * height * scale))
        found = cascade.detectMultiScale(grey, 1.1, _NEIGHBOURS, minSize=(least, least))
        boxes = [tuple(int(value / scale) for value in box) for box in found]
        return sorted((left, top, min(w, width - left), min(h, height - top)) for left, top, w, h in boxes)

    return detect, f"the Haar cascade of OpenCV {cv2.__version__}"


def elsewhere(box: Box, faces: list[Box], width: int) -> Box | None:
    """A box of the same size and height in the frame, at the edge that is farther from a face; None if there is a face in
    it too."""
    left, top, w, h = box
    other = (0, top, w, h) if left + w / 2 > width / 2 else (width - w, top, w, h)
    overlaps = any(other[0] < x + fw and x < other[0] + w and top < y + fh and y < top + h for x, y, fw, fh in faces)
    return None if overlaps else other
