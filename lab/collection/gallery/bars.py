"""A claim's interval beside its rule, as a small inline SVG coloured by the style sheet."""

from __future__ import annotations

from html import escape

from lab.collection.card import number
from lab.collection.gallery.sources import ClaimRow
from lab.collection.rules import Rule

_WIDTH, _HEIGHT = 150, 26


def spread(row: ClaimRow) -> str:
    """The value and its interval with the unit, as ``0.62 [0.55, 0.68] points``; a dash when nothing was measured."""
    if row.value is None:
        return "–"
    unit = f" {row.unit}" if row.unit else ""
    if row.low is None or row.high is None or row.low == row.high:
        return f"{row.value:.4g}{unit}"
    value, low, high = (number(x, row.low, row.high) for x in (row.value, row.low, row.high))
    return f"{value} [{low}, {high}]{unit}"


def control_value(row: ClaimRow) -> str:
    """The control's value with as many digits as the claim's own."""
    if row.control_value is None:
        return "–"
    if row.low is None or row.high is None:
        return f"{row.control_value:.4g}"
    return number(row.control_value, row.low, row.high)


def rule_text(row: ClaimRow) -> str:
    """The rule as it is read aloud: ``≥ 0.4``."""
    return row.rule.replace(">=", "≥").replace("<=", "≤")


def bar(row: ClaimRow) -> str:
    """The interval as a line with a dot, the rule as a shaded region, the control as a hollow diamond.

    Returns:
        An ``<svg>`` with a description; an empty string for a claim without numbers or with an unknown rule.
    """
    parts = shapes(row, _WIDTH, _HEIGHT)
    if not parts:
        return ""
    label = f"{spread(row)}; rule {rule_text(row)}; control {control_value(row)}"
    return (
        f'<svg class="bar" role="img" aria-label="{escape(label)}" viewBox="0 0 {_WIDTH} {_HEIGHT}" '
        f'width="{_WIDTH}" height="{_HEIGHT}">{"".join(parts)}</svg>'
    )


def shapes(row: ClaimRow, width: int, height: int) -> list[str]:
    """What `bar` draws, as SVG elements with the classes rule, limit, axis, interval, value and control.

    Args:
        row: a claim.
        width, height: of the drawing, in units of the SVG.

    Returns:
        Elements from back to front; none for a claim without numbers or with an unknown rule.
    """
    if row.value is None or row.low is None or row.high is None:
        return []
    try:
        rule = Rule.from_text(row.rule)
    except ValueError:
        return []
    limits = [x for x in (rule.low, rule.high) if x is not None]
    points = [row.value, row.low, row.high, *limits]
    if row.control_value is not None:
        points.append(row.control_value)
    left, right = min(points), max(points)
    room = 0.1 * (right - left) or 0.1 * abs(left) or 1.0
    left, right = left - room, right + room

    def at(x: float) -> float:
        return round((x - left) / (right - left) * width, 1)

    start = at(rule.low) if rule.low is not None else 0.0
    end = at(rule.high) if rule.high is not None else float(width)
    middle = height // 2
    parts = [
        f'<rect class="rule" x="{start}" y="2" width="{round(end - start, 1)}" height="{height - 4}"/>',
        *(f'<path class="limit" d="M{at(x)} 2V{height - 2}"/>' for x in limits),
        f'<path class="axis" d="M0 {middle}H{width}"/>',
        f'<path class="interval" d="M{at(row.low)} {middle}H{at(row.high)}"/>',
        f'<circle class="value" cx="{at(row.value)}" cy="{middle}" r="4"/>',
    ]
    if row.control_value is not None:
        parts.append(f'<path class="control" d="M{at(row.control_value)} {middle - 5}l5 5l-5 5l-5 -5z"/>')
    return parts
