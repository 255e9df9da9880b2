"""Draws the figures on coordinates: ``python docs/_drawings/coordinates.py [FOLDER]``."""

import sys
from pathlib import Path

import matplotlib as mpl
import numpy as np
from matplotlib import pyplot as plt
from matplotlib.axes import Axes
from matplotlib.patches import Circle, Rectangle
from PIL import Image

from dicomslide.metadata.geometry import ImageGeometry, to_upright
from dicomslide.testing import SlideOptions, paint

STATIC = Path(__file__).parents[1] / "_static"

# A scan of 15 mm x 20 mm, turned as most scanners turn it: rows run along -Y, columns along -X
OPTIONS = SlideOptions(size=(30_000, 40_000), seed=3)
GEOMETRY = ImageGeometry((*OPTIONS.base_origin, 0.0), OPTIONS.orientation, OPTIONS.spacing)
POINT = (9_000, 15_000)

BLUE, ORANGE, GREEN, INK, GREY = "#1f5fbf", "#d9622b", "#2c8a57", "#24292f", "#8c959f"


def main(target: Path = STATIC) -> None:
    """Draw all figures."""
    mpl.rcParams |= {
        "font.size": 9,
        "text.color": INK,
        "axes.edgecolor": GREY,
        "axes.labelcolor": INK,
        "xtick.color": INK,
        "ytick.color": INK,
        "svg.hashsalt": "dicomslide",
        "svg.image_inline": True,
    }
    figures = {"coordinates": draw_slide, "levels": draw_levels, "focal-planes": draw_focal_planes}
    for name, draw in figures.items():
        figure = draw()
        figure.savefig(target / f"{name}.svg", metadata={"Date": None}, facecolor="white")
        plt.close(figure)


def draw_slide() -> plt.Figure:
    """Draw one point on the slide and in the image."""
    figure, (left, right) = plt.subplots(
        1, 2, figsize=(8.6, 5.8), width_ratios=(1, 1.75), layout="constrained"
    )
    pixels = _thumbnail()
    _draw_glass(left, pixels)
    _draw_matrix(right, pixels)
    return figure


def _thumbnail() -> np.ndarray:
    """Paint the image, small and in few colours, so that the figure stays a small file."""
    pixels = paint((0, 0), OPTIONS.get_level_size(16), 16, base_size=OPTIONS.size, seed=3)
    picture = Image.fromarray(pixels).resize((320, 240), Image.Resampling.LANCZOS)
    return np.asarray(picture.quantize(32, dither=Image.Dither.NONE).convert("RGB"))


def _draw_glass(axes: Axes, pixels: np.ndarray) -> None:
    (west, south), (east, north) = GEOMETRY.bounds(OPTIONS.size)
    axes.add_patch(Rectangle((0, 0), 25, 75, fc="#f3f5f7", ec=GREY, lw=1.2))
    axes.add_patch(Rectangle((0, 54), 25, 21, fc="#fbf6e4", ec=GREY, lw=1.2))
    axes.text(12.5, 64.5, "label", ha="center", va="center", color=GREY)
    upright = np.ascontiguousarray(to_upright(pixels, GEOMETRY))
    extent = (west, east, south, north)
    axes.imshow(upright, extent=extent, interpolation="none", zorder=2)
    axes.add_patch(
        Rectangle((west, south), east - west, north - south, fill=False, ec=INK, lw=0.8, zorder=3)
    )
    x, y, _ = GEOMETRY.origin
    _arrow(axes, (x, y), (x, y - 7), ORANGE)
    _arrow(axes, (x, y), (x - 7, y), ORANGE)
    axes.text(x - 3.6, y + 0.8, "y", color=ORANGE, weight="bold")
    axes.text(x + 0.7, y - 4.5, "x", color=ORANGE, weight="bold")
    axes.plot(x, y, "o", ms=5, color=ORANGE)
    axes.text(
        x + 4.5,
        y + 2.8,
        f"Total Pixel Matrix Origin\n({x:.3f}, {y:.3f}) mm",
        color=ORANGE,
        ha="right",
        fontsize=8,
    )
    slide_x, slide_y, _ = GEOMETRY.to_slide(POINT)
    axes.plot([0, slide_x], [slide_y] * 2, "--", color=BLUE, lw=1, zorder=4)
    axes.plot([slide_x] * 2, [0, slide_y], "--", color=BLUE, lw=1, zorder=4)
    _mark(axes, slide_x, slide_y)
    _arrow(axes, (0, 0), (25, 0), BLUE)
    _arrow(axes, (0, 0), (0, 48), BLUE)
    axes.text(21, 1.2, "X", color=BLUE, weight="bold")
    axes.text(0.8, 45, "Y", color=BLUE, weight="bold")
    axes.set(xlim=(-1.5, 28), ylim=(-1.5, 76.5), xticks=(0, 10, 20), yticks=range(0, 76, 10))
    axes.set(
        title="on the upright glass slide",
        xlabel="slide_x (mm)",
        ylabel="slide_y (mm)",
        aspect="equal",
    )
    for side in axes.spines.values():
        side.set_visible(False)


def _draw_matrix(axes: Axes, pixels: np.ndarray) -> None:
    height, width = (n * step for n, step in zip(OPTIONS.size, OPTIONS.spacing, strict=True))
    axes.imshow(pixels, extent=(0, width, height, 0), interpolation="none")
    y, x = (n * step for n, step in zip(POINT, OPTIONS.spacing, strict=True))
    axes.plot([0, x], [y] * 2, "--", color=ORANGE, lw=1)
    axes.plot([x] * 2, [0, y], "--", color=ORANGE, lw=1)
    _mark(axes, x, y)
    axes.plot(0, 0, "o", ms=5, color=ORANGE, clip_on=False)
    _arrow(axes, (0, 0), (7, 0), ORANGE)
    _arrow(axes, (0, 0), (0, 7), ORANGE)
    axes.set(title="in the array", xlabel="x (mm)", ylabel="y (mm)")
    for secondary, label in ((axes.secondary_xaxis, "column"), (axes.secondary_yaxis, "row")):
        step = OPTIONS.spacing[0]
        axis = secondary(
            "top" if label == "column" else "right",
            functions=(lambda mm, s=step: mm / s, lambda n, s=step: n * s),
        )
        (axis.set_xlabel if label == "column" else axis.set_ylabel)(f"{label} at level_0")
        axis.set_color(GREY)
    slide_x, slide_y, _ = GEOMETRY.to_slide(POINT)
    names = "row, column at level_0\ny, x\nslide_x, slide_y"
    values = f"{POINT[0]}, {POINT[1]}\n{y:.3f} mm, {x:.3f} mm\n{slide_x:.3f} mm, {slide_y:.3f} mm"
    columns = (0, "The marked point", GREEN), (0.28, names, INK), (0.64, values, INK)
    for left, text, color in columns:
        style = {"va": "top", "linespacing": 1.5, "color": color}
        axes.text(left, -0.2, text, transform=axes.transAxes, **style)


def draw_levels() -> plt.Figure:
    """Draw where the pixels of two levels lie on each other, for both kinds of origins."""
    figure, panels = plt.subplots(1, 2, figsize=(8.6, 2.7), layout="constrained")
    step = OPTIONS.spacing[1]
    base = ImageGeometry((0.0, 0.0, 0.0), (1, 0, 0, 0, -1, 0), (step, step))
    for axes, origin, title in (
        (panels[0], (step / 2, -step / 2), "each level has its own origin"),
        (panels[1], (0.0, 0.0), "all levels repeat the origin of the base level"),
    ):
        level = ImageGeometry((*origin, 0.0), base.orientation, (2 * step, 2 * step))
        centers = base.to_pixels(level.as_level_of(base).to_slide([(i, i) for i in range(4)]))
        _grid(axes, np.arange(8), np.arange(4), 1, BLUE, 0.8, 3)
        columns, rows = centers[:, 1], centers[:2, 0]
        _grid(axes, columns, rows, 2, ORANGE, 2.0, 6)
        x, y = origin[0] / step, -origin[1] / step
        axes.add_patch(Circle((x, y), 0.3, fill=False, ec=GREEN, lw=2, zorder=4))
        axes.set(title=title, aspect="equal", xlim=(-0.7, 7.7), ylim=(3.7, -0.7), yticks=())
        axes.set_xticks(range(8), [f"{n * step * 1000:g}" for n in range(8)])
        axes.set_xlabel("x (µm)")
        for side in axes.spines.values():
            side.set_visible(False)
    handles = [
        plt.Line2D([], [], color=BLUE, marker="o", ms=3, label="pixels of level_0"),
        plt.Line2D([], [], color=ORANGE, lw=2, marker="o", ms=6, label="pixels of level_1"),
        plt.Line2D(
            [],
            [],
            ls="",
            marker="o",
            ms=9,
            mfc="none",
            mec=GREEN,
            mew=2,
            label="Total Pixel Matrix Origin that level_1 states",
        ),
    ]
    figure.legend(handles=handles, loc="outside lower center", ncols=3, frameon=False)
    return figure


def _grid(
    axes: Axes, columns: np.ndarray, rows: np.ndarray, side: float, color: str, lw: float, ms: float
) -> None:
    for column in columns:
        for row in rows:
            corner = (column - side / 2, row - side / 2)
            axes.add_patch(Rectangle(corner, side, side, fill=False, ec=color, lw=lw))
            axes.plot(column, row, "o", color=color, ms=ms)


def draw_focal_planes() -> plt.Figure:
    """Draw a section through a slide with three focal planes."""
    figure, axes = plt.subplots(figsize=(8.6, 2.1), layout="constrained")
    axes.add_patch(Rectangle((0, -2.2), 10, 2.2, fc="#e6edf5", ec=GREY))
    axes.text(5, -1.1, "glass slide", ha="center", va="center", color=GREY)
    axes.add_patch(Rectangle((0, 4.2), 10, 1.2, fc="#e6edf5", ec=GREY))
    axes.text(5, 4.8, "coverslip", ha="center", va="center", color=GREY)
    axes.add_patch(Rectangle((1.2, 0), 7.6, 4.2, fc="#f2d3e2", ec="none"))
    planes = SlideOptions(focal_planes=3)
    for index in range(planes.focal_planes):
        z = index * planes.focal_plane_spacing
        axes.plot([1.2, 8.8], [z, z], color=ORANGE, lw=1.6)
        axes.text(
            10.2,
            z,
            f"focal plane {index}:  offset {z:g} µm,  focal_plane = {z / 1000:g} mm",
            va="center",
        )
    _arrow(axes, (-0.4, 0), (-0.4, 4.8), BLUE)
    axes.text(-0.7, 3.9, "Z", color=BLUE, weight="bold", ha="right")
    axes.set(xlim=(-1.4, 16), ylim=(-2.4, 5.6))
    axes.axis("off")
    return figure


def _arrow(axes: Axes, start: tuple[float, float], end: tuple[float, float], color: str) -> None:
    axes.annotate(
        "",
        end,
        start,
        annotation_clip=False,
        arrowprops={"arrowstyle": "-|>", "color": color, "lw": 2, "shrinkA": 0, "shrinkB": 0},
    )


def _mark(axes: Axes, x: float, y: float) -> None:
    axes.plot(x, y, "o", ms=9, mfc="none", mec="white", mew=3.5, zorder=5)
    axes.plot(x, y, "o", ms=9, mfc="none", mec=GREEN, mew=2, zorder=5)


if __name__ == "__main__":
    main(*map(Path, sys.argv[1:]))
