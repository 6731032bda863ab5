"""training.csv: a row every few steps, appended while training runs, and truncated to the checkpoint when it continues."""

import csv
import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from refilm.core.files import atomic_write

_PROGRESS_FORMATS = {  # column: how it is shown beside the progress bar
    "psnr": "PSNR {:.1f} dB",
    "feature_loss": "feature loss {:.3f}",
    "kl_bits": "KL {:.0f} bits",
    "d_real": "D(film) {:.2f}",
    "d_recon": "D(reconstruction) {:.2f}",
    "d_prior": "D(sample) {:.2f}",
}

Row = dict[str, float | str]


def format_progress(row: Row) -> str:
    """What of a row is shown beside the progress bar: the rate, the quality, and the discriminator's mean outputs."""
    # of reconstructions rather than of prior samples, where there are both: the line is narrow
    measured = {name for name, value in row.items() if not isinstance(value, str)}
    names = [name for name in _PROGRESS_FORMATS if name in measured and not (name == "d_prior" and "d_recon" in row)]
    shown = [_PROGRESS_FORMATS[name].format(row[name]) for name in names]
    return ", ".join([f"{row['frames_per_s']:,.0f} frames/s", *shown])


class TrainingLog:
    """Writes rows of: step, epoch, seconds (of training, without previews and checkpoints), frames_per_s, metrics."""

    def __init__(self, path: Path, step: int, batch: int, frames: int):
        self.path, self.batch, self.frames = Path(path), batch, frames
        self._names: list[str] = []
        self._step, self._seconds = step, self._truncate(step)
        self._began = time.perf_counter()

    def write(self, step: int, means: Row) -> Row:
        """Append the row of the steps since the last one; `means` are its metrics. Returns the row."""
        count, now = step - self._step, time.perf_counter()
        elapsed = max(1e-9, now - self._began)
        self._began, self._step, self._seconds = now, step, self._seconds + elapsed
        row = {
            "step": step,
            "epoch": round(step * self.batch / self.frames, 4),
            "seconds": round(self._seconds, 3),
            "frames_per_s": round(count * self.batch / elapsed, 2),
        } | {name: value if isinstance(value, str) else float(f"{value:.6g}") for name, value in means.items()}
        new = not self.path.exists()
        self._names = self._names or list(row)
        with open(self.path, "a", newline="") as file:
            writer = csv.DictWriter(file, self._names)
            if new:
                writer.writeheader()
            writer.writerow(row)
        return row

    @contextmanager
    def pause(self) -> Iterator[None]:
        """The block does not count as training time."""
        began = time.perf_counter()
        yield
        self._began += time.perf_counter() - began

    def _truncate(self, step: int) -> float:
        """Drop the rows after `step`, which will be written again, and return the seconds trained up to it."""
        self.path.parent.mkdir(parents=True, exist_ok=True)
        if not self.path.exists():
            return 0.0
        with open(self.path, newline="") as file:
            reader = csv.DictReader(file)
            names, rows = reader.fieldnames or [], [row for row in reader if int(row["step"]) <= step]
        if not rows:
            self.path.unlink()
            return 0.0
        with atomic_write(self.path) as partial, open(partial, "w", newline="") as file:
            writer = csv.DictWriter(file, names)
            writer.writeheader()
            writer.writerows(rows)
        self._names = list(names)
        return float(rows[-1]["seconds"])
