"""Renders the pictures of synthetic slides: ``python docs/_drawings/pictures.py [FOLDER]``."""

import sys
from collections.abc import Iterator
from pathlib import Path
from tempfile import TemporaryDirectory

import numpy as np
import xarray as xr
from matplotlib import pyplot as plt
from matplotlib.axes import Axes
from matplotlib.patches import ConnectionPatch, Rectangle
from skimage.measure import find_contours

import dicomslide
from dicomslide.testing import OpticalPath, write_slide
from dicomslide.thumbnail import make_thumbnail

STATIC = Path(__file__).parents[1] / "_static"
INK = "#24292f"


def main(target: Path = STATIC) -> None:
    """Render all pictures."""
    plt.rcParams |= {"font.family": "monospace", "font.size": 8, "text.color": INK}
    pictures = {
        "slide": draw_slide,
        "gallery": draw_gallery,
        "fluorescence": draw_channels,
        "z-stack": draw_stack,
        "plots": draw_plots,
        "annotations": draw_annotations,
    }
    for name, draw in pictures.items():
        with TemporaryDirectory() as folder:
            figure = draw(Path(folder))
        figure.savefig(target / f"{name}.jpg", dpi=110, pil_kwargs={"quality": 82})
        plt.close(figure)


def draw_slide(folder: Path) -> plt.Figure:
    """Draw one slide at three levels: each picture shows a part of the one before it."""
    write_slide(folder, size=(9000, 12000), factors=(1, 4, 16), seed=3)
    tree = xr.open_datatree(folder, engine="dicomslide")
    figure, panels = plt.subplots(1, 3, figsize=(11, 3.0), layout="constrained")
    centre = 2.35, 2.3
    for number, (axes, half) in enumerate(zip(panels, (None, 0.45, 0.08), strict=True)):
        level = f"level_{2 - number}"
        image = tree[level]["image"].isel(channel=0, focal_plane=0)
        if half is not None:
            y, x = centre
            image = image.sel(
                y=slice(y - half * 0.75, y + half * 0.75), x=slice(x - half, x + half)
            )
            _zoom(panels[number - 1], axes, y, x, half)
        _show(axes, image)
        axes.set_title(f"{level}   {image.sizes['y']} x {image.sizes['x']} pixels")
        _scale_bar(axes, (1.0, 0.2, 0.02)[number])
    return figure


def draw_plots(folder: Path) -> plt.Figure:
    """Draw a slide, a part of it and its segments on the axes of the slide."""
    write_slide(folder, size=(3000, 4000), factors=(1, 2, 4, 8), segmentations=["BINARY"])
    tree = xr.open_datatree(folder, engine="dicomslide")
    figure, panels = plt.subplots(1, 3, figsize=(12, 4), layout="constrained")
    tree.slide.plot(panels[0])
    part = tree.slide.clip(x=(12.6, 12.9), y=(26.7, 27.0))
    part.slide.plot(panels[1])
    part.slide.plot(panels[2], overlay=True)
    return figure


def draw_annotations(folder: Path) -> plt.Figure:
    """Draw a part of a slide with outlines of nuclei, and the numbers of these on its pixels."""
    write_slide(folder / "slide", segmentations=["BINARY"])
    slide = dicomslide.open_slide(folder / "slide")
    level = slide.to_datatree()["level_0"].isel(focal_plane=0)
    part = {"y": slice(400, 520), "x": slice(400, 640)}
    mask = level["segmentation"].sel(segment=1).isel(part).values
    contours = find_contours(np.pad(mask, 1), 0.5)
    outlines = [found[:-1, ::-1] + 399.5 for found in contours if len(found) > 9]
    dicomslide.write_annotations(
        (np.concatenate(outlines), np.array([len(one) for one in outlines])),
        folder / "cells.dcm",
        slide=slide,
    )
    (group,) = dicomslide.open_slide([folder / "slide", folder / "cells.dcm"]).annotations
    figure, panels = plt.subplots(1, 2, figsize=(11, 3), layout="constrained")
    edges = 400, 640, 520, 400
    panels[0].imshow(level["image"].isel(part | {"channel": 0}), extent=edges)
    group.to_geodataframe(level=0).boundary.plot(ax=panels[0], color="#ffd400", linewidth=1.2)
    numbers = group.rasterize().isel(part).values
    shown = np.ma.masked_equal(numbers * 7 % 20 + (numbers > 0), 0)
    panels[1].imshow(shown, extent=edges, cmap="tab20", interpolation="nearest")
    for axes, title in zip(panels, ("group.to_geodataframe()", "group.rasterize()"), strict=True):
        axes.set(xticks=(), yticks=(), title=title, xlim=edges[:2], ylim=edges[2:])
    return figure


def _show(axes: Axes, image: xr.DataArray) -> None:
    y, x = image.y.values, image.x.values
    extent = (x[0], x[-1], y[-1], y[0])
    axes.imshow(image.values, extent=extent, interpolation="antialiased")
    axes.set(xticks=(), yticks=())


def _zoom(outer: Axes, inner: Axes, y: float, x: float, half: float) -> None:
    """Mark a region and connect it to its enlargement."""
    box = Rectangle((x - half, y - half * 0.75), 2 * half, 1.5 * half, fill=False, ec=INK, lw=1.2)
    outer.add_patch(box)
    for side in (-0.75, 0.75):
        outer.figure.add_artist(
            ConnectionPatch(
                (x + half, y + side * half),
                (0, 0 if side > 0 else 1),
                outer.transData,
                inner.transAxes,
                color=INK,
                lw=0.8,
                ls=":",
            )
        )


def _scale_bar(axes: Axes, length: float) -> None:
    (left, right), (bottom, top) = axes.get_xlim(), axes.get_ylim()
    end, height = right - 0.04 * (right - left), bottom - 0.06 * (bottom - top)
    axes.plot([end - length, end], [height, height], color="white", lw=5, solid_capstyle="butt")
    axes.plot([end - length, end], [height, height], color=INK, lw=2.5, solid_capstyle="butt")
    text = f"{length:g} mm" if length >= 0.1 else f"{length * 1000:g} µm"
    axes.text(
        end - length / 2,
        height - 0.025 * (bottom - top),
        text,
        ha="center",
        va="bottom",
        bbox={"fc": "white", "ec": "none", "alpha": 0.7, "pad": 1},
    )


def draw_gallery(folder: Path) -> plt.Figure:
    """Draw what synthetic slides can show, each with the arguments that make it."""
    figure, panels = plt.subplots(3, 4, figsize=(11, 7.6), layout="constrained")
    for axes, (title, pixels) in zip(panels.flat, _gallery(folder), strict=True):
        axes.imshow(pixels, cmap="magma", aspect="equal")
        axes.set_title(title)
        axes.axis("off")
    return figure


def _gallery(folder: Path) -> Iterator[tuple[str, np.ndarray]]:
    small = {"size": (1500, 2000), "factors": (1, 4), "seed": 3}
    stained = write_slide(
        folder / "stained",
        **small,
        optical_paths=2,
        focal_planes=3,
        segmentations=["LABELMAP"],
        parametric_maps=["float"],
    )
    base, lowest = stained.levels
    detail = np.s_[700:1060, 700:1180]
    yield "level 1", lowest.pixels()
    yield "level 0", base.pixels(region=detail)
    yield "optical_paths=2", base.pixels(1, region=detail)
    yield "focal_planes=3", base.pixels(0, 2, region=detail)
    segmentation, parameters = stained.segmentations[0], stained.parametric_maps[0]
    overlay = base.pixels(region=detail)
    for number, color in ((1, (30, 90, 220)), (2, (240, 190, 40)), (3, (60, 170, 110))):
        inside = segmentation.mask(0, number).reshape(base.size)[detail] > 0
        overlay[inside] = overlay[inside] // 2 + np.array(color, np.uint8) // 2
    yield 'segmentations=["LABELMAP"]', overlay
    yield 'parametric_maps=["float"]', parameters.values(0, 0).reshape(base.size)[detail]
    gaps = write_slide(folder / "gaps", **small, organization="TILED_SPARSE", sparse="gaps")
    yield 'sparse="gaps"', gaps.levels[0].pixels()[::4, ::4]
    tiles = write_slide(folder / "tiles", **small, organization=None, sparse="overlapping")
    yield 'sparse="overlapping"', tiles.levels[0].pixels()[::4, ::4]
    dark = write_slide(folder / "dark", **small, samples=1, optical_paths=3)
    colors = [dark.levels[0].pixels(path, region=detail)[..., 0] for path in (2, 1, 0)]
    yield "samples=1, optical_paths=3", np.stack(colors, axis=-1)
    # Larger pixels, so that the overview shows more than a speck
    other = write_slide(folder / "other", **small | {"seed": 8}, pixel_spacing=0.005)
    yield "seed=8", other.levels[1].pixels()
    yield "label=True", other.label
    yield "overview=True", other.overview


def draw_channels(folder: Path) -> plt.Figure:
    """Draw the channels of a slide together and one by one, and the regions of its label map."""
    paths = [
        OpticalPath("1", "Nuclei", 385, "DAPI"),
        OpticalPath("2", "Fibres", 475, "vimentin"),
        OpticalPath("3", "Epithelium", 555, "pan-cytokeratin"),
    ]
    write_slide(
        folder,
        size=(1500, 2000),
        factors=(1, 2),
        samples=1,
        optical_paths=paths,
        segmentations=["LABELMAP"],
    )
    slide = dicomslide.open_slide(folder)
    figure, panels = plt.subplots(1, 5, figsize=(11, 2.1), layout="constrained")
    panels[0].imshow(make_thumbnail(slide, 1000))
    panels[0].set_title("all channels")
    for index, path in enumerate(paths):
        panels[index + 1].imshow(make_thumbnail(slide, 1000, index, composite=True))
        panels[index + 1].set_title(path.stain)
    panels[4].imshow(slide.to_datatree()["level_1"]["label_map"][0], cmap="Set2", vmin=0, vmax=7)
    panels[4].set_title("label map")
    for axes in panels:
        axes.axis("off")
    return figure


def draw_stack(folder: Path) -> plt.Figure:
    """Draw a part of a slide in five focal planes, and the darkest pixels of all of them."""
    write_slide(folder, size=(1500, 2000), factors=(1,), focal_planes=5)
    image = dicomslide.open_slide(folder).to_datatree()["level_0"]["image"][0]
    part = image.isel(y=slice(600, 780), x=slice(700, 880))
    figure, panels = plt.subplots(1, 6, figsize=(11, 2.1), layout="constrained")
    for axes, plane in zip(panels, part, strict=False):
        axes.imshow(plane)
        axes.set_title(f"{float(plane.focal_plane) * 1000:g} µm")
    panels[5].imshow(part.min("focal_plane"))
    panels[5].set_title("minimum")
    for axes in panels:
        axes.axis("off")
    return figure


if __name__ == "__main__":
    main(*map(Path, sys.argv[1:]))
