"""Errors: one line each, and no half-written file."""

import errno
import os
import stat
import subprocess
import sys
import time

import pytest
from safetensors import SafetensorError

from refilm.core.errors import RefilmError, explain, suggest
from refilm.core.files import atomic_write
from refilm.media.ffmpeg_log import summarise_stderr
from tests.conftest import command, refused


def test_a_full_disk_is_reported_in_plain_words_whichever_library_raised():
    for error in (
        OSError(errno.ENOSPC, "No space left on device", "results/x.h5"),
        OSError(errno.EDQUOT, "Disk quota exceeded"),
        SafetensorError("I/O error: No space left on device (os error 28)"),
    ):
        assert explain(error).startswith("no space left on the disk while writing ")
        assert "make room and run the same command again" in explain(error)
    assert "results/x.h5" in explain(OSError(errno.ENOSPC, "No space left on device", "results/x.h5"))


def test_an_ffmpeg_that_finds_the_disk_full(tmp_path, film):
    """A stand-in for ffmpeg prints its message for a full disk. The earlier result stays."""
    real = os.environ.get("REFILM_FFMPEG") or __import__("imageio_ffmpeg").get_ffmpeg_exe()
    stand_in = tmp_path / "ffmpeg"
    full = "echo 'av_interleaved_write_frame(): No space left on device' >&2; exit 228"
    stand_in.write_text(f'#!/bin/sh\ncase "$*" in *rawvideo*) {full};; esac\nexec "{real}" "$@"\n')
    stand_in.chmod(stand_in.stat().st_mode | stat.S_IXUSR)
    frames = tmp_path / "out" / "film.h5"
    frames.parent.mkdir()
    frames.write_bytes(b"what was there")
    words = (f"--source={film}", f"--frames={frames}", "--size=64x48")
    done = command("extract_frames", *words, environment={"REFILM_FFMPEG": str(stand_in)})
    assert "no space left on the disk" in refused(done)
    assert frames.read_bytes() == b"what was there" and os.listdir(frames.parent) == ["film.h5"]


def test_unexpected_errors_are_one_line_too_and_debug_shows_where():
    assert explain(ValueError("two\nlines")) == "unexpected ValueError: two lines (run with --debug to see where)"
    done = command("extract_frames", "--source=nowhere.mp4", "--frames=x.h5", "--size=64x48", "--debug")
    assert done.returncode == 1 and "Traceback" in done.stderr and "there is no such file" in done.stderr


def test_suggest_names_the_most_similar_name():
    assert suggest("bladeruner", ["bladerunner", "koyaanisqatsi"]) == "; did you mean 'bladerunner'?"
    assert suggest("x", ["b", "a"]) == "; there are: a, b" and suggest("x", []) == ""


def test_stderr_is_summarised_by_the_cause_and_not_by_secondary_errors():
    stderr = """[libx264 @ 0x5615faef06c0] width not divisible by 2 (5x1)
[fc#0 @ 0x55ca0878e980] Error sending frames to consumers: Generic error in an external library
[vost#0:0/libx264 @ 0x55ca087cc900] Task finished with error code: -22 (Invalid argument)
Conversion failed!
"""
    assert summarise_stderr(stderr) == "width not divisible by 2 (5x1)"
    assert summarise_stderr("Conversion failed!\n") == "Conversion failed!" and summarise_stderr("") == ""


def test_a_write_is_atomic(tmp_path):
    path = tmp_path / "folder" / "file.txt"
    with atomic_write(path) as partial:
        partial.write_text("first")
        assert not path.exists()
    assert path.read_text() == "first"
    with pytest.raises(RefilmError), atomic_write(path) as partial:
        partial.write_text("half")
        raise RefilmError("stopped")
    assert path.read_text() == "first" and os.listdir(path.parent) == ["file.txt"]


def test_the_next_write_deletes_what_a_killed_process_left(tmp_path):
    (tmp_path / ".film[1].part123456.h5").write_text("half")
    os.utime(tmp_path / ".film[1].part123456.h5", (1, 1))
    (tmp_path / ".film[1].part.other").write_text("somebody else's")
    with atomic_write(tmp_path / "film[1].h5") as partial:
        partial.write_text("whole")
    assert sorted(os.listdir(tmp_path)) == [".film[1].part.other", "film[1].h5"]


def test_a_step_that_outlived_its_main_process_and_the_same_step_again_write_beside_each_other(tmp_path):
    """The former begins late, and must not delete what the latter has begun to write."""
    code = """
import sys
from pathlib import Path
from refilm.core.files import atomic_write
print("began", flush=True)
sys.stdin.readline()
with atomic_write(Path("film.txt")) as partial:
    partial.write_text("whole")
    print("writes", flush=True)
    sys.stdin.readline()
"""
    words = [sys.executable, "-c", code]
    pipes = {"stdin": subprocess.PIPE, "stdout": subprocess.PIPE, "text": True, "cwd": tmp_path}
    with subprocess.Popen(words, **pipes) as one, subprocess.Popen(words, **pipes) as other:
        for process in (one, other):
            assert process.stdout.readline() == "began\n"
        began = time.time()
        for process in (other, one):
            process.stdin.write("\n")
            process.stdin.flush()
            assert process.stdout.readline() == "writes\n"
            for partial in tmp_path.glob(".film.part*"):  # as the clock of the file system is a second behind
                os.utime(partial, (began - 1, began - 1))
        other.communicate("\n")
        one.communicate("\n")
    assert one.returncode == other.returncode == 0
    assert os.listdir(tmp_path) == ["film.txt"] and (tmp_path / "film.txt").read_text() == "whole"


def test_an_error_about_a_name_with_a_line_break_is_one_line():
    assert explain(RefilmError("new\nline.mkv: this file is empty")) == "new\\nline.mkv: this file is empty"
