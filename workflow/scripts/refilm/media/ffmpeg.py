"""Running ffmpeg: which executable, with which restrictions, and its error message when it fails.

ffmpeg-python builds the graphs; this module runs the process. A film file is not trusted: it is opened through the
`file` protocol alone and never as an option, and only as a container that holds its streams itself. Playlists, concat
lists, scripts and patterns of image names, whose demuxers open the files that they name, are none of those.
"""

import contextlib
import functools
import os
import shutil
import subprocess
import sys
import tempfile
import threading
import time
from collections.abc import Callable, Sequence
from fractions import Fraction
from pathlib import Path
from typing import IO, BinaryIO

import ffmpeg
import imageio_ffmpeg
from ffmpeg.nodes import FilterableStream, OutputStream

from refilm.core.errors import RefilmError
from refilm.core.signals import cleanup_on_signal, kill_child
from refilm.media.ffmpeg_log import is_disk_full, parse_version, summarise_stderr

# Demuxers that read the one file that they are given, by ffmpeg's names.
_CONTAINERS = (
    "3dostr,4xm,aac,ac3,aiff,amr,anm,ape,apng,asf,asf_o,au,av1,avi,avs2,avs3,bethsoftvid,bfi,bink,c93,caf,cavsvideo,cine,"
    "dfa,dhav,dirac,dnxhd,dsicin,dts,dv,dxa,ea,eac3,evc,film_cpk,flac,flic,flv,gdv,gif,gxf,h261,h263,h264,hevc,hnm,idcin,iff,"
    "ifv,ipmovie,ipu,iv8,ivf,ivr,jv,kux,live_flv,lmlm4,lxf,m4v,matroska,webm,mgsts,mjpeg,mjpeg_2000,mm,mov,mp4,m4a,3gp,"
    "3g2,mj2,mp3,mpeg,mpegts,mpegvideo,mpjpeg,msnwctcp,mtv,mv,mvi,mxf,mxg,nsv,nut,nuv,obu,ogg,paf,pva,qoa,r3d,rl2,rm,roq,rpl,"
    "smjpeg,smk,smush,siff,swf,thp,tiertexseq,tmv,tta,txd,ty,vc1,vc1test,vid,vividas,vivo,vmd,vqf,vvc,w64,wav,wc3movie,"
    "webp_anim,jpegxl_anim,wsvqa,wtv,wv,xmv,yop,yuv4mpegpipe"
)
STALL_TIMEOUT_SECONDS = 120  # without output: on a damaged file ffmpeg may loop for ever
_MAX_STDERR_BYTES = 256_000_000  # a film of 3 hours with an error message for every frame has 40 MB
_EXEC_UNLESS_ORPHANED = '[ "$PPID" = "$1" ] || exit 1; shift; exec "$@"'


@functools.cache
def executable() -> str:
    """The ffmpeg to run: `REFILM_FFMPEG` if set, else the complete one inside the imageio-ffmpeg wheel."""
    name = os.environ.get("REFILM_FFMPEG")
    if name is None:
        return str(imageio_ffmpeg.get_ffmpeg_exe())
    path = shutil.which(name)
    if path is None:
        raise RefilmError(f"REFILM_FFMPEG: {name!r} is not an executable: set it to the path of an ffmpeg, or unset it")
    return path


@functools.cache
def version() -> str:
    """The version of that ffmpeg, as written into every frames file."""
    return parse_version(subprocess.run([executable(), "-version"], capture_output=True, text=True).stdout)


def film_input(path: Path | str, **options: object) -> FilterableStream:
    """An ffmpeg-python input for a film file; options such as `ss` go before the file name."""
    return ffmpeg.input(f"file:{path}", protocol_whitelist="file", format_whitelist=_CONTAINERS, **options)


def raw_frames_input(width: int, height: int, fps: Fraction, **options: object) -> FilterableStream:
    """An ffmpeg-python input that takes (height, width, 3) uint8 RGB frames from the process's standard input."""
    # -r and not -framerate, which takes 120000/1001 for 120
    return ffmpeg.input("pipe:0", format="rawvideo", pixel_format="rgb24", video_size=(width, height), r=str(fps), **options)


def command_line(output: OutputStream, *leading: str) -> list[str]:
    """The command of an ffmpeg-python output node; `leading` are options that apply to the whole run."""
    head = [executable(), "-hide_banner", "-nostdin", "-nostats", "-y", *leading]
    return [*head, *ffmpeg.get_args(output)]


class FfmpegProcess:
    """A running ffmpeg, which is ended in any case when the `with` block is left.

    name: for error messages, usually a film's path; stdin: whether it has a pipe to write to; stdout: a file that it writes
    to; pass_fds: open files that it may use by their numbers; note: called in a thread with each line of stderr, it returns
    what is kept of it. stderr goes to a temporary file, so that no amount of it can block the process.
    """

    def __init__(
        self,
        command: list[str],
        name: str,
        stdin: bool = False,
        stdout: int | IO[bytes] = subprocess.DEVNULL,
        pass_fds: Sequence[int] = (),
        note: Callable[[str], str] | None = None,
    ):
        self.name = name
        self._stderr = tempfile.TemporaryFile()  # noqa: SIM115 (closed in __exit__)
        command = [*_parent_death_guard(), *command]

        def start() -> subprocess.Popen[bytes]:
            stdin_pipe = subprocess.PIPE if stdin else subprocess.DEVNULL
            stderr = subprocess.PIPE if note else self._stderr
            return subprocess.Popen(command, stdin=stdin_pipe, stdout=stdout, stderr=stderr, pass_fds=pass_fds)

        self._cleanup = contextlib.ExitStack()
        self._process = self._cleanup.enter_context(cleanup_on_signal(start, kill_child))
        self._reader = threading.Thread(target=self._read_stderr, args=(note,), daemon=True) if note else None
        if self._reader:
            self._reader.start()

    @property
    def stdin(self) -> IO[bytes]:
        """The pipe to its stdin, which must have been asked for."""
        assert self._process.stdin is not None
        return self._process.stdin

    def __enter__(self) -> "FfmpegProcess":
        return self

    def __exit__(self, *_exception: object) -> None:
        if self._process.poll() is None:
            self._process.kill()
        self._wait()
        self._close_stdin()
        self._stderr.close()
        self._cleanup.close()

    def _wait(self) -> int:
        status = self._process.wait()
        if self._reader:
            self._reader.join()
        return status

    def _read_stderr(self, note: Callable[[str], str]) -> None:
        assert self._process.stderr is not None
        with self._process.stderr as lines:
            for line in lines:
                if kept := note(line.decode(errors="replace").rstrip("\n")):
                    self._stderr.write(f"{kept}\n".encode())
                    self._stderr.flush()

    def running(self, wait_seconds: float) -> bool:
        """True if it still runs after waiting that long at most."""
        try:
            self._process.wait(wait_seconds)
        except subprocess.TimeoutExpired:
            return True
        return False

    def finish(self) -> str:
        """Close its stdin, wait for its end, and return its stderr.

        Raises RefilmError with the last messages of stderr if its exit status is not 0, OSError if the disk is full.
        """
        self._close_stdin()
        status = self._wait()
        log = self.stderr_text()
        if status != 0:
            if is_disk_full(log):
                raise OSError(28, "No space left on device", self.name)
            raise RefilmError(f"{self.name}: ffmpeg failed: {summarise_stderr(log) or f'exit status {status}'}")
        return log

    def stderr_size(self) -> int:
        """The bytes of stderr so far."""
        return os.fstat(self._stderr.fileno()).st_size

    def stderr_text(self) -> str:
        """The text of stderr so far."""
        self._stderr.seek(0)
        return self._stderr.read().decode(errors="replace")

    def _close_stdin(self) -> None:
        if self._process.stdin is not None:
            with contextlib.suppress(BrokenPipeError):  # it ended early: its exit status and stderr say why
                self._process.stdin.close()


@functools.cache
def _setpriv() -> tuple[str, ...]:
    """The command that has Linux kill what it runs when its parent dies; empty where it does not work."""
    guard = (shutil.which("setpriv") or "", "--pdeathsig", "KILL", "--")
    if not sys.platform.startswith("linux") or not guard[0]:
        return ()
    works = subprocess.run([*guard, "true"], capture_output=True).returncode == 0
    return guard if works else ()


def _parent_death_guard() -> tuple[str, ...]:
    """What to put before a command so that Linux kills it if this process dies without cleaning up (SIGKILL, no memory).

    A program does it instead of code in the forked child, which is not safe where there are threads. If this process is
    dead before that is set up, the command does not start.
    """
    return (*_setpriv(), "sh", "-c", _EXEC_UNLESS_ORPHANED, "sh", str(os.getpid())) if _setpriv() else ()


class Watchdog:
    """Raises RefilmError when a process has made no output for STALL_TIMEOUT_SECONDS, or its stderr is too long.

    name: for the error message.
    """

    def __init__(self, name: str):
        self._name, self._most, self._since = name, 0, time.monotonic()

    def check(self, output: int, stderr_size: int, unit: str = "bytes") -> None:
        """To be called repeatedly with the amount of output so far, in `unit`, and the bytes of stderr."""
        if output > self._most:
            self._most, self._since = output, time.monotonic()
        if time.monotonic() - self._since > STALL_TIMEOUT_SECONDS:
            raise RefilmError(
                f"{self._name}: ffmpeg stalled: no output for {STALL_TIMEOUT_SECONDS} s after {self._most} {unit}"
            )
        if stderr_size > _MAX_STDERR_BYTES:
            raise RefilmError(f"{self._name}: the film is damaged: ffmpeg only reports errors: copy it again")


def dump_streams(path: Path | str, **options: object) -> str:
    """What ffmpeg prints about a film file and its streams, for which it decodes a little, or why it cannot read it.

    options: of the input.
    """
    # With no output named ffmpeg describes its input and exits with status 1: its stderr is the result.
    command = command_line(ffmpeg.output(film_input(path, **options), "none"))[:-1]
    with FfmpegProcess(command, str(path)) as process:
        watchdog = Watchdog(str(path))
        while process.running(wait_seconds=1):
            watchdog.check(process.stderr_size(), process.stderr_size())
        return process.stderr_text()


def run_ffmpeg_into(out: BinaryIO, command: list[str], name: str) -> str:
    """Run to the end with stdout in the file `out`, which is then read from its beginning; returns the text of stderr.

    Raises RefilmError with the last messages of stderr if ffmpeg fails or stalls.
    """
    with FfmpegProcess(command, name, stdout=out) as process:
        watchdog = Watchdog(name)
        while process.running(wait_seconds=1):
            watchdog.check(os.fstat(out.fileno()).st_size + process.stderr_size(), process.stderr_size())
        log = process.finish()
    out.seek(0)
    return log


def run_ffmpeg(command: list[str], name: str) -> tuple[str, str]:
    """Run to the end; returns (stdout, stderr) as text. Raises RefilmError as `run_ffmpeg_into` does."""
    with tempfile.TemporaryFile() as out:
        log = run_ffmpeg_into(out, command, name)
        return out.read().decode(errors="replace"), log
