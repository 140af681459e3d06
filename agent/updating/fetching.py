"""Fetching files of a release over networks that break: what came of an archive is kept, and gone on with.

Owns HTTP, by the standard library, on the way that the exchange takes. Proves nothing: whatever is put together here is
for The Update Framework to judge (`agent.updating.releases`).
"""

from __future__ import annotations

import http.client
import re
import ssl
import urllib.error
import urllib.request
from collections.abc import Iterator
from http import HTTPStatus
from pathlib import Path
from typing import Final

from tuf.api.exceptions import DownloadError, DownloadHTTPError
from tuf.ngclient import FetcherInterface

# Without a byte for so long an answer is given up.
TIMEOUT_S: Final = 30.0
# One file is asked for again so many times where its answer breaks off; the next update goes on from there.
MAX_BROKEN: Final = 5
PART_ENDING: Final = ".part"
_CHUNK_BYTES: Final = 64 * 1024
_RANGE = re.compile(r"bytes (\d+)-\d+/\d+")


class Fetcher(FetcherInterface):
    """What is below `kept_below` comes into a file in `parts`, named as in the address, until it is whole.

    These addresses have the hash of what they lead to in them, so that what is there is of the same file.
    """

    def __init__(self, context: ssl.SSLContext, proxy: str | None, *, kept_below: str, parts: Path) -> None:
        self._opener = urllib.request.build_opener(
            urllib.request.ProxyHandler({"https": proxy} if proxy is not None else {}),
            urllib.request.HTTPSHandler(context=context),
            _NoRedirects(),
        )
        self._kept_below = kept_below
        self._parts = parts

    def forget(self) -> None:
        """Whatever came of files so far goes: it is whole, or no file that was asked for."""
        for part in self._parts.glob(f"*{PART_ENDING}"):
            part.unlink()

    def _fetch(self, url: str) -> Iterator[bytes]:
        name = url.removeprefix(self._kept_below)
        if name == url or "/" in name:
            return self._body(self._opened(url, 0))
        return self._resumed(url, self._parts / f"{name}{PART_ENDING}")

    def _resumed(self, url: str, part: Path) -> Iterator[bytes]:
        for other in self._parts.glob(f"*{PART_ENDING}"):
            if other != part:
                other.unlink()
        with part.open("a+b") as kept:
            kept.seek(0)
            while chunk := kept.read(_CHUNK_BYTES):
                yield chunk
            for broken in range(MAX_BROKEN):
                try:
                    for chunk in self._body(self._opened(url, kept.tell())):
                        kept.write(chunk)
                        yield chunk
                except DownloadHTTPError:
                    raise
                except DownloadError:
                    if broken + 1 == MAX_BROKEN:
                        raise
                else:
                    return

    def _opened(self, url: str, begin: int) -> http.client.HTTPResponse | None:
        """The answer from its byte `begin` on; None where nothing is behind it. Raises DownloadError."""
        headers = {"User-Agent": "tillside"} | ({"Range": f"bytes={begin}-"} if begin else {})
        # An enrolment names https alone.
        request = urllib.request.Request(url, headers=headers)  # noqa: S310
        try:
            answer: http.client.HTTPResponse = self._opener.open(request, timeout=TIMEOUT_S)
        except urllib.error.HTTPError as error:
            if begin and error.code == HTTPStatus.REQUESTED_RANGE_NOT_SATISFIABLE:
                return None
            raise DownloadHTTPError(str(error), error.code) from error
        except (OSError, http.client.HTTPException) as error:
            raise DownloadError(str(error)) from error
        from_where = _RANGE.fullmatch(answer.headers.get("Content-Range", ""))
        if answer.status == HTTPStatus.PARTIAL_CONTENT and from_where and int(from_where[1]) == begin:
            return answer
        # Who knows no ranges, such as a proxy, sends all of it: what is here already is passed over.
        if not self._passed_over(answer, begin):
            answer.close()
            raise DownloadError(f"{url} is shorter than what came of it before")
        return answer

    def _passed_over(self, answer: http.client.HTTPResponse, count: int) -> bool:
        try:
            while count and (chunk := answer.read(min(count, _CHUNK_BYTES))):
                count -= len(chunk)
        except (OSError, http.client.HTTPException) as error:
            raise DownloadError(str(error)) from error
        return not count

    def _body(self, answer: http.client.HTTPResponse | None) -> Iterator[bytes]:
        """Raises DownloadError where the other side broke off: the library takes that for the end."""
        if answer is None:
            return
        with answer:
            try:
                while chunk := answer.read(_CHUNK_BYTES):
                    yield chunk
            except (OSError, http.client.HTTPException) as error:
                raise DownloadError(f"broken off: {error}") from error
            if answer.length:
                raise DownloadError(f"broken off with {answer.length} bytes to come")


class _NoRedirects(urllib.request.HTTPRedirectHandler):
    """The centre redirects nowhere; a captive portal does."""

    def redirect_request(self, *_: object) -> None:
        return None
