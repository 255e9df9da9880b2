"""The plot of a slide as a document of Bokeh: axes in millimetres, layers and a scale bar.

The page draws the layers: it extends the tile renderer of Bokeh by grids of tiles that are turned.
"""

from collections.abc import Mapping
from typing import Any

from bokeh.embed import json_item
from bokeh.models import (
    Metric,
    PanTool,
    Range1d,
    ScaleBar,
    TileRenderer,
    WheelZoomTool,
    WMTSTileSource,
)
from bokeh.plotting import figure

__all__ = ["make_document", "make_plot"]

_GREY, _DARK = "#6b7280", "#111827"
_WHITE, _BLACK = "#ffffff", "#000000"
# Bokeh has a panel for attributions in the corner, which shows up without any
_NO_EMPTY_PANELS = ".bk-Panel:empty { display: none; }"


def make_document(description: Mapping[str, Any]) -> dict[str, Any]:
    """Make the document of a scene, as JSON that BokehJS embeds.

    Parameters
    ----------
    description : mapping
        See `Scene.describe`
    """
    return dict(json_item(make_plot(description)))


def make_plot(description: Mapping[str, Any]) -> figure:
    """Make the plot of a scene: on the axes of the slide, or else on those of the image."""
    (left, right), (bottom, top) = _extent(description)
    paper, ink = (_WHITE, _DARK) if description["background"] else (_BLACK, _WHITE)
    x_range, y_range = Range1d(left, right), Range1d(bottom, top)
    wheel = WheelZoomTool(zoom_on_axis=False)
    plot = figure(
        name="slide",
        x_range=x_range,
        y_range=y_range,
        tools=[PanTool(), wheel],
        active_scroll=wheel,
        toolbar_location=None,
        sizing_mode="stretch_both",
        min_border_right=12,
        min_border_top=12,
        background_fill_color=paper,
        border_fill_color=None,
        outline_line_color="#d1d5db",
        stylesheets=[_NO_EMPTY_PANELS],
    )
    plot.grid.visible = False
    plot.axis.axis_line_color = None
    plot.axis.major_tick_line_color = plot.axis.minor_tick_line_color = _GREY
    plot.axis.major_label_text_color = plot.axis.axis_label_text_color = _GREY
    plot.axis.axis_label_text_font_style = "normal"
    plot.axis.major_label_text_font_size = plot.axis.axis_label_text_font_size = "12px"
    for index, layer in enumerate(description["layers"]):
        plot.renderers.append(
            TileRenderer(
                name=f"layer-{index}",
                tile_source=WMTSTileSource(tile_size=description["tile"]),
                visible=layer["kind"] == "slide",
                alpha=1.0 if layer["kind"] == "slide" else 0.5,
            )
        )
    plot.add_layout(
        ScaleBar(
            range=x_range,
            unit="mm",
            dimensional=Metric(base_unit="m"),
            orientation="horizontal",
            location="bottom_left",
            background_fill_color=paper,
            background_fill_alpha=0.85,
            border_line_color=None,
            bar_line_color=ink,
            bar_line_width=3,
            label_text_color=ink,
            label_text_font_size="12px",
            length_sizing="adaptive",
            bar_length=0.2,
        )
    )
    return plot


def _extent(description: Mapping[str, Any]) -> tuple[tuple[float, float], tuple[float, float]]:
    """Find what a scene covers along the axes of the plot, in millimetres."""
    (y, x), (down, across) = description["corner"], description["step"]
    rows, columns = description["size"]
    corners = [(x, y), (x + columns * across, y + rows * down)]
    slide = description["slide"]
    if slide and slide["is_parallel"]:
        corners = [
            (a * p + b * q + c, d * p + e * q + f)
            for (a, b, c), (d, e, f) in [slide["matrix"]]
            for p, q in corners
        ]
        left, right = sorted(corner[0] for corner in corners)
        bottom, top = sorted(corner[1] for corner in corners)
        return (left, right), (bottom, top)
    # Rows run downwards
    return (corners[0][0], corners[1][0]), (corners[1][1], corners[0][1])
