"""Tensors as a safetensors file, which has the same bytes for the same tensors and metadata."""

import json
from collections.abc import Mapping
from pathlib import Path

import torch
from safetensors.torch import save_file

_LENGTH_BYTES = 8  # of the header's length, at the start of the file


def save_tensors(path: Path | str, tensors: Mapping[str, torch.Tensor], metadata: dict[str, str]) -> None:
    """Write tensors of any device, and the metadata sorted by its keys."""
    save_file({name: tensor.detach().cpu().contiguous() for name, tensor in tensors.items()}, path, metadata)
    _sort_metadata(Path(path))


def _sort_metadata(path: Path) -> None:
    """safetensors writes the metadata in random order. In another order it has the same length, so the header is written
    over itself, and the tensors after it keep their places."""
    with open(path, "rb+") as file:
        length = int.from_bytes(file.read(_LENGTH_BYTES), "little")
        header = json.loads(file.read(length))
        header["__metadata__"] = dict(sorted(header["__metadata__"].items()))
        text = json.dumps(header, separators=(",", ":"), ensure_ascii=False).encode()
        if len(text) > length:
            raise ValueError(f"{path}: the header has {len(text)} bytes, where safetensors wrote {length}")
        file.seek(_LENGTH_BYTES)
        file.write(text.ljust(length))  # with spaces, as safetensors aligns it
