"""What an HDF5 file is made of, as text that is read without an HDF5 library: a plan compares it with the configuration.

It lies in the user block, the bytes before an HDF5 file that the format leaves to applications, or in a frames file, whose
header has room, at TEXT_OFFSET. There the provenance lies too, at PROVENANCE_OFFSET, beside the attribute that has it.
"""

from pathlib import Path
from typing import BinaryIO

TEXT_OFFSET = 1 << 19
PROVENANCE_OFFSET = 3 << 18
FRAMES_OFFSET = 1 << 20  # where the frames of a frames file begin
_SIGNATURE = b"\x89HDF"
_END = b"\0"
_SMALLEST_BLOCK = 512  # the format allows that times any power of 2
_MOST = 1 << 16  # bytes of a text


def block_size(text: str) -> int:
    """The size of a user block that holds the text; 0 for no text."""
    size = _SMALLEST_BLOCK if text else 0
    while text and size < len(text.encode()) + len(_END):
        size *= 2
    return size


def write_made_of(path: Path, text: str, offset: int = 0) -> None:
    """Write the text into a user block of that size, or at the offset."""
    if text:
        with open(path, "rb+") as file:
            file.seek(offset)
            file.write(text.encode() + _END)


def read_made_of(path: Path | str) -> str:
    """The text, or an empty string for a file without one, and where there is no file."""
    try:
        with open(path, "rb") as file:
            return _text(file, TEXT_OFFSET if file.read(len(_SIGNATURE)) == _SIGNATURE else 0)
    except OSError:
        return ""


def read_provenance(path: Path | str) -> str:
    """The provenance of a frames file, or an empty string for one without it, and where there is no file."""
    try:
        with open(path, "rb") as file:
            return _text(file, PROVENANCE_OFFSET)
    except OSError:
        return ""


def _text(file: BinaryIO, offset: int) -> str:
    file.seek(offset)
    text, end, _ = file.read(_MOST).partition(_END)
    return text.decode("utf-8", "replace") if end else ""
