"""The title, comment and chapters of a video file: written with it, and read by ffmpeg.

They are given to ffmpeg in a file in its own format for metadata, since an argument of a command has a limited length.
`title` and `comment` are among the few tags of MP4 that ffmpeg writes without further options.
"""

import re
from collections.abc import Iterable
from fractions import Fraction
from itertools import chain
from pathlib import Path
from typing import NamedTuple

import ffmpeg

from refilm.media.ffmpeg import command_line, film_input, run_ffmpeg

_SPECIAL = re.compile(r"[=;#\\\n]")
_FIELD = re.compile(r"^(\w+)=((?:[^\\\n]|\\.)*)$", re.MULTILINE | re.DOTALL)
_SHORTEST_CHAPTER = Fraction(1, 10)  # seconds; less is left of one where a cut misses its end by a frame


class Chapter(NamedTuple):
    """A chapter. start, end: seconds, in a result from its first frame, in a film on its file's own clock."""

    start: Fraction
    end: Fraction
    title: str


class Tags(NamedTuple):
    """What a video file says of itself; '' where it does not."""

    title: str = ""
    comment: str = ""
    chapters: tuple[Chapter, ...] = ()

    def part(self, start: Fraction, seconds: Fraction) -> "Tags":
        """The tags of the part of a film that lasts so many seconds from `start` on: chapters are moved, and cut to it."""
        cut = [(max(each.start - start, Fraction(0)), min(each.end - start, seconds), each.title) for each in self.chapters]
        inside = (Chapter(*each) for each in cut if each[1] - each[0] >= _SHORTEST_CHAPTER)
        return self._replace(chapters=tuple(inside))


def write_tags(path: Path, tags: Tags) -> None:
    """Write the file that `with_tags` adds to a command."""
    sections = [";FFMETADATA1", *_fields(title=tags.title, comment=tags.comment)]
    for start, end, title in tags.chapters:
        begins, ends = (round(seconds * 1_000_000) for seconds in (start, end))
        sections += ["[CHAPTER]", "TIMEBASE=1/1000000", f"START={begins}", f"END={ends}", *_fields(title=title)]
    path.write_text("\n".join(sections) + "\n", encoding="utf-8")


def with_tags(command: list[str], file: Path) -> list[str]:
    """The command that makes videos, each with the tags of that file, as one more input, and none of its other inputs."""
    inputs = [place for place, word in enumerate(command) if word == "-i"]
    number, end = str(len(inputs)), inputs[-1] + 2
    maps = ["-map_metadata", number, "-map_chapters", number]
    outputs = (([*maps, word] if word.startswith("file:") else [word]) for word in command[end:])
    return [*command[:end], "-f", "ffmetadata", "-i", f"file:{file}", *chain.from_iterable(outputs)]


def read_tags(path: Path | str) -> Tags:
    """The tags of a video file. Raises RefilmError for any other file."""
    output = ffmpeg.output(film_input(path, copyts=None), "pipe:1", format="ffmetadata")
    text, _log = run_ffmpeg(command_line(output, "-v", "error"), str(path))
    whole, *chapters = (_values(section) for section in re.split(r"(?<!\\)\n\[CHAPTER\]\n", text))
    return Tags(whole.get("title", ""), whole.get("comment", ""), tuple(map(_chapter, chapters)))


def _chapter(values: dict[str, str]) -> Chapter:
    start, end = (int(values[key]) * Fraction(values["timebase"]) for key in ("start", "end"))
    return Chapter(start, end, values.get("title", ""))


def _fields(**values: str) -> Iterable[str]:
    return (f"{key}={_SPECIAL.sub(lambda match: chr(92) + match[0], text)}" for key, text in values.items() if text)


def _values(section: str) -> dict[str, str]:
    return {key.lower(): re.sub(r"\\(.)", r"\1", text, flags=re.DOTALL) for key, text in _FIELD.findall(section)}
