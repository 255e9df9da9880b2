"""The instances of Part 10 files as a DICOMweb service hands them out, read with pydicom."""

import hashlib
from collections.abc import Iterable
from dataclasses import dataclass, field
from functools import cached_property
from pathlib import Path
from typing import Any

import numpy as np
import pydicom
from pydicom.dataelem import DataElement
from pydicom.dataset import Dataset
from pydicom.encaps import generate_frames
from pydicom.filebase import DicomBytesIO
from pydicom.filewriter import write_dataset
from pydicom.uid import (
    DeflatedExplicitVRLittleEndian,
    ExplicitVRBigEndian,
    ExplicitVRLittleEndian,
    ImplicitVRLittleEndian,
)

__all__ = ["Archive", "Instance"]

# Bytes of a value of a binary VR (PS3.5 6.2), for files in big endian
_WIDTHS = {"OW": 2, "OF": 4, "OL": 4, "OD": 8, "OV": 8}
# pydicom does not know all transfer syntaxes of compressed frames
_NATIVE = (
    ImplicitVRLittleEndian,
    ExplicitVRLittleEndian,
    DeflatedExplicitVRLittleEndian,
    ExplicitVRBigEndian,
)
_PIXELS = ("PixelData", "FloatPixelData", "DoubleFloatPixelData")


@dataclass(frozen=True)
class Instance:
    """An instance; its binary values are in little endian."""

    path: Path
    dataset: Dataset

    @property
    def uid(self) -> str:
        """SOP Instance UID."""
        return str(self.dataset.SOPInstanceUID)

    @property
    def series(self) -> str:
        """Series Instance UID."""
        return str(self.dataset.SeriesInstanceUID)

    @property
    def study(self) -> str:
        """Study Instance UID."""
        return str(self.dataset.StudyInstanceUID)

    @property
    def place(self) -> str:
        """Path of the instance below the root of the service."""
        return f"/studies/{self.study}/series/{self.series}/instances/{self.uid}"

    @cached_property
    def transfer_syntax(self) -> str:
        """Transfer syntax that frames are sent in: native ones are in explicit little endian."""
        syntax = self.dataset.file_meta.TransferSyntaxUID
        return str(ExplicitVRLittleEndian if syntax in _NATIVE else syntax)

    @cached_property
    def frames(self) -> list[bytes]:
        """The frames as they are sent."""
        count = int(self.dataset.get("NumberOfFrames", 1))
        if self.transfer_syntax != ExplicitVRLittleEndian:
            tables = "ExtendedOffsetTable", "ExtendedOffsetTableLengths"
            extended = tuple(self.dataset.get(keyword) for keyword in tables)
            return list(
                generate_frames(
                    self.dataset.PixelData,
                    number_of_frames=count,
                    extended_offsets=extended if all(extended) else None,
                )
            )
        keyword = next(keyword for keyword in _PIXELS if keyword in self.dataset)
        value = self.dataset[keyword].value
        pixels = self.dataset.Rows * self.dataset.Columns * self.dataset.SamplesPerPixel
        if self.dataset.get("BitsAllocated") == 1:
            # Frames need not start at a byte of the file, but do so in an answer
            bits = np.unpackbits(np.frombuffer(value, np.uint8), bitorder="little")
            packed = bits[: count * pixels].reshape(count, pixels)
            return [row.tobytes() for row in np.packbits(packed, axis=1, bitorder="little")]
        width = {"FloatPixelData": 4, "DoubleFloatPixelData": 8}.get(keyword)
        length = pixels * (width or self.dataset.BitsAllocated // 8)
        return [value[n * length : (n + 1) * length] for n in range(count)]

    def to_json(
        self, root: str, bulk: dict[str, bytes], threshold: int, sequences: Iterable[str]
    ) -> dict[str, Any]:
        """Convert the data set to DICOM JSON (PS3.18 F).

        Parameters
        ----------
        root : str
            URL of the service
        bulk : dict
            Takes up the values that are left out, by their URL
        threshold : int
            Length of binary values that are left out
        sequences : iterable of str
            Keywords of sequences that are left out
        """

        def leave_out(element: DataElement) -> str:
            return self._leave_out(root, bulk, element, element.value)

        rest = self.dataset[:]
        left_out = {}
        for keyword in {*_PIXELS, *sequences} & set(rest.dir()):
            element = rest[keyword]
            left_out[f"{element.tag:08X}"] = element
            del rest[keyword]
        json = rest.to_json_dict(threshold, leave_out)
        for tag, element in left_out.items():
            value = _encode(element) if element.VR == "SQ" else element.value
            # Compressed pixel data are no value that could be sent alone
            if element.keyword != "PixelData" or self.transfer_syntax == ExplicitVRLittleEndian:
                uri = self._leave_out(root, bulk, element, value)
                json[tag] = {"vr": element.VR, "BulkDataURI": uri}
        return json

    def _leave_out(
        self, root: str, bulk: dict[str, bytes], element: DataElement, value: bytes
    ) -> str:
        name = f"{element.tag:08x}-{hashlib.sha256(value).hexdigest()[:8]}"
        uri = f"{root}{self.place}/bulkdata/{name}"
        bulk[uri] = value
        return uri


@dataclass
class Archive:
    """The instances of files, in the order of the files."""

    paths: Iterable[Path]
    instances: list[Instance] = field(init=False)

    def __post_init__(self) -> None:
        self.instances = [_read(Path(path)) for path in self.paths]

    def find(self, **uids: str | None) -> list[Instance]:
        """Find instances by `study`, `series` and `uid`; None stands for any."""
        return [
            instance
            for instance in self.instances
            if all(value in (None, getattr(instance, name)) for name, value in uids.items())
        ]


def _read(path: Path) -> Instance:
    dataset = pydicom.dcmread(path)
    if not dataset.original_encoding[1]:
        dataset.walk(_swap)
    return Instance(path, dataset)


def _swap(_: Dataset, element: DataElement) -> None:
    width = _WIDTHS.get(element.VR)
    if width and element.value:
        element.value = np.frombuffer(element.value, f">u{width}").astype(f"<u{width}").tobytes()


def _encode(sequence: DataElement) -> bytes:
    """Encode the value of a sequence, in explicit little endian."""
    holder = Dataset()
    holder.add(sequence)
    buffer = DicomBytesIO()
    buffer.is_implicit_VR, buffer.is_little_endian = False, True
    write_dataset(buffer, holder)
    # Tag, VR, two reserved bytes and the length come before the items
    return buffer.getvalue()[12:]
