"""What made a file: the text, where it is kept in each format, and which film file is the same one."""

import json
import os
import subprocess
from fractions import Fraction
from pathlib import Path

import h5py
import numpy as np
import pytest
import torch
from safetensors import safe_open

from refilm.core import provenance
from refilm.core.errors import RefilmError
from refilm.core.provenance import canonical, film_record, parse_provenance, provenance_text
from refilm.frames.latents import LatentStore, write_latents
from refilm.frames.metadata import FrameMetadata
from refilm.frames.store import FrameStore, write_frames_from
from refilm.media.encode import encode_video
from refilm.media.tags import read_tags
from refilm.models.tensor_file import save_tensors
from refilm.sources import film_identity
from refilm.sources.film_identity import difference, remembered_sha256
from tests.conftest import command, refused
from tests.helpers import comment_of, provenance_of, sha256_of

SOFTWARE = {"command": "extract_frames", "refilm": "0.2.0", "commit": None}
LONG = canonical({"films": [f'é "{n}" = # ; \\ \n' for n in range(20_000)]})  # no argument of a command is that long


def test_equal_records_give_equal_texts():
    one, other = {"a": 1, "b": {"c": 2, "d": "é"}}, {"b": {"d": "é", "c": 2}, "a": 1}
    assert canonical(one) == canonical(other) and canonical(one).isascii()
    text = provenance_text(SOFTWARE, film_record("one", "films/one.mkv", SOFTWARE, sha256="ab"))
    assert parse_provenance(text) == json.loads(text)


@pytest.mark.parametrize("text", [None, "", "not JSON", "7", "{}", '{"film": {}}'])
def test_another_text_is_no_provenance(text):
    assert parse_provenance(text) is None


# --- the commit


def git(folder: Path, *words: str) -> str:
    names = {f"GIT_{who}_{what}": "a@b.c" for who in ("AUTHOR", "COMMITTER") for what in ("NAME", "EMAIL")}
    return subprocess.run(
        ["git", "-C", folder, *words], check=True, capture_output=True, text=True, env=os.environ | names
    ).stdout


@pytest.fixture
def package(tmp_path, monkeypatch) -> Path:
    """The folder of a package in a repository with one commit, which takes the place of refilm's."""
    folder = tmp_path / "checkout" / "package"
    folder.mkdir(parents=True)
    for file in (folder / "__init__.py", folder.parent / "config.yaml"):
        file.write_text("")
    git(folder.parent, "init", "--quiet")
    git(folder.parent, "add", ".")
    git(folder.parent, "commit", "--quiet", "--message", "One")
    monkeypatch.setattr(provenance, "_PACKAGE", folder)
    provenance.commit.cache_clear()
    yield folder
    provenance.commit.cache_clear()


def test_the_commit_is_that_of_the_checkout(package, monkeypatch):
    monkeypatch.setenv("GIT_DIR", "/nowhere")  # as in a hook of another repository
    assert git_head(package).startswith(provenance.commit())


def git_head(folder: Path) -> str:
    environ = {name: value for name, value in os.environ.items() if name != "GIT_DIR"}
    return subprocess.run(["git", "-C", folder, "rev-parse", "HEAD"], capture_output=True, text=True, env=environ).stdout


def test_an_edit_of_the_code_is_reported_and_one_of_the_configuration_is_not(package):
    (package.parent / "config.yaml").write_text("films: {}")
    assert not provenance.commit().endswith("-dirty")
    (package / "__init__.py").write_text("X = 1")
    provenance.commit.cache_clear()
    assert provenance.commit().endswith("-dirty")


def test_a_package_in_the_repository_of_another_project_has_no_commit(package, monkeypatch):
    installed = package / "site-packages"
    installed.mkdir()
    (installed / "__init__.py").write_text("")
    monkeypatch.setattr(provenance, "_PACKAGE", installed)
    assert provenance.commit() is None


@pytest.mark.parametrize("case", ["no repository", "no git"])
def test_without_a_repository_or_git_there_is_no_commit_and_no_error(package, tmp_path, monkeypatch, case):
    if case == "no git":
        monkeypatch.setenv("PATH", str(tmp_path))
    else:
        monkeypatch.setattr(provenance, "_PACKAGE", tmp_path)
    assert provenance.commit() is None


# --- files


def test_a_video_keeps_a_text_of_any_length_and_its_frames(tmp_path):
    frames, path = np.zeros((3, 48, 64, 3), np.uint8), tmp_path / "video.mp4"
    encode_video(path, [frames], 3, (64, 48), Fraction(24), 30, None, "video", provenance=LONG)
    assert len(LONG) > 1 << 18 and comment_of(path) == LONG and read_tags(path).comment == LONG
    encode_video(path, [frames], 3, (64, 48), Fraction(24), 30, None, "video")
    assert b"\xa9cmt" not in path.read_bytes() and read_tags(path).comment == ""


def test_frames_and_latents_keep_a_text_and_no_time(tmp_path):
    text = provenance_text(SOFTWARE, film_record("one", "films/one.mkv", SOFTWARE, sha256="ab"))
    metadata = FrameMetadata(Fraction(24), made_of="{}", provenance=text)
    write_frames_from(tmp_path / "frames.h5", 64, 48, metadata, [np.ones((3, 48, 64, 3), np.uint8)])
    write_latents(tmp_path / "latents.h5", 3, 4, {"provenance": LONG}, [np.ones((3, 4), np.float32)], "{}")
    assert provenance_of(tmp_path / "frames.h5") == json.loads(text)
    assert provenance_of(tmp_path / "latents.h5") == json.loads(LONG)
    for file in ("frames", "latents"):
        with h5py.File(tmp_path / f"{file}.h5") as opened:
            assert h5py.h5g.get_objinfo(opened.id, file.encode()).mtime == 0  # seconds since 1970; 0: none is kept
    with FrameStore(tmp_path / "frames.h5") as frames, LatentStore(tmp_path / "latents.h5") as latents:
        assert frames.metadata.provenance == text and (frames[:] == 1).all() and (latents[:] == 1).all()


@pytest.mark.parametrize("text", ["a", "é", 'a "quote", \\ and \n', "\x01\x7f", "x" * 100_000])
def test_the_same_tensors_make_the_same_file(tmp_path, text):
    """The order in which safetensors writes the metadata is random: of 12 files one would differ."""
    tensors = {
        "b.weight": torch.arange(7, dtype=torch.bfloat16),
        "a": torch.arange(3.0),
        "é": torch.ones(2, dtype=torch.uint8),
    }
    metadata = {"recipe": text, "steps": "6", "refilm": "0.2.0", "torch": "2", "format": "pt"}
    files = [tmp_path / f"{n}.safetensors" for n in range(12)]
    for file in files:
        save_tensors(file, tensors, metadata)
    assert len({file.read_bytes() for file in files}) == 1
    with safe_open(files[0], "pt") as opened:
        assert opened.metadata() == metadata
        assert {name: opened.get_tensor(name).tolist() for name in opened.keys()} == {  # noqa: SIM118 (not a dict)
            name: tensor.tolist() for name, tensor in tensors.items()
        }
    assert int.from_bytes(files[0].read_bytes()[:8], "little") % 8 == 0


def test_latents_of_another_film_file_are_refused(tmp_path):
    for name, sha256 in (("one", "ab"), ("other", "cd"), ("earlier", None)):
        text = provenance_text(SOFTWARE, film_record("one", "films/one.mkv", SOFTWARE, sha256=sha256)) if sha256 else ""
        frames = FrameMetadata(Fraction(24), provenance=text)
        write_frames_from(tmp_path / f"{name}.h5", 64, 48, frames, [np.ones((3, 48, 64, 3), np.uint8)])
        write_latents(tmp_path / f"latents-{name}.h5", 3, 4, {"provenance": text}, [np.ones((3, 4), np.float32)])
    with LatentStore(tmp_path / "latents-one.h5") as latents, FrameStore(tmp_path / "other.h5") as other:
        with pytest.raises(
            RefilmError, match=r"the latents of another film file \(sha256 ab\) than .*other.h5 \(cd\): delete"
        ):
            latents.check_film(other, (64, 48))
        with FrameStore(tmp_path / "one.h5") as one, FrameStore(tmp_path / "earlier.h5") as earlier:
            latents.check_film(one, (64, 48))
            latents.check_film(earlier, (64, 48))
    with LatentStore(tmp_path / "latents-earlier.h5") as latents, FrameStore(tmp_path / "one.h5") as one:
        latents.check_film(one, (64, 48))


# --- the film file


@pytest.fixture
def film(tmp_path) -> Path:
    """A film file, of which the frames file beside it was made; its index is there too."""
    film, index = tmp_path / "film.mkv", tmp_path / "film.json"
    film.write_bytes(b"a film")
    known = {"bytes": film.stat().st_size, "sha256": remembered_sha256(film, index)}
    text = provenance_text(SOFTWARE, film_record("film", str(film), SOFTWARE, **known))
    frames = [np.zeros((1, 48, 64, 3), np.uint8)]
    write_frames_from(tmp_path / "film.h5", 64, 48, FrameMetadata(Fraction(24), provenance=text), frames)
    return film


def compared(film: Path) -> str:
    return difference(film, film.with_suffix(".h5"), film.with_suffix(".json"))


def never(_film: object) -> str:
    raise AssertionError("the film is read")


def test_an_untouched_film_is_the_same_and_not_read(film, monkeypatch):
    monkeypatch.setattr(film_identity, "sha256_of", never)
    assert compared(film) == ""
    assert compared(film.rename(film.with_name("elsewhere.mkv")).rename(film)) == ""


@pytest.mark.parametrize("index", ["known", "lost", "broken"])
def test_a_film_that_was_touched_or_copied_is_read_once(film, monkeypatch, index):
    if index != "known":
        film.with_suffix(".json").write_text("[") if index == "broken" else film.with_suffix(".json").unlink()
    os.utime(film, (1e9, 1e9))
    assert compared(film) == ""
    monkeypatch.setattr(film_identity, "sha256_of", never)
    assert compared(film) == ""


def test_another_size_is_another_film_which_is_not_read(film, monkeypatch):
    monkeypatch.setattr(film_identity, "sha256_of", never)
    film.write_bytes(b"another film")
    assert compared(film) == "its size is 12 bytes, it was 6"


def test_other_bytes_are_another_film(film):
    before = sha256_of(film)
    film.write_bytes(b"A film")
    os.utime(film, (1e9, 1e9))
    assert compared(film) == f"its sha256 is {sha256_of(film)}, it was {before}"
    film.write_bytes(b"a film")
    os.utime(film, (1e9 + 1, 1e9 + 1))
    assert compared(film) == ""


def test_frames_of_an_earlier_version_are_taken_as_they_are(film):
    write_frames_from(film.with_suffix(".h5"), 64, 48, FrameMetadata(Fraction(24)), [np.zeros((1, 48, 64, 3), np.uint8)])
    film.write_bytes(b"another film")
    assert compared(film) == ""


def test_an_index_that_cannot_be_written_is_no_error(film, tmp_path):
    (tmp_path / "file").write_text("")
    assert remembered_sha256(film, tmp_path / "file" / "film.json") == sha256_of(film)


# --- the command


@pytest.mark.parametrize("name", ["a.png", "a.mp4", "a.h5", "a.csv", "a.safetensors", "a.txt"])
def test_a_file_without_it_is_one_line(tmp_path, name):
    (tmp_path / name).write_bytes(b"something else")
    line = refused(command("provenance", tmp_path / name))
    assert line == f"refilm: {tmp_path / name}: no provenance: made by an earlier version of refilm, or by another program"


def test_a_file_that_is_missing_is_one_line(tmp_path):
    assert refused(command("provenance", tmp_path / "a.png")) == f"refilm: {tmp_path}/a.png: No such file or directory"
