"""Tables of text that fit a terminal, without wrapping anything."""

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from functools import cached_property

from rich.cells import cell_len, set_cell_size

from dicomslide.cli.terminal import printable

__all__ = ["Column", "cut", "lines_of_table"]

_GAP = "  "
# Texts are cut to so many characters before whole columns are left out
_LEAST = 12


@dataclass(frozen=True)
class Column:
    """A column of a table.

    Parameters
    ----------
    heading : str
        Heading
    cells : sequence
        A text or number for each row, or None; or nothing at all
    kind : {"number", "word", "text"}
        Numbers and words are never cut, and numbers stand at the right of their column
    rank : int
        Columns of the highest rank are left out first where the table is too wide; those of rank 0
        are always there
    """

    heading: str
    cells: Sequence[object]
    kind: str = "word"
    rank: int = 0

    @cached_property
    def texts(self) -> list[str]:
        """The heading, and the text of each row."""
        return [self.heading, *("" if cell is None else printable(cell) for cell in self.cells)]

    @cached_property
    def width(self) -> int:
        """Width of the longest text."""
        return max(map(cell_len, self.texts))

    @property
    def least(self) -> int:
        """Width below which it is not cut."""
        return min(self.width, _LEAST) if self.kind == "text" else self.width

    def lines(self, width: int) -> Iterator[str]:
        """Yield the texts, all of one width."""
        for text in self.texts:
            if self.kind == "number":
                text = " " * (width - cell_len(text)) + text
            yield set_cell_size(cut(text, width), width)


def cut(text: str, width: int) -> str:
    """Cut a text that is too wide; an ellipsis stands for the rest."""
    return text if cell_len(text) <= width else set_cell_size(text, width - 1).rstrip() + "…"


def lines_of_table(columns: Sequence[Column], width: int) -> Iterator[str]:
    """Yield the headings and the rows of a table, which takes a width if that is possible.

    Columns of nothing, or of zeros, are left out, then those of the highest ranks until the rest
    fits.
    """
    shown = [column for column in columns if any(column.cells)]
    room = width + len(_GAP)
    while sum(column.least + len(_GAP) for column in shown) > room:
        last = max(shown, key=lambda column: column.rank)
        if not last.rank:
            break
        shown.remove(last)
    widths = [column.width for column in shown]
    least = [column.least for column in shown]
    while sum(own + len(_GAP) for own in widths) > room and widths != least:
        # The widest of those that can be cut
        widest = max(range(len(shown)), key=lambda k: (widths[k] > least[k], widths[k]))
        widths[widest] -= 1
    made = [column.lines(own) for column, own in zip(shown, widths, strict=True)]
    for row in zip(*made, strict=True):
        yield _GAP.join(row).rstrip()
