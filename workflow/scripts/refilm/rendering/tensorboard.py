"""A training in TensorBoard: the metrics of training.csv, and the previews."""

import csv
import time
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np
from PIL import Image

from refilm.core.errors import RefilmError
from refilm.rendering.previews import preview_sheets

if TYPE_CHECKING:
    from torch.utils.tensorboard import SummaryWriter

_GROUPS = {"d_": "discriminator", "l_": "loss", "frames_per_s": "speed", "seconds": "speed"}
_OMITTED = ("step", "epoch")

Row = dict[str, Any]  # a row of training.csv: numbers, and '' for what was not measured


class TensorBoardLogger:
    """Writes the event files of one model. They are a copy: written again from training.csv and the previews whenever a
    training starts or continues, so that no step is there twice, and then continued with every row."""

    def __init__(self, folder: Path, log: Path, previews: Path):
        """Raises RefilmError if the package is not installed: refilm does not require it."""
        try:
            from torch.utils.tensorboard import SummaryWriter
        except ImportError as error:
            raise RefilmError(
                "tensorboard: the package is not installed: pip install tensorboard, or set tensorboard: false"
            ) from error
        self._writer_class = SummaryWriter
        self._writer: SummaryWriter | None = None
        self._started = 0.0
        self.folder, self.log, self.previews = folder, log, previews

    def close(self) -> None:
        """Finish the files."""
        if self._writer is not None:
            self._writer.close()

    def add_row(self, row: Row) -> None:
        """Add a row that was appended to training.csv."""
        if self._writer is None:
            self._start()
        else:
            _add(self._writer, row, self._started + row["seconds"])

    def add_sheet(self, step: int, sheet: Path) -> None:
        """Add a preview that was written to its folder."""
        if self._writer is not None:
            self._writer.add_image("previews", np.asarray(Image.open(sheet)), step, dataformats="HWC")

    def _start(self) -> None:
        """Write everything so far into new files."""
        for old in self.folder.glob("events.out.tfevents.*"):
            old.unlink()
        with open(self.log, newline="") as file:
            rows = [{name: float(value) for name, value in row.items() if value} for row in csv.DictReader(file)]
        self._started = time.time() - rows[-1]["seconds"]
        # purge_step: a TensorBoard that is running discards what it read from the old files
        self._writer = self._writer_class(str(self.folder), purge_step=0)
        for row in rows:
            _add(self._writer, row, self._started + row["seconds"])
        for step, sheet in preview_sheets(self.previews):
            if step <= rows[-1]["step"]:  # later ones are of a run that was killed, and will be made again
                self.add_sheet(step, sheet)


def _add(writer: "SummaryWriter", row: Row, seconds: float) -> None:
    """Write the metrics of a row; seconds: of the clock, when they were measured."""
    for name in row.keys() - set(_OMITTED):
        if row[name] != "":  # measured at this step
            writer.add_scalar(_tag(name), row[name], int(row["step"]), walltime=seconds)


def _tag(name: str) -> str:
    """'loss/l_gan' of 'l_gan': TensorBoard groups by the part before the slash."""
    if name.endswith("_grad_norm"):
        return f"gradient/{name.removesuffix('_grad_norm')}"
    group = next((group for start, group in _GROUPS.items() if name.startswith(start)), "training")
    return f"{group}/{name}"
