# SPDX-License-Identifier: MIT
"""Many measurements in few figures."""

import statistics
from collections.abc import Sequence


def quartiles(values: Sequence[float]) -> tuple[float, float, float]:
    """The lower quartile, the median and the upper quartile."""
    if len(values) == 1:
        return values[0], values[0], values[0]
    low, middle, high = statistics.quantiles(values, n=4, method="inclusive")
    return low, middle, high


def ratio(ours: Sequence[float], theirs: Sequence[float]) -> str:
    """The median of ours / theirs, taken round by round, and its quartiles: `2.61 (2.55–2.70)`."""
    low, middle, high = quartiles([our / their for our, their in zip(ours, theirs, strict=True)])
    return f"{middle:.2f} ({low:.2f}–{high:.2f})"


def table(head: Sequence[str], rows: Sequence[Sequence[str]]) -> str:
    """A Markdown table; all columns but the first are set to the right."""
    rule = ["---", *["---:"] * (len(head) - 1)]
    return "\n".join(f"| {' | '.join(cells)} |" for cells in [head, rule, *rows])
