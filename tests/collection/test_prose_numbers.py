"""Which numbers in running text look measured."""

from __future__ import annotations

import pytest

from lab.collection.prose import measured_numbers


@pytest.mark.parametrize(
    ("markdown", "found"),
    [
        ("The correlation is 0.83.", ["0.83"]),
        ("It rises by 12 % to 93.5%.", ["12 %", "93.5%"]),
        ("About 4 percentage points, or 20 percent.", ["4 percentage points", "20 percent"]),
        ("From -0.2 to .7", ["-0.2", ".7"]),
        ("| method | 0.91 |", ["0.91"]),
        ("The gap is 1.5e-3", ["1.5e-3"]),
        ("**0.5** is bold", ["0.5"]),
    ],
)
def test_measured_numbers_are_found(markdown: str, found: list[str]) -> None:
    assert measured_numbers(markdown) == found


@pytest.mark.parametrize(
    "markdown",
    [
        "With 14 encoders and 5 seeds in 64 dimensions.",
        "At `tau = 0.1` and $\\tau = 0.07$ and $$x = 0.5 \\%$$ nothing is measured.",
        "$$\n\\mathbb{E} = 0.25\n$$",
        "\\begin{align}x &= 0.5\\end{align}",
        "```python\nx = 0.5\n```",
        "~~~\n0.5\n~~~",
        "<details><summary>Solution</summary>\n\nIt is 0.5 or 20 %.\n\n</details>",
        "See Section 4.2, Figure 3.1, Table 2.10 and Eq. (5.3).",
        "Python 3.11 and version 2.13.0.",
        "The 95 % interval, 95% confidence intervals, the 95 % t interval and the 95 percent-band.",
        "[a page](page-0.5.html) and <https://example.org/1.5>",
        "arXiv 2005.10242 and arXiv:1906.05849",
        "<!-- 0.83 -->",
        "Release 1.2.3 has files in v0.5b.",
    ],
)
def test_settings_names_and_formulas_are_not(markdown: str) -> None:
    assert measured_numbers(markdown) == []
