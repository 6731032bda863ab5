"""Which device the networks run on, and in which precision."""

import ctypes
import os
import platform
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import torch

from refilm.core.errors import RefilmError
from refilm.models.gpu_slots import reserve_gpus


def choose_device(name: str, gpus: int = 1) -> torch.device:
    """'auto' is a CUDA GPU, else Apple's MPS, else the CPU. Of several GPUs, `gpus` that no other process of refilm uses.

    Raises RefilmError for a device that is not available.
    """
    if name in ("auto", "cuda"):
        reserve_gpus(gpus)
    available = {"cuda": torch.cuda.is_available(), "mps": torch.backends.mps.is_available(), "cpu": True}
    if name == "auto":
        name = next(device for device, present in available.items() if present)
    if not available[name]:
        raise RefilmError(f"device: {name} is not available on this machine: set device: auto, or install its driver")
    if name == "cuda":
        torch.backends.cuda.matmul.allow_tf32 = torch.backends.cudnn.allow_tf32 = True
        torch.backends.cudnn.benchmark = True
    if name == "cpu":
        _keep_freed_memory()
    return torch.device(name)


def device_name(device: torch.device) -> str:
    """The name of the GPU, or of the CPU and how many of its cores may be used."""
    if device.type == "cuda":
        return torch.cuda.get_device_name(device)
    try:
        lines = Path("/proc/cpuinfo").read_text(encoding="utf-8").splitlines()
        name = next(line.partition(":")[2].strip() for line in lines if line.startswith("model name"))
    except (OSError, StopIteration):
        name = platform.processor() or platform.machine()
    if device.type == "mps":
        return f"GPU of {name}"
    cores = len(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else os.cpu_count()
    return f"{name}, {cores} cores"


def has_bfloat16(device: torch.device) -> bool:
    """Whether the hardware multiplies in bfloat16; emulated it would be slower than float32."""
    if device.type == "cuda":
        return torch.cuda.get_device_capability(device) >= (8, 0)
    if device.type == "cpu":
        # every x86 CPU with AMX has avx512_bf16 too
        return torch.cpu._is_avx512_bf16_supported() or torch.cpu._is_amx_tile_supported()
    return False


def compute_type(device: torch.device, precision: str) -> torch.dtype:
    """The dtype of the convolutions: as given, or the best for the device if 'auto'."""
    if precision == "auto":
        return torch.bfloat16 if has_bfloat16(device) else torch.float32
    return {"bfloat16": torch.bfloat16, "float32": torch.float32}[precision]


def autocast(device: torch.device, dtype: torch.dtype) -> torch.autocast:
    """The context in which the networks are called: weights stay float32, convolutions compute in `dtype`."""
    return torch.autocast(device.type, dtype=torch.bfloat16, enabled=dtype == torch.bfloat16)


@contextmanager
def full_float32() -> Iterator[None]:
    """Within the block a GPU multiplies float32 with all its bits, not as TF32."""
    before = torch.backends.cuda.matmul.allow_tf32
    torch.backends.cuda.matmul.allow_tf32 = False
    try:
        yield
    finally:
        torch.backends.cuda.matmul.allow_tf32 = before


@contextmanager
def capture_stream(device: torch.device) -> Iterator[None]:
    """Within the block all work for a CUDA GPU is queued on a stream that can be captured as a graph."""
    if device.type != "cuda":
        yield
        return
    stream = torch.cuda.Stream(device)
    stream.wait_stream(torch.cuda.current_stream(device))
    with torch.cuda.stream(stream):
        yield
    torch.cuda.current_stream(device).wait_stream(stream)


def _keep_freed_memory() -> None:
    """Make glibc keep large blocks for the next step instead of returning them to the kernel and faulting them in again.

    Saves 5 to 27 % of a training step (measured on 2 cores); without glibc it does nothing.
    """
    if sys.platform == "linux":
        mallopt = getattr(ctypes.CDLL(None), "mallopt", None)
        if mallopt is not None:
            mmap_max, trim_threshold = -4, -1  # names and numbers of malloc.h
            mallopt(mmap_max, 0)
            mallopt(trim_threshold, 2**31 - 1)
