"""A claim record as a card: HTML that carries its own style and reads well on light and dark, and plain text."""

from __future__ import annotations

import math
from collections.abc import Mapping
from html import escape
from typing import Any

# mid-tone fills: white text on them and the fills themselves on white or black keep a contrast of 4.5 and 3; blue,
# vermilion and grey stay apart for colour-blind readers, which green, red and ochre do not
COLOURS = {"supported": "#0a67a3", "refuted": "#b8420f", "inconclusive": "#6b6357", "not judged": "#5c6b7a"}
_WIDTH, _LEFT, _RIGHT = 640, 84, 620
_TOP, _CONTROL, _AXIS = 34, 62, 84


def number(value: float, low: float, high: float) -> str:
    """`value` with as many digits as an interval from `low` to `high` can tell apart.

    >>> number(0.61803, 0.55, 0.68), number(12.0, 12.0, 12.0)
    ('0.618', '12')
    """
    width, largest = high - low, max(abs(low), abs(high), abs(value))
    if width <= 0:
        return f"{value:.6g}"
    if largest < 1e-3:
        return f"{value:.3g}"
    places = min(6, max(0, 1 - math.floor(math.log10(width / 2))))  # two digits of the half-width
    return f"{value:.{places}f}"


def text(record: Mapping[str, Any]) -> str:
    """The card as plain text."""
    control, unit = record["control"], _unit(record)
    return (
        f"{record['verdict'].upper()}  {record['slug']}: {record['statement']}\n"
        f"  {record['quantity']}: {spread(record)}{unit}, n = {record['n']}\n"
        f"  rule {record['rule']['text']}{unit}; control ({control['text']}): {spread(control)}{unit}\n"
        f"  {record['reason']}{_surprise(record)}"
    )


def html(record: Mapping[str, Any]) -> str:
    """The card as a self-contained HTML fragment: inline styles and SVG, nothing to load, no script."""
    colour = COLOURS[record["verdict"]]
    control, unit = record["control"], escape(_unit(record))
    faint = "opacity:.78;font-size:.9em"
    surprise = escape(_surprise(record))
    return (
        '<div class="lab-claim" style="font-family:system-ui,-apple-system,Segoe UI,Roboto,sans-serif;font-size:14px;'
        "line-height:1.45;max-width:680px;margin:.6em 0;padding:.8em 1em;color:inherit;"
        f"background:rgba(127,127,127,.07);border:1px solid rgba(127,127,127,.35);border-left:5px solid {colour};"
        'border-radius:6px">'
        '<div style="display:flex;gap:.8em;align-items:flex-start;justify-content:space-between">'
        f'<div style="font-weight:600">{escape(record["statement"])}</div>'
        f'<span style="flex:none;background:{colour};color:#fff;border-radius:1em;padding:.1em .8em;font-size:.85em;'
        f'font-weight:600;white-space:nowrap">{escape(record["verdict"])}</span></div>'
        f'<div style="margin-top:.35em">{escape(record["quantity"])}: '
        f"<strong>{spread(record)}</strong>{unit} "
        f'<span style="{faint}">({_over(record)})</span></div>'
        f"{_picture(record, colour)}"
        f'<div style="{faint}">Control, {escape(control["text"])}: {spread(control)}{unit}.</div>'
        f'<div style="{faint}">{escape(_capital(_nice(record["reason"])))}{surprise}. '
        f'Paper: <code style="font-size:.95em;background:none;color:inherit">{escape(record["paper"])}</code></div>'
        "</div>"
    )


def spread(part: Mapping[str, Any]) -> str:
    """The mean and its interval, as ``0.618 [0.550, 0.680]``; the mean alone when the width is zero."""
    value, low, high = part["value"], part["low"], part["high"]
    if low == high:
        return number(value, low, high)
    return f"{number(value, low, high)} [{number(low, low, high)}, {number(high, low, high)}]"


def _over(record: Mapping[str, Any]) -> str:
    if record["low"] == record["high"]:
        return f"the same in all {record['n']} seeds"
    return f"95\u00a0% interval over {record['n']}\u00a0seeds"


def _nice(words: str) -> str:
    return words.replace(">=", "≥").replace("<=", "≤")


def _capital(words: str) -> str:
    return words[:1].upper() + words[1:]


def _unit(record: Mapping[str, Any]) -> str:
    return f" {record['unit']}" if record["unit"] else ""


def _surprise(record: Mapping[str, Any]) -> str:
    if record["verdict"] in (record["expected"], "not judged"):
        return ""
    return f" (expected: {record['expected']})"


def _picture(record: Mapping[str, Any], colour: str) -> str:
    rule, control, unit = record["rule"], record["control"], _unit(record)
    limits = [x for x in (rule["low"], rule["high"]) if x is not None]
    points = [record["low"], record["high"], control["low"], control["high"], *record["values"], *limits]
    left, right = min(points), max(points)
    room = 0.08 * (right - left) or 0.1 * abs(left) or 0.1
    left, right = left - room, right + room

    def at(x: float) -> float:
        return round(_LEFT + (x - left) / (right - left) * (_RIGHT - _LEFT), 1)

    start = at(rule["low"]) if rule["low"] is not None else _LEFT
    end = at(rule["high"]) if rule["high"] is not None else _RIGHT
    label = (
        f"Mean {spread(record)}{unit} with its 95 % interval; rule {rule['text']}{unit}; "
        f"control {spread(control)}{unit}; verdict {record['verdict']}."
    )
    font = 'font-family="system-ui,sans-serif" font-size="12" fill="currentColor"'
    parts = [
        f'<svg role="img" aria-label="{escape(label)}" viewBox="0 0 {_WIDTH} 106" width="100%" '
        'style="display:block;max-width:640px;margin:.5em 0 .3em;color:inherit">',
        f"<title>{escape(label)}</title>",
        f'<rect x="{start}" y="18" width="{round(end - start, 1)}" height="{_AXIS - 18}" '
        'fill="currentColor" fill-opacity=".1"/>',
    ]
    for x in limits:
        dashes = 'stroke="currentColor" stroke-opacity=".6" stroke-dasharray="4 3"'
        parts.append(f'<path d="M{at(x)} 18V{_AXIS}" {dashes}/>')
    middle = min(max((start + end) / 2, _LEFT + 60), _RIGHT - 60)
    parts.append(f'<text x="{middle}" y="12" text-anchor="middle" {font}>rule: {escape(_nice(rule["text"]))}</text>')
    for name, y in (("measured", _TOP), ("control", _CONTROL)):
        parts.append(f'<text x="0" y="{y + 4}" {font}>{name}</text>')
    # each seed as a faint dot below the interval
    dot = f'cy="{_TOP + 11}" r="2.5" fill="currentColor" opacity=".5"'
    parts += [f'<circle cx="{at(v)}" {dot}/>' for v in record["values"]]
    parts += [
        _bar(at(record["low"]), at(record["high"]), _TOP, "#fff", 6),  # a rim, so that the bar stands out in the dark
        _bar(at(record["low"]), at(record["high"]), _TOP, colour, 4),
        f'<circle cx="{at(record["value"])}" cy="{_TOP}" r="6" fill="{colour}" stroke="#fff" stroke-width="1.5"/>',
        _bar(at(control["low"]), at(control["high"]), _CONTROL, "currentColor", 2),
        f'<path d="M{at(control["value"])} {_CONTROL - 6}l6 6l-6 6l-6 -6z" fill="#fff" stroke="#5c6b7a" '
        'stroke-width="2"/>',
        f'<path d="M{_LEFT} {_AXIS}H{_RIGHT}" stroke="currentColor" stroke-opacity=".5"/>',
    ]
    for tick in _ticks(left, right):
        x = at(tick)
        parts.append(f'<path d="M{x} {_AXIS}v4" stroke="currentColor" stroke-opacity=".5"/>')
        parts.append(f'<text x="{x}" y="{_AXIS + 17}" text-anchor="middle" {font}>{tick:g}</text>')
    return "".join(parts) + "</svg>"


def _bar(low: float, high: float, y: int, colour: str, width: int) -> str:
    ends = f"M{low} {y - 5}v10M{high} {y - 5}v10" if high > low else ""
    return f'<path d="M{low} {y}H{high}{ends}" stroke="{colour}" stroke-width="{width}" fill="none"/>'


def _ticks(left: float, right: float) -> list[float]:
    """Four to nine round numbers within the range."""
    raw = (right - left) / 5
    power = 10.0 ** math.floor(math.log10(raw))
    step = next(m * power for m in (1, 2, 5, 10) if m * power >= raw)
    first = math.ceil(left / step)
    return [round(k * step, 12) + 0.0 for k in range(first, math.floor(right / step) + 1)]
