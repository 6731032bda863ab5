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
import select
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
        process = self.start(module, *arguments, cwd=cwd)
        output, errors = process.communicate()
        return subprocess.CompletedProcess(process.args, process.returncode, output, errors)

    def start(self, module: str, *arguments, cwd: Path | None = None) -> "Process | subprocess.Popen":
        """The same, while it runs."""
        words = [sys.executable, "-m", module, *map(str, arguments)]
        environ = {name: value for name, value in os.environ.items() if name not in self._without}
        if sys.platform != "linux":
            pipes = {"stdout": subprocess.PIPE, "stderr": subprocess.PIPE, "text": True}
            return subprocess.Popen(words, cwd=cwd, env=environ, **pipes)
        request = {"words": words, "cwd": str(cwd or Path.cwd()), "environ": environ}
        (output, written), (errors, reported), (reply, answer) = os.pipe(), os.pipe(), os.pipe()
        with tempfile.TemporaryFile() as file:
            file.write(json.dumps(request).encode("utf-8", "surrogateescape"))
            file.seek(0)
            socket.send_fds(self._connected(), [b"."], [file.fileno(), written, reported, answer])
        for end in (written, reported, answer):
            os.close(end)
        return Process(words, output, errors, reply)

    def _connected(self) -> socket.socket:
        with self._starting:
            if self._socket is None:
                self._socket, other = socket.socketpair()
                environ = {name: value for name, value in os.environ.items() if name not in self._without}
                words = [sys.executable, __file__, str(other.fileno()), *self._packages]
                subprocess.Popen(words, pass_fds=[other.fileno()], env=environ, cwd="/")
                other.close()
            return self._socket


class Process:
    """A command that a server has started: the part of Popen that tests use."""

    def __init__(self, words: list[str], output: int, errors: int, reply: int):
        self.args, self.stdout, self.stderr = words, os.fdopen(output), os.fdopen(errors)
        self._reply = os.fdopen(reply, "rb", buffering=0)
        self.pid, self.returncode = int(self._reply.readline()), None

    def poll(self) -> int | None:
        if self.returncode is None and select.select([self._reply], [], [], 0)[0]:
            self.wait()
        return self.returncode

    def wait(self, timeout: float | None = None) -> int:
        if self.returncode is None:
            if not select.select([self._reply], [], [], timeout)[0]:
                raise subprocess.TimeoutExpired(self.args, timeout)
            self.returncode = int(self._reply.readline())
        return self.returncode

    def communicate(self) -> tuple[str, str]:
        """What it still prints, and how it ends."""
        errors: list[str] = []
        reader = threading.Thread(target=lambda: errors.append(self.stderr.read()), daemon=True)
        reader.start()
        output = self.stdout.read()
        reader.join()
        self.wait()
        for file in (self.stdout, self.stderr, self._reply):
            file.close()
        return output, errors[0]

    def send_signal(self, number: int) -> None:
        if self.poll() is None:
            os.kill(self.pid, number)

    def terminate(self) -> None:
        self.send_signal(signal.SIGTERM)

    def kill(self) -> None:
        self.send_signal(signal.SIGKILL)


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
        os.write(answer, f"{command}\n".encode())
        status = os.waitstatus_to_exitcode(os.waitpid(command, 0)[1])
        os.write(answer, f"{status}\n".encode())
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
