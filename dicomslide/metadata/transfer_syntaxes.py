"""Table of transfer syntaxes (PS3.5 10, PS3.6 A)."""

from dataclasses import dataclass

__all__ = ["OCTETS", "ROOT", "TRANSFER_SYNTAXES", "TransferSyntax", "is_encapsulated", "media_type"]

OCTETS = "application/octet-stream"


@dataclass(frozen=True)
class TransferSyntax:
    """Transfer syntax whose frames can be decoded.

    Parameters
    ----------
    uid, name : str
        UID and UID Name (PS3.6 A)
    short_name : str
        Common name, for display
    media_type : str
        Media type of single frames at services (PS3.18 8.7.3)
    is_native : bool
        Whether frames are not compressed; otherwise they are encapsulated (PS3.5 A.4)
    lossy_method : str
        Lossy Image Compression Method (PS3.3 C.7.6.1.1.5.1); empty for lossless transfer syntaxes
    """

    uid: str
    name: str
    short_name: str
    media_type: str
    is_native: bool
    lossy_method: str


ROOT = "1.2.840.10008.1.2"
_RPCL = "High-Throughput JPEG 2000 with RPCL Options Image Compression (Lossless Only)"
_FIRST_ORDER = (
    "JPEG Lossless, Non-Hierarchical, First-Order Prediction (Process 14 [Selection Value 1])"
)
# End of the UID, name, short name, media type (None if native) and lossy method. In .1.99 the whole
# data set is deflated, not its frames
_ROWS: tuple[tuple[str, str, str, str | None, str], ...] = (
    ("", "Implicit VR Little Endian", "implicit VR", None, ""),
    (".1", "Explicit VR Little Endian", "not compressed", None, ""),
    (".1.99", "Deflated Explicit VR Little Endian", "deflated", None, ""),
    (".2", "Explicit VR Big Endian", "big endian", None, ""),
    (".4.50", "JPEG Baseline (Process 1)", "JPEG", "image/jpeg", "ISO_10918_1"),
    (".4.51", "JPEG Extended (Process 2 and 4)", "JPEG extended", "image/jpeg", "ISO_10918_1"),
    (".4.57", "JPEG Lossless, Non-Hierarchical (Process 14)", "JPEG lossless", "image/jpeg", ""),
    (".4.70", _FIRST_ORDER, "JPEG lossless", "image/jpeg", ""),
    (".4.80", "JPEG-LS Lossless Image Compression", "JPEG-LS lossless", "image/jls", ""),
    (
        ".4.81",
        "JPEG-LS Lossy (Near-Lossless) Image Compression",
        "JPEG-LS",
        "image/jls",
        "ISO_14495_1",
    ),
    (
        ".4.90",
        "JPEG 2000 Image Compression (Lossless Only)",
        "JPEG 2000 lossless",
        "image/jp2",
        "",
    ),
    (".4.91", "JPEG 2000 Image Compression", "JPEG 2000", "image/jp2", "ISO_15444_1"),
    (
        ".4.201",
        "High-Throughput JPEG 2000 Image Compression (Lossless Only)",
        "HTJ2K lossless",
        "image/jphc",
        "",
    ),
    (".4.202", _RPCL, "HTJ2K lossless", "image/jphc", ""),
    (
        ".4.203",
        "High-Throughput JPEG 2000 Image Compression",
        "HTJ2K",
        "image/jphc",
        "ISO_15444_15",
    ),
    (".4.110", "JPEG XL Lossless", "JPEG XL lossless", "image/jxl", ""),
    (".4.111", "JPEG XL JPEG Recompression", "JPEG XL of JPEG", "image/jxl", "ISO_10918_1"),
    (".4.112", "JPEG XL", "JPEG XL", "image/jxl", "ISO_18181_1"),
    (".5", "RLE Lossless", "RLE", "image/dicom-rle", ""),
    (".8.1", "Deflated Image Frame Compression", "deflated frames", OCTETS, ""),
)

TRANSFER_SYNTAXES = {
    ROOT + ending: TransferSyntax(
        ROOT + ending, name, short_name, media or OCTETS, media is None, lossy_method
    )
    for ending, name, short_name, media, lossy_method in _ROWS
}
"""Transfer syntaxes by their UIDs."""


def is_encapsulated(uid: str) -> bool:
    """Whether the frames of a transfer syntax are encapsulated, each by itself (PS3.5 A.4).

    Unknown transfer syntaxes count as encapsulated, as new ones are made for compression.
    """
    syntax = TRANSFER_SYNTAXES.get(uid)
    return syntax is None or not syntax.is_native


def media_type(uid: str) -> str:
    """Return the media type of single frames (PS3.18 8.7.3); octets for unknown syntaxes."""
    syntax = TRANSFER_SYNTAXES.get(uid)
    return OCTETS if syntax is None else syntax.media_type
