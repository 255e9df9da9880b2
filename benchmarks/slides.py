"""The slides that are read."""

from pathlib import Path

from dicomslide.testing import write_slide

__all__ = ["make_slides"]

# Frames at the base level: 1,632 and 26,112
SIZES = {"small": (8160, 11520), "large": (32640, 46080)}


def make_slides(folder: Path, size: str) -> dict[str, Path]:
    """Write the slides that are not there yet; name to folder."""
    slides = {}
    for name, organization in (("full", "TILED_FULL"), ("sparse", "TILED_SPARSE")):
        path = slides[name] = folder / f"{size}-{name}"
        if not path.exists():
            print(f"writing {path.name} ...", flush=True)
            unfinished = folder / f"{size}-{name}.unfinished"
            write_slide(
                unfinished,
                size=SIZES[size],
                tile=(240, 240),
                factors=(1, 2, 4, 8),
                organization=organization,
                offset_table="extended",
                label=False,
                overview=False,
                threads=2,
            )
            unfinished.rename(path)
    return slides
