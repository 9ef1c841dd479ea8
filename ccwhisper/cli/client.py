"""An HTTP client of the API on the standard library alone."""

from __future__ import annotations

import functools
import http.client
import json
import ssl
from collections.abc import Callable, Iterator, Mapping
from typing import Any, Final
from urllib.parse import quote, urlencode, urlsplit

PATIENCE: Final = 45.0
"""Seconds to wait for an answer: more than the longest poll, which is 30."""


class Refused(Exception):
    """The service said no, or could not be asked. `status` is 0 when there was no answer."""

    def __init__(self, status: int, code: str, message: str, retry: bool = False) -> None:
        super().__init__(message)
        self.status = status
        self.code = code
        self.message = message
        self.retry = retry


class Client:
    """One connection, kept open. Raises `Refused`."""

    def __init__(self, url: str, token: str | None, ca: str | None = None) -> None:
        """`ca`: a file with the certificates that are trusted, in the place of the system's."""
        parts = urlsplit(url)
        if parts.scheme not in ("http", "https") or not parts.hostname:
            raise Refused(0, "url_invalid", f"{url} is no http or https address.")
        try:
            where, port = parts.hostname, parts.port
        except ValueError:
            raise Refused(0, "url_invalid", f"{url} has no usable port.") from None
        self._make: Callable[[], http.client.HTTPConnection] = functools.partial(
            http.client.HTTPConnection, where, port, timeout=PATIENCE
        )
        if parts.scheme == "https":
            tls = _trusting(ca)
            self._make = functools.partial(http.client.HTTPSConnection, where, port, timeout=PATIENCE, context=tls)
        self._connection = self._make()
        self._prefix = parts.path.rstrip("/") + "/api/v1"
        self._url = url
        self._token = token

    def close(self) -> None:
        """Close the connection; the next request opens another."""
        self._connection.close()
        # Another object: close() leaves the lines of a request that was interrupted half-written to the next one.
        self._connection = self._make()

    def get(self, *path: str, **query: str | float | None) -> dict[str, Any]:
        """GET; a query value of None is left out."""
        given = {name: value for name, value in query.items() if value is not None}
        return self._send("GET", path, query=urlencode(given))

    def post(self, *path: str, body: Mapping[str, Any] | None = None) -> dict[str, Any]:
        """POST."""
        return self._send("POST", path, body=body)

    def put(self, *path: str, body: Mapping[str, Any]) -> dict[str, Any]:
        """PUT."""
        return self._send("PUT", path, body=body)

    def delete(self, *path: str) -> dict[str, Any]:
        """DELETE."""
        return self._send("DELETE", path)

    def pieces(self, *path: str, **query: str | None) -> Iterator[bytes]:
        """GET of what is no JSON, as it comes."""
        given = {name: value for name, value in query.items() if value is not None}
        try:
            self._connection.request("GET", self._address(path, urlencode(given)), None, self._headers())
            with self._connection.getresponse() as response:
                if response.status >= 400:
                    raise _refusal(response.status, json.loads(response.read()))
                while piece := response.read1(65536):
                    yield piece
                if response.length:  # of what was announced: the library says nothing of it
                    raise http.client.IncompleteRead(b"", response.length)
        except (OSError, http.client.HTTPException, ValueError) as error:
            self.close()
            self._distrusted(error)
            why = f"{self._url} broke off: {error or type(error).__name__}"
            raise Refused(0, "service_unreachable", why, retry=True) from None

    def _distrusted(self, error: Exception) -> None:
        if isinstance(error, ssl.SSLCertVerificationError):
            why = f"The certificate of {self._url} is not trusted: {error.verify_message}."
            raise Refused(0, "certificate_not_trusted", why) from None

    def _address(self, path: tuple[str, ...], query: str) -> str:
        return "/".join((self._prefix, *(quote(part, safe="") for part in path))) + ("?" + query if query else "")

    def _headers(self) -> dict[str, str]:
        headers = {"Accept": "application/json"}
        if self._token:
            headers["Authorization"] = f"Bearer {self._token}"
        return headers

    def _send(
        self, method: str, path: tuple[str, ...], query: str = "", body: Mapping[str, Any] | None = None
    ) -> dict[str, Any]:
        address, headers = self._address(path, query), self._headers()
        data = None
        if body is not None:
            data, headers["Content-Type"] = json.dumps(body).encode(), "application/json"
        status, raw = self._exchange(method, address, data, headers)
        try:
            answer = json.loads(raw)
        except ValueError:
            answer = None
        if not isinstance(answer, dict):
            raise Refused(status, "not_ccwhisper", f"{self._url} answered with something else than JSON ({status}).")
        if status >= 400:
            raise _refusal(status, answer)
        return answer

    def _exchange(self, method: str, address: str, data: bytes | None, headers: dict[str, str]) -> tuple[int, bytes]:
        fresh = self._connection.sock is None
        try:
            self._connection.request(method, address, data, headers)
            # Closed here, or it would be closed by its finalizer, which swallows the Ctrl-C that strikes just then
            # (iobase_finalize in CPython clears whatever close() raises).
            with self._connection.getresponse() as response:
                return response.status, response.read()
        except KeyboardInterrupt:
            self.close()  # leaving the call is still to be said, and not behind half of something else
            raise
        except (OSError, http.client.HTTPException, ValueError) as error:
            self.close()
            # A kept connection that was closed meanwhile says nothing about the service. What is not repeatable is not
            # repeated: it may have been done.
            if not fresh and method == "GET" and isinstance(error, ConnectionError | http.client.BadStatusLine):
                return self._exchange(method, address, data, headers)
            self._distrusted(error)
            why = "a header or an address that cannot be sent" if isinstance(error, ValueError) else str(error)
            raise Refused(0, "service_unreachable", f"{self._url} cannot be reached: {why}", retry=True) from None


def _trusting(ca: str | None) -> ssl.SSLContext:
    try:
        return ssl.create_default_context(cafile=ca)
    except OSError as error:
        why = error.strerror if not isinstance(error, ssl.SSLError) and error.strerror else "is no certificate in PEM"
        raise Refused(0, "ca_unreadable", f"{ca}: {why}") from None


def _refusal(status: int, answer: dict[str, Any]) -> Refused:
    error = answer.get("error")
    if not isinstance(error, dict):
        return Refused(status, f"http_{status}", "The service refused without saying why.")
    return Refused(status, str(error.get("code")), str(error.get("message")), bool(error.get("retry")))
