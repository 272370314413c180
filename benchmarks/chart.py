"""The comparison as a picture: bars on a logarithmic scale, in SVG, readable on light and dark pages."""

from html import escape
from math import ceil, log10

from benchmarks.tables import WAYS, Result, median

_WIDTH, _LEFT, _RIGHT, _BAR, _GAP, _TOP = 860, 380, 90, 22, 12, 34
_FONT = 'font-family="system-ui, sans-serif" font-size="13"'
_OURS, _OTHERS = "#2f855a", "#8a93a3"


def chart(result: Result) -> str:
    """Draw recipients a second of each way that was measured."""
    bars = [(title, value) for name, title in WAYS.items() if (value := median(result, name)) is not None]
    decades = max(1, ceil(log10(max(value for _title, value in bars))))
    across = _WIDTH - _LEFT - _RIGHT
    height = _TOP + len(bars) * (_BAR + _GAP) + 8
    title = f"Recipients a second, {result['mailboxes']:,} mailboxes, on a logarithmic scale"
    drawn = [
        f'<svg xmlns="http://www.w3.org/2000/svg" viewBox="0 0 {_WIDTH} {height}" role="img" {_FONT}>',
        f"<title>{title}</title>",
        f'<rect width="{_WIDTH}" height="{height}" fill="#ffffff"/>',
        f'<text x="10" y="18" font-weight="600" fill="#20262e">{result["mailboxes"]:,} mailboxes, recipients/s</text>',
    ]
    for decade in range(decades + 1):
        x = _LEFT + across * decade / decades
        drawn.append(f'<line x1="{x:.0f}" y1="{_TOP - 8}" x2="{x:.0f}" y2="{height - 8}" stroke="#e2e6ec"/>')
        drawn.append(f'<text x="{x:.0f}" y="{_TOP - 14}" text-anchor="middle" fill="#5b6472">{10**decade:,}</text>')
    for row, (title, value) in enumerate(bars):
        y = _TOP + row * (_BAR + _GAP)
        length = across * log10(max(value, 1.0)) / decades
        plain = escape(title.replace("**", "").replace("`", ""))
        colour = _OURS if "Mail Recall" in title else _OTHERS
        drawn += [
            f'<text x="{_LEFT - 10}" y="{y + 16}" text-anchor="end" fill="#20262e">{plain}</text>',
            f'<rect x="{_LEFT}" y="{y}" width="{length:.0f}" height="{_BAR}" rx="3" fill="{colour}"/>',
            f'<text x="{_LEFT + length + 8:.0f}" y="{y + 16}" fill="#20262e">{value:,.0f}</text>',
        ]
    return "\n".join([*drawn, "</svg>"]) + "\n"
