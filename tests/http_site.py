"""An http server on this machine that loses connections, changes its films and lies, as a test needs it."""

import http.server
import re
import socket
import threading
from contextlib import contextmanager

import numpy as np

FILM = np.random.default_rng(0).bytes(3_000_000)


class Site:
    """The films of a server and its behaviour. `asked` collects the Range headers of the requests, '' for none."""

    def __init__(self, films=FILM, *, breaks=(), ranges=True, etag='"one"', kind="video/x-matroska", length=True, status=()):
        self.films = [films] if isinstance(films, bytes) else films  # one for each request, the last for all after
        self.breaks = list(breaks)  # bytes after which each request in turn is cut off
        self.ranges, self.etag, self.kind, self.length, self.status = ranges, etag, kind, length, list(status)
        self.asked: list[str] = []
        self.sent = 0
        self.answers = threading.Event()  # while it is cleared, requests wait
        self.answers.set()


@contextmanager
def served(site: Site):
    """The address of a film on a real server on this machine."""

    class Handler(http.server.BaseHTTPRequestHandler):
        protocol_version = "HTTP/1.1"

        def do_GET(self):
            film = site.films[min(len(site.asked), len(site.films) - 1)]
            etag = site.etag if isinstance(site.etag, str | None) else site.etag[min(len(site.asked), len(site.etag) - 1)]
            site.asked.append(self.headers.get("Range", ""))
            site.answers.wait(60)
            if site.status and (status := site.status.pop(0)) != 200:
                self.send_response(status)
                self.send_header("Location", "file:///etc/passwd")
                self.send_header("Content-Length", "0")
                self.end_headers()
                return
            found = re.fullmatch(r"bytes=(\d+)-", self.headers.get("Range", ""))
            begin = int(found[1]) if found and site.ranges and self.headers.get("If-Range") in (None, etag) else 0
            body = film[begin:]
            self.send_response(206 if begin else 200)
            if begin:
                self.send_header("Content-Range", f"bytes {begin}-{len(film) - 1}/{len(film)}")
            if etag:
                self.send_header("ETag", etag)
            self.send_header("Content-Type", site.kind)
            cut = site.breaks.pop(0) if site.breaks else len(body)
            self.send_header(*(("Content-Length", str(len(body))) if site.length else ("Connection", "close")))
            self.end_headers()
            self.wfile.write(body[:cut])
            site.sent += min(cut, len(body))
            if cut < len(body) or not site.length:
                self.wfile.flush()
                self.connection.shutdown(socket.SHUT_RDWR)
                self.close_connection = True

        def log_message(self, *_):
            pass

    server = http.server.ThreadingHTTPServer(("127.0.0.1", 0), Handler)
    threading.Thread(target=server.serve_forever, args=(0.02,), daemon=True).start()
    try:
        yield f"http://127.0.0.1:{server.server_address[1]}/films/a%20film.mkv?token=secret"
    finally:
        server.shutdown()
        server.server_close()
