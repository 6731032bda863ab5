"""From a folder of images to raw frames of one size: every image a frame, each pixel the exact average of its area.

Pillow reads them, ffmpeg those of 16 bits per channel and OpenEXR, of which Pillow keeps 8 bits or nothing. Averages are
taken in float32 and rounded once: Pillow's own for 8 bits rounds up twice, and is half a grey level too bright at 2:1.
"""

import io
import tempfile
from collections import Counter, deque
from collections.abc import Iterator
from concurrent.futures import Future, ThreadPoolExecutor
from contextlib import contextmanager
from dataclasses import dataclass
from fractions import Fraction
from pathlib import Path

import ffmpeg
import numpy as np
from PIL import Image, ImageCms, UnidentifiedImageError

from refilm.core.colour import BT709_LUMA
from refilm.core.errors import RefilmError
from refilm.core.progress import progress_bar
from refilm.media.bars import Box, crop_to_aspect, fit_size, picture_box
from refilm.media.ffmpeg import FfmpegProcess, command_line

_ORIENTATION = 0x0112  # the EXIF tag
_TRANSPOSITIONS = {2: "FLIP_LEFT_RIGHT", 3: "ROTATE_180", 4: "FLIP_TOP_BOTTOM", 5: "TRANSPOSE", 6: "ROTATE_270",
                   7: "TRANSVERSE", 8: "ROTATE_90"}  # fmt: skip
# Demuxers of ffmpeg that read the one file that they are given: its default takes a name with %d in it for a pattern.
_DEMUXERS = {".png": "png_pipe", ".tif": "tiff_pipe", ".tiff": "tiff_pipe", ".exr": "exr_pipe"}
_SAMPLES = 60  # about so many images are searched for black bars
_BLACK = 9  # mean of a row or column, of 255, up to which it is black: as for cropdetect, whose limit 24 is video level
_ANIMATED_FORMATS = ("GIF", "PNG", "WEBP", "AVIF")  # whose second image is a frame, not a thumbnail

Image.MAX_IMAGE_PIXELS = 1 << 29  # 0.5 gigapixel: a scan of a poster is not an attack


@dataclass(frozen=True)
class ImageSequence:
    """Images as the frames of a film, in order; sizes: (width, height) of each in pixels, after its orientation tag."""

    files: list[str]
    fps: Fraction
    sizes: list[tuple[int, int]]

    @property
    def common_size(self) -> tuple[int, int]:
        """The most frequent size."""
        return Counter(self.sizes).most_common(1)[0][0]


def probe_images(files: list[str], fps: Fraction, threads: int) -> ImageSequence:
    """Read the header of every image. Raises RefilmError naming the first that is not an image."""
    with ThreadPoolExecutor(threads) as pool:
        return ImageSequence(files, fps, list(pool.map(_size, files)))


def check_same_size(images: ImageSequence) -> None:
    """Raises RefilmError naming the first image that has another size than most, if there is one."""
    common, count = images.common_size, images.sizes.count(images.common_size)
    other = next((n for n, size in enumerate(images.sizes) if size != common), None)
    if other is not None:
        raise RefilmError(
            f"{images.files[other]}: this image is {'x'.join(map(str, images.sizes[other]))}, and {count} of the "
            f"{len(images.files)} images are {'x'.join(map(str, common))}: repair or remove it; if sizes are meant to "
            "differ, set crop: none, and each image is fitted to the frame on its own"
        )


def images_box(images: ImageSequence, threads: int) -> Box:
    """The picture without black bars that most images share."""
    sampled = images.files[:: -(-len(images.files) // _SAMPLES)]
    with ThreadPoolExecutor(threads) as pool:
        areas = [area for area in pool.map(_bright_area, sampled) if area]
    return picture_box(areas, *images.common_size)


def render_images(
    images: ImageSequence, frames: range, size: tuple[int, int], box: Box | None, fit: str, threads: int, label: str
) -> Iterator[np.ndarray]:
    """The frames of the images with these indices, each uint8 (1, H, W, 3), in order.

    size: (width, height) of a frame; box: the part of each image that is taken, None for all of it; fit: 'crop', 'pad' or
    'stretch'; label: of the progress. As many images as threads are in memory at once. Raises RefilmError naming an image
    that cannot be read.
    """

    def render(file: str) -> np.ndarray:
        return _fit(*_planes(file), *size, box, fit)[None]

    with progress_bar(label, len(frames), " frames") as bar, ThreadPoolExecutor(threads) as pool:
        pending: deque[Future[np.ndarray]] = deque()
        try:
            for number in frames:
                pending.append(pool.submit(render, images.files[number]))
                if len(pending) > threads:
                    yield pending.popleft().result()
                    bar.update(1)
            while pending:
                yield pending.popleft().result()
                bar.update(1)
        finally:
            pool.shutdown(cancel_futures=True)


def _fit(planes: list[Image.Image], unit: int, width: int, height: int, box: Box | None, fit: str) -> np.ndarray:
    """Average red, green and blue, of which `unit` are a grey level, into one frame uint8 (height, width, 3)."""
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
    """(planes, unit): red, green and blue of an image over black, upright, float32; and how many make a grey level: 1, or
    257 where white is 65535, so that the values are those of the file and averages are exact.
    """
    with _image_errors(file):
        if Path(file).suffix.lower() == ".exr":
            return _exr_planes(file), 1
        with Image.open(file) as opened:
            image: Image.Image = opened
            orientation = _orientation(image)
            deep = ";16" in str(opened.tile) and Path(file).suffix.lower() in _DEMUXERS
            foreign = _foreign_profile(image)
            image.load()  # raises if the file is cut off, which ffmpeg would not report
            if deep and (not foreign or image.mode.startswith("I")):
                return _planes_16bit(file, orientation), 257
            if image.mode[0] in "IF":  # Pillow would cut off what is brighter than 255
                raise ValueError(f"its pixels are of mode {image.mode}: save it as a PNG or TIFF of 8 or 16 bits")
            if orientation in _TRANSPOSITIONS and image.format != "TIFF":  # which Pillow has rotated
                image = image.transpose(Image.Transpose[_TRANSPOSITIONS[orientation]])
            alpha = image.convert("RGBA").getchannel("A") if image.has_transparency_data else None
            return _over_black(list(_rgb(image, foreign).split()), alpha, 255), 1


def _rgb(image: Image.Image, profile: ImageCms.ImageCmsProfile | None) -> Image.Image:
    """The image in sRGB; `profile` is that of its colours, None for sRGB."""
    if profile is None:
        return image.convert("RGB")
    plain = image if image.mode in ("RGB", "CMYK", "L") else image.convert("RGB")
    converted = ImageCms.profileToProfile(plain, profile, ImageCms.createProfile("sRGB"), outputMode="RGB")
    assert converted is not None  # it is only where the image is converted in place
    return converted


def _foreign_profile(image: Image.Image) -> ImageCms.ImageCmsProfile | None:
    """The image's colour profile, unless there is none or it is sRGB."""
    data = image.info.get("icc_profile")
    if not data:
        return None
    profile = ImageCms.ImageCmsProfile(io.BytesIO(data))
    return None if "srgb" in ImageCms.getProfileDescription(profile).lower() else profile


def _planes_16bit(file: str, orientation: int) -> list[Image.Image]:
    """Red, green and blue of an image of 16 bits over black, through ffmpeg, which does not convert them: 0 to 65535."""
    width, height = _size(file, upright=False)
    pixels = np.frombuffer(_raw(file, "rgba64le"), "<u2").reshape(height, width, 4)
    planes = [Image.fromarray(pixels[..., channel].astype(np.float32)) for channel in range(4)]
    if orientation in _TRANSPOSITIONS:
        planes = [plane.transpose(Image.Transpose[_TRANSPOSITIONS[orientation]]) for plane in planes]
    return _over_black(planes[:3], planes[3], 65535)


def _exr_planes(file: str) -> list[Image.Image]:
    """Red, green and blue of an OpenEXR image, which is linear, by the sRGB curve: 0 to 255. They are over black already."""
    width, height = _size(file)
    linear = np.frombuffer(_raw(file, "gbrpf32le"), "<f4").reshape(3, height, width)[[2, 0, 1]].clip(0, 1)
    levels = 255 * np.where(linear <= 0.0031308, 12.92 * linear, 1.055 * linear ** (1 / 2.4) - 0.055)  # IEC 61966-2-1
    return [Image.fromarray(plane.astype(np.float32)) for plane in levels]


def _raw(file: str, layout: str) -> bytes:
    """The pixels of an image in the pixel format `layout`, without rotation."""
    demuxer = _DEMUXERS[Path(file).suffix.lower()]
    source = ffmpeg.input(f"file:{file}", protocol_whitelist="file", format=demuxer, noautorotate=None, xerror=None)
    output = ffmpeg.output(source.video, "pipe:1", format="rawvideo", pix_fmt=layout, **{"frames:v": 1})
    with tempfile.TemporaryFile() as raw, FfmpegProcess(command_line(output, "-v", "error"), file, stdout=raw) as process:
        process.finish()
        raw.seek(0)
        return raw.read()


def _over_black(planes: list[Image.Image], alpha: Image.Image | None, opaque: int) -> list[Image.Image]:
    """The planes in float32 over black; `opaque` is the greatest value of `alpha`, None where there is none."""
    if alpha is None or alpha.getextrema()[0] == opaque:
        return [plane.convert("F") for plane in planes]
    opacity = np.asarray(alpha, np.float32) / opaque
    return [Image.fromarray(np.asarray(plane, np.float32) * opacity) for plane in planes]


def _bright_area(file: str) -> tuple[int, int, int, int] | None:
    """(x1, x2, y1, y2), inclusive, of what is inside the black borders of an image; None if all of it is black."""
    planes, unit = _planes(file)
    columns, rows = (
        np.flatnonzero(
            sum(part * np.asarray(plane).mean(axis) for part, plane in zip(BT709_LUMA, planes, strict=True)) > _BLACK * unit
        )
        for axis in (0, 1)
    )
    return (columns[0], columns[-1], rows[0], rows[-1]) if len(columns) and len(rows) else None


def _size(file: str, upright: bool = True) -> tuple[int, int]:
    """(width, height) from the header of the file, after its orientation tag if `upright`."""
    with _image_errors(file):
        if Path(file).suffix.lower() == ".exr":
            return _exr_size(file)
        with Image.open(file) as image:
            frames = getattr(image, "n_frames", 1)
            if frames > 1 and image.format in (*_ANIMATED_FORMATS, "TIFF"):
                raise RefilmError(f"{file}: this holds {frames} images: give it as a film of its own, or one file for each")
            width, height = image.size
            rotated = upright and image.format != "TIFF" and _orientation(image) >= 5
            return (height, width) if rotated else (width, height)


def _orientation(image: Image.Image) -> int:
    """The orientation tag, 1 to 8, from the header of the file: Pillow would read a PNG to its end to look for it."""
    return int(image.getexif().get(_ORIENTATION, 1)) if image.format != "PNG" or "exif" in image.info else 1


def _exr_size(file: str) -> tuple[int, int]:
    """(width, height) of an OpenEXR image. Raises OSError for any other file."""
    with open(file, "rb") as opened:
        header = opened.read(1 << 16)
    _, attribute, window = header.partition(b"displayWindow\0box2i\0")
    if not header.startswith(b"\x76\x2f\x31\x01") or not attribute or len(window) < 20:
        raise OSError("not an OpenEXR file")
    left, top, right, bottom = np.frombuffer(window[4:20], "<i4").tolist()
    return right - left + 1, bottom - top + 1


@contextmanager
def _image_errors(file: str) -> Iterator[None]:
    """Turns whatever a decoder of images raises into one line that names the image."""
    try:
        yield
    except RefilmError:
        raise
    except Exception as error:
        if isinstance(error, FileNotFoundError):
            reason = "this image does not exist any more"
        elif isinstance(error, UnidentifiedImageError):
            reason = "this is not an image that can be read"
        else:
            reason = f"this image cannot be read: {' '.join(str(error).split()) or type(error).__name__}"
        raise RefilmError(f"{file}: {reason}: repair or remove the image") from error
