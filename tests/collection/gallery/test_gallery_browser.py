"""The gallery in a real browser: opened from disk it asks for nothing outside its folder, in light and in dark."""

from __future__ import annotations

import json
import shutil
import subprocess
import time
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any
from urllib.parse import unquote, urlparse

import pytest

websocket = pytest.importorskip("websocket")
CHROMIUM = next(filter(None, map(shutil.which, ("chromium", "chromium-browser", "google-chrome"))), None)
pytestmark = pytest.mark.skipif(CHROMIUM is None, reason="no chromium on this machine (Debian package: chromium)")
FLAGS = [
    "--headless=new",
    "--no-sandbox",
    "--disable-gpu",
    "--disable-quic",
    "--no-first-run",
    "--disable-background-networking",
    "--disable-component-update",
    "--disable-sync",
    "--disable-dev-shm-usage",
    "--remote-debugging-port=0",
]


class Browser:
    """A headless Chromium driven through its DevTools protocol; keeps every request and every complaint of a page."""

    def __init__(self, profile: Path) -> None:
        # no name resolves: were a page to ask for something outside, the test sees it and nobody else does
        command = [str(CHROMIUM), *FLAGS, f"--user-data-dir={profile}", "--host-resolver-rules=MAP * ~NOTFOUND"]
        self.process = subprocess.Popen([*command, "about:blank"], stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL)
        port, path = _wait(lambda: _active_port(profile), 60)
        self.socket = websocket.create_connection(f"ws://127.0.0.1:{port}{path}", suppress_origin=True, timeout=60)
        self.number, self.session = 0, ""
        self.requests: list[str] = []
        self.complaints: list[str] = []
        self.loaded = False
        target = self.call("Target.createTarget", url="about:blank")["targetId"]
        self.session = self.call("Target.attachToTarget", targetId=target, flatten=True)["sessionId"]
        for domain in ("Network", "Log", "Runtime", "Page"):
            self.call(f"{domain}.enable")
        self.call("Page.setLifecycleEventsEnabled", enabled=True)

    def call(self, method: str, **parameters: Any) -> dict[str, Any]:
        """One command of the protocol and its answer."""
        self.number += 1
        message = {"id": self.number, "method": method, "params": parameters}
        if self.session:
            message["sessionId"] = self.session
        self.socket.send(json.dumps(message))
        while True:
            answer = self._receive()
            if answer.get("id") == self.number:
                assert "error" not in answer, answer
                return dict(answer["result"])

    def _receive(self) -> dict[str, Any]:
        answer = dict(json.loads(self.socket.recv()))
        about = answer.get("params", {})
        match answer.get("method"):
            case "Network.requestWillBeSent":
                self.requests.append(about["request"]["url"])
            case "Log.entryAdded":
                self.complaints.append(f"{about['entry']['level']}: {about['entry']['text']}")
            case "Runtime.exceptionThrown":
                self.complaints.append(str(about["exceptionDetails"]))
            case "Runtime.consoleAPICalled":
                self.complaints.append(str(about["args"]))
            case "Page.lifecycleEvent":
                self.loaded = self.loaded or about["name"] == "load"
        return answer

    def open(self, page: Path, scheme: str = "light", width: int = 1280, height: int = 900) -> None:
        """Open a file, with nothing remembered from the page before, and wait until all of it is loaded."""
        self.requests, self.complaints = [], []
        self.call("Emulation.setEmulatedMedia", features=[{"name": "prefers-color-scheme", "value": scheme}])
        self.resize(width, height)
        self.call("Page.navigate", url="about:blank")
        self.loaded = False
        self.call("Page.navigate", url=page.as_uri())
        while not self.loaded:
            self._receive()
        # pictures further down are not waited for to come near; a page could ask for more a little later
        self.run("document.querySelectorAll('img').forEach(i => i.loading = 'eager')")
        _wait(lambda: self.run("Array.from(document.images).every(i => i.complete)"), 20)
        self.run("new Promise(done => setTimeout(done, 150))")

    def resize(self, width: int, height: int) -> None:
        """Another screen; below 600 pixels that of a telephone."""
        size = {"width": width, "height": height, "deviceScaleFactor": 1, "mobile": width < 600}
        self.call("Emulation.setDeviceMetricsOverride", **size)

    def run(self, script: str) -> Any:
        """The value of a JavaScript expression in the page."""
        answer = self.call("Runtime.evaluate", expression=script, returnByValue=True, awaitPromise=True)
        assert "exceptionDetails" not in answer, answer
        return answer["result"].get("value")

    def close(self) -> None:
        """End the browser."""
        self.socket.close()
        self.process.terminate()
        try:
            self.process.wait(timeout=20)
        except subprocess.TimeoutExpired:
            self.process.kill()
            self.process.wait()


def _active_port(profile: Path) -> tuple[str, str] | None:
    try:
        port, path = (profile / "DevToolsActivePort").read_text().split()
    except (OSError, ValueError):
        return None
    return port, path


def _wait(ready: Callable[[], Any], seconds: float) -> Any:
    end = time.monotonic() + seconds
    while True:
        found = ready()
        if found:
            return found
        assert time.monotonic() < end, "the browser did not get there in time"
        time.sleep(0.05)


@pytest.fixture(scope="module")
def browser(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Browser]:
    made = Browser(tmp_path_factory.mktemp("chromium"))
    yield made
    made.close()


def outside(browser: Browser, folder: Path) -> list[str]:
    """The requests that are neither for a file of the folder nor carried in the page itself."""
    found = []
    for url in browser.requests:
        parts = urlparse(url)
        inside = parts.scheme == "file" and folder in Path(unquote(parts.path)).parents
        if not inside and parts.scheme != "data":
            found.append(url)
    return found


@pytest.mark.parametrize("scheme", ["light", "dark"])
def test_pages_ask_for_nothing_outside_their_folder_and_can_be_read(
    browser: Browser, seen_site: Path, pages: tuple[str, ...], scheme: str
) -> None:
    for page in pages:
        browser.open(seen_site / page, scheme)
        assert (seen_site / page).as_uri() in browser.requests
        assert outside(browser, seen_site) == []
        assert browser.complaints == []
        # style sheet and script were found
        assert browser.run("getComputedStyle(document.querySelector('header.site')).position") == "sticky"
        assert browser.run("document.querySelector('button.theme').hidden") is False
        assert browser.run("Array.from(document.images).filter(i => !i.naturalWidth).length") == 0
        assert browser.run(CONTRAST) == []


def test_a_request_for_something_outside_is_noticed(browser: Browser, seen_site: Path) -> None:
    page = seen_site / "planted.html"  # beside the real one, for what it links to
    text = (seen_site / "index.html").read_text(encoding="utf-8")
    planted = text.replace("</main>", '<img src="https://example.org/spy.png" alt=""></main>')
    page.write_text(planted, encoding="utf-8")
    browser.open(page)
    # the page's own policy keeps the browser from asking, and says so
    assert any("example.org" in complaint for complaint in browser.complaints)
    page.write_text(planted.replace("Content-Security-Policy", "x-no-policy"), encoding="utf-8")
    browser.open(page)
    assert outside(browser, seen_site) == ["https://example.org/spy.png"]
    assert any("ERR_NAME_NOT_RESOLVED" in complaint for complaint in browser.complaints)


def test_pages_follow_the_scheme_and_the_button_changes_it(browser: Browser, seen_site: Path) -> None:
    ground = "getComputedStyle(document.body).backgroundColor"
    browser.open(seen_site / "index.html", "light")
    light = browser.run(ground)
    browser.open(seen_site / "index.html", "dark")
    dark = browser.run(ground)
    assert light != dark
    browser.run("document.querySelector('button.theme').click()")
    assert browser.run(ground) == light
    # the choice is kept for the next page
    browser.open(seen_site / "ledger.html", "dark")
    assert browser.run(ground) == light
    browser.run("localStorage.clear()")


def test_no_page_is_wider_than_the_screen(browser: Browser, seen_site: Path, pages: tuple[str, ...]) -> None:
    for page in pages:
        browser.open(seen_site / page, width=390, height=844)
        for device, width in (("phone", 390), ("tablet", 768), ("small laptop", 1000)):
            browser.resize(width, 844)
            assert browser.run("innerWidth") == width
            assert browser.run("document.documentElement.scrollWidth") <= width, (page, device)


def test_the_ledger_sorts_and_filters(browser: Browser, seen_site: Path) -> None:
    browser.open(seen_site / "ledger.html")
    shown = "Array.from(document.querySelectorAll('#ledger tbody tr:not([hidden])')).map(row => row.dataset.verdict)"
    assert browser.run(shown) == ["refuted", "supported"]  # by key, as the ledger has them
    press = "document.querySelectorAll('#ledger th button')[1].click()"
    state = "document.querySelectorAll('#ledger th')[1].getAttribute('aria-sort')"
    browser.run(press)
    assert (browser.run(state), browser.run(shown)) == ("ascending", ["refuted", "supported"])
    browser.run(press)
    assert (browser.run(state), browser.run(shown)) == ("descending", ["supported", "refuted"])
    change = "f.dispatchEvent(new Event('input', {bubbles: true}))"
    browser.run(f"f = document.querySelector('form.filters'); f.elements.verdict.value = 'refuted'; {change}")
    assert browser.run(shown) == ["refuted"]
    assert browser.run("document.querySelector('.count').textContent") == "1 of 2"
    browser.run(f"f.elements.verdict.value = ''; f.elements.text.value = 'ranks first paper'; {change}")
    assert browser.run(shown) == ["supported"]
    browser.run(f"f.elements.text.value = 'nothing like it'; {change}")
    assert browser.run(shown) == []


def test_details_open_code_folds_and_a_paper_opens_by_its_address(browser: Browser, seen_site: Path) -> None:
    browser.open(seen_site / "uniformity" / "01-alignment.html")
    solution = "Array.from(document.querySelectorAll('details')).find(d => d.textContent.startsWith('Solution'))"
    assert browser.run(f"{solution}.open") is False
    browser.run(f"{solution}.querySelector('summary').click()")
    assert browser.run(f"{solution}.open") is True
    assert browser.run("document.querySelectorAll('details.source:not([open])').length") == 0
    browser.run("document.querySelector('button.fold').click()")
    assert browser.run("document.querySelectorAll('details.source[open]').length") == 0
    browser.open(seen_site / "papers.html")
    browser.run("location.hash = 'paper-two'")
    assert _wait(lambda: browser.run("document.querySelector('#paper-two details').open"), 10)


# every visible text whose contrast with the ground behind it is below WCAG's AA
CONTRAST = """
(() => {
  const parse = c => { const m = c.match(/[\\d.]+/g).map(Number);
    return c.startsWith('color(') ? [m[0]*255, m[1]*255, m[2]*255, m.length > 3 ? m[3] : 1]
                                  : [m[0], m[1], m[2], m.length > 3 ? m[3] : 1]; };
  const over = (top, under) => [0, 1, 2].map(i => top[i]*top[3] + under[i]*(1 - top[3])).concat([1]);
  const linear = x => { x /= 255; return x <= .04045 ? x/12.92 : ((x+.055)/1.055)**2.4; };
  const light = c => { const v = c.slice(0, 3).map(linear);
    return .2126*v[0] + .7152*v[1] + .0722*v[2]; };
  const ground = e => { const behind = [];
    for (; e; e = e.parentElement) {
      behind.push(parse(getComputedStyle(e).backgroundColor));
      if (behind.at(-1)[3] === 1) break; }
    return behind.reverse().reduce((under, top) => over(top, under), [255, 255, 255, 1]); };
  const faint = e => { let o = 1; for (; e; e = e.parentElement) o *= Number(getComputedStyle(e).opacity); return o; };
  const bad = [];
  const walk = document.createTreeWalker(document.body, NodeFilter.SHOW_TEXT);
  while (walk.nextNode()) {
    const e = walk.currentNode.parentElement, text = walk.currentNode.data.trim();
    if (!text || !e.checkVisibility()) continue;
    if (e.closest('svg, script, style, .hidden, .anchor, [aria-hidden=true]')) continue;
    const s = getComputedStyle(e), under = ground(e);
    const ink = parse(s.color); ink[3] *= faint(e);
    const a = light(over(ink, under)), b = light(under);
    const ratio = (Math.max(a, b) + .05) / (Math.min(a, b) + .05);
    const large = parseFloat(s.fontSize) >= 24 || (parseFloat(s.fontSize) >= 18.66 && Number(s.fontWeight) >= 700);
    if (ratio < (large ? 3 : 4.5)) bad.push(text.slice(0, 40) + ' ' + ratio.toFixed(2));
  }
  return bad;
})()
"""
