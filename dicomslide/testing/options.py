"""Options of a synthetic slide."""

import math
import uuid
from collections.abc import Sequence
from dataclasses import dataclass, field, replace
from typing import Any, Literal

from dicomslide.testing.color import make_srgb_profile
from dicomslide.testing.geometry import Orientation, centre_on_slide
from dicomslide.testing.layout import SPARSE_KINDS, Sparse
from dicomslide.writing.encoding import check_pixel_format, get_encoding
from dicomslide.writing.part10 import OffsetTable
from dicomslide.writing.pixel_format import EXPLICIT_LITTLE_ENDIAN, PixelFormat

__all__ = ["OpticalPath", "SlideOptions"]

Organization = Literal["TILED_FULL", "TILED_SPARSE"]
Together = Literal["one", "each"]

_NAMESPACE = uuid.UUID("5b9a4a0e-4d52-4d43-8f0e-6c1d5c1f0c55")


@dataclass(frozen=True)
class OpticalPath:
    """An optical path (PS3.3 C.8.12.5).

    Parameters
    ----------
    identifier : str
        Optical Path Identifier
    description : str, optional
        Optical Path Description
    wavelength_nm : float, optional
        Illumination Wave Length in nanometres; full spectrum where None
    stain : str, optional
        Name of the stain that the path shows, for the Specimen Preparation Sequence
    """

    identifier: str
    description: str | None = None
    wavelength_nm: float | None = None
    stain: str | None = None


_BRIGHTFIELD = (
    ("Brightfield", "hematoxylin and eosin"),
    ("Brightfield, immunohistochemistry", "hematoxylin and DAB"),
    ("Brightfield, connective tissue", "light green"),
    ("Brightfield, orange", "orange G"),
)
_FLUORESCENCE = (
    ("Nuclei", 385.0, "DAPI"),
    ("Fibres", 475.0, "FITC"),
    ("Epithelium", 555.0, "TRITC"),
    ("Mixture", 630.0, "Cy5"),
)


def make_optical_paths(count: int, samples: int) -> tuple[OpticalPath, ...]:
    """Describe optical paths: brightfield for three samples, fluorescence for one."""
    paths = []
    for index in range(count):
        if samples == 3:
            description, stain = _BRIGHTFIELD[index % len(_BRIGHTFIELD)]
            paths.append(OpticalPath(str(index + 1), description, None, stain))
        else:
            description, wavelength, stain = _FLUORESCENCE[index % len(_FLUORESCENCE)]
            turn = index // len(_FLUORESCENCE)
            paths.append(OpticalPath(str(index + 1), description, wavelength + 10 * turn, stain))
    return tuple(paths)


@dataclass(frozen=True, kw_only=True)
class SlideOptions:
    """The keyword arguments of `write_slide`.

    Sizes are (rows, columns).

    Parameters
    ----------
    size : tuple of int
        Size of the total pixel matrix of the base level in pixels
    tile : tuple of int
        Size of a frame in pixels
    factors : tuple of float
        For each level, how many base pixels one of its pixels is wide. Level i has ceil(size /
        factors[i]) pixels
    transfer_syntax : str
        Transfer Syntax UID of the images: a key of `dicomslide.writing.encoding.ENCODINGS`
    photometric : str, optional
        Photometric Interpretation; by default the usual one of the transfer syntax
    bits : int
        Bits Stored
    bits_allocated : int, optional
        Bits Allocated: 8, 16 or 32; by default the smallest that holds `bits`
    signed : bool
        Whether Pixel Representation is signed
    samples : int
        Samples per Pixel: 3 for colour (RGB before encoding), 1 for fluorescence
    planar_configuration : int
        Planar Configuration: 0 (colour by pixel) or 1 (colour by plane)
    optical_paths : int or sequence of OpticalPath
        Optical paths or their number
    optical_paths_in : str
        Whether all optical paths are in "one" instance of each level or "each" in one of its own
    focal_planes : int
        Number of focal planes
    focal_plane_spacing : float
        Distance between focal planes in micrometres
    focal_planes_in : str
        Whether all focal planes are in "one" instance of each level or "each" in one of its own
    organization : str, optional
        Dimension Organization Type: "TILED_FULL", "TILED_SPARSE", or None (absent, with positions
        for each frame)
    sparse : str
        Which frames there are where the organization is not TILED_FULL; see
        `layout.lay_out_frames`
    orientation : tuple of float
        Image Orientation (Slide): six direction cosines
    origin : tuple of float, optional
        X and Y in mm of the centre of the top-left pixel of the base level; by default the image is
        in the middle of the part of the slide that the label leaves free
    pixel_spacing : float or tuple of float
        Distance of the pixels of the base level in mm; (between rows, between columns) if they
        differ
    level_origins : str
        "centres": the origin of each level is the centre of its own top-left pixel; "same": that of
        the base level is repeated, as many vendors do
    concatenation : int, optional
        Number of instances that the base level is split into (PS3.3 C.7.6.16.2.2.4)
    offset_table : str
        "basic", "empty" or "extended"
    fragments_per_frame : int
        Number of fragments of each encapsulated frame
    icc_profile : bool or bytes
        ICC profile of the optical paths; True is sRGB
    adobe_marker : bool
        Whether JPEG streams of RGB components have an Adobe segment that says so
    label : bool
        Whether there is a LABEL image
    overview : bool
        Whether there is an OVERVIEW image
    thumbnail : bool
        Whether there is a THUMBNAIL image
    segmentations : sequence of str or SegmentationOptions
        Segmentations: "BINARY", "FRACTIONAL", "LABELMAP" or `SegmentationOptions`
    parametric_maps : sequence of str or ParametricMapOptions
        Parametric maps: "float", "double", "integer" or `ParametricMapOptions`
    quality : int
        Quality of lossy encoding, 1 to 100
    seed : int
        Seed of everything random
    threads : int
        Number of threads that paint and encode; has no effect on the files
    container_identifier : str, optional
        Container Identifier; by default made from the seed
    patient_id : str
        Patient ID
    patient_name : str
        Patient's Name
    accession_number : str
        Accession Number
    study_id : str
        Study ID
    manufacturer : str
        Manufacturer
    study_instance_uid : str, optional
        Study Instance UID; by default made from Patient ID, Accession Number and Study ID
    series_instance_uid : str, optional
        Series Instance UID of the microscopy images
    frame_of_reference_uid : str, optional
        Frame of Reference UID

    Raises
    ------
    ValueError
        When values are not possible, alone or together
    """

    size: tuple[int, int] = (1500, 2000)
    tile: tuple[int, int] = (256, 256)
    factors: tuple[float, ...] = (1, 2, 4, 8)
    transfer_syntax: str = "1.2.840.10008.1.2.4.50"
    photometric: str | None = None
    bits: int = 8
    bits_allocated: int | None = None
    signed: bool = False
    samples: int = 3
    planar_configuration: int = 0
    optical_paths: int | Sequence[OpticalPath] = 1
    optical_paths_in: Together = "one"
    focal_planes: int = 1
    focal_plane_spacing: float = 1.5
    focal_planes_in: Together = "one"
    organization: Organization | None = "TILED_FULL"
    sparse: Sparse = "complete"
    orientation: Orientation = (0, -1, 0, -1, 0, 0)
    origin: tuple[float, float] | None = None
    pixel_spacing: float | tuple[float, float] = 0.0005
    level_origins: Literal["centres", "same"] = "centres"
    concatenation: int | None = None
    offset_table: OffsetTable = "basic"
    fragments_per_frame: int = 1
    icc_profile: bool | bytes = True
    adobe_marker: bool = False
    label: bool = True
    overview: bool = True
    thumbnail: bool = False
    segmentations: Sequence[Any] = ()
    parametric_maps: Sequence[Any] = ()
    quality: int = 90
    seed: int = 0
    threads: int = field(default=1, compare=False)
    container_identifier: str | None = None
    patient_id: str = "SYNTHETIC"
    patient_name: str = "Synthetic^Slide"
    accession_number: str = "S26-1"
    study_id: str = "S26-1"
    manufacturer: str = "dicomslide"
    study_instance_uid: str | None = None
    series_instance_uid: str | None = None
    frame_of_reference_uid: str | None = None

    def __post_init__(self) -> None:
        if min(*self.size, *self.tile) < 1:
            raise ValueError(f"size is {self.size} and tile is {self.tile}, must be positive")
        if not self.factors or self.factors[0] != 1 or list(self.factors) != sorted(self.factors):
            raise ValueError(f"factors are {self.factors}, must start with 1 and not decrease")
        if self.organization == "TILED_FULL" and self.sparse != "complete":
            raise ValueError(
                f"sparse is {self.sparse!r}, must be 'complete' when organization is TILED_FULL"
            )
        if self.offset_table == "extended" and self.fragments_per_frame > 1:
            raise ValueError("an extended offset table needs one fragment per frame")
        choices: dict[str, tuple[Any, ...]] = {
            "organization": ("TILED_FULL", "TILED_SPARSE", None),
            "sparse": SPARSE_KINDS,
            "level_origins": ("centres", "same"),
            "optical_paths_in": ("one", "each"),
            "focal_planes_in": ("one", "each"),
            "offset_table": ("basic", "empty", "extended"),
            "samples": (1, 3),
        }
        for name, allowed in choices.items():
            if getattr(self, name) not in allowed:
                raise ValueError(f"{name} is {getattr(self, name)!r}, must be one of {allowed}")
        for name in ("focal_planes", "fragments_per_frame", "threads", "concatenation"):
            if getattr(self, name) is not None and getattr(self, name) < 1:
                raise ValueError(f"{name} is {getattr(self, name)}, must be at least 1")
        if not self.optical_path_items:
            raise ValueError("optical_paths must not be empty")
        check_pixel_format(self.pixel_format)

    @property
    def optical_path_items(self) -> tuple[OpticalPath, ...]:
        """The optical paths."""
        if isinstance(self.optical_paths, int):
            return make_optical_paths(self.optical_paths, self.samples)
        return tuple(self.optical_paths)

    @property
    def spacing(self) -> tuple[float, float]:
        """Distance (between rows, between columns) of the pixels of the base level in mm."""
        if isinstance(self.pixel_spacing, tuple):
            return self.pixel_spacing
        return (self.pixel_spacing, self.pixel_spacing)

    @property
    def base_origin(self) -> tuple[float, float]:
        """X and Y in mm of the centre of the top-left pixel of the base level."""
        return self.origin or centre_on_slide(self.size, self.orientation, self.spacing)

    @property
    def container(self) -> str:
        """Container Identifier."""
        return self.container_identifier or f"{self.accession_number}-{self.seed}"

    @property
    def background(self) -> int:
        """Value of pixels that no frame covers: white for colour, 0 otherwise."""
        return 2**self.bits - 1 if self.samples == 3 and not self.signed else 0

    @property
    def pixel_format(self) -> PixelFormat:
        """Stored form of the pixels of the levels."""
        usual = get_encoding(self.transfer_syntax).color[0] if self.samples == 3 else "MONOCHROME2"
        return PixelFormat(
            transfer_syntax=self.transfer_syntax,
            samples=self.samples,
            bits=self.bits,
            bits_allocated=self.bits_allocated
            or (8 if self.bits <= 8 else 16 if self.bits <= 16 else 32),
            signed=self.signed,
            photometric=self.photometric or usual,
            planar_configuration=self.planar_configuration,
            quality=self.quality,
            adobe_marker=self.adobe_marker,
        )

    @property
    def color_format(self) -> PixelFormat:
        """Stored form of label and overview: like levels of 8-bit colour, otherwise native."""
        if (self.samples, self.bits, self.signed) == (3, 8, False):
            return self.pixel_format
        return PixelFormat(EXPLICIT_LITTLE_ENDIAN, 3, 8, 8, False, "RGB")

    @property
    def profile(self) -> bytes | None:
        """The ICC profile of colour images."""
        if isinstance(self.icc_profile, bytes):
            return self.icc_profile
        return make_srgb_profile() if self.icc_profile else None

    def get_level_size(self, factor: float) -> tuple[int, int]:
        """Get the size of the total pixel matrix at a level."""
        return (math.ceil(self.size[0] / factor), math.ceil(self.size[1] / factor))

    def make_uid(self, *role: object) -> str:
        """Make the UID of something on this slide; another slide gets another one."""
        identity = repr(replace(self, threads=1))
        return make_uid(identity, *role)

    @property
    def study(self) -> str:
        """Study Instance UID."""
        return self.study_instance_uid or make_uid(
            "study", self.patient_id, self.accession_number, self.study_id
        )

    @property
    def series(self) -> str:
        """Series Instance UID of the microscopy images."""
        return self.series_instance_uid or self.make_uid("series", "SM")

    @property
    def frame_of_reference(self) -> str:
        """Frame of Reference UID."""
        return self.frame_of_reference_uid or self.make_uid("frame of reference")


def make_uid(*names: object) -> str:
    """Make a UID from names: the same names give the same UID (PS3.5 B.2)."""
    return f"2.25.{uuid.uuid5(_NAMESPACE, '/'.join(str(name) for name in names)).int}"
