"""A page as a browser takes it: its elements, its text, and whether it is whole."""

from __future__ import annotations

from html.parser import HTMLParser

_VOID = {"meta", "br", "col"}


class Page(HTMLParser):
    """What stands in a page; fails where an element is not closed in its turn."""

    def __init__(self, content: str) -> None:
        super().__init__()
        self.open: list[str] = []
        self.tags: list[tuple[str, dict[str, str | None]]] = []
        self.text = ""
        self.feed(content)
        self.close()
        assert self.open == []

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        self.tags.append((tag, dict(attrs)))
        if tag not in _VOID:
            self.open.append(tag)

    def handle_endtag(self, tag: str) -> None:
        assert self.open.pop() == tag

    def handle_data(self, data: str) -> None:
        if self.open and self.open[-1] not in ("style", "script"):
            self.text += f" {data}"

    def marks(self, kind: str) -> int:
        return sum(tag == "path" and f"mark k-{kind}" in (attrs.get("class") or "") for tag, attrs in self.tags)

    def asks_nothing(self) -> bool:
        """Whether it needs no network, no file beside it, and its policy forbids both."""
        policy = next(attrs["content"] for tag, attrs in self.tags if attrs.get("http-equiv"))
        return (policy or "").startswith("default-src 'none'; style-src 'sha256-") and all(
            tag not in {"link", "img", "iframe", "object", "embed", "base"}
            and not {"src", "srcset", "style", "xlink:href"} & set(attrs)
            and (attrs.get("href") or "#").startswith("#")
            and not any(name.startswith("on") for name in attrs)
            for tag, attrs in self.tags
        )
