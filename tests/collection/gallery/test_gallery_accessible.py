"""The gallery as a screen reader and a keyboard meet it: axe-core finds no serious fault, in light and in dark."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest

axe_package = pytest.importorskip("axe_playwright_python")
AXE = (Path(axe_package.__file__).parent / "axe.min.js").read_text(encoding="utf-8")


def faults(page: Any) -> list[str]:
    """What axe-core calls serious or critical: rule, impact and the first element."""
    page.evaluate(AXE)  # a script element would be refused by the page's own policy
    found = page.evaluate("async () => (await axe.run(document)).violations")
    return [
        f"{each['id']} ({each['impact']}): {each['nodes'][0]['html'][:120]}"
        for each in found
        if each["impact"] in ("serious", "critical")
    ]


@pytest.mark.parametrize("scheme", ["light", "dark"])
def test_no_page_has_a_serious_fault(browser: Any, seen_site: Path, pages: tuple[str, ...], scheme: str) -> None:
    page = browser.new_page(color_scheme=scheme)
    for name in pages:
        page.goto((seen_site / name).as_uri())
        assert faults(page) == [], name
    page.close()


def test_a_planted_fault_is_found(browser: Any, seen_site: Path) -> None:
    page = browser.new_page()
    page.goto((seen_site / "index.html").as_uri())
    page.evaluate("document.querySelector('main').append(document.createElement('img'))")
    assert any(fault.startswith("image-alt") for fault in faults(page))
    page.close()


def test_cards_are_filtered_by_theme_verdict_and_what_they_use(browser: Any, seen_site: Path) -> None:
    page = browser.new_page()
    page.goto((seen_site / "index.html").as_uri())
    cards = page.locator(".card:visible")
    assert cards.count() == 4
    page.get_by_label("Holds a verdict").select_option("refuted")
    assert cards.count() == 1 and page.locator("section.theme:visible").count() == 1
    page.get_by_label("Holds a verdict").select_option("")
    page.locator("form.filters select[name=theme]").select_option("Hubness")
    assert cards.count() == 1 and "Hubs" in cards.first.inner_text()
    page.get_by_label("Search").fill("no such words")
    assert cards.count() == 0
    # by the keyboard alone: the first stop is the link that skips the header
    page.goto((seen_site / "papers.html").as_uri() + "?theme=hubness")
    assert page.locator("#papers tbody tr:visible").count() == 3
    page.keyboard.press("Tab")
    assert page.evaluate("document.activeElement.className") == "skip"
    page.close()
