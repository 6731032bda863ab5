"""A folder of images becomes frames: every one, in natural order, each pixel the average of its area."""

import os
import subprocess
from pathlib import Path

import numpy as np
import pytest
from PIL import Image, ImageCms

from refilm.core.errors import RefilmError
from refilm.frames.store import FrameStore
from refilm.media.ffmpeg import executable
from refilm.sources import images_index
from refilm.sources.images_index import images_digest
from refilm.sources.listing import image_files, is_images, parse_rate
from tests.conftest import command, refused

RNG = np.random.default_rng(0)


def noise(width=128, height=96, channels=3) -> np.ndarray:
    return RNG.integers(0, 256, (height, width, channels), dtype=np.uint8)


def extract(source, folder, *options) -> np.ndarray:
    path = folder / "frames.h5"
    words = (f"--source={source}", f"--frames={path}", "--size=64x48", "--fps=24", "--threads=2", *options)
    done = command("extract_images", *words)
    assert done.returncode == 0, done.stderr
    with FrameStore(path) as frames:
        return frames[:]


def refusal(source, folder, *options) -> str:
    path = folder / "frames.h5"
    done = command("extract_images", f"--source={source}", f"--frames={path}", "--size=64x48", "--fps=24", *options)
    assert not path.exists() and not list(folder.glob(".*part*"))
    return refused(done)


def exact(picture: np.ndarray, factor: int = 2, unit: int = 1) -> np.ndarray:
    """The average of each square of pixels, rounded once; `unit` of them are a grey level."""
    height, width = picture.shape[0] // factor, picture.shape[1] // factor
    return np.rint(picture.astype(float).reshape(height, factor, width, factor, -1).mean((1, 3)) / unit).astype(np.uint8)


def write_deep(path, pixels: np.ndarray, layout: str) -> None:
    """An image of 16 bits a channel, or of floats, which Pillow cannot write."""
    size = "128x96"
    words = ["-v", "error", "-y", "-f", "rawvideo", "-pix_fmt", layout, "-s", size, "-i", "-", "-frames:v", "1", str(path)]
    subprocess.run([executable(), *words], input=pixels.tobytes(), check=True)


# --- which, and in which order


def test_images_come_in_natural_order(tmp_path):
    names = ["2.png", "10.png", "9.png", "1.png", "011.png", "A 3.png", "a 20.png", "b.png"]
    for name in names:
        (tmp_path / name).touch()
    ordered = [Path(file).name for file in image_files(f"{tmp_path}/*.png")]
    assert ordered == ["1.png", "2.png", "9.png", "10.png", "011.png", "A 3.png", "a 20.png", "b.png"]


def test_a_folder_is_all_its_images_and_nothing_else(tmp_path):
    for name in ("1.PNG", "2.jpg", "3.tiff", ".hidden.png", "._1.png", "notes.txt", "Thumbs.db"):
        (tmp_path / name).touch()
    (tmp_path / "more.png").mkdir()
    for source in (str(tmp_path), f"{tmp_path}/"):
        assert is_images(source) and [Path(file).name for file in image_files(source)] == ["1.PNG", "2.jpg", "3.tiff"]


def test_patterns_may_name_several_folders(tmp_path):
    for name in ("reel10/1.png", "reel2/2.png", "reel2/10.png"):
        (tmp_path / name).parent.mkdir(exist_ok=True)
        (tmp_path / name).touch()
    found = [str(Path(file).relative_to(tmp_path)) for file in image_files(f"{tmp_path}/reel*/*.png")]
    assert found == ["reel2/2.png", "reel2/10.png", "reel10/1.png"]


@pytest.mark.parametrize(
    ("source", "images"),
    [("stills/*.png", True), ("stills/", True), ("stills/shot[0-9].tif", True), ("Film [1982].mkv", False),
     ("films/*.mkv", False), ("still.png", False), ("https://x.org/a?b=*.png", False)],
)  # fmt: skip
def test_which_sources_are_images(source, images):
    assert is_images(source) == images


def test_a_file_whose_name_looks_like_a_pattern_is_a_file(tmp_path):
    (tmp_path / "still[1].png").touch()
    assert not is_images(f"{tmp_path}/still[1].png")


def test_another_set_of_images_has_another_digest(tmp_path):
    for name in ("a/1.png", "a/2.png", "a/3.png", "b/1.png", "c/1.png"):
        (tmp_path / name).parent.mkdir(exist_ok=True)
        (tmp_path / name).write_text(name[-5:])
    (tmp_path / "c/1.png").write_text("9.png")
    sets = [["a/1.png", "a/2.png"], ["a/1.png"], ["a/1.png", "a/3.png"], ["c/1.png"]]
    digest = {tuple(files): images_digest([str(tmp_path / file) for file in files]) for files in sets}
    assert len(set(digest.values())) == 4
    assert digest[("a/1.png",)] == images_digest([str(tmp_path / "b/1.png")])  # images that were moved are the same


def test_images_of_the_same_name_in_two_folders_are_two(tmp_path):
    files = [str(tmp_path / folder / "1.png") for folder in ("a", "b")]
    for file in files:
        Path(file).parent.mkdir()
        Path(file).write_text("one")
    before = images_digest(files)
    Path(files[0]).write_text("two")
    assert before.startswith("2-") and images_digest(files) != before


def test_only_images_that_were_touched_are_read_again(tmp_path, monkeypatch):
    files, index = [str(tmp_path / f"{number}.png") for number in range(3)], tmp_path / "index.json"
    for file in files:
        Path(file).write_text("same size")
    before, read = images_digest(files, index), []
    digest = images_index._digest
    monkeypatch.setattr(images_index, "_digest", lambda file: read.append(file) or digest(file))
    os.utime(files[1], (1, 1))
    assert images_digest(files, index) == before and read == files[1:2]
    Path(files[2]).write_text("another!!")
    assert images_digest(files, index) != before and read == files[1:]
    after = images_digest(files, index)
    for file in files:
        Path(file).unlink()
    assert images_digest([], index) == after and read == files[1:]


@pytest.mark.parametrize(
    ("written", "rate"),
    [(24, "24"), (23.976, "24000/1001"), ("29.97", "30000/1001"), (12.5, "25/2"), ("24000/1001", "24000/1001")],
)
def test_rates(written, rate):
    assert str(parse_rate(written, "fps")) == rate


@pytest.mark.parametrize("written", [0, "-1", "fast", "24/0", "1e3", 5000, ""])
def test_invalid_rates_are_refused(written):
    with pytest.raises(RefilmError, match=r"films\.x\.fps: .* is not a valid frame rate: write"):
        parse_rate(written, "films.x.fps")


# --- pixels


@pytest.mark.parametrize("suffix", ["png", "tif", "bmp", "webp", "tga", "ppm"])
@pytest.mark.parametrize("factor", [1, 2, 3])
def test_every_pixel_is_the_exact_average_of_its_area(tmp_path, suffix, factor):
    """64x48 divides these: no grey level off anywhere, and so no shift of the mean."""
    pictures = [noise(64 * factor, 48 * factor) for _ in range(3)]
    for n, picture in enumerate(pictures):
        Image.fromarray(picture).save(tmp_path / f"{n}.{suffix}", **({"lossless": True} if suffix == "webp" else {}))
    frames = extract(f"{tmp_path}/*.{suffix}", tmp_path)
    assert len(frames) == 3
    assert np.array_equal(frames, [exact(picture, factor) for picture in pictures])


@pytest.mark.parametrize("suffix", ["png", "tif"])
def test_sixteen_bits_lose_nothing_before_they_are_averaged(tmp_path, suffix):
    colour, alpha, grey = (RNG.integers(0, 65536, (96, 128, n), dtype=np.uint16) for n in (3, 4, 1))
    for name, pixels, layout in (("a", colour, "rgb48le"), ("b", alpha, "rgba64le"), ("c", grey, "gray16le")):
        write_deep(tmp_path / f"{name}.{suffix}", pixels, layout)
    frames = extract(f"{tmp_path}/*.{suffix}", tmp_path)
    assert np.array_equal(frames[0], exact(colour, unit=257))
    assert np.array_equal(frames[2], exact(np.repeat(grey, 3, 2), unit=257))
    over_black = alpha[..., :3] / 257 * (alpha[..., 3:] / 65535)
    assert np.abs(frames[1].astype(int) - exact(over_black)).max() <= 1 and abs(frames[1].mean() - over_black.mean()) < 0.05


def test_transparent_pixels_are_black(tmp_path):
    picture = noise(channels=4)
    picture[:, :64, 3] = 0
    Image.fromarray(picture).save(tmp_path / "1.png")
    Image.fromarray(picture).quantize(64).save(tmp_path / "2.png")
    frames = extract(f"{tmp_path}/*.png", tmp_path, "--crop=none")
    over_black = picture[..., :3] * (picture[..., 3:] / 255)
    assert np.abs(frames[0].astype(int) - exact(over_black)).max() <= 1 and abs(frames[0].mean() - over_black.mean()) < 0.05
    assert frames[:, :, :32].max() == 0 and (frames[:, :, 32:].max((1, 2, 3)) > 100).all()


@pytest.mark.parametrize("suffix", ["jpg", "tif", "png"])
def test_the_orientation_tag_of_an_image_is_applied(tmp_path, suffix):
    """Four quarters of four colours; the tag says how the camera was held, with each of its eight values."""
    upright = np.zeros((96, 128, 3), np.uint8)
    upright[:48, :64], upright[:48, 64:], upright[48:, :64] = (255, 0, 0), (0, 255, 0), (0, 0, 255)
    flips = (
        None,
        "FLIP_LEFT_RIGHT",
        "ROTATE_180",
        "FLIP_TOP_BOTTOM",
        "TRANSPOSE",
        "ROTATE_90",
        "TRANSVERSE",
        "ROTATE_270",
    )
    for orientation, flip in enumerate(flips, 1):
        stored = Image.fromarray(upright)
        tags = Image.Exif()
        tags[0x0112] = orientation
        stored = stored.transpose(Image.Transpose[flip]) if flip else stored
        options = {"quality": 100, "subsampling": 0} if suffix == "jpg" else {}
        stored.save(tmp_path / f"{orientation}.{suffix}", exif=tags, **options)
    frames = extract(f"{tmp_path}/*.{suffix}", tmp_path)
    assert len(frames) == 8 and np.abs(frames.astype(int) - exact(upright)).max() <= 3


def test_grey_palette_and_cmyk_images_are_converted_to_rgb(tmp_path):
    grey = noise(channels=1)[..., 0]
    Image.fromarray(grey).save(tmp_path / "1.png")
    Image.fromarray(np.full((96, 128, 3), (200, 40, 90), np.uint8)).quantize(4).save(tmp_path / "2.png")
    Image.fromarray(np.full((96, 128, 4), (0, 255, 255, 0), np.uint8), "CMYK").save(tmp_path / "3.jpg", quality=100)
    frames = extract(tmp_path, tmp_path)
    assert np.array_equal(frames[0], exact(np.repeat(grey[..., None], 3, 2)))
    assert np.array_equal(np.unique(frames[1].reshape(-1, 3), axis=0), [(200, 40, 90)])
    assert np.abs(frames[2].astype(int) - (255, 0, 0)).max() <= 3


def linear_profile() -> bytes:
    """An ICC profile of the colours of sRGB without its curve: numbers in proportion to light."""

    def numbers(*values):
        return b"".join(round(value * 65536).to_bytes(4, "big", signed=True) for value in values)

    colours = {"rXYZ": (0.4361, 0.2225, 0.0139), "gXYZ": (0.3851, 0.7169, 0.0971), "bXYZ": (0.1431, 0.0606, 0.7141)}
    tags = {name: b"XYZ " + bytes(4) + numbers(*xyz) for name, xyz in (colours | {"wtpt": (0.9642, 1, 0.8249)}).items()}
    tags |= dict.fromkeys(("rTRC", "gTRC", "bTRC"), b"curv" + bytes(8))
    text = b"linear light\0"
    tags["desc"] = b"desc" + bytes(4) + len(text).to_bytes(4, "big") + text + bytes(78)
    table, body, place = len(tags).to_bytes(4, "big"), b"", 128 + 4 + 12 * len(tags)
    for name, data in tags.items():
        table += name.encode() + (place + len(body)).to_bytes(4, "big") + len(data).to_bytes(4, "big")
        body += data + bytes(-len(data) % 4)
    head = bytearray(128)
    head[0:4] = (place + len(body)).to_bytes(4, "big")
    head[8:24] = b"\x02\x10\0\0mntrRGB XYZ "
    head[36:40], head[68:80] = b"acsp", numbers(0.9642, 1, 0.8249)
    return bytes(head) + table + body


def test_the_colour_profile_of_an_image_is_applied(tmp_path):
    """100 of 255 of the light is 168 by the curve of sRGB; with the profile of sRGB, or none, 100 is 100."""
    plain = Image.new("RGB", (128, 96), (100, 100, 100))
    srgb = ImageCms.ImageCmsProfile(ImageCms.createProfile("sRGB")).tobytes()
    for n, profile in enumerate((None, srgb, linear_profile())):
        plain.save(tmp_path / f"{n}.png", icc_profile=profile)
    levels = extract(tmp_path, tmp_path).astype(int)
    assert (levels[:2] == 100).all() and np.abs(levels[2] - 168).max() <= 1


def test_linear_openexr_images_are_converted_by_the_srgb_curve(tmp_path):
    """0.2140 of the light of white is 127.5 of 255 by the curve of sRGB; more light than white is white."""
    pixels = np.full((3, 96, 128), 4, "<f4")
    pixels[:, :, :64] = 0.21404
    write_deep(tmp_path / "1.exr", pixels, "gbrpf32le")
    frame = extract(f"{tmp_path}/*.exr", tmp_path)[0].astype(int)
    assert np.abs(frame[:, :32] - 127.5).max() <= 1 and (frame[:, 32:] == 255).all()


# --- shape and stretch


def test_black_bars_of_rendered_images_are_removed(tmp_path):
    for n in range(6):
        picture = np.zeros((96, 128, 3), np.uint8)
        picture[16:80] = noise(128, 64) // 2 + 64
        Image.fromarray(picture).save(tmp_path / f"{n}.png")
    assert extract(tmp_path, tmp_path).min() > 40
    assert extract(tmp_path, tmp_path, "--crop=none")[:, 0].max() == 0
    assert extract(tmp_path, tmp_path, "--crop=128:64:0:16").min() > 40


@pytest.mark.parametrize(("fit", "edges"), [("crop", 200), ("pad", 0), ("stretch", 200)])
def test_an_image_of_another_shape_is_fitted(tmp_path, fit, edges):
    Image.new("RGB", (200, 50), (200, 200, 200)).save(tmp_path / "1.png")
    frame = extract(tmp_path, tmp_path, f"--fit={fit}")[0]
    assert frame[0].max() == edges and (frame[24] == 200).all()


def test_an_image_of_another_size_is_named_unless_the_crop_is_none(tmp_path):
    for n in range(5):
        Image.new("RGB", (128, 96), (90, 90, 90)).save(tmp_path / f"{n}.png")
    Image.new("RGB", (96, 128), (180, 180, 180)).save(tmp_path / "3.png")
    line = refusal(tmp_path, tmp_path)
    assert "3.png: this image is 96x128, and 4 of the 5 images are 128x96: repair or remove it" in line
    assert "set crop: none" in line
    frames = extract(tmp_path, tmp_path, "--crop=none")
    assert [int(frame.mean()) for frame in frames] == [90, 90, 90, 180, 90]


def test_start_and_end_count_the_images_by_their_rate(tmp_path):
    for n in range(48):
        Image.new("RGB", (64, 48), (n * 5, 0, 0)).save(tmp_path / f"{n}.png")
    frames = extract(tmp_path, tmp_path, "--start=0.5", "--end=1")
    assert [int(frame[0, 0, 0]) // 5 for frame in frames] == list(range(12, 24))
    assert "start 0:03 lies after the end of the film, which lasts 0:02" in refusal(tmp_path, tmp_path.parent, "--start=3")


# --- what is wrong


@pytest.fixture
def three(tmp_path) -> Path:
    for n in range(3):
        Image.fromarray(noise()).save(tmp_path / f"{n}.png")
    return tmp_path


@pytest.mark.parametrize(
    ("damage", "words"),
    [
        (lambda data: data[: len(data) // 2], "this image cannot be read"),
        (lambda data: b"", "this is not an image that can be read"),
        (lambda data: b"not an image", "this is not an image that can be read"),
        (lambda data: data[:200] + bytes(400) + data[600:], "this image cannot be read"),
    ],
)
def test_a_broken_image_is_named(three, damage, words):
    (three / "1.png").write_bytes(damage((three / "1.png").read_bytes()))
    line = refusal(f"{three}/*.png", three.parent)
    assert f"{three}/1.png: {words}" in line and "repair or remove the image" in line


def test_a_broken_image_of_sixteen_bits_is_named_too(tmp_path):
    write_deep(tmp_path / "1.png", RNG.integers(0, 65536, (96, 128, 3), dtype=np.uint16), "rgb48le")
    (tmp_path / "1.png").write_bytes((tmp_path / "1.png").read_bytes()[:20000])
    assert "1.png: this image cannot be read" in refusal(f"{tmp_path}/*.png", tmp_path.parent)


@pytest.mark.parametrize("mode", ["I", "F"])
def test_an_image_of_an_unsupported_mode_is_named_and_not_clipped(tmp_path, mode):
    Image.fromarray(RNG.uniform(0, 70000, (96, 128)).astype(np.int32 if mode == "I" else np.float32)).save(
        tmp_path / "1.tif"
    )
    assert f"its pixels are of mode {mode}: save it as a PNG or TIFF" in refusal(f"{tmp_path}/*.tif", tmp_path.parent)


def test_an_animation_among_the_images_is_named(three):
    frames = [Image.fromarray(noise()) for _ in range(3)]
    frames[0].save(three / "1.png", save_all=True, append_images=frames[1:])
    assert "1.png: this holds 3 images: give it as a film of its own" in refusal(f"{three}/*.png", three.parent)


def test_images_that_were_added_after_the_plan_are_reported(three):
    line = refusal(f"{three}/*.png", three.parent, f"--images={images_digest([f'{three}/0.png'])}")
    assert "the images changed after the plan was made: run the same command again" in line


@pytest.mark.parametrize(
    "name", ["a b 'c' \"d\" %03d {x}", "-leading", "new\nline", "Überfilm ü 映画 🎬", "[brackets] $HOME `x` *"]
)
def test_names_of_any_kind(tmp_path, name):
    folder = tmp_path / name
    folder.mkdir()
    pictures = [noise(), RNG.integers(0, 65536, (96, 128, 3), dtype=np.uint16)]
    Image.fromarray(pictures[0]).save(folder / f"1 {name}.png")
    write_deep(tmp_path / "deep.png", pictures[1], "rgb48le")
    (tmp_path / "deep.png").rename(folder / f"2 {name}.png")
    frames = extract(f"{folder}/*.png", tmp_path)
    assert np.array_equal(frames, [exact(pictures[0]), exact(pictures[1], unit=257)])
