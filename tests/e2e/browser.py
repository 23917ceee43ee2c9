"""A page in a headless browser: where its texts are, without a driver: a script is added to a copy of the page."""

from __future__ import annotations

import html
import json
import re
import shutil
import subprocess
from dataclasses import dataclass
from pathlib import Path

BROWSER = next((path for name in ("chromium", "chromium-browser", "google-chrome") if (path := shutil.which(name))), "")

_SCRIPT = """<script>addEventListener('load', () => {
const texts = [];
const add = (node, svg) => { const range = document.createRange(); range.selectNodeContents(node);
  for (const b of range.getClientRects()) if (b.width && b.height)
    texts.push({words: node.textContent.trim().slice(0, 40), svg, x: b.left + scrollX, y: b.top + scrollY,
      w: b.width, h: b.height, past: past(node.parentElement, b)}); };
const past = (e, b) => b.right > innerWidth + 1 && !e.closest('.graph, .scrolls');
document.querySelectorAll('svg').forEach((s, k) => s.querySelectorAll('text').forEach(t => {
  const b = t.getBoundingClientRect(), o = s.getBoundingClientRect();
  texts.push({words: t.textContent, svg: k, x: b.left, y: b.top, w: b.width, h: b.height, past: past(t, b),
    out: b.left < o.left - 1 || b.right > o.right + 1 || b.top < o.top - 1 || b.bottom > o.bottom + 1}); }));
const walk = document.createTreeWalker(document.body, NodeFilter.SHOW_TEXT);
while (walk.nextNode()) { const n = walk.currentNode;
  if (n.textContent.trim() && !n.parentElement.closest('svg, script, style')) add(n, -1); }
const pre = document.createElement('pre'); pre.id = 'found';
pre.textContent = JSON.stringify({texts, page: document.documentElement.scrollWidth, view: innerWidth});
document.body.append(pre); });</script>"""


@dataclass(frozen=True)
class Text:
    """A line of text on a page, in pixels; ``out``: it leaves its picture, ``past``: it leaves the window."""

    words: str
    svg: int
    x: float
    y: float
    w: float
    h: float
    out: bool = False
    past: bool = False

    def covers(self, other: Text) -> bool:
        """Whether two texts overlap by more than the air above and below letters."""
        across = min(self.x + self.w, other.x + other.w) - max(self.x, other.x)
        down = min(self.y + self.h, other.y + other.h) - max(self.y, other.y)
        return across > 1 and down > 0.3 * min(self.h, other.h)


@dataclass(frozen=True)
class Laid:
    """A page as a browser lays it out in a window of a width."""

    texts: list[Text]
    page: int
    view: int

    def faults(self) -> list[str]:
        """Texts that leave their picture or the window, or that overlap, and a page that is wider than its window.

        The diagram of groups may be wider: it scrolls.
        """
        found = [f"the page is {self.page} wide, its window {self.view}"] if self.page > self.view else []
        found += [f"'{text.words}' leaves its picture" for text in self.texts if text.out]
        found += [f"'{text.words}' lies past the right edge" for text in self.texts if text.past]
        ordered = sorted(self.texts, key=lambda text: text.y)
        for k, text in enumerate(ordered):
            for other in ordered[k + 1 :]:
                if other.y > text.y + text.h:
                    break
                if text.svg == other.svg and text.covers(other):
                    found.append(f"'{text.words}' overlaps '{other.words}'")
        return found


def _run(page: Path, width: int, *more: str) -> str:
    flags = ("--headless", "--no-sandbox", "--disable-gpu", "--disable-dev-shm-usage", "--hide-scrollbars")
    command = [BROWSER, *flags, f"--window-size={width},1200", *more, page.resolve().as_uri()]
    return subprocess.run(command, capture_output=True, text=True, check=True, timeout=120).stdout


def laid_out(page: Path, width: int, scratch: Path) -> Laid:
    """How the browser lays a page out. It makes no window narrower than 500 pixels: these are frames of a wider one."""
    text = page.read_text(encoding="utf-8").replace("</body>", f"{_SCRIPT}</body>")
    copy = scratch / f"{page.stem}-{width}.html"
    copy.write_text(text, encoding="utf-8")
    if width < 500:
        outer = scratch / f"{page.stem}-{width}-frame.html"
        body = html.escape(text, quote=True)
        take = "onload=\"setTimeout(()=>document.body.append(this.contentDocument.getElementById('found')),50)\""
        outer.write_text(f'<body><iframe width="{width}" height="1000" {take} srcdoc="{body}"></iframe></body>')
        copy = outer
    found = re.search(
        r'<pre id="found">(.*?)</pre>', _run(copy, max(width, 500), "--virtual-time-budget=5000", "--dump-dom"), re.S
    )
    assert found is not None, "the page did not load"
    told = json.loads(html.unescape(found[1]))
    return Laid([Text(**text) for text in told["texts"]], told["page"], told["view"])


def screenshot(page: Path, width: int, height: int, to: Path) -> None:
    _run(page, width, f"--window-size={width},{height}", f"--screenshot={to}")
