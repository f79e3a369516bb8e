"""One HTTP request for a file or the rest of it, and what of the answer can be believed."""

from __future__ import annotations

import errno
import http.client
import re
import socket
import ssl
import urllib.error
import urllib.request
from collections.abc import Iterator
from contextlib import contextmanager

_PASSING = {408, 425, 429, 500, 502, 503, 504}
_NETWORK = (OSError, http.client.HTTPException)
_UNREACHABLE = {errno.ENETUNREACH, errno.EHOSTUNREACH}


class Refused(Exception):
    """This address does not give the file: another one may."""


class Interrupted(Exception):
    """Something that may go better the next time."""


@contextmanager
def request(url: str, start: int, validator: str | None, timeout: float) -> Iterator[Response]:
    """Ask for ``url`` from byte ``start`` on, if it is still the file that ``validator`` names.

    Raises Refused and Interrupted, and inside it so do the methods of the response.
    """
    headers = {"User-Agent": "advsparse", "Accept-Encoding": "identity"}
    if start:
        headers["Range"] = f"bytes={start}-"
        if validator:
            headers["If-Range"] = validator
    try:
        answer = urllib.request.urlopen(
            urllib.request.Request(url, headers=headers), timeout=timeout
        )
    except urllib.error.HTTPError as error:
        with error:
            said = f"answers {error.code} {error.reason}"
            if error.code == 416:
                yield _Unresumable(said)
                return
            raise (Interrupted if error.code in _PASSING else Refused)(said) from error
    except _NETWORK as error:
        raise _network_error(error) from error
    with answer:
        yield Response(answer)


class Response:
    """An answer with a body."""

    def __init__(self, answer: http.client.HTTPResponse) -> None:
        self._answer = answer

    @property
    def validator(self) -> str | None:
        """What names this version of the file: a strong ETag, or the time of its last change."""
        etag = self._answer.headers.get("ETag")
        strong = etag is not None and not etag.startswith("W/")
        return etag if strong else self._answer.headers.get("Last-Modified")

    def check(self, start: int, size: int) -> bool:
        """Whether the body begins at byte ``start`` of the file, not at its first one.

        Raises Refused if the whole has not ``size`` bytes; Interrupted for another part than the
        one asked for.
        """
        if self._answer.status == 206:
            said = self._answer.headers.get("Content-Range", "")
            match = re.fullmatch(r"bytes (\d+)-\d+/(\d+|\*)", said.strip())
            if not match or int(match[1]) != start:
                raise Interrupted(
                    f"answers with the part {said!r} when asked for that from {start}"
                )
            if match[2] not in ("*", str(size)):
                raise Refused(f"announces {match[2]} bytes, expected {size}")
            return True
        if self._answer.status != 200:
            raise Refused(f"answers {self._answer.status} {self._answer.reason}")
        announced = self._answer.headers.get("Content-Length")
        if announced not in (None, str(size)):
            raise Refused(f"announces {announced} bytes, expected {size}")
        return False

    def read(self, most: int) -> bytes:
        """Some bytes of the body, as they arrive; none at its end."""
        try:
            return self._answer.read1(most)
        except _NETWORK as error:
            raise _network_error(error) from error


class _Unresumable(Response):
    """An answer that there is no such part."""

    def __init__(self, said: str) -> None:
        self._said = said

    def check(self, start: int, size: int) -> bool:
        raise Interrupted(self._said)


def _network_error(error: Exception) -> Refused | Interrupted:
    reason = error.reason if isinstance(error, urllib.error.URLError) else error
    said = str(reason) or type(reason).__name__
    if isinstance(reason, socket.gaierror):
        return Refused(f"its host is not known here: no network? ({said})")
    unreachable = isinstance(reason, OSError) and reason.errno in _UNREACHABLE
    hopeless = (ssl.SSLCertVerificationError, http.client.InvalidURL, str)
    refused = unreachable or isinstance(reason, hopeless)
    return Refused(said) if refused else Interrupted(said)
