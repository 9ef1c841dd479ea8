"""A page to sign in as anybody: of the demo alone. The service itself has no such thing."""

from __future__ import annotations

import html
import threading
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from types import TracebackType
from typing import Any, Final, Self

_PAGE: Final = """<!doctype html>
<html lang="en"><head><meta charset="utf-8"><meta name="viewport" content="width=device-width, initial-scale=1">
<meta name="color-scheme" content="light dark"><title>ccwhisper demo</title><link rel="icon" href="data:,">
<style>
body {{ font: 16px/1.5 system-ui, sans-serif; max-width: 40rem; margin: 8vh auto; padding: 0 1rem; }}
p.note {{ border-left: 4px solid #b3261e; padding-left: .8rem; }}
li {{ margin: .4rem 0; }}
a:focus-visible {{ outline: 2px solid; outline-offset: 2px; }}
</style></head><body>
<h1>ccwhisper demo</h1>
<p class="note">A simulated switch, for trying and never for production. Whoever reaches this page may sign in as
anybody.</p>
<p>Open two of these side by side: a supervisor and the agent whom he coaches.</p>
{groups}
</body></html>
"""


@dataclass(frozen=True, slots=True)
class Person:
    """Somebody to sign in as: what he is called here, the page that he opens, and what his token says."""

    group: str
    name: str
    about: str
    path: str
    claims: Mapping[str, Any] = field(default_factory=dict)


class Portal:
    """Serves the page on a free port of loopback. `links` are people and where each link leads."""

    def __init__(self, links: Sequence[tuple[Person, str]]) -> None:
        page = _PAGE.format(groups=_groups(links)).encode()

        class Handler(BaseHTTPRequestHandler):
            def do_GET(self) -> None:
                found = self.path == "/"
                body = page if found else b"There is nothing at this address."
                self.send_response(200 if found else 404)
                self.send_header("Content-Type", f"text/{'html' if found else 'plain'}; charset=utf-8")
                self.send_header("Content-Length", str(len(body)))
                self.send_header("Cache-Control", "no-store")
                self.send_header(
                    "Content-Security-Policy", "default-src 'none'; img-src data:; style-src 'unsafe-inline'"
                )
                self.send_header("Referrer-Policy", "no-referrer")
                self.end_headers()
                self.wfile.write(body)

            def log_message(self, *_words: Any) -> None:
                """Not into the terminal that the demo paints on."""

        self._server = ThreadingHTTPServer(("127.0.0.1", 0), Handler)
        self._server.daemon_threads = True
        self._thread = threading.Thread(target=self._server.serve_forever, daemon=True)

    @property
    def url(self) -> str:
        """Where the page is."""
        return f"http://127.0.0.1:{self._server.server_port}/"

    def __enter__(self) -> Self:
        self._thread.start()
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self._server.shutdown()
        self._server.server_close()
        self._thread.join()


def _groups(links: Sequence[tuple[Person, str]]) -> str:
    parts = []
    for group in dict.fromkeys(person.group for person, _ in links):
        items = "".join(
            f'<li><a href="{html.escape(link)}" target="_blank" rel="noopener">{html.escape(person.name)}</a> '
            f"{html.escape(person.about)}</li>"
            for person, link in links
            if person.group == group
        )
        parts.append(f"<h2>{html.escape(group)}</h2><ul>{items}</ul>")
    return "\n".join(parts)
