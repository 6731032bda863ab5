"""training.csv: a row every few steps, appended as it happens, and cut back to the checkpoint when a run continues."""

import csv
import time
from contextlib import contextmanager
from pathlib import Path

from refilm.core.files import atomic_write

_SHOWN = {  # column: how it is said beside the bar
    "psnr": "PSNR {:.1f} dB",
    "feature_loss": "feature loss {:.3f}",
    "kl_bits": "KL {:.0f} bits",
    "d_real": "D(film) {:.2f}",
    "d_recon": "D(rebuilt) {:.2f}",
}


def format_progress(row: dict[str, float]) -> str:
    """What of a row stands beside the progress bar: the rate, how near the frames are, and who is winning: how sure the
    discriminator is that film is film, and that rebuilt frames are."""
    said = [said.format(row[name]) for name, said in _SHOWN.items() if name in row]
    return ", ".join([f"{row['frames_per_s']:,.0f} frames/s", *said])


class TrainingLog:
    """Writes rows of: step, epoch, seconds (of training, previews and checkpoints not counted), frames_per_s, measures."""

    def __init__(self, path: Path, step: int, batch: int, frames: int):
        self.path, self.batch, self.frames = Path(path), batch, frames
        self._step, self._seconds = step, self._truncate(step)
        self._began = time.perf_counter()

    def write(self, step: int, means: dict[str, float | str]) -> dict[str, float | str]:
        """Append the row of the steps since the last one; `means` are its measures. Returns the row."""
        count, now = step - self._step, time.perf_counter()
        lasted = max(1e-9, now - self._began)
        self._began, self._step, self._seconds = now, step, self._seconds + lasted
        row = {
            "step": step,
            "epoch": round(step * self.batch / self.frames, 4),
            "seconds": round(self._seconds, 3),
            "frames_per_s": round(count * self.batch / lasted, 2),
        } | {name: value if isinstance(value, str) else float(f"{value:.6g}") for name, value in means.items()}
        new = not self.path.exists()
        with open(self.path, "a", newline="") as file:
            writer = csv.DictWriter(file, row)
            if new:
                writer.writeheader()
            writer.writerow(row)
        return row

    @contextmanager
    def pause(self):
        """What happens in the block is no training time."""
        began = time.perf_counter()
        yield
        self._began += time.perf_counter() - began

    def _truncate(self, step: int) -> float:
        """Drop the rows after `step`, which will be made again, and return the seconds trained up to it."""
        self.path.parent.mkdir(parents=True, exist_ok=True)
        if not self.path.exists():
            return 0.0
        with open(self.path, newline="") as file:
            reader = csv.DictReader(file)
            names, rows = reader.fieldnames, [row for row in reader if int(row["step"]) <= step]
        if not rows:
            self.path.unlink()
            return 0.0
        with atomic_write(self.path) as partial, open(partial, "w", newline="") as file:
            writer = csv.DictWriter(file, names)
            writer.writeheader()
            writer.writerows(rows)
        return float(rows[-1]["seconds"])
