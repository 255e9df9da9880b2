"""ICC profiles for synthetic slides."""

import struct

from dicomslide.writing.profile import PROFILE_DATE, make_srgb_profile

__all__ = ["make_srgb_profile", "make_wide_gamut_profile"]

# xy chromaticities of red, green and blue, and of the white point D50 in XYZ
_WIDE_PRIMARIES = ((0.708, 0.292), (0.170, 0.797), (0.131, 0.046))
_D50 = (0.9642, 1.0, 0.8249)


def make_wide_gamut_profile(gamma: float = 1.8) -> bytes:
    """Make an ICC profile that is clearly not sRGB: primaries of a wide gamut and a power curve.

    An image in sRGB that is given this profile changes visibly when its colours are corrected.

    Parameters
    ----------
    gamma : float, optional
        Exponent of the tone curve of each of the three channels

    Returns
    -------
    bytes
        Version 2 display profile of the matrix/TRC kind, ICC.1:2001-04
    """
    tags = {
        b"desc": _describe("Synthetic wide gamut"),
        b"cprt": b"text\0\0\0\0Public domain\0",
        b"wtpt": _xyz(_D50),
    }
    for name, column in zip((b"r", b"g", b"b"), _primaries_to_xyz(), strict=True):
        tags[name + b"XYZ"] = _xyz(column)
        tags[name + b"TRC"] = b"curv\0\0\0\0" + struct.pack(">IH", 1, round(gamma * 256))
    return _assemble(tags)


def _primaries_to_xyz() -> list[tuple[float, float, float]]:
    """Scale the primaries so that they add up to the white point."""
    columns = [(x / y, 1.0, (1 - x - y) / y) for x, y in _WIDE_PRIMARIES]
    r, g, b = columns
    scales = []
    for i in range(3):
        replaced = [_D50 if j == i else column for j, column in enumerate(columns)]
        scales.append(_determinant(*replaced) / _determinant(r, g, b))
    return [(s * c[0], s * c[1], s * c[2]) for s, c in zip(scales, columns, strict=True)]


def _determinant(a: tuple[float, ...], b: tuple[float, ...], c: tuple[float, ...]) -> float:
    return (
        a[0] * (b[1] * c[2] - b[2] * c[1])
        - b[0] * (a[1] * c[2] - a[2] * c[1])
        + c[0] * (a[1] * b[2] - a[2] * b[1])
    )


def _xyz(values: tuple[float, ...]) -> bytes:
    return b"XYZ \0\0\0\0" + struct.pack(">3i", *(round(value * 65536) for value in values))


def _describe(text: str) -> bytes:
    ascii_text = text.encode("ascii") + b"\0"
    empty_unicode_and_script = bytes(4 + 4 + 2 + 1 + 67)
    return (
        b"desc\0\0\0\0" + struct.pack(">I", len(ascii_text)) + ascii_text + empty_unicode_and_script
    )


def _assemble(tags: dict[bytes, bytes]) -> bytes:
    position = 128 + 4 + 12 * len(tags)
    table, data = struct.pack(">I", len(tags)), b""
    for signature, content in tags.items():
        table += signature + struct.pack(">II", position + len(data), len(content))
        data += content + bytes(-len(content) % 4)
    header = struct.pack(
        ">I4sI4s4s4s12s4s4sI4s4s8sI3i4s44s",
        position + len(data),
        b"\0\0\0\0",
        0x02400000,
        b"mntr",
        b"RGB ",
        b"XYZ ",
        PROFILE_DATE,
        b"acsp",
        b"\0\0\0\0",
        0,
        b"\0\0\0\0",
        b"\0\0\0\0",
        bytes(8),
        0,
        *(round(value * 65536) for value in _D50),
        b"\0\0\0\0",
        bytes(44),
    )
    return header + table + data
