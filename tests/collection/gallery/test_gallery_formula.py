"""Formulas as SVG."""

from __future__ import annotations

import re
import xml.etree.ElementTree as ET

import pytest

from lab.collection.gallery.formula import SCALE, SIZE, Formulas

TEX = [
    r"\mathbb{E}_{x \sim p}\left[\lVert f(x)-f(y)\rVert_2^\alpha\right]",
    r"\log \frac{e^{s_{ii}/\tau}}{\sum_{j} e^{s_{ij}/\tau}}",
    r"\begin{aligned} a &= b \\ c &= d \end{aligned}",
    r"\begin{cases} 1 & x>0 \\ 0 & \text{otherwise}\end{cases}",
    r"{}_0F_1\!\left(;\tfrac d2;\tfrac{\kappa^2}{4}\right)",
    r"\mathop{\mathrm{argmin}}_x \mathbf 1[i \neq j] \langle u, v\rangle \le 1",
    r"\underbrace{a+b}_{c} \propto \hat\sigma, \boldsymbol{\mu}, \mathcal{L}, \ell_i^{(1)}, x^\top y",
]


def parsed(svg: str) -> ET.Element:
    return ET.fromstring(svg)


@pytest.mark.parametrize("tex", TEX)
def test_each_formula_is_a_drawing_that_says_its_tex(tex: str) -> None:
    page = Formulas()
    drawing = parsed(page.inline(tex))
    assert drawing.tag == "svg"
    assert drawing.attrib["role"] == "img"
    assert drawing.attrib["aria-label"] == drawing[0].text == tex
    # every glyph that is used is there, once, and none has a colour of its own
    symbols = [symbol.attrib["id"] for symbol in parsed(page.sprite())]
    used = {use.attrib["href"].removeprefix("#") for use in drawing.iter("use")}
    assert used == set(symbols)
    assert len(symbols) == len(set(symbols))
    colours = {part.attrib[name] for part in drawing.iter() for name in ("fill", "stroke") if name in part.attrib}
    assert colours <= {"currentColor", "none"}


def test_glyphs_are_shared_between_formulas() -> None:
    page = Formulas()
    page.inline("x + y")
    before = page.sprite()
    page.block("y + x + x")
    assert page.sprite() == before
    assert before.count("<symbol") == 3


def test_the_baseline_of_a_formula_is_that_of_the_text() -> None:
    # drawn at y = 0 is the baseline, so what the viewBox has below 0 must hang below the line
    for tex in ("x", r"\frac{a}{b}", "y_j", "-"):
        drawing = parsed(Formulas().inline(tex))
        _, top, _, height = map(float, drawing.attrib["viewBox"].split())
        shift = float(re.search(r"vertical-align:(-?[\d.]+)em", drawing.attrib["style"])[1])  # type: ignore[index]
        assert shift == pytest.approx(-(top + height) * SCALE / SIZE, abs=2e-3)
    assert "<div" in Formulas().block("x")


@pytest.mark.parametrize("tex", [r"\nosuchcommand{x}", r"\frac{a", r"a < \b & c"])
def test_what_cannot_be_set_is_shown_as_tex(tex: str) -> None:
    page = Formulas()
    shown = page.inline(tex)
    assert shown == '<code class="tex">' + tex.replace("&", "&amp;").replace("<", "&lt;") + "</code>"
    assert page.sprite() == ""


def test_digits_in_blackboard_bold_keep_their_looks() -> None:
    plain, bold = (parsed(Formulas().inline(tex))[1].attrib["href"] for tex in ("1", r"\mathbb 1"))
    assert plain != bold


@pytest.mark.parametrize(
    "tex",
    [
        r"\left(\sum_i x_i\right)",
        r"\left[ e^{-\sum_{k \in A_{j}} x_k} \right]",
        r"\left\| \prod_\alpha x_\alpha \right\|",
        r"\left( \log \sum_k p_k \exp(s_{ik} / \tau) - s_{ij} / \tau \right)",
    ],
)
def test_delimiters_around_a_sum_are_as_tall_as_the_sum(tex: str) -> None:
    page = Formulas()
    drawing = parsed(re.sub(r"^<div class=\"formula\">|</div>\n$", "", page.block(tex)))
    # a sum in display style with its lower limit is a good two lines tall
    height = float(drawing.attrib["viewBox"].split()[3]) / SIZE
    assert 1.2 < height < 4


def test_a_formula_without_bounds_is_shown_as_tex(monkeypatch: pytest.MonkeyPatch) -> None:
    from lab.collection.gallery import formula

    monkeypatch.setattr(formula, "TALLEST", 0.1)
    assert Formulas().block("x") == '<div class="formula"><code class="tex">x</code></div>\n'
