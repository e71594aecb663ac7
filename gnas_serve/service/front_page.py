"""The page at ``/``: for people who open the address, where to go from there.

In the place of BentoML's, which loads a script from a host of Google's, and badges from another.
"""

from __future__ import annotations

from html import escape
from http import HTTPStatus

from gnas_serve.service.bodies import Headers
from gnas_serve.service.routes import ROUTES, names_off
from gnas_serve.service.settings import Settings

PATH = "/"
# Relative, so that they lead here through a proxy that has put the service below a path of its own.
_LINKS = (
    ("docs.json", "the calls and their fields (OpenAPI 3.1)"),
    ("metrics", "metrics (Prometheus)"),
    ("readyz", "whether calls are answered"),
    ("livez", "whether the process is alive"),
)
_STYLE = "body{font:16px/1.5 sans-serif;margin:2em;max-width:50em}code{font-size:.9em}li{margin:.2em 0}"
# Whatever else gets into the page one day: a browser loads nothing for it, from here or from elsewhere.
_HEADERS = (
    (b"content-type", b"text/html; charset=utf-8"),
    (b"content-security-policy", b"default-src 'none'; style-src 'unsafe-inline'; frame-ancestors 'none'"),
    (b"x-content-type-options", b"nosniff"),
)


def front_page(settings: Settings) -> tuple[HTTPStatus, bytes, Headers]:
    """Give the page of a server as it was started: status, body and headers."""
    off = names_off(settings)
    links = "".join(f'<li><a href="{path}">/{path}</a>: {escape(what)}</li>' for path, what in _LINKS)
    calls = "".join(
        f"<li><code>{route.method} {escape(route.path)}</code></li>" for route in ROUTES if route.name not in off
    )
    page = (
        '<!DOCTYPE html><html lang="en"><head><meta charset="utf-8"><title>gnas-serve</title>'
        f"<style>{_STYLE}</style></head><body><h1>gnas-serve</h1>"
        f"<p>Recommendations over HTTP and gRPC.</p><ul>{links}</ul><h2>Calls</h2><ul>{calls}</ul></body></html>\n"
    )
    return HTTPStatus.OK, page.encode(), list(_HEADERS)
