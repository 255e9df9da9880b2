"""The xarray engine ``dicomslide``.

xarray imports this module whenever it opens a file of any kind, so the modules that read slides are
imported only when there is one.
"""

from collections.abc import Iterable, Mapping
from typing import TYPE_CHECKING, Any, ClassVar

import xarray as xr
from xarray.backends import BackendEntrypoint

from dicomslide.errors import SelectionError

if TYPE_CHECKING:
    from dicomslide.slide import Slide

__all__ = ["SlideBackendEntrypoint"]


class SlideBackendEntrypoint(BackendEntrypoint):
    """Engine for DICOM whole slide images: ``xr.open_datatree(folder, engine="dicomslide")``.

    The keywords are those of `dicomslide.open_slide`, and those that all engines have: `group` is
    the path of a node; ``xr.open_dataset`` opens the base level without it. Keywords that decode
    times, characters and coordinates have no effect, as a slide has none to decode.
    """

    description = "DICOM whole slide images (dicomslide)"
    supports_groups: ClassVar[bool] = True
    open_dataset_parameters: ClassVar[tuple[str, ...]] = (
        "filename_or_obj",
        "mask_and_scale",
        "decode_times",
        "decode_timedelta",
        "decode_coords",
        "use_cftime",
        "concat_characters",
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
        from dicomslide.stores.places import holds_slide

        return holds_slide(filename_or_obj)

    def open_groups_as_dict(self, filename_or_obj: Any, **options: Any) -> dict[str, xr.Dataset]:
        """Open a slide, or a group of it, as data sets by their paths below the group."""
        slide, groups = _open(filename_or_obj, **options)
        for group in groups.values():
            group.set_close(slide.close)
        return groups

    def open_datatree(self, filename_or_obj: Any, **options: Any) -> xr.DataTree:
        """Open a slide, or a group of it, as a tree."""
        slide, groups = _open(filename_or_obj, **options)
        tree = xr.DataTree.from_dict(groups)
        tree.set_close(slide.close)
        return tree

    def open_dataset(
        self, filename_or_obj: Any, *, group: str | None = None, **options: Any
    ) -> xr.Dataset:
        """Open one group of a slide, by default the base level."""
        groups = self.open_groups_as_dict(filename_or_obj, **options)
        path = _path_of(group or "level_0")
        if path not in groups:
            groups["/"].close()
            raise _no_group(group, groups)
        return groups[path]


def _open(
    source: Any,
    *,
    group: str | None = None,
    mask_and_scale: bool | Mapping[str, bool] = True,
    drop_variables: str | Iterable[str] | None = None,
    decode_times: Any = None,
    decode_timedelta: Any = None,
    decode_coords: Any = None,
    use_cftime: Any = None,
    concat_characters: Any = None,
    **access: Any,
) -> "tuple[Slide, dict[str, xr.Dataset]]":
    from dicomslide.opening import open_slide

    slide = open_slide(source, **access)
    dropped = [drop_variables] if isinstance(drop_variables, str) else drop_variables or []
    try:
        groups = _below(group, slide.to_groups(chunks=None, mask_and_scale=mask_and_scale))
    except BaseException:
        slide.close()
        raise
    return slide, {path: node.drop_vars(dropped, errors="ignore") for path, node in groups.items()}


def _below(group: str | None, groups: dict[str, xr.Dataset]) -> dict[str, xr.Dataset]:
    """Select the groups in a group, by their paths relative to it."""
    root = _path_of(group or "")
    if root == "/":
        return groups
    found = {
        path.removeprefix(root) or "/": node
        for path, node in groups.items()
        if f"{path}/".startswith(f"{root}/")
    }
    if not found:
        raise _no_group(group, groups)
    return found


def _path_of(group: str) -> str:
    return "/" + group.strip("/")


def _no_group(group: str | None, groups: Iterable[str]) -> SelectionError:
    return SelectionError(f"group: there is no {group!r}, only {', '.join(sorted(groups))}")
