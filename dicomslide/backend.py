"""The xarray engine ``dicomslide``."""

from collections.abc import Iterable
from typing import Any, ClassVar

import xarray as xr
from xarray.backends import BackendEntrypoint

from dicomslide.errors import SelectionError
from dicomslide.opening import open_slide
from dicomslide.slide import Slide
from dicomslide.stores.places import holds_slide

__all__ = ["SlideBackendEntrypoint"]


class SlideBackendEntrypoint(BackendEntrypoint):
    """Opens DICOM whole slide images: ``xr.open_datatree(folder, engine="dicomslide")``.

    The keywords are those of `dicomslide.open_slide`. ``xr.open_dataset`` opens one group, the
    base level unless said otherwise.
    """

    description = "DICOM whole slide images (dicomslide)"
    supports_groups: ClassVar[bool] = True
    open_dataset_parameters: ClassVar[tuple[str, ...]] = (
        "filename_or_obj",
        "mask_and_scale",
        "drop_variables",
        "group",
        "correct_color",
        "max_frame_cache_size",
        "pyramid_tolerance",
        "include_derived",
        "container_identifier",
        "study_instance_uid",
        "series_instance_uid",
        "pyramid_uid",
        "session",
        "credentials",
        "storage_options",
    )

    def guess_can_open(self, filename_or_obj: Any) -> bool:
        """Whether a path seems to hold a slide."""
        return holds_slide(filename_or_obj)

    def open_groups_as_dict(self, filename_or_obj: Any, **options: Any) -> dict[str, xr.Dataset]:
        """Open all groups of a slide, by their paths."""
        slide, groups = _open(filename_or_obj, **options)
        for group in groups.values():
            group.set_close(slide.close)
        return groups

    def open_datatree(self, filename_or_obj: Any, **options: Any) -> xr.DataTree:
        """Open a slide as a tree."""
        slide, groups = _open(filename_or_obj, **options)
        tree = xr.DataTree.from_dict(groups)
        tree.set_close(slide.close)
        return tree

    def open_dataset(
        self, filename_or_obj: Any, *, group: str | None = None, **options: Any
    ) -> xr.Dataset:
        """Open one group of a slide."""
        groups = self.open_groups_as_dict(filename_or_obj, **options)
        path = "/" + (group or "level_0").strip("/")
        if path not in groups:
            raise SelectionError(f"group: there is no {group!r}, only {', '.join(sorted(groups))}")
        return groups[path]


def _open(
    source: Any,
    *,
    mask_and_scale: bool = True,
    drop_variables: str | Iterable[str] | None = None,
    **access: Any,
) -> tuple[Slide, dict[str, xr.Dataset]]:
    slide = open_slide(source, **access)
    dropped = [drop_variables] if isinstance(drop_variables, str) else drop_variables or []
    groups = slide.to_groups(chunks=None, mask_and_scale=mask_and_scale)
    return slide, {path: g.drop_vars(dropped, errors="ignore") for path, g in groups.items()}
