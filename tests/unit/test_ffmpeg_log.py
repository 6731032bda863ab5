"""What ffmpeg prints is understood: in recordings of several versions, and in one of the ffmpeg that is used now."""

from collections.abc import Callable
from fractions import Fraction

import pytest

from refilm.media import ffmpeg_log
from refilm.media.ffmpeg_log import ColourTags, FieldCounts, HeaderDuration, ShownFrame
from tests.record_ffmpeg_log import FIXTURES, record

VERSIONS = sorted(folder.name for folder in FIXTURES.iterdir())


@pytest.fixture(scope="module")
def recorded_now(tmp_path_factory):
    folder = tmp_path_factory.mktemp("ffmpeg_log")
    record(folder)
    return folder


@pytest.fixture(params=[*VERSIONS, "now"])
def recording(request) -> Callable[[str], str]:
    """The recorded text of that name; the test is skipped for a version that has none."""
    folder = request.getfixturevalue("recorded_now") if request.param == "now" else FIXTURES / request.param

    def read(name: str) -> str:
        path = folder / f"{name}.txt"
        if not path.exists():
            pytest.skip(f"there is no recording of {name} for this build of ffmpeg")
        return path.read_text(encoding="utf-8")

    return read


def only_video(log: str) -> ffmpeg_log.StreamInfo:
    (stream,) = [stream for stream in ffmpeg_log.parse_streams(log) if stream.kind == "Video"]
    return stream


@pytest.mark.parametrize("name", VERSIONS)
def test_version(name):
    assert ffmpeg_log.parse_version((FIXTURES / name / "version.txt").read_text(encoding="utf-8")) == name


def test_no_version():
    assert ffmpeg_log.parse_version("") == "unknown"


def test_streams_have_their_kind_language_and_title(recording):
    streams = ffmpeg_log.parse_streams(recording("describe_languages"))
    assert [(stream.index, stream.kind, stream.language) for stream in streams] == [
        (0, "Video", ""),
        (1, "Audio", "ger"),
        (2, "Audio", "eng"),
    ]
    assert [stream.title for stream in streams] == ["", "", "Talk, (long)"]


def test_streams_of_a_broadcast_have_their_language(recording):
    streams = ffmpeg_log.parse_streams(recording("describe_broadcast"))
    assert {stream.index: stream.language for stream in streams} == {0: "", 1: "ger", 2: "eng"}


def test_containers(recording):
    assert ffmpeg_log.container_name(recording("describe_languages")) == "matroska"
    assert ffmpeg_log.container_name(recording("describe_progressive")) == "mov"
    assert ffmpeg_log.container_name(recording("describe_no_index")) == ""


def test_broadcast_container(recording):
    assert ffmpeg_log.container_name(recording("describe_broadcast")) == "mpegts"


def test_header_duration(recording):
    assert ffmpeg_log.header_duration(recording("describe_languages")) == HeaderDuration(Fraction(2), Fraction(0))
    assert ffmpeg_log.header_duration(recording("describe_no_index")) is None


def test_codec_size_and_rate_of_the_picture(recording):
    description = only_video(recording("describe_languages")).description
    assert ffmpeg_log.codec_name(description) == "h264"
    assert ffmpeg_log.frame_size(description) == (320, 180)
    assert ffmpeg_log.header_frame_rate(description) == Fraction("23.98")


def test_a_rate_in_thousands_and_none():
    assert ffmpeg_log.header_frame_rate("Video: ffv1, 64x48, 1k fps, 1k tbr") == 1000
    assert ffmpeg_log.header_frame_rate("Video: h264, 64x48") is None and ffmpeg_log.frame_size("Video: h264") == (0, 0)


def test_cover_art(recording):
    streams = [stream for stream in ffmpeg_log.parse_streams(recording("describe_cover")) if stream.kind == "Video"]
    assert [ffmpeg_log.is_cover_art(stream.description) for stream in streams] == [False, True]


def test_declared_progressive(recording):
    assert ffmpeg_log.is_declared_progressive(only_video(recording("describe_progressive")).description)
    field_coded = ffmpeg_log.parse_streams(recording("fields_bff"))[0]
    assert not ffmpeg_log.is_declared_progressive(field_coded.description)


def test_alpha_mode(recording):
    assert ffmpeg_log.has_alpha_mode(recording("describe_alpha"))
    assert not ffmpeg_log.has_alpha_mode(recording("describe_languages"))


def test_dolby_vision_profile_5(recording):
    assert ffmpeg_log.dolby_vision_alone(recording("describe_dolby_vision_5")) == "5"
    assert ffmpeg_log.dolby_vision_alone(recording("describe_progressive")) == ""


def test_dolby_vision_of_av1_without_a_base_layer():
    """The record as ffmpeg prints it, of a stream and in a comment."""
    record = "DOVI configuration record: version: 1.0, profile: {}, level: 1, rpu flag: 1, el flag: 0, bl flag: 1, "
    record += "compatibility id: {}, compression: 0"
    log = "    Side data:\n      {}\n"
    assert ffmpeg_log.dolby_vision_alone(log.format(record.format(10, 0))) == "10"
    for profile, compatibility in ((10, 1), (8, 4), (7, 6), (50, 0)):
        assert ffmpeg_log.dolby_vision_alone(log.format(record.format(profile, compatibility))) == ""
    assert ffmpeg_log.dolby_vision_alone(f"    comment         : {record.format(5, 0)}") == ""


@pytest.mark.parametrize(
    ("description", "tags"),
    [
        ("hevc (Main) (hev1 / 0x31766568), yuv420p(tv, bt709, progressive), 192x144", ("tv", "bt709", "bt709", "bt709")),
        ("hevc (Main 10), yuv420p10le(tv, bt2020nc/bt2020/smpte2084), 64x48", ("tv", "bt2020nc", "bt2020", "smpte2084")),
        ("ffv1, yuv420p10le(10 bpc, pc, bt470bg/unknown/unknown), 64x48", ("pc", "bt470bg", "unknown", "unknown")),
        ("h264 (Main) ([27][0][0][0] / 0x001B), yuv420p(progressive), 96x72", ("unknown",) * 4),
        ("h264 (High), yuv420p(top first), 720x576", ("unknown",) * 4),
        ("rawvideo, bgra, 192x144, 22156 kb/s, 24 fps", ("unknown",) * 4),
    ],
)
def test_colours_of_a_header(description, tags):
    assert ffmpeg_log.header_colour(description) == tags


def test_streams_of_a_broadcast_know_their_programme(recording):
    log = "  Program 1 \n    Metadata:\n  Stream #0:0[0x100]: Video: h264, 96x72\n  Program 7 \n  Stream #0:1: Audio: aac\n"
    log += "  No Program\n  Stream #0:2[0x1ff]: Data: bin_data\n"
    assert [stream.program for stream in ffmpeg_log.parse_streams(log)] == [1, 7, 0]
    assert {stream.program for stream in ffmpeg_log.parse_streams(recording("describe_languages"))} == {0}


def test_layout_and_role_of_soundtracks(recording):
    streams = [stream for stream in ffmpeg_log.parse_streams(recording("describe_languages")) if stream.kind == "Audio"]
    descriptions = [stream.description for stream in streams]
    assert [ffmpeg_log.channel_layout(text) for text in descriptions] == ["mono", "5.1"]
    assert [ffmpeg_log.is_default(text) for text in descriptions] == [True, False]
    assert [ffmpeg_log.is_secondary_track(text) for text in descriptions] == [False, True]
    assert not any(ffmpeg_log.is_codec_unknown(text) for text in descriptions)


def test_unknown_codec(recording):
    streams = [stream for stream in ffmpeg_log.parse_streams(recording("describe_unknown_codec")) if stream.kind == "Audio"]
    assert len(streams) == 2 and all(ffmpeg_log.is_codec_unknown(stream.description) for stream in streams)


def test_index_missing(recording):
    assert ffmpeg_log.is_index_missing(recording("describe_no_index"))
    assert not ffmpeg_log.is_index_missing(recording("describe_languages"))


def test_container_refused(recording):
    assert ffmpeg_log.is_container_refused(recording("describe_playlist"))
    assert not ffmpeg_log.is_container_refused(recording("describe_no_index"))


def test_frames_that_showinfo_prints(recording):
    frames = ffmpeg_log.shown_frames(recording("frames_tff"))
    assert frames == [ShownFrame("yuv422p10le", 128, 96, Fraction(4, 3), "tff")] * 6


def test_colour_tags(recording):
    tags = ffmpeg_log.colour_tags(recording("frames_tff"))
    assert tags == [ColourTags("tv", "bt2020nc", "bt2020", "smpte2084")] * 6


def test_bright_areas_that_cropdetect_prints(recording):
    """A picture of 128x72 with a white border, 12 lines below the top."""
    assert ffmpeg_log.bright_areas(recording("frames_tff")) == [(0, 127, 12, 83)] * 6


def test_field_counts_that_idet_prints(recording):
    assert ffmpeg_log.field_counts(recording("fields_bff")) == FieldCounts(tff=0, bff=40, progressive=0)
    assert ffmpeg_log.field_counts(recording("frames_tff")) is None


def test_times_of_decoded_frames(recording):
    """Of the filter showinfo: its ticks, and of each of six frames time and duration, which version 5 does not print."""
    lines = recording("frames_tff").splitlines()
    assert {ffmpeg_log.time_base(line) for line in lines} == {None, Fraction(1, 24)}
    frames = [frame for line in lines if (frame := ffmpeg_log.decoded_frame(line))]
    assert [time for time, _ in frames] == list(range(6)) and {duration for _, duration in frames} in ({1}, {0})


def test_a_frame_without_a_time():
    line = "[Parsed_showinfo_0 @ 0x1] [info] n:   3 pts:  NOPTS pts_time:NOPTS   duration:      0 duration_time:0 fmt:gray"
    assert ffmpeg_log.decoded_frame(line) == (ffmpeg_log.NO_TIME, 0)


def test_a_message_in_the_middle_of_a_line_about_a_frame():
    """Threads of ffmpeg print into each other's lines."""
    frame = "[showinfo @ 0x1] [info] n:  18 pts:     18 pts_time:0.75 fmt:yuv420p sar:1/1 s:96x64 i:P iskey:0 type:P "
    colour = "[showinfo @ 0x1] [info] color_range:tv color_space:unknown color_primaries:unknown color_trc:unknown"
    assert ffmpeg_log.warning(frame) == ffmpeg_log.warning(colour) == ffmpeg_log.warning("[info] Stream mapping:") == ""
    for line in (frame, colour, colour[:-21]):
        assert ffmpeg_log.warning(f"{line}corrupt decoded frame") == "corrupt decoded frame"
    error = "[mjpeg @ 0x1] [error] error count: 64"
    assert ffmpeg_log.warning(error) == error and ffmpeg_log.decoded_frame(f"{error}{frame[24:]}") == (18, 0)


def test_span_of_packets(recording):
    """A film of 2 s at 24000/1001 whose first 1.2 s an edit list skips: frames and a tick of rounding remain."""
    start, end = ffmpeg_log.framecrc_span(recording("packets").encode().splitlines())
    assert start < end and abs(end - Fraction(8, 10)) < Fraction(1, 20)
    assert ffmpeg_log.framecrc_span([b"#tb 0: 1/25"]) is None


def test_broken_frames(recording):
    """Every frame of this film stands alone, and three were damaged."""
    assert sum(map(ffmpeg_log.is_broken_frame, recording("broken_frames").splitlines())) == 3
    assert not any(map(ffmpeg_log.is_broken_frame, recording("frames_tff").splitlines()))


def test_concealed_frames():
    line = "[h264 @ 0x563f5eda1c00] [info] concealing 24 DC, 24 AC, 24 MV errors in B frame"
    frame = "[showinfo @ 0x1] [info] n:  18 pts:     18 pts_time:0.75 fmt:yuv420p sar:1/1 s:96x64 i:P iskey:0 type:P "
    assert ffmpeg_log.is_concealed_frame(line) and ffmpeg_log.is_concealed_frame(frame + line)
    assert not ffmpeg_log.is_concealed_frame(frame)


@pytest.mark.parametrize("name", ["cut_off_mp4", "cut_off_mkv"])
def test_cut_off(recording, name):
    assert ffmpeg_log.is_cut_off(recording(name)) and not ffmpeg_log.is_cut_off(recording("frames_tff"))


def test_disk_full(recording):
    assert ffmpeg_log.is_disk_full(recording("disk_full")) and not ffmpeg_log.is_disk_full(recording("pipe_closed"))


def test_pipe_closed(recording):
    assert ffmpeg_log.is_pipe_closed(recording("pipe_closed")) and not ffmpeg_log.is_pipe_closed(recording("cut_off_mp4"))


def test_a_summary_names_the_cause_and_not_its_consequences(recording):
    summary = ffmpeg_log.summarise_stderr(recording("encoder_error"))
    assert summary.startswith("Error setting profile baseline.; ") and "Error while opening encoder" in summary
    assert "\n" not in summary and "@ 0x" not in summary


def test_a_summary_of_nothing_but_consequences():
    assert ffmpeg_log.summarise_stderr("Conversion failed!\n") == "Conversion failed!"
    assert ffmpeg_log.summarise_stderr("") == ""
