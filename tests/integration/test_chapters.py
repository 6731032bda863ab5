"""What a result says of itself: the film's title, its chapters at their places, our comment, and nothing else."""

import re

import pytest

from tests.conftest import command, described, ffmpeg
from tests.helpers import done, through

METADATA = """;FFMETADATA1
title=Rain\\; \\=2
artist=nobody
[CHAPTER]
TIMEBASE=1/1000
START={}
END={}
title=one \\#1
[CHAPTER]
TIMEBASE=1/1000
START={}
END={}
title=two
[CHAPTER]
TIMEBASE=1/1000
START={}
END={}
title=three
"""
CHAPTER = re.compile(r"Chapter #0:\d+: start ([\d.]+), end ([\d.]+)\s+Metadata:\s+title +: (.*)")


def film_of_chapters(path, begins):
    """Six seconds whose clock begins at `begins`; chapters of two seconds each; two audio streams, the first English."""
    clock = [1000 * (begins + second) for second in (0, 2, 2, 4, 4, 6)]
    (path.parent / "metadata.txt").write_text(METADATA.format(*clock))
    sources = ("-f", "lavfi", "-i", "testsrc2=size=64x48:rate=24:duration=6", "-f", "lavfi", "-i", "sine=440:duration=9")
    tags = ("-map_chapters", 2, "-map_metadata", 2, "-metadata:s:a", "language=eng", "-metadata:s:a", "title=Stereo")
    plain = path.parent / "plain.mkv"
    ffmpeg(*sources, "-c:v", "libx264", "-bf", 0, "-c:a", "flac", "-output_ts_offset", begins, plain)
    ffmpeg("-copyts", "-i", plain, "-i", plain, "-i", path.parent / "metadata.txt", *tags, "-c", "copy", "-copyts", path)
    return path


def chapters(video) -> list[tuple[float, float, str]]:
    return [(float(start), float(end), title.strip()) for start, end, title in CHAPTER.findall(described(video))]


def seconds(video) -> float:
    hours, minutes, rest = re.search(r"Duration: (\d+):(\d+):([\d.]+)", described(video)).groups()
    return int(hours) * 3600 + int(minutes) * 60 + float(rest)


@pytest.mark.parametrize("begins", [0, 7])
@pytest.mark.parametrize("suffix", [".mkv", ".mp4"])
def test_chapters_are_cut_and_moved_with_the_film(tmp_path, grey_model, begins, suffix):
    film = film_of_chapters(tmp_path / f"film{suffix}", begins)
    video = through(film, tmp_path, grey_model, "--start=1", "--end=4")
    assert chapters(video) == [(0, 1, "one #1"), (1, 3, "two")] and seconds(video) == 3
    shown = described(video)
    assert "title           : Rain; =2" in shown and "comment " in shown and "(eng): Audio" in shown
    assert "nobody" not in shown and "Stereo" not in shown


def test_a_film_used_whole_keeps_all_chapters_and_ends_with_its_picture(tmp_path, grey_model):
    video = through(film_of_chapters(tmp_path / "film.mkv", 0), tmp_path, grey_model)
    assert chapters(video) == [(0, 2, "one #1"), (2, 4, "two"), (4, 6, "three")] and seconds(video) == 6


def test_none_in_a_comparison_and_none_where_none_are_wanted(tmp_path, grey_model):
    film = film_of_chapters(tmp_path / "film.mkv", 0)
    through(film, tmp_path, grey_model)
    given = (f"--source={film}", "--device=cpu", f"--latents={tmp_path / 'latents.h5'}")
    clip, video = tmp_path / "clip.mp4", tmp_path / "none.mp4"
    compared = (
        f"--frames={tmp_path / 'frames.h5'}",
        f"--models={grey_model}",
        "--title=A",
        "--by=B",
        f"--clip={clip}",
        "--end=3",
    )
    done(command("render_comparison", *given, *compared))
    done(command("render_video", *given, f"--model={grey_model}", f"--video={video}", "--chapters=none"))
    for result, length in ((clip, 3), (video, 6)):
        assert chapters(result) == [] and seconds(result) == length
        assert "Data:" not in described(result) and "title           : Rain; =2" in described(result)


def test_each_shot_can_be_a_chapter(tmp_path, grey_model):
    """Three pictures that have nothing in common, of one and a half, one and two seconds."""
    pictures = ("testsrc2", "mandelbrot", "smptebars")
    sources = [
        f"{name}=size=64x48:rate=24,trim=duration={length}" for name, length in zip(pictures, (1.5, 1, 2), strict=True)
    ]
    graph = "".join(f"{source},format=yuv420p,setsar=1[{n}];" for n, source in enumerate(sources))
    film, table = tmp_path / "film.mp4", tmp_path / "shots.csv"
    ffmpeg("-filter_complex", f"{graph}[0][1][2]concat=n=3[v]", "-map", "[v]", film)
    video = through(film, tmp_path, grey_model)
    done(command("list_shots", f"--frames={tmp_path / 'frames.h5'}", f"--shots={table}"))
    words = (f"--latents={tmp_path / 'latents.h5'}", f"--model={grey_model}", f"--video={video}", "--device=cpu")
    done(command("render_video", *words, "--chapters=shots", f"--shots={table}"))
    assert chapters(video) == [(0, 1.5, "Shot 1"), (1.5, 2.5, "Shot 2"), (2.5, 4.5, "Shot 3")]
