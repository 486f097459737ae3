"""What must hold of the built site: links lead somewhere, nothing is fetched elsewhere, sizes are fit."""

from __future__ import annotations

from html.parser import HTMLParser
from pathlib import Path
from urllib.parse import unquote, urlsplit

#: Bytes that a page may have with its pictures, and the site without the photograph page and its network.
MAX_PAGE, MAX_SITE = 600_000, 14_000_000
#: Attributes whose address a browser fetches by itself.
_FETCHED = {("img", "src"), ("script", "src"), ("link", "href"), ("iframe", "src"), ("source", "src")}
#: The photograph page, which is built and tested by itself.
PHOTO = "photo"


class Page(HTMLParser):
    """The ids, links and pictures of a page.

    Args:
        text: HTML.

    Attributes:
        ids: places that a link can name.
        links: addresses that a reader can follow.
        fetched: addresses that the browser fetches.
        pictures: addresses of its pictures.
        unnamed: pictures without an alternative text.
    """

    def __init__(self, text: str):
        super().__init__()
        self.ids: set[str] = set()
        self.links: set[str] = set()
        self.fetched: set[str] = set()
        self.pictures: set[str] = set()
        self.unnamed: list[str] = []
        self.feed(text)

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        """Called by the parser."""
        found = {name: value or "" for name, value in attrs}
        self.ids |= {found[name] for name in ("id", "name") if name in found}
        if tag == "a" and "href" in found:
            self.links.add(found["href"])
        if tag == "img":
            self.pictures.add(found.get("src", ""))
        if tag == "img" and not found.get("alt", "").strip():
            self.unnamed.append(found.get("src", ""))
        not_fetched = tag == "link" and found.get("rel") in ("canonical", "alternate", "next", "prev")
        if not not_fetched:
            self.fetched |= {found[name] for name in found if (tag, name) in _FETCHED}


def faults(site: Path) -> list[str]:
    """What is wrong with a built site, in words; nothing is fetched for it.

    Args:
        site: its folder.
    """
    pages = {path: Page(path.read_text(encoding="utf-8")) for path in _pages(site)}
    found = [fault for path, page in pages.items() for fault in _page_faults(site, path, page, pages)]
    found += [
        f"{path.relative_to(site)}: {size} bytes with its pictures, at most {MAX_PAGE} are allowed"
        for path, page in pages.items()
        if (size := page_size(path, page)) > MAX_PAGE
    ]
    if (size := size_of(site)) > MAX_SITE:
        found.append(f"the site has {size} bytes, at most {MAX_SITE} are allowed")
    return found


def page_size(path: Path, page: Page) -> int:
    """Bytes of a page and of the pictures on it.

    Args:
        path: of the page.
        page: what is on it.
    """
    pictures = (path.parent / unquote(address) for address in page.pictures if not urlsplit(address).scheme)
    return sum(file.stat().st_size for file in [path, *pictures] if file.is_file())


def size_of(site: Path) -> int:
    """Bytes of the site without the photograph page and its network.

    Args:
        site: its folder.
    """
    files = (path for path in site.rglob("*") if path.is_file())
    return sum(path.stat().st_size for path in files if path.relative_to(site).parts[0] != PHOTO)


def _pages(site: Path) -> list[Path]:
    return [path for path in sorted(site.rglob("*.html")) if path.relative_to(site).parts[0] != PHOTO]


def _page_faults(site: Path, path: Path, page: Page, pages: dict[Path, Page]) -> list[str]:
    name = path.relative_to(site)
    found = [f"{name}: a picture without a text: {source}" for source in page.unnamed]
    for address in sorted(page.links | page.fetched):
        parts = urlsplit(address)
        if parts.scheme or parts.netloc:
            if address in page.fetched and parts.scheme != "data":
                found.append(f"{name}: {address} would be fetched from another host")
        elif not _leads_somewhere(path, parts.path, unquote(parts.fragment), pages):
            found.append(f"{name}: {address} leads nowhere")
    return found


def _leads_somewhere(path: Path, target: str, fragment: str, pages: dict[Path, Page]) -> bool:
    wanted = (path.parent / unquote(target)).resolve() if target else path
    if wanted not in pages:
        return wanted.is_file() or (wanted / "index.html").is_file()
    return not fragment or fragment == "top" or fragment in pages[wanted].ids
