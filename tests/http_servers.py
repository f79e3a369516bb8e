"""A web server on this machine that behaves as badly as it is told."""

from __future__ import annotations

import hashlib
import re
import threading
import time
from collections.abc import Callable
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer

Behaviour = Callable[["Handler", bytes], None]


class Server(ThreadingHTTPServer):
    """Serves ``files`` by path. The next request is answered by the first of ``behaviours``, and
    by :func:`well` once there is none left; ``ranges`` has the Range of each request."""

    daemon_threads = True

    def __init__(self) -> None:
        super().__init__(("127.0.0.1", 0), Handler)
        self.files: dict[str, bytes] = {}
        self.behaviours: list[Behaviour] = []
        self.asked: list[dict[str, str]] = []
        self.url = f"http://127.0.0.1:{self.server_address[1]}"

    @property
    def ranges(self) -> list[str | None]:
        return [headers.get("Range") for headers in self.asked]

    def __enter__(self) -> Server:
        threading.Thread(target=self.serve_forever, args=(0.01,), daemon=True).start()
        return self

    def __exit__(self, *_: object) -> None:
        self.shutdown()
        self.server_close()


class Handler(BaseHTTPRequestHandler):
    server: Server

    def do_GET(self) -> None:
        self.server.asked.append(dict(self.headers))
        behaviour = self.server.behaviours.pop(0) if self.server.behaviours else well
        if self.path not in self.server.files:
            behaviour = status(404)
        behaviour(self, self.server.files.get(self.path, b""))

    def answer(self, code: int, body: bytes, **headers: object) -> None:
        """The headers, Content-Length of the body among them unless given, then the body."""
        self.send_response(code)
        for name, value in {"Content_Length": len(body), **headers}.items():
            if value is not None:
                self.send_header(name.replace("_", "-"), str(value))
        self.end_headers()
        try:
            self.wfile.write(body)
        except OSError:  # the client has hung up
            self.close_connection = True

    def log_message(self, *_: object) -> None:
        pass


def well(handler: Handler, data: bytes) -> None:
    """Answer requests for a range, conditional ones too, as a server should."""
    etag = f'"{hashlib.md5(data).hexdigest()}"'
    match = re.fullmatch(r"bytes=(\d+)-", handler.headers.get("Range", ""))
    if not match or handler.headers.get("If-Range", etag) != etag:
        handler.answer(200, data, ETag=etag)
    elif int(match[1]) >= len(data):
        handler.answer(416, b"", Content_Range=f"bytes */{len(data)}")
    else:
        start = int(match[1])
        said = f"bytes {start}-{len(data) - 1}/{len(data)}"
        handler.answer(206, data[start:], ETag=etag, Content_Range=said)


def status(code: int) -> Behaviour:
    return lambda handler, data: handler.answer(code, b"sorry")


def cut(after: int) -> Behaviour:
    """Go away after some bytes of what is asked for."""

    def behave(handler: Handler, data: bytes) -> None:
        write = handler.wfile.write
        left = [after]

        def limited(part: bytes) -> int:
            if part.startswith(b"HTTP/"):  # the headers
                return write(part)
            sent = part[: left[0]]
            left[0] -= len(sent)
            return write(sent)

        handler.wfile.write = limited
        well(handler, data)
        handler.close_connection = True

    return behave


def announces(size: int | None) -> Behaviour:
    """Give the whole file, and lie about its size."""
    return lambda handler, data: handler.answer(200, data, Content_Length=size)


def other(data: bytes) -> Behaviour:
    """Give another file."""
    return lambda handler, _: well(handler, data)


def whole(handler: Handler, data: bytes) -> None:
    """Know no ranges."""
    handler.answer(200, data)


def ranged(said: str, start: int) -> Behaviour:
    """Answer with another part than that asked for, or with a wrong word about it."""
    return lambda handler, data: handler.answer(206, data[start:], Content_Range=said)


def trickle(handler: Handler, data: bytes) -> None:
    """A few bytes a second."""
    handler.answer(200, b"", Content_Length=len(data))
    try:
        for byte in data:
            handler.wfile.write(bytes([byte]))
            time.sleep(0.02)
    except OSError:
        handler.close_connection = True


def silent(handler: Handler, data: bytes) -> None:
    """Say how much there is, and no more."""
    handler.answer(200, b"", Content_Length=len(data))
    time.sleep(3)
