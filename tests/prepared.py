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
import shlex
import shutil
import signal
import socket
import subprocess
import sys
import tempfile
import threading
from importlib import import_module
from pathlib import Path

from tests.prepared_client import ask


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


class Server:
    """A process that has imported packages, and forks one that has them for each command. Ends with this process."""

    def __init__(self, *packages: str):
        self._packages = packages
        self._address: str | None = None
        self._starting = threading.Lock()

    def run(self, *arguments, **values) -> subprocess.CompletedProcess:
        """A command as `start` starts it, with its outputs as texts."""
        process = self.start(*arguments, **values)
        output, errors = process.communicate()
        return subprocess.CompletedProcess(process.args, process.returncode, output, errors)

    def start(
        self, module: str, *arguments, cwd: Path | None = None, without: str = "", executable: str = sys.executable
    ) -> Process | subprocess.Popen:
        """`python -m <module> <arguments>` in a folder, while it runs.

        without: a variable that its environment does not have. executable: what it believes to be run by.
        """
        words = ["-m", module, *map(str, arguments)]
        environ = {name: value for name, value in os.environ.items() if name != without}
        if sys.platform != "linux":
            pipes = {"stdout": subprocess.PIPE, "stderr": subprocess.PIPE, "text": True}
            return subprocess.Popen([sys.executable, *words], cwd=cwd, env=environ, **pipes)
        (output, written), (errors, reported) = os.pipe(), os.pipe()
        reply = ask(self.address(), words, str(cwd or Path.cwd()), environ, written, reported, executable)
        os.close(written)
        os.close(reported)
        return Process([sys.executable, *words], output, errors, reply)

    def python(self) -> str:
        """A program to be used as `python` by the steps of Snakemake: refilm's commands are processes of this server."""
        if sys.platform != "linux":
            return sys.executable
        return str(Path(self.address()).with_name("python"))

    def address(self) -> str:
        with self._starting:
            if self._address is None:
                folder = Path(tempfile.mkdtemp(prefix="prepared-"))
                client = Path(__file__).with_name("prepared_client.py")
                words = shlex.join([sys.executable, "-IS", str(client), f"{folder}/server"])
                (folder / "python").write_text(f'#!/bin/sh\nexec {words} "$@"\n')
                (folder / "python").chmod(0o755)
                listener = socket.socket(socket.AF_UNIX)
                listener.bind(f"{folder}/server")
                listener.listen()
                lives, self._end = os.pipe()  # of which nothing is read until this process ends
                words = [sys.executable, "-m", "tests.prepared", str(listener.fileno()), str(lives), str(folder)]
                subprocess.Popen([*words, *self._packages], pass_fds=[listener.fileno(), lives])
                listener.close()
                os.close(lives)
                self._address = f"{folder}/server"
            return self._address


def serve(listener: socket.socket, lives: int, folder: str) -> dict:
    """Fork a process for each request until there are no more. Returns in those processes: the request."""
    signal.signal(signal.SIGCHLD, signal.SIG_IGN)  # nobody asks how those end that wait for the commands
    while True:
        if lives in select.select([listener, lives], [], [])[0]:
            shutil.rmtree(folder)
            sys.exit()
        connection, _ = listener.accept()
        _, handles, _, _ = socket.recv_fds(connection, 1, 4)
        connection.close()
        if os.fork() == 0:
            break
        for handle in handles:
            os.close(handle)
    listener.close()
    os.close(lives)
    signal.signal(signal.SIGCHLD, signal.SIG_DFL)
    request, output, errors, answer = handles
    if command := os.fork():
        for handle in (request, output, errors):
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
    with open(request) as file:
        file.seek(0)
        return json.load(file)


def run(words: list[str], cwd: str, environ: dict[str, str], executable: str) -> None:
    """As `python -m` does, but that the memory of the packages is not given back object by object."""
    before = os.environ.get("PYTHONPATH", "").split(os.pathsep)
    os.chdir(cwd)
    os.environ.clear()
    os.environ.update(environ)
    installed = [path for path in sys.path[1:] if path not in before]
    sys.path[:] = [cwd, *filter(None, environ.get("PYTHONPATH", "").split(os.pathsep)), *installed]
    sys.executable = executable
    if "torch" in sys.modules and "OMP_NUM_THREADS" in environ:
        sys.modules["torch"].set_num_threads(int(environ["OMP_NUM_THREADS"]))
    status = 0

    def end() -> None:
        sys.stdout.flush()
        sys.stderr.flush()
        os._exit(status)

    atexit.register(end)  # the first that is registered is called last
    _, module, *arguments = words
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
    handle, lives, folder, *packages = sys.argv[1:]
    for package in packages:
        import_module(package)
    gc.freeze()
    run(**serve(socket.socket(fileno=int(handle)), int(lives), folder))
