"""The drawings of docs/dense.md: a flood, peaks, and boxes that are decided row by row.

    python benchmarks/dense_pictures.py [FOLDER]

Writes flood.svg, peaks.svg and online_nms.svg, by default into docs/images.
"""

from __future__ import annotations

import sys
from pathlib import Path
from typing import Any

import matplotlib.pyplot as plt
import numpy as np
from matplotlib.patches import Rectangle

INK, SOFT, ONE, TWO, GREY = "#2b2b2b", "#8a8a8a", "#3b7dd8", "#e0823d", "#d9d9d9"


def saved(figure: Any, path: Path) -> None:
    figure.savefig(path, metadata={"Date": None}, bbox_inches="tight")
    plt.close(figure)


def flood(path: Path) -> None:
    """Draw a section through an energy map with two hills, the saddle between them and the rise."""
    figure, axes = plt.subplots(figsize=(6.4, 2.6))
    x = np.linspace(0, 10, 400)
    height = 0.9 * np.exp(-((x - 3) ** 2) / 1.6) + 0.7 * np.exp(-((x - 6.6) ** 2) / 1.4) + 0.04
    saddle = int(100 + np.argmin(height[160:230]) + 60)
    for part, color in ((slice(0, saddle + 1), ONE), (slice(saddle, 400), TWO)):
        axes.fill_between(x[part], height[part], color=color, alpha=0.35, linewidth=0)
    axes.plot(x, height, color=INK, linewidth=1.4)
    lower = height[saddle:].max()
    axes.annotate("summit", (3, height.max()), (3, height.max() + 0.09), ha="center", color=INK)
    axes.annotate("summit", (6.6, lower), (6.6, lower + 0.09), ha="center", color=INK)
    axes.annotate("saddle", (x[saddle], height[saddle]), (x[saddle], height[saddle] - 0.2), ha="center", color=INK)
    axes.plot([x[saddle], 8.4], [height[saddle]] * 2, color=SOFT, linestyle=":", linewidth=1)
    axes.plot([6.6, 8.4], [lower] * 2, color=SOFT, linestyle=":", linewidth=1)
    axes.annotate("", (8.3, lower), (8.3, height[saddle]), arrowprops={"arrowstyle": "<->", "color": INK})
    axes.text(
        8.45,
        (lower + height[saddle]) / 2,
        "the lower summit rises\nthis far: one thing if it is\nless than the rise",
        va="center",
    )
    axes.set(xlim=(0, 11.6), ylim=(0, 1.15), xticks=[], yticks=[0, 1], ylabel="energy")
    axes.spines[["top", "right"]].set_visible(False)
    saved(figure, path)


def peaks(path: Path) -> None:
    """Draw a map of levels whose peaks are marked, one on a plateau, and the window of one of them."""
    levels = np.array(
        [
            [1, 1, 2, 1, 0, 0, 1, 1],
            [1, 5, 3, 1, 0, 2, 7, 3],
            [2, 3, 2, 1, 1, 2, 4, 2],
            [0, 1, 1, 6, 6, 1, 1, 1],
            [0, 0, 1, 6, 6, 1, 2, 4],
        ]
    )
    figure, axes = plt.subplots(figsize=(4.2, 2.7))
    axes.imshow(levels, cmap="Blues", vmin=0, vmax=11)
    for row, column in np.ndindex(levels.shape):
        peak = (row, column) in {(1, 1), (1, 6), (3, 3), (4, 7)}
        axes.text(
            column, row, levels[row, column], ha="center", va="center", color=INK, weight="bold" if peak else None
        )
        if peak:
            axes.plot(
                column, row, "o", markersize=17, markerfacecolor="none", markeredgecolor=TWO, markeredgewidth=1.8
            )
    axes.add_patch(Rectangle((4.5, -0.5), 3, 3, fill=False, edgecolor=INK, linestyle="--", linewidth=1.2))
    axes.axhline(2.5, color=SOFT, linestyle=":", linewidth=1.2)
    axes.text(7.65, 2.5, "rows of the next strip", va="center", color=SOFT)
    axes.set(xticks=[], yticks=[])
    axes.spines[:].set_visible(False)
    saved(figure, path)


def online_nms(path: Path) -> None:
    """Draw boxes above and below a frontier: kept, dropped, and waiting."""
    figure, axes = plt.subplots(figsize=(7.2, 2.8))
    boxes = [
        ((0.5, 0.4, 1.8, 1.2), "0.9 kept", ONE), ((1.0, 0.7, 1.8, 1.2), "0.6 dropped", SOFT),
        ((5.2, 1.0, 1.6, 1.1), "0.8 waits: better\nones may come", TWO), ((9.6, 0.3, 1.5, 1.0), "0.7 kept", ONE),
    ]  # fmt: skip
    for (left, top, width, height), text, color in boxes:
        dashed = "--" if color == SOFT else "-"
        axes.add_patch(
            Rectangle((left, top), width, height, fill=False, edgecolor=color, linewidth=1.8, linestyle=dashed)
        )
        axes.text(left + width + 0.08, top + 0.2, text, color=color, va="center")
    axes.axhspan(2.3, 3.4, color=GREY, alpha=0.5, linewidth=0)
    axes.text(0.1, 2.85, "rows that have not come", va="center", color=INK)
    axes.annotate("", (5.0, 2.3), (5.0, 1.3), arrowprops={"arrowstyle": "<->", "color": INK})
    axes.text(4.9, 1.8, "largest reach\nof a box", va="center", ha="right")
    axes.set(xlim=(0, 12.6), ylim=(3.4, 0), xticks=[], yticks=[])
    axes.spines[:].set_visible(False)
    saved(figure, path)


if __name__ == "__main__":
    plt.switch_backend("svg")
    plt.rcParams |= {"svg.hashsalt": "landseg", "font.size": 9, "svg.fonttype": "none"}
    folder = Path(sys.argv[1]) if len(sys.argv) > 1 else Path(__file__).resolve().parent.parent / "docs" / "images"
    for draw in (flood, peaks, online_nms):
        draw(folder / f"{draw.__name__}.svg")
