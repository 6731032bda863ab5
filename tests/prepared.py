"""Processes that begin with large packages imported: a test that runs a command need not wait for the import of torch.

A server imports packages of others, and none of refilm. For each command it forks a process, which then imports refilm and
runs the module as `python -m` does: with arguments, folder, environment, outputs and exit status of its own. Where there is
no fork to rely on, commands are started as usual.
"""

import atexit
import gc
import json
import os
import runpy
import signal
import socket
import subprocess
import sys
import tempfile
import threading
from importlib import import_module
from pathlib import Path


class Server:
    """A process that has imported packages, and forks one that has them for each command. Ends with this process."""

    def __init__(self, *packages: str, without: tuple[str, ...] = ()):
        """without: variables that its environment does not have."""
        self._packages, self._without = packages, without
        self._socket: socket.socket | None = None
        self._starting = threading.Lock()

    def run(self, module: str, *arguments, cwd: Path | None = None) -> subprocess.CompletedProcess:
        """`python -m <module> <arguments>` in a folder, with its outputs as texts."""
        words = [sys.executable, "-m", module, *map(str, arguments)]
        environ = {name: value for name, value in os.environ.items() if name not in self._without}
        if sys.platform != "linux":
            return subprocess.run(words, capture_output=True, text=True, cwd=cwd, env=environ)
        request = {"words": words, "cwd": str(cwd or Path.cwd()), "environ": environ}
        (output, written), (errors, reported), (reply, answer) = os.pipe(), os.pipe(), os.pipe()
        with tempfile.TemporaryFile() as file:
            file.write(json.dumps(request).encode("utf-8", "surrogateescape"))
            file.seek(0)
            socket.send_fds(self._connected(), [b"."], [file.fileno(), written, reported, answer])
        for end in (written, reported, answer):
            os.close(end)
        texts: dict[int, str] = {}

        def read(end: int) -> None:
            with open(end) as opened:
                texts[end] = opened.read()

        readers = [threading.Thread(target=read, args=(end,), daemon=True) for end in (output, errors, reply)]
        for reader in readers:
            reader.start()
        for reader in readers:
            reader.join()
        return subprocess.CompletedProcess(words, int(texts[reply]), texts[output], texts[errors])

    def _connected(self) -> socket.socket:
        with self._starting:
            if self._socket is None:
                self._socket, other = socket.socketpair()
                environ = {name: value for name, value in os.environ.items() if name not in self._without}
                words = [sys.executable, __file__, str(other.fileno()), *self._packages]
                subprocess.Popen(words, pass_fds=[other.fileno()], env=environ, cwd="/")
                other.close()
            return self._socket


def serve(requests: socket.socket) -> tuple[str, list[str]]:
    """Fork a process for each request until there are no more. Returns in those processes: a module and its arguments."""
    signal.signal(signal.SIGCHLD, signal.SIG_IGN)  # nobody asks how those end that wait for the commands
    while True:
        got, handles, _, _ = socket.recv_fds(requests, 1, 4)
        if not got:
            sys.exit()
        if os.fork() == 0:
            break
        for handle in handles:
            os.close(handle)
    requests.close()
    signal.signal(signal.SIGCHLD, signal.SIG_DFL)
    request, output, errors, answer = handles
    if command := os.fork():
        for handle in (output, errors):
            os.close(handle)
        status = os.waitstatus_to_exitcode(os.waitpid(command, 0)[1])
        os.write(answer, str(status).encode())
        os._exit(0)
    os.close(answer)
    os.dup2(output, 1)
    os.dup2(errors, 2)
    for handle in (output, errors):
        os.close(handle)
    with open(request, "rb") as file:
        asked = json.loads(file.read().decode("utf-8", "surrogateescape"))
    os.chdir(asked["cwd"])
    os.environ.clear()
    os.environ.update(asked["environ"])
    _, _, module, *arguments = asked["words"]
    return module, arguments


def run(module: str, arguments: list[str]) -> None:
    """As `python -m` does, but that the memory of the packages is not given back object by object."""
    status = 0

    def end() -> None:
        sys.stdout.flush()
        sys.stderr.flush()
        os._exit(status)

    atexit.register(end)  # the first that is registered is called last
    sys.path[0] = str(Path.cwd())
    sys.argv = ["-m", *arguments]
    try:
        runpy.run_module(module, run_name="__main__", alter_sys=True)
    except SystemExit as stop:
        status = stop.code if isinstance(stop.code, int) else int(stop.code is not None)
        raise
    except KeyboardInterrupt:
        atexit.unregister(end)
        raise
    except BaseException:
        status = 1
        raise


if __name__ == "__main__":
    for package in sys.argv[2:]:
        import_module(package)
    gc.freeze()
    run(*serve(socket.socket(fileno=int(sys.argv[1]))))
