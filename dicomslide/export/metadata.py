"""Metadata of an OME-Zarr image, of versions 0.4, 0.5 and 0.6 (https://ngff.openmicroscopy.org).

Versions 0.4 and 0.5 are validated by the models of ome-zarr-models. There are no models of 0.6 yet,
whose coordinate systems are made from the metadata of 0.5.
"""

from collections.abc import Sequence
from typing import Any

import numpy as np
from numpy.typing import NDArray

from dicomslide.display.channels import choose_window
from dicomslide.export.content import Image
from dicomslide.export.derived import mode_of_four
from dicomslide.export.grid import Block, BlockReader
from dicomslide.export.labels import Label
from dicomslide.export.store import ZarrFormat

__all__ = ["image_attributes", "labels_attributes", "zarr_format"]

_INTRINSIC = "physical"
_SLIDE = "slide"
# Number of rows and columns in the middle of an image from which a window is chosen
_WINDOW_SIDE = 2048

Attributes = dict[str, Any]


def zarr_format(version: str) -> ZarrFormat:
    """Return the Zarr format of a version of OME-Zarr."""
    return 2 if version == "0.4" else 3


def image_attributes(image: Image, version: str, smallest: BlockReader) -> Attributes:
    """Make the attributes of the group of an image.

    Parameters
    ----------
    image : Image
        The image
    version : str
        Version of OME-Zarr
    smallest : BlockReader
        Its smallest level, of which the middle is read where windows have to be chosen
    """
    multiscale = _multiscale(image)
    omero = _omero(image, smallest) if image.displays else None
    label = _image_label(image.label) if image.label else None
    if version == "0.4":
        from ome_zarr_models.v04.image import ImageAttrs

        converted = multiscale.to_version("0.4").model_copy(update={"version": "0.4"})
        attributes = _dump(ImageAttrs(multiscales=[converted], omero=omero))
    else:
        from ome_zarr_models.v05.image import ImageAttrs as ImageAttrs05

        extra = {} if omero is None else {"omero": omero}
        attributes = _dump(ImageAttrs05(multiscales=[multiscale], version="0.5", **extra))
        attributes["version"] = version
    if label is not None:
        attributes["image-label"] = label | ({"version": "0.4"} if version == "0.4" else {})
    if version == "0.6":
        attributes["multiscales"] = [_with_systems(m, image) for m in attributes["multiscales"]]
    return attributes if version == "0.4" else {"ome": attributes}


def labels_attributes(names: Sequence[str], version: str) -> Attributes:
    """Make the attributes of the group that lists the label images."""
    listed = {"labels": list(names)}
    return listed if version == "0.4" else {"ome": {"version": version, **listed}}


def _dump(model: Any) -> Attributes:
    dumped: Attributes = model.model_dump(mode="json", by_alias=True, exclude_none=True)
    return dumped


def _multiscale(image: Image) -> Any:
    from ome_zarr_models.v05.axes import Axis
    from ome_zarr_models.v05.multiscales import Dataset, Multiscale

    ndim = len(image.axes)
    unit = "micrometer" if image.levels[0].calibration.known else None
    description = (
        "Missing levels are computed from the level before them"
        if image.is_dyadic
        else "Levels are those of the DICOM images"
    )
    return Multiscale(
        axes=tuple(
            Axis(name=name, type="channel")
            if name == "c"
            else Axis(name=name, type="space", unit=unit)
            for name in image.axes
        ),
        datasets=tuple(
            Dataset.build(
                path=str(index),
                scale=[1.0, *level.calibration.scale][-ndim:],
                translation=[0.0, *level.calibration.translation][-ndim:],
            )
            for index, level in enumerate(image.levels)
        ),
        name=image.name,
        type=_downscaling(image),
        metadata={"description": description, "method": "dicomslide.to_ome_zarr"},
    )


def _downscaling(image: Image) -> str:
    if not image.is_dyadic:
        return "stored"
    return "mode" if image.label and image.label.reduce is mode_of_four else "mean"


def _omero(image: Image, smallest: BlockReader) -> Any:
    from ome_zarr_models.common.omero import Omero

    nothing = np.empty(0, image.levels[-1].dtype)
    channels = [
        {
            "label": display.label,
            "color": display.color,
            "active": display.is_active,
            "inverted": display.is_inverted,
            "window": choose_window(
                display, _middle(smallest, channel) if display.needs_pixels else nothing
            ),
        }
        for channel, display in enumerate(image.displays)
    ]
    return Omero.model_validate({"channels": channels})


def _middle(array: BlockReader, channel: int) -> NDArray:
    """The middle of a channel: enough to choose a window, however large a level is."""
    _, planes, *sizes = array.grid.shape
    starts = [max((size - _WINDOW_SIDE) // 2, 0) for size in sizes]
    stops = [min(start + _WINDOW_SIDE, n) for start, n in zip(starts, sizes, strict=True)]
    first = channel, planes // 2
    return array.read(Block.of((*first, *starts), (channel + 1, planes // 2 + 1, *stops)))


def _image_label(label: Label) -> Attributes:
    from ome_zarr_models.common.image_label_types import LabelBase

    model = LabelBase.model_validate(
        {
            "colors": [
                {"label-value": value, "rgba": rgba} for value, rgba in label.colors.items()
            ],
            "properties": [
                {"label-value": value, **about} for value, about in label.properties.items()
            ],
            "source": {"image": "../../"},
        }
    )
    return _dump(model)


def _with_systems(multiscale: Attributes, image: Image) -> Attributes:
    """Replace axes by the coordinate systems of version 0.6, and add that of the slide."""
    axes = [axis | {"discrete": axis["type"] == "channel"} for axis in multiscale.pop("axes")]
    systems = [{"name": _INTRINSIC, "axes": axes}]
    for dataset in multiscale["datasets"]:
        dataset["coordinateTransformations"] = [
            {
                "type": "sequence",
                "input": {"path": dataset["path"]},
                "output": {"name": _INTRINSIC},
                "transformations": dataset["coordinateTransformations"],
            }
        ]
    placed = multiscale | {"coordinateSystems": systems}
    if image.affine is not None:
        ndim = len(axes)
        systems.append({"name": _SLIDE, "axes": axes})
        placed["coordinateTransformations"] = [
            {
                "type": "affine",
                "name": "image axes to slide coordinate system",
                "input": {"name": _INTRINSIC},
                "output": {"name": _SLIDE},
                "affine": image.affine[-ndim:, -ndim - 1 :].tolist(),
            }
        ]
    return placed
