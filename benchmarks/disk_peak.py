"""Claim: 10 features by 10 models under `jobs: 50` never take more disk than their frames and results and 5 GB.

    python -m benchmarks.disk_peak [FILMS] [MODELS] [JOBS]

A simulation: every job begins as soon as what it needs is there and one of JOBS is free, in the order of the chain. A job
takes its disk when it begins, as what it writes lies beside the result until it is complete. Times and sizes are the unit
figures of docs/scale.md, for two hours at 24 frames/s, 256x144, base_channels 80.
"""

import heapq
import sys
from collections.abc import Iterable
from dataclasses import dataclass, field

FRAMES = 172_800  # of two hours
CHECKPOINT, MODEL = 1.064, 0.266  # GB
FRAMES_GB = FRAMES * 256 * 144 * 3 / 1e9
LATENTS_GB = FRAMES * 200 * 4 / 1e9
VIDEO_GB = FRAMES * 1300 / 1e9
CLIP_GB = FRAMES * 10_400 / 1e9


@dataclass(order=True)
class Job:
    """seconds: how long it runs; during, after: GB on the disk while it runs and when it has ended."""

    order: int
    seconds: float = field(compare=False)
    during: float = field(compare=False)
    after: float = field(compare=False)
    needs: list["Job"] = field(compare=False, default_factory=list)
    done: bool = field(compare=False, default=False)


def main(films: int = 10, models: int = 10, jobs: int = 50) -> float:
    work = list(_jobs(films, models))
    final, peak = sum(job.after for job in work), _peak(work, jobs)
    print(f"disk_peak: {films} x {models}, jobs: {jobs}: peak {peak:,.1f} GB, frames and results {final:,.1f} GB")
    print(f"disk_peak: {peak - final:+.1f} GB, goal at most +5 GB")
    return peak - final


def _jobs(films: int, models: int) -> Iterable[Job]:
    frames = [Job(0, FRAMES / 848, FRAMES_GB, FRAMES_GB) for _ in range(films)]
    kept = 2 * CHECKPOINT + MODEL
    trained = [Job(1, 6 * FRAMES / 180, kept + CHECKPOINT, kept, [frames[n % films]]) for n in range(models)]
    yield from frames
    yield from trained
    for film in frames:
        for model in trained:
            latents = Job(2, FRAMES / 210, LATENTS_GB, LATENTS_GB, [film, model])
            yield latents
            yield Job(3, FRAMES / 135, VIDEO_GB, VIDEO_GB, [latents])
            yield Job(4, 2 * FRAMES / 135, CLIP_GB, CLIP_GB, [latents])


def _peak(work: list[Job], slots: int) -> float:
    """The most that is on the disk at any time, in GB."""
    waiting, running = sorted(work), []
    now, disk, peak = 0.0, 0.0, 0.0
    while waiting or running:
        ready = [job for job in waiting if all(need.done for need in job.needs)]
        for job in ready[: slots - len(running)]:
            waiting.remove(job)
            heapq.heappush(running, (now + job.seconds, id(job), job))
            disk += job.during
        peak = max(peak, disk)
        now, _, ended = heapq.heappop(running)
        ended.done, disk = True, disk - ended.during + ended.after
    return peak


if __name__ == "__main__":
    main(*map(int, sys.argv[1:]))
