"""Asks a server of tests/prepared.py for a process. Run as a program it stands for `python` in the steps of Snakemake.

    python -IS tests/prepared_client.py SERVER -m refilm.<rule> …

Of the standard library it imports only what it needs, since each step has to wait for that.
"""

import json
import os
import signal
import socket
import sys


def ask(server: str, words: list[str], cwd: str, environ: dict[str, str], output: int, errors: int, executable: str) -> int:
    """Start a process; a pipe that has a line with its number, and one with its exit status when it has ended."""
    asked = {"words": words, "cwd": cwd, "environ": environ, "executable": executable}
    request, (reply, answer) = os.memfd_create("request"), os.pipe()
    with os.fdopen(request, "wb") as file, socket.socket(socket.AF_UNIX) as connection:
        file.write(json.dumps(asked).encode())
        file.flush()
        connection.connect(server)
        socket.send_fds(connection, [b"."], [request, output, errors, answer])
    os.close(answer)
    return reply


def main(server: str, *words: str) -> int:
    if words[:1] != ("-m",) or not words[1].startswith("refilm."):
        os.execv(sys.executable, [sys.executable, *words])
    folder = os.getcwd()  # noqa: PTH109 (the import of pathlib takes longer than all others)
    reply = ask(server, list(words), folder, dict(os.environ), 1, 2, sys.executable)
    with os.fdopen(reply, "rb", buffering=0) as lines:
        process = int(lines.readline())
        for number in (signal.SIGINT, signal.SIGTERM, signal.SIGHUP):
            signal.signal(number, lambda number, _frame: os.kill(process, number))
        status = int(lines.readline())
    if status < 0:
        signal.signal(-status, signal.SIG_DFL)
        os.kill(os.getpid(), -status)
    return status


if __name__ == "__main__":
    sys.exit(main(*sys.argv[1:]))
