"""One training that is cut by its walltime COUNT times: python -m tests.slurm.many_cuts [COUNT]

Starts a cluster, and prints how often Slurm has queued the training again, and whether its weights are those of an
undisturbed training. A cut takes about 70 s.
"""

import subprocess
import sys
import tempfile
import time
from pathlib import Path

from safetensors.torch import load_file

from tests.helpers import same
from tests.slurm.cluster import missing, running
from tests.slurm.helpers import Held, Run, alone, checkout, errors, model_file, prompt_requeue, queue


def main(count: int) -> None:
    reason = missing(accounting=False)
    if reason:
        sys.exit(reason)
    with running(accounting=False), prompt_requeue(), tempfile.TemporaryDirectory() as name:
        tmp, began = Path(name), time.monotonic()
        steps = 600 * (count + 1)  # a walltime trains 100 to 500 of them before it is held
        folder = checkout(tmp / "checkout", {"one": None}, {"long": {"films": ["one"], "steps": steps}})
        run = Run(folder, model_file("long"))
        held = Held(folder, "long", count, run)
        status = run.wait(3600 * 24)
        held.join()
        restarts = [job[3] for job in queue() if "model_wildcards_long" in job[2]]
        seconds = time.monotonic() - began
        print(f"{steps} steps: exit status {status}, queued again {', '.join(restarts)} times, in {seconds:.0f} s")
        print(f"errors on the terminal: {run.output.count('Error') + len(errors(run))}")
        undisturbed: subprocess.Popen[bytes] = alone(folder, tmp / "alone", "long")
        assert undisturbed.wait() == 0
        equal = same(
            *(load_file(path / "model.safetensors") for path in (folder / "results/models/long", tmp / "alone/long"))
        )
        print(f"weights equal to those of an undisturbed training: {equal}")


if __name__ == "__main__":
    main(int(sys.argv[1]) if len(sys.argv) > 1 else 20)
