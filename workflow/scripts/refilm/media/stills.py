"""From a folder of images to raw frames of one size: every image a frame, each pixel the exact average of its area.

Pillow reads them, ffmpeg those of 16 bits a channel and OpenEXR, of which Pillow keeps 8 bits or nothing. Averages are
taken in float32 and rounded once: Pillow's own for 8 bits rounds up twice, and is half a grey level too bright at 2:1.
"""

import io
import tempfile
from collections import Counter, deque
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from fractions import Fraction
from pathlib import Path

import ffmpeg
import numpy as np
from PIL import Image, ImageCms

from refilm.core.colour import BT709_LUMA
from refilm.core.errors import RefilmError
from refilm.core.progress import progress_bar
from refilm.media.bars import Box, crop_to_aspect, fit_size, picture_box
from refilm.media.ffmpeg import FfmpegProcess, command_line

_ORIENTATION = 0x0112  # the EXIF tag
_TURNED = {2: "FLIP_LEFT_RIGHT", 3: "ROTATE_180", 4: "FLIP_TOP_BOTTOM", 5: "TRANSPOSE", 6: "ROTATE_270", 7: "TRANSVERSE",
           8: "ROTATE_90"}  # fmt: skip
# Of ffmpeg, that read the one file that they are given: by default it would take a name with %d in it for a pattern.
_READERS = {".png": "png_pipe", ".tif": "tiff_pipe", ".tiff": "tiff_pipe", ".exr": "exr_pipe"}
_SAMPLES = 60  # about so many images are looked at for black bars
_DARK = 9  # mean of a row or column, of 255, up to which it is a bar: what ffmpeg's cropdetect takes for one in video
_MOVING = ("GIF", "PNG", "WEBP", "AVIF")  # formats whose second image is a frame, and not a thumbnail

Image.MAX_IMAGE_PIXELS = 1 << 29  # 0.5 gigapixel: a scan of a poster is no attack


@dataclass(frozen=True)
class ImageSequence:
    """Images as the frames of a film, in order; sizes: (width, height) of each in pixels, as it is shown."""

    files: list[str]
    fps: Fraction
    sizes: list[tuple[int, int]]

    @property
    def usual_size(self) -> tuple[int, int]:
        """The size of most of them."""
        return Counter(self.sizes).most_common(1)[0][0]


def probe_stills(files: list[str], fps: Fraction, threads: int) -> ImageSequence:
    """Look at the head of every image. Raises RefilmError naming the first that is none."""
    with ThreadPoolExecutor(threads) as pool:
        return ImageSequence(files, fps, list(pool.map(_size, files)))


def check_alike(stills: ImageSequence) -> None:
    """Raises RefilmError naming the first image that has not the size of most, if there is one."""
    usual, count = stills.usual_size, stills.sizes.count(stills.usual_size)
    odd = next((n for n, size in enumerate(stills.sizes) if size != usual), None)
    if odd is not None:
        raise RefilmError(
            f"{stills.files[odd]}: this image is {'x'.join(map(str, stills.sizes[odd]))}, and {count} of the "
            f"{len(stills.files)} images are {'x'.join(map(str, usual))}: mend it or take it out; if sizes shall differ, "
            "set crop: none, and each image gets the frame's shape by itself"
        )


def still_box(stills: ImageSequence, threads: int) -> Box:
    """The picture without black bars that most images share."""
    every = stills.files[:: -(-len(stills.files) // _SAMPLES)]
    with ThreadPoolExecutor(threads) as pool:
        edges = [found for found in pool.map(_bright_area, every) if found]
    return picture_box(edges, *stills.usual_size)


def render_stills(
    stills: ImageSequence,
    first: int,
    count: int,
    size: tuple[int, int],
    box: Box | None,
    fit: str,
    threads: int,
    what: str,
) -> Iterator[np.ndarray]:
    """The frames of images `first` to `first + count`, each uint8 (1, H, W, 3), in order.

    size: (width, height) of a frame; box: the part of each image that is seen, None for all of it. As many images as
    threads are in memory at once. Raises RefilmError naming an image that cannot be read.
    """

    def frame(file: str) -> np.ndarray:
        return _fitted(*_planes(file), *size, box, fit)[None]

    with progress_bar(what, count, " frames") as bar, ThreadPoolExecutor(threads) as pool:
        coming: deque = deque()
        try:
            for file in stills.files[first : first + count]:
                coming.append(pool.submit(frame, file))
                if len(coming) > threads:
                    yield coming.popleft().result()
                    bar.update(1)
            while coming:
                yield coming.popleft().result()
                bar.update(1)
        finally:
            pool.shutdown(cancel_futures=True)


def _fitted(planes: list[Image.Image], unit: int, width: int, height: int, box: Box | None, fit: str) -> np.ndarray:
    """Red, green and blue, in so many parts of a grey level, averaged into one frame uint8 (height, width, 3)."""
    box = box or Box(0, 0, *planes[0].size)
    inner = (width, height)
    if fit == "crop":
        box = crop_to_aspect(box, Fraction(1), width, height)
    elif fit == "pad":
        inner = fit_size(box, Fraction(1), width, height)
    part = (box.x, box.y, box.x + box.width, box.y + box.height)
    scaled = [np.asarray(plane.resize(inner, Image.Resampling.BOX, box=part), np.float64) for plane in planes]
    frame = np.zeros((height, width, 3), np.uint8)
    left, top = (width - inner[0]) // 2, (height - inner[1]) // 2
    frame[top : top + inner[1], left : left + inner[0]] = np.rint(np.stack(scaled, axis=2) / unit)
    return frame


def _planes(file: str) -> tuple[list[Image.Image], int]:
    """Red, green and blue of an image as shown, over black, as float32; and how many units of them make a grey level: 1, or
    257 where white is 65535, so that the numbers are those of the file and averages are exact.
    """
    with _named(file):
        if Path(file).suffix.lower() == ".exr":
            return _exr_planes(file), 1
        with Image.open(file) as image:
            orientation = _orientation(image)
            deep = ";16" in str(image.tile) and Path(file).suffix.lower() in _READERS
            foreign = _foreign_profile(image)
            image.load()  # says so if the file is cut off, which ffmpeg would not
            if deep and (not foreign or image.mode.startswith("I")):
                return _planes_16bit(file, orientation), 257
            if image.mode[0] in "IF":  # Pillow would cut off what is brighter than 255
                raise ValueError(f"its pixels are of mode {image.mode}: save it as a PNG or TIFF of 8 or 16 bits")
            if orientation in _TURNED and image.format != "TIFF":  # which Pillow has turned
                image = image.transpose(Image.Transpose[_TURNED[orientation]])
            alpha = image.convert("RGBA").getchannel("A") if image.has_transparency_data else None
            return _over_black(list(_rgb(image, foreign).split()), alpha, 255), 1


def _rgb(image: Image.Image, profile: ImageCms.ImageCmsProfile | None) -> Image.Image:
    """In sRGB, whatever the image's colours are told in."""
    if profile is None:
        return image.convert("RGB")
    plain = image if image.mode in ("RGB", "CMYK", "L") else image.convert("RGB")
    return ImageCms.profileToProfile(plain, profile, ImageCms.createProfile("sRGB"), outputMode="RGB")


def _foreign_profile(image: Image.Image) -> ImageCms.ImageCmsProfile | None:
    """The image's colour profile, unless there is none or it is sRGB."""
    data = image.info.get("icc_profile")
    if not data:
        return None
    profile = ImageCms.ImageCmsProfile(io.BytesIO(data))
    return None if "srgb" in ImageCms.getProfileDescription(profile).lower() else profile


def _planes_16bit(file: str, orientation: int) -> list[Image.Image]:
    """The planes of an image of 16 bits, through ffmpeg, which gives them as they are: 0 to 65535."""
    width, height = _size(file, shown=False)
    pixels = np.frombuffer(_raw(file, "rgba64le"), "<u2").reshape(height, width, 4)
    planes = [Image.fromarray(pixels[..., channel].astype(np.float32)) for channel in range(4)]
    if orientation in _TURNED:
        planes = [plane.transpose(Image.Transpose[_TURNED[orientation]]) for plane in planes]
    return _over_black(planes[:3], planes[3], 65535)


def _exr_planes(file: str) -> list[Image.Image]:
    """The planes of an OpenEXR image, which holds light, by the curve of sRGB: 0 to 255. They are over black already."""
    width, height = _size(file)
    light = np.frombuffer(_raw(file, "gbrpf32le"), "<f4").reshape(3, height, width)[[2, 0, 1]].clip(0, 1)
    levels = 255 * np.where(light <= 0.0031308, 12.92 * light, 1.055 * light ** (1 / 2.4) - 0.055)
    return [Image.fromarray(plane.astype(np.float32)) for plane in levels]


def _raw(file: str, layout: str) -> bytes:
    """The pixels of an image as ffmpeg lays them out, as they lie in the file."""
    reader = _READERS[Path(file).suffix.lower()]
    source = ffmpeg.input(f"file:{file}", protocol_whitelist="file", format=reader, noautorotate=None, xerror=None)
    output = ffmpeg.output(source.video, "pipe:1", format="rawvideo", pix_fmt=layout, **{"frames:v": 1})
    with tempfile.TemporaryFile() as raw, FfmpegProcess(command_line(output, "-v", "error"), file, stdout=raw) as process:
        process.finish()
        raw.seek(0)
        return raw.read()


def _over_black(planes: list[Image.Image], alpha: Image.Image | None, opaque: int) -> list[Image.Image]:
    if alpha is None or alpha.getextrema()[0] == opaque:
        return [plane.convert("F") for plane in planes]
    share = np.asarray(alpha, np.float32) / opaque
    return [Image.fromarray(np.asarray(plane, np.float32) * share) for plane in planes]


def _bright_area(file: str) -> tuple[int, int, int, int] | None:
    """(x1, x2, y1, y2), inclusive, of what is not black at the image's borders; None if all of it is."""
    planes, unit = _planes(file)
    columns, rows = (
        np.flatnonzero(
            sum(part * np.asarray(plane).mean(axis) for part, plane in zip(BT709_LUMA, planes, strict=True)) > _DARK * unit
        )
        for axis in (0, 1)
    )
    return (columns[0], columns[-1], rows[0], rows[-1]) if len(columns) and len(rows) else None


def _size(file: str, shown: bool = True) -> tuple[int, int]:
    """(width, height) from the head of the file, turned as it is shown unless told otherwise."""
    with _named(file):
        if Path(file).suffix.lower() == ".exr":
            return _exr_size(file)
        with Image.open(file) as image:
            frames = getattr(image, "n_frames", 1)
            if frames > 1 and image.format in (*_MOVING, "TIFF"):
                raise RefilmError(f"{file}: this holds {frames} images: give it as a film of its own, or one file for each")
            turned = shown and image.format != "TIFF" and _orientation(image) >= 5
            return image.size[::-1] if turned else image.size


def _orientation(image: Image.Image) -> int:
    """How the camera was held, 1 to 8, from the head of the file: Pillow would read a PNG to its end to look for it."""
    return image.getexif().get(_ORIENTATION, 1) if image.format != "PNG" or "exif" in image.info else 1


def _exr_size(file: str) -> tuple[int, int]:
    with open(file, "rb") as opened:
        head = opened.read(1 << 16)
    _, found, window = head.partition(b"displayWindow\0box2i\0")
    if not head.startswith(b"\x76\x2f\x31\x01") or not found or len(window) < 20:
        raise OSError("not an OpenEXR file")
    left, top, right, bottom = np.frombuffer(window[4:20], "<i4").tolist()
    return right - left + 1, bottom - top + 1


class _named:
    """Whatever a decoder of images raises becomes one line that names the image."""

    def __init__(self, file: str):
        self.file = file

    def __enter__(self) -> None:
        pass

    def __exit__(self, _kind, error, _trace) -> None:
        if error is None or isinstance(error, RefilmError) or not isinstance(error, Exception):
            return
        if isinstance(error, FileNotFoundError):
            said = "there is no such image any more"
        elif isinstance(error, Image.UnidentifiedImageError):
            said = "this is not an image that can be read"
        else:
            said = f"this image cannot be read: {' '.join(str(error).split()) or type(error).__name__}"
        raise RefilmError(f"{self.file}: {said}: mend it, or take it out of the folder") from error
