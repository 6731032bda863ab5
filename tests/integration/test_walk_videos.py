"""Walks as a user renders them: which frames they have, in which order, what is heard under them, and what they refuse."""

from argparse import Namespace
from fractions import Fraction
from pathlib import Path

import h5py
import numpy as np
import pytest
import torch

from refilm.config.keys import WalkKeys, defaults
from refilm.core.colour import BT709_LUMA
from refilm.core.errors import RefilmError
from refilm.frames.latents import LatentStore, write_latents
from refilm.frames.metadata import FrameMetadata
from refilm.frames.store import FrameStore, write_frames_from
from refilm.models.inference import decode_latents, encode_film
from refilm.models.model_file import load_model
from refilm.render_walk import main
from refilm.rendering.comparison import Arrangement
from tests.conftest import command, decoded, described
from tests.helpers import done, provenance_of
from tests.models import recipe_named, save_untrained
from tests.numbered_films import beeps_in, number_of, picture, samples_in, write_beeps, write_film

SIZE = (96, 64)
EXACT = "scale=in_color_matrix=bt709:in_range=tv:flags=accurate_rnd+full_chroma_int"


@pytest.fixture(scope="module")
def model(tmp_path_factory) -> Path:
    """A network with its initial weights, whose pictures differ with the latents."""
    path = tmp_path_factory.mktemp("model") / "model.safetensors"
    return save_untrained(path, recipe_named("vae", frame_size="96x64"))


@pytest.fixture(scope="module")
def films(tmp_path_factory, model) -> Path:
    """A folder with films `one` (50 frames at 25 frames/s) and `two` (40 at 24); and `sound.mkv`: a second, two beeps."""
    folder = tmp_path_factory.mktemp("films")
    for name, numbers, fps in (("one", range(50), 25), ("two", [3, 1, 4, 1, 5, 9, 2, 6] * 5, 24)):
        frames = np.stack([picture(number, *SIZE) for number in numbers])
        write_frames_from(folder / f"{name}.frames.h5", *SIZE, FrameMetadata(Fraction(fps)), [frames])
        with FrameStore(folder / f"{name}.frames.h5") as store:
            encoded = encode_film(load_model(model, torch.device("cpu")), store)
            write_latents(folder / f"{name}.h5", len(frames), 16, {"fps": str(fps)}, encoded)
    sound = write_beeps(folder / "sound.wav", 1.0)
    write_film(folder / "sound.mkv", range(25), 25, "-c:v", "libx264", "-c:a", "pcm_s16le", sounds=[sound])
    frames = np.stack([picture(number, *SIZE) for number in range(25)])
    write_frames_from(folder / "sound.frames.h5", *SIZE, FrameMetadata(Fraction(25)), [frames])
    return folder


class Walks:
    """Walks of the films of a folder, rendered in this process."""

    def __init__(self, folder: Path, model: Path, capsys):
        self.folder, self.model, self._capsys = folder, model, capsys

    def __call__(self, video, latents=("one",), **options) -> str:
        """What `render_walk` prints with the latents of these films."""
        usual = defaults(WalkKeys) | {"mix": None, "height": 64, "crf": 0, "audio": "auto", "device": "cpu", "source": ""}
        usual |= {
            "walk": str(video),
            "model": str(self.model),
            "moment": [],
            "frames": [],
            "title": [],
            "sound_frames": "",
            "sound_start": None,
        }
        files = [str(self.folder / f"{name}.h5") for name in latents]
        main(Namespace(**(usual | {"latents": files} | options)))
        return self._capsys.readouterr().out


@pytest.fixture
def walk(films, model, capsys) -> Walks:
    return Walks(films, model, capsys)


def pictures_of(model, latents: np.ndarray) -> np.ndarray:
    """What the network makes of latents."""
    return np.concatenate(list(decode_latents(load_model(model, torch.device("cpu")), latents))).astype(int)


def latents_of(folder, name: str) -> np.ndarray:
    with LatentStore(folder / f"{name}.h5") as store:
        return store[:]


def seen(path) -> np.ndarray:
    return decoded(path, SIZE, EXACT).astype(int)


def assert_pictures(found: np.ndarray, expected: np.ndarray) -> None:
    """In luma: the colours of H.264 are coarser than the pixels."""
    assert found.shape == expected.shape
    assert np.abs((found - expected) @ BT709_LUMA).max() < 2.5


def test_between_moments_and_back_to_the_first(tmp_path, films, model):
    """By the command itself."""
    files = [films / f"{name}.h5" for name in ("one", "two", "one")]
    words = ("--latents", *files, f"--model={model}", "--moment=0.4", "--moment=0:00:01", "--moment=1.2", "--seconds=0.4")
    words += ("--loop=close", "--height=64", "--crf=0", "--device=cpu")
    path, again = tmp_path / "walk.mp4", tmp_path / "again.mp4"
    assert "30 frames at 25 frames/s, silent" in done(command("render_walk", *words, f"--walk={path}"))  # three times 0.4 s
    moments = np.concatenate([latents_of(films, "one")[[10, 30]], latents_of(films, "two")[[24]]])[[0, 2, 1]]
    assert_pictures(seen(path)[[0, 10, 20]], pictures_of(model, moments))
    known = provenance_of(path)
    assert known["made_by"]["command"] == "render_walk" and known["film"] is None
    assert len(known["films"]) == len(known["latents"]) == 2
    assert "made by     render_walk of refilm" in done(command("provenance", path))
    done(command("render_walk", *words, f"--walk={again}", environment={}))  # with other hashes
    assert again.read_bytes() == path.read_bytes()


def test_along_neighbours_the_way_meets_its_ends(tmp_path, walk):
    path, z = tmp_path / "walk.mp4", latents_of(walk.folder, "one")
    assert "26 frames" in walk(path, ("one", "one"), moment=["0", "1.6"], seconds=1, path="neighbours")
    assert_pictures(seen(path)[[0, -1]], pictures_of(walk.model, z[[0, 40]]))


def test_a_part_slowed_and_backwards(tmp_path, walk):
    path, z = tmp_path / "walk.mp4", latents_of(walk.folder, "one")[10:20]
    assert "19 frames at 25 frames/s" in walk(path, start="0.4", end="0.8", speed=0.5, reverse=True, path="linear")
    between = (z[1:] + z[:-1]) / 2
    expected = np.stack([between[n // 2] if n % 2 else z[n // 2] for n in range(19)])[::-1]
    assert_pictures(seen(path), pictures_of(walk.model, np.ascontiguousarray(expected)))


def test_there_and_back_at_another_rate(tmp_path, walk):
    path, z = tmp_path / "walk.mp4", latents_of(walk.folder, "one")
    assert "48 frames at 25/2 frames/s" in walk(path, fps="12.5", loop="return")
    assert_pictures(seen(path), pictures_of(walk.model, np.concatenate([z[::2], z[::2][-2:0:-1]])))
    assert "12.50 fps" in described(path)


def test_two_films_mixed_by_a_curve(tmp_path, walk):
    path = tmp_path / "walk.mp4"
    assert "40 frames at 24 frames/s" in walk(path, ("one", "two"), mix="0 at 0, 1 at 0:01", fps="24", path="linear")
    first, second = (pictures_of(walk.model, latents_of(walk.folder, name)) for name in ("one", "two"))
    assert_pictures(seen(path)[:1], first[:1])
    assert_pictures(seen(path)[24:], second[24:])  # at its own rate: its own frames


def test_nearest_frames_of_a_film_that_has_the_same_pictures_are_these(tmp_path, walk):
    path, tile = tmp_path / "walk.mp4", (144, 96)
    frames = [str(walk.folder / f"{name}.frames.h5") for name in ("two", "one")]
    printed = walk(path, ("two", "one"), frames=frames, title=["Two", "One"], height=tile[1], start="0.5")
    assert "28 frames beside 7 nearest ones, silent" in printed
    arrangement = Arrangement(2, "row", *tile)
    shown = decoded(path, arrangement.size, EXACT)
    for left, top in map(arrangement.place, range(2)):
        numbers = [number_of(frame) for frame in shown[:, top : top + tile[1], left : left + tile[0]]]
        assert numbers == ([3, 1, 4, 1, 5, 9, 2, 6] * 5)[12:]


@pytest.mark.parametrize(("start", "beep"), [(None, 0.4), ("0.2", 0.2)])
def test_sound_is_laid_under_and_begins_again(tmp_path, walk, start, beep):
    path, source = tmp_path / "walk.mp4", str(walk.folder / "sound.mkv")
    printed = walk(path, speed=0.5, source=source, sound_frames=str(walk.folder / "sound.frames.h5"), sound_start=start)
    period, samples = 1.0 - float(start or 0), samples_in(path)
    assert "99 frames" in printed and "times" in printed
    assert samples.shape[1] / 48000 == pytest.approx(99 / 25, abs=0.03)
    begins = [n * period + at for n in range(6) for at in (beep, beep + 0.5) if n * period + at < 99 / 25]
    assert beeps_in(samples) == pytest.approx(begins, abs=0.003)


def test_a_sound_that_is_longer_is_cut(tmp_path, walk):
    path, source = tmp_path / "walk.mp4", str(walk.folder / "sound.mkv")
    printed = walk(path, end="0.6", source=source, sound_frames=str(walk.folder / "sound.frames.h5"))
    assert "times" not in printed and beeps_in(samples_in(path)) == pytest.approx([0.4], abs=0.003)


def test_a_latents_file_of_ones_own_is_a_walk(tmp_path, walk):
    z = latents_of(walk.folder, "one")[:12].astype(np.float16)
    for name, attributes in (("own", {"fps": "12"}), ("bare", {})):
        with h5py.File(tmp_path / f"{name}.h5", "w") as file:
            file["latents"] = z
            file.attrs.update(attributes)
    walk.folder, path = tmp_path, tmp_path / "walk.mp4"
    assert "12 frames at 12 frames/s" in walk(path, ("own",))
    assert_pictures(seen(path), pictures_of(walk.model, z.astype(np.float32)))
    assert "12 frames at 30 frames/s" in walk(path, ("bare",), fps="30")
    with pytest.raises(RefilmError, match="no attribute fps: give the frame rate"):
        walk(path, ("bare",))


def test_frames_of_a_batch_that_change_each_other_are_decoded_as_those_of_a_film(tmp_path, walk):
    walk.model = save_untrained(tmp_path / "broad.safetensors", recipe_named("broad2016", frame_size="96x64"))
    walk(tmp_path / "walk.mp4", reverse=True)
    backwards = np.ascontiguousarray(latents_of(walk.folder, "one")[::-1])
    assert_pictures(seen(tmp_path / "walk.mp4"), pictures_of(walk.model, backwards))


@pytest.mark.parametrize(
    ("options", "latents", "line"),
    [
        ({"moment": ["1", "9"]}, ("one", "two"), "two.h5: moment 9 lies after the end of the film, which lasts 1.7 s"),
        ({"moment": ["1"]}, ("one",), "--latents and --moment: give as many of each, two or more"),
        (
            {"loop": "close", "blend": 1.5},
            ("one",),
            "1.5 s are 38 frames, more than half of the 50 that it has: lower blend",
        ),
        ({"start": "3"}, ("one",), "walk 'walk': start 0:03 lies after the end of the film"),
        ({"mix": "1"}, ("one",), "--latents: give one file, with --mix two"),
        ({"mix": "upwards"}, ("one", "two"), "--mix: 'upwards' is not a valid curve"),
    ],
)
def test_what_is_no_walk_is_one_line(tmp_path, walk, options, latents, line):
    with pytest.raises(RefilmError, match=line):
        walk(tmp_path / "walk.mp4", latents, **options)
    assert list(tmp_path.iterdir()) == []
