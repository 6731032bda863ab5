"""Recordings of what an ffmpeg prints, for the tests of refilm.media.ffmpeg_log.

    REFILM_FFMPEG=/path/to/ffmpeg python -m tests.record_ffmpeg_log

Makes small films whose properties the tests know, lets the same ffmpeg describe, decode and fail on them, and keeps its
output in tests/unit/fixtures/ffmpeg_log/VERSION/. To be run once for each new version of ffmpeg.
"""

import os
import subprocess
import tempfile
from collections.abc import Iterator
from pathlib import Path

from refilm.media.ffmpeg import executable, version

FIXTURES = Path(__file__).parent / "unit" / "fixtures" / "ffmpeg_log"
_PICTURE = "testsrc2=size=320x180:rate=24000/1001:duration=2"
_BARS = "testsrc2=size=128x72:rate=24:duration=0.25,drawbox=color=white:t=2,pad=128:96:0:12,format=yuv422p10le"
_TAGS = "setsar=4/3,setparams=field_mode=tff:color_primaries=bt2020:color_trc=smpte2084:colorspace=bt2020nc:range=tv"
_DOLBY_VISION_5 = bytes((1, 0, 5 << 1, 1 << 3 | 0b101)) + bytes(20)  # version 1.0, profile 5, level 1, RPU and base layer


def record(target: Path) -> None:
    """Write the recordings of the present ffmpeg to the folder `target`."""
    target.mkdir(parents=True, exist_ok=True)
    with tempfile.TemporaryDirectory() as folder:
        _make_films(Path(folder))
        for name, text in _recordings(Path(folder)):
            if text:  # some builds crash on some containers: the static 7.0.2 on MPEG-TS
                (target / f"{name}.txt").write_text(text, encoding="utf-8")


def _recordings(folder: Path) -> Iterator[tuple[str, str]]:
    """(name, text) of each recording."""

    def stdout(*words: str) -> str:
        return _run(folder, *words).stdout

    def stderr(*words: str) -> str:
        return _run(folder, *words).stderr

    to_null = ("-fps_mode", "passthrough", "-f", "null", "-")
    yield "version", stdout("-version").partition("\n")[0] + "\n"
    for name in ("languages.mkv", "broadcast.ts", "cover.mp4", "progressive.mp4", "alpha.webm", "unknown_codec.mkv",
                 "no_index.mp4", "dolby_vision_5.mp4"):  # fmt: skip
        yield f"describe_{name.partition('.')[0]}", stderr("-i", name)
    yield "describe_playlist", stderr("-format_whitelist", "mov,matroska", "-i", "playlist.m3u8")
    measured = "showinfo=checksum=0,cropdetect=limit=24/255:reset=1:skip=0"
    yield "frames_tff", stderr("-f", "lavfi", "-i", _BARS, "-vf", f"{_TAGS},{measured}", *to_null)
    yield "fields_bff", stderr("-i", "fields.mkv", "-vf", "idet", *to_null)
    yield "packets", stdout("-i", "edit_list.mp4", "-map", "0", "-c", "copy", "-copyinkf", "-f", "framecrc", "-")
    yield "broken_frames", stderr("-v", "repeat+level+warning", "-i", "broken.mkv", *to_null)
    yield "cut_off_mp4", stderr("-i", "cut_off.mp4", "-c", "copy", "-f", "null", "-")
    yield "cut_off_mkv", stderr("-i", "cut_off.mkv", "-c", "copy", "-f", "null", "-")
    if Path("/dev/full").exists():  # on Linux
        yield "disk_full", stderr("-i", "progressive.mp4", "-f", "rawvideo", "/dev/full")
    yield "pipe_closed", _closed_pipe(folder)
    wrong_profile = ("-f", "lavfi", "-i", "color=size=64x48:duration=1,format=yuv444p", "-profile:v", "baseline")
    yield "encoder_error", stderr("-v", "warning", *wrong_profile, "-c:v", "libx264", "encoder_error.mp4")


def _make_films(folder: Path) -> None:
    """The films that are described, decoded and refused."""

    def make(*words: str) -> None:
        assert _run(folder, "-v", "error", *words).returncode == 0, words

    picture = ("-f", "lavfi", "-i", _PICTURE)
    tones = ("-f", "lavfi", "-i", "sine=300:duration=2", "-f", "lavfi", "-i", "anullsrc=5.1:d=2")
    tags = ("-metadata:s:a:0", "language=ger", "-metadata:s:a:1", "language=eng", "-metadata:s:a:1", "title=Talk, (long)")
    tags += ("-disposition:a:0", "default", "-disposition:a:1", "comment")
    both = (*picture, *tones, "-map", "0", "-map", "1", "-map", "2", *tags)
    make(*both, "-c:v", "libx264", "-c:a", "flac", "languages.mkv")
    make(*both, "-c:v", "mpeg2video", "-c:a", "ac3", "broadcast.ts")
    make("-f", "lavfi", "-i", "color=size=640x640", "-frames:v", "1", "cover.png")
    covered = ("-i", "languages.mkv", "-i", "cover.png", "-map", "0:v", "-map", "1", "-c", "copy")
    make(*covered, "-disposition:v:1", "attached_pic", "cover.mp4")
    plain = ("-vf", "setfield=prog", "-c:v", "libx264", "-g", "12", "-pix_fmt", "yuv420p", "-movflags", "+faststart")
    make(*picture, *plain, "progressive.mp4")
    make(*picture, "-vf", "format=yuva420p", "-c:v", "libvpx-vp9", "-deadline", "realtime", "alpha.webm")
    make("-ss", "1.2", "-i", "progressive.mp4", "-c", "copy", "edit_list.mp4")
    make("-i", "progressive.mp4", "-c", "copy", "whole.mkv")
    moving = "mandelbrot=size=320x240:rate=50,scroll=h=0.01,tinterlace=interleave_bottom"
    make("-f", "lavfi", "-i", moving, "-frames:v", "40", "-field_order", "bb", "-c:v", "ffv1", "fields.mkv")
    make(*picture, "-pix_fmt", "yuv420p", "-c:v", "mpeg2video", "-g", "1", "-q:v", "2", "intra.mkv")
    damage = "noise=amount='if(between(n,10,12),-200,0)'"
    make("-i", "intra.mkv", "-c", "copy", "-bsf:v", damage, "broken.mkv")
    _derive(folder)


def _derive(folder: Path) -> None:
    """Films that are cut off, or that have a box, a codec or an address of another kind."""

    def write(name: str, content: bytes) -> None:
        (folder / name).write_bytes(content)

    plain, whole = (folder / "progressive.mp4").read_bytes(), (folder / "whole.mkv").read_bytes()
    write("cut_off.mp4", plain[: len(plain) * 6 // 10])
    write("cut_off.mkv", whole[: len(whole) * 6 // 10])
    write("no_index.mp4", plain[: plain.index(b"moov") - 4] + plain[plain.index(b"mdat") - 4 :])
    write("dolby_vision_5.mp4", _with_dolby_vision((folder / "edit_list.mp4").read_bytes()))
    write("unknown_codec.mkv", (folder / "languages.mkv").read_bytes().replace(b"A_FLAC", b"A_FLOC"))
    write("playlist.m3u8", b"#EXTM3U\n#EXT-X-TARGETDURATION:9\n#EXTINF:9,\nsegment.ts\n#EXT-X-ENDLIST\n")


def _with_dolby_vision(content: bytes) -> bytes:
    """An MP4 with its index at its end whose video is tagged as Dolby Vision profile 5."""
    box = (8 + len(_DOLBY_VISION_5)).to_bytes(4, "big") + b"dvcC" + _DOLBY_VISION_5
    place = content.index(b"avcC") - 4
    grown = bytearray(content[:place] + box + content[place:])
    for name in (b"avc1", b"stsd", b"stbl", b"minf", b"mdia", b"trak", b"moov"):
        start = content.rindex(name, 0, place) - 4
        size = int.from_bytes(content[start : start + 4], "big") + len(box)
        grown[start : start + 4] = size.to_bytes(4, "big")
    return bytes(grown)


def _closed_pipe(folder: Path) -> str:
    """What ffmpeg prints when the reader of its output closes the pipe."""
    reading, writing = os.pipe()
    words = ["-v", "error", "-f", "lavfi", "-i", "testsrc2=size=640x480:duration=5", "-f", "rawvideo", "pipe:1"]
    process = subprocess.Popen([executable(), *words], cwd=folder, stdout=writing, stderr=subprocess.PIPE, text=True)
    os.close(writing)
    os.read(reading, 1000)
    os.close(reading)
    return process.communicate()[1]


def _run(folder: Path, *words: str) -> subprocess.CompletedProcess[str]:
    command = [executable(), "-hide_banner", "-nostdin", "-nostats", "-y", *words]
    return subprocess.run(command, cwd=folder, capture_output=True, text=True, errors="replace")


if __name__ == "__main__":
    record(FIXTURES / version())
    print(FIXTURES / version())
