"""The comment of a video file: written with it, and read by ffmpeg.

The text is given to ffmpeg in a file in its own format for metadata, since an argument of a command has a limited length.
`comment` is one of the few tags of MP4 that ffmpeg writes without further options.
"""

import re
from pathlib import Path

import ffmpeg

from refilm.media.ffmpeg import command_line, film_input, run_ffmpeg

_HEAD = ";FFMETADATA1\n"
_SPECIAL = re.compile(r"[=;#\\\n]")


def write_comment(path: Path, text: str) -> None:
    """Write the file that `with_comment` adds to a command."""
    path.write_text(f"{_HEAD}comment={_SPECIAL.sub(lambda match: chr(92) + match[0], text)}\n", encoding="utf-8")


def with_comment(command: list[str], file: Path) -> list[str]:
    """The command that makes a video, with the comment of that file as one more input."""
    inputs = [place for place, word in enumerate(command) if word == "-i"]
    end = inputs[-1] + 2
    added = ["-f", "ffmetadata", "-i", f"file:{file}", "-map_metadata", str(len(inputs))]
    return [*command[:end], *added, *command[end:]]


def read_comment(path: Path | str) -> str:
    """The comment of a video file, or an empty string for one without it. Raises RefilmError for any other file."""
    output = ffmpeg.output(film_input(path), "pipe:1", format="ffmetadata", map_metadata=0)
    text, _log = run_ffmpeg(command_line(output, "-v", "error"), str(path))
    match = re.search(r"^comment=((?:[^\\\n]|\\.)*)$", text, re.MULTILINE | re.DOTALL)
    return re.sub(r"\\(.)", r"\1", match[1], flags=re.DOTALL) if match else ""
