"""Running ffmpeg: which program, with which safety, and its own words when it fails.

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
import time
from pathlib import Path

import ffmpeg
import imageio_ffmpeg

from refilm.core.errors import RefilmError
from refilm.core.signals import cleanup_on_signal, kill_child
from refilm.media.ffmpeg_log import is_disk_full, parse_version, summarise_stderr

# Demuxers that read the one file that they are given, by the names that ffmpeg knows them by.
_CONTAINERS = (
    "3dostr,4xm,aac,ac3,aiff,amr,anm,ape,apng,asf,asf_o,au,av1,avi,avs2,avs3,bethsoftvid,bfi,bink,c93,caf,cavsvideo,cine,"
    "dfa,dhav,dirac,dnxhd,dsicin,dts,dv,dxa,ea,eac3,evc,film_cpk,flac,flic,flv,gdv,gif,gxf,h261,h263,h264,hevc,hnm,idcin,iff,"
    "ifv,ipmovie,ipu,iv8,ivf,ivr,jv,kux,live_flv,lmlm4,lxf,m4v,matroska,webm,mgsts,mjpeg,mjpeg_2000,mm,mov,mp4,m4a,3gp,"
    "3g2,mj2,mp3,mpeg,mpegts,mpegvideo,mpjpeg,msnwctcp,mtv,mv,mvi,mxf,mxg,nsv,nut,nuv,obu,ogg,paf,pva,qoa,r3d,rl2,rm,roq,rpl,"
    "smjpeg,smk,smush,siff,swf,thp,tiertexseq,tmv,tta,txd,ty,vc1,vc1test,vid,vividas,vivo,vmd,vqf,vvc,w64,wav,wc3movie,"
    "webp_anim,jpegxl_anim,wsvqa,wtv,wv,xmv,yop,yuv4mpegpipe"
)
STALL_TIMEOUT_SECONDS = 120  # an ffmpeg that makes nothing for so long hangs
_MOST_SAID = 256_000_000  # bytes
_UNLESS_ORPHAN = '[ "$PPID" = "$1" ] || exit 1; shift; exec "$@"'


@functools.cache
def executable() -> str:
    """The ffmpeg to run: `REFILM_FFMPEG` if set, else the complete one inside the imageio-ffmpeg wheel."""
    named = os.environ.get("REFILM_FFMPEG")
    if named is None:
        return imageio_ffmpeg.get_ffmpeg_exe()
    found = shutil.which(named)
    if found is None:
        raise RefilmError(f"REFILM_FFMPEG: {named!r} is no program: set it to the path of an ffmpeg, or unset it")
    return found


@functools.cache
def version() -> str:
    """The version of that ffmpeg, as written into every frames file: '9.0.2'."""
    return parse_version(subprocess.run([executable(), "-version"], capture_output=True, text=True).stdout)


def film_input(path: Path | str, **options):
    """An ffmpeg-python input for a film file; options such as `ss` go before the file name."""
    return ffmpeg.input(f"file:{path}", protocol_whitelist="file", format_whitelist=_CONTAINERS, **options)


def dump_streams(path: Path | str) -> str:
    """What ffmpeg says of a film file and its streams. It decodes a little for it, and says so if it cannot."""
    # With no output named ffmpeg describes its input and exits with status 1: its words are the result.
    command = command_line(ffmpeg.output(film_input(path), "none"))[:-1]
    with FfmpegProcess(command, str(path)) as process:
        watchdog = Watchdog(str(path))
        while process.running(wait_seconds=1):
            watchdog.check(process.stderr_size(), process.stderr_size())
        return process.stderr_text()


def raw_frames_input(width: int, height: int, fps, **options):
    """An ffmpeg-python input that takes (height, width, 3) uint8 RGB frames from the process's standard input."""
    # -r and not -framerate, which takes 120000/1001 for 120
    return ffmpeg.input("pipe:0", format="rawvideo", pixel_format="rgb24", video_size=(width, height), r=str(fps), **options)


def _ends_with_parent() -> tuple[str, ...]:
    """What to put before a command so that Linux ends it if this process dies without a chance to (SIGKILL, no memory).

    A program does it and not code in the forked child, which is not safe where there are threads. If this process is dead
    before Linux was told, the command does not begin.
    """
    return (*_guard(), "sh", "-c", _UNLESS_ORPHAN, "sh", str(os.getpid())) if _guard() else ()


@functools.cache
def _guard() -> tuple[str, ...]:
    guard = (shutil.which("setpriv") or "", "--pdeathsig", "KILL", "--")
    if not sys.platform.startswith("linux") or not guard[0]:
        return ()
    known = subprocess.run([*guard, "true"], capture_output=True).returncode == 0
    return guard if known else ()


def command_line(output, *leading: str) -> list[str]:
    """The command of an ffmpeg-python output node; `leading` are options that apply to the whole run."""
    head = [executable(), "-hide_banner", "-nostdin", "-nostats", "-y", *leading]
    return head + ffmpeg.get_args(output)


class FfmpegProcess:
    """One ffmpeg at work. Ends it, whatever happens, when the `with` block is left.

    `stdin` is a pipe to it when asked for; its stdout goes to the file `stdout`, or nowhere; `pass_fds` are open files that
    it may read and write by their numbers. `finish()` waits for it and raises with its last words if it failed. stderr goes
    to a temporary file, so that no amount of it can block.
    """

    def __init__(self, command: list[str], what: str, stdin: bool = False, stdout=subprocess.DEVNULL, pass_fds=()):
        self.what = what
        self._stderr = tempfile.TemporaryFile()  # noqa: SIM115 (closed in __exit__)
        command = [*_ends_with_parent(), *command]

        def start() -> subprocess.Popen:
            reading = subprocess.PIPE if stdin else subprocess.DEVNULL
            return subprocess.Popen(command, stdin=reading, stdout=stdout, stderr=self._stderr, pass_fds=pass_fds)

        self._while_it_runs = contextlib.ExitStack()
        self._process = self._while_it_runs.enter_context(cleanup_on_signal(start, kill_child))
        self.stdin = self._process.stdin

    def __enter__(self) -> "FfmpegProcess":
        return self

    def __exit__(self, *_exception) -> None:
        if self._process.poll() is None:
            self._process.kill()
        self._process.wait()
        if self.stdin is not None:
            with contextlib.suppress(BrokenPipeError):
                self.stdin.close()
        self._stderr.close()
        self._while_it_runs.close()

    def running(self, wait_seconds: float) -> bool:
        """True if it still runs after waiting that long at most."""
        try:
            self._process.wait(wait_seconds)
        except subprocess.TimeoutExpired:
            return True
        return False

    def finish(self) -> str:
        """Close its input, wait for its end; returns all that it said on stderr.

        Raises RefilmError with its last words if its exit status is not 0.
        """
        if self.stdin is not None:
            with contextlib.suppress(BrokenPipeError):  # it ended early: its status and its words below say why
                self.stdin.close()
        status = self._process.wait()
        said = self.stderr_text()
        if status != 0:
            if is_disk_full(said):
                raise OSError(28, "No space left on device", self.what)
            raise RefilmError(f"{self.what}: ffmpeg failed: {summarise_stderr(said) or f'exit status {status}'}")
        return said

    def stderr_size(self) -> int:
        """How much it has said on stderr so far."""
        return os.fstat(self._stderr.fileno()).st_size

    def stderr_text(self) -> str:
        """What it has said on stderr so far."""
        self._stderr.seek(0)
        return self._stderr.read().decode(errors="replace")


class Watchdog:
    """Raises RefilmError when a process has made no output for STALL_TIMEOUT_SECONDS, or its stderr is too long: on a
    damaged file ffmpeg may hang."""

    def __init__(self, what: str):
        self._what, self._most, self._since = what, 0, time.monotonic()

    def check(self, made: int, stderr_size: int, unit: str = "bytes") -> None:
        if made > self._most:
            self._most, self._since = made, time.monotonic()
        if time.monotonic() - self._since > STALL_TIMEOUT_SECONDS:
            raise RefilmError(
                f"{self._what}: ffmpeg has made nothing for {STALL_TIMEOUT_SECONDS} s after {self._most} {unit}"
            )
        if stderr_size > _MOST_SAID:
            raise RefilmError(f"{self._what}: the film is damaged: ffmpeg does nothing but report errors: copy it again")


def run_ffmpeg_into(out, command: list[str], what: str) -> str:
    """Run to the end, with its stdout in the binary file `out`, which is then read from its beginning; returns what it said.

    Raises RefilmError with ffmpeg's last words on failure, or if it hangs.
    """
    with FfmpegProcess(command, what, stdout=out) as process:
        watchdog = Watchdog(what)
        while process.running(wait_seconds=1):
            watchdog.check(os.fstat(out.fileno()).st_size + process.stderr_size(), process.stderr_size())
        said = process.finish()
    out.seek(0)
    return said


def run_ffmpeg(command: list[str], what: str) -> tuple[str, str]:
    """Run to the end; (stdout, stderr) as text. Raises RefilmError with ffmpeg's last words on failure, or if it hangs."""
    with tempfile.TemporaryFile() as out:
        said = run_ffmpeg_into(out, command, what)
        return out.read().decode(errors="replace"), said
