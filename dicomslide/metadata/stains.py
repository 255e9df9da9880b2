"""Readers of the stains of specimens, and of those of an optical path (PS3.16 TID 8001, 8003)."""

import re
import warnings
from collections import Counter
from collections.abc import Collection, Iterable, Iterator, Sequence
from dataclasses import dataclass
from functools import lru_cache

import pydicom
from pydicom.dataelem import RawDataElement
from pydicom.dataset import Dataset

from dicomslide.errors import InvalidImageError
from dicomslide.errors.damage import reading
from dicomslide.metadata.codes import CodeItem, code_of
from dicomslide.metadata.words import find_words

__all__ = ["Staining", "read_stainings", "stainings_of_path", "stainings_of_specimen"]

_SPECIMENS = "SpecimenDescriptionSequence"
# Concept names of the items of a preparation step, with the codes of early editions of TID 8003
_USING_SUBSTANCE = {("424361007", "SCT"), ("G-C350", "SRT")}
_COMPONENT_INVESTIGATED = {("246094008", "SCT")}
_USING_FLUOROPHORE = {("C0598447", "UMLS")}
_CHANNEL = {("C44170", "NCIt")}
# Fewer characters, such as a digit, occur in too many texts to be recognized as a name
_SHORTEST_NAME = 2


@dataclass(frozen=True)
class Staining:
    """Preparation step in which a specimen was stained.

    Parameters
    ----------
    path : str
        Optical Path Identifier of the channel that shows the stain; empty where it is not stated
    components : tuple of CodeItem
        Components Investigated, such as antigens
    substances : tuple of CodeItem
        Substances that the specimen was stained with
    fluorophores : tuple of CodeItem
        Substances that emit light
    """

    path: str
    components: tuple[CodeItem, ...]
    substances: tuple[CodeItem, ...]
    fluorophores: tuple[CodeItem, ...]

    @property
    def names(self) -> list[str]:
        """Names of all components, substances and fluorophores."""
        codes = (*self.components, *self.substances, *self.fluorophores)
        return [code.meaning for code in codes if code.meaning]


def read_stainings(dataset: Dataset) -> tuple[Staining, ...]:
    """Read the stainings of all specimens of an image, each different one once.

    Warns
    -----
    UserWarning
        When they are damaged; the result is then empty
    """
    try:
        with reading("specimens"):
            return _read(dataset)
    except InvalidImageError as error:
        warnings.warn(f"stains are not known: {error}", stacklevel=2)
        return ()


def _read(dataset: Dataset) -> tuple[Staining, ...]:
    element = dataset.get_item(_SPECIMENS)
    if isinstance(element, RawDataElement):
        character_set = dataset.get("SpecificCharacterSet")
        names = (character_set,) if isinstance(character_set, str) else tuple(character_set or ())
        return _parsed(element._replace(value_tell=0), names)
    return _stainings(dataset)


@lru_cache(maxsize=8)
def _parsed(element: RawDataElement, character_set: tuple[str, ...]) -> tuple[Staining, ...]:
    """Parse an encoded Specimen Description Sequence, which all images of a slide repeat."""
    dataset = Dataset()
    if character_set:
        dataset.SpecificCharacterSet = list(character_set)
    dataset[element.tag] = element
    return _stainings(dataset)


def _stainings(dataset: Dataset) -> tuple[Staining, ...]:
    specimens = _items(dataset, _SPECIMENS)
    return tuple(
        dict.fromkeys(s for specimen in specimens for s in stainings_of_specimen(specimen))
    )


def stainings_of_specimen(item: Dataset) -> Iterator[Staining]:
    """Yield the steps in which a specimen was stained.

    Parameters
    ----------
    item : pydicom.dataset.Dataset
        Item of the Specimen Description Sequence (PS3.3 C.7.6.22)
    """
    for step in _items(item, "SpecimenPreparationSequence"):
        contents = _items(step, "SpecimenPreparationStepContentItemSequence")
        staining = Staining(
            "".join(code.meaning for code in _values(contents, _CHANNEL)[:1]),
            *(
                _values(contents, concept)
                for concept in (_COMPONENT_INVESTIGATED, _USING_SUBSTANCE, _USING_FLUOROPHORE)
            ),
        )
        if staining.components or staining.substances:
            yield staining


def _items(dataset: Dataset, keyword: str) -> Sequence[Dataset]:
    """Return the items of a sequence; none where the attribute has another type of value."""
    value = dataset.get(keyword)
    return value if isinstance(value, pydicom.Sequence) else ()


def _values(contents: Iterable[Dataset], concept: set[tuple[str, str]]) -> tuple[CodeItem, ...]:
    """Read the codes of all content items with a concept name, or else their texts."""
    codes: list[CodeItem] = []
    texts: list[CodeItem] = []
    for content in contents:
        names = map(code_of, _items(content, "ConceptNameCodeSequence"))
        if concept.isdisjoint((name.value, name.scheme_designator) for name in names):
            continue
        codes += map(code_of, _items(content, "ConceptCodeSequence"))
        if content.get("TextValue"):
            texts.append(CodeItem("", "", str(content.TextValue).strip()))
    return tuple(dict.fromkeys(codes or texts))


def stainings_of_path(
    stainings: Sequence[Staining],
    identifier: str,
    description: str,
    is_only_path: bool,
    codes: Collection[CodeItem] = (),
) -> tuple[tuple[Staining, ...], bool]:
    """Find the stainings that an optical path shows.

    Parameters
    ----------
    stainings : sequence of Staining
        All stainings of the specimens of an image
    identifier, description : str
        Optical Path Identifier and Optical Path Description
    is_only_path : bool
        Whether the image has no other optical path
    codes : collection of CodeItem, optional
        Channel Description Codes

    Returns
    -------
    own : tuple of Staining
        Stainings that state the path; else those that its codes or its description name; else the
        only one with a name that contains the description; else all for the only path of an image.
        Empty if none of these rules applies
    is_stated : bool
        Whether the result follows from identifiers, codes or names
    """
    stated = tuple(s for s in stainings if s.path and s.path == identifier)
    if stated:
        return stated, True
    others = tuple(s for s in stainings if not s.path)
    parts = [part for staining in others for part in _parts(staining)]
    coded = tuple(p for p in parts if not set(p.components + p.substances).isdisjoint(codes))
    if named := coded or _named_in(description, parts):
        return named, True
    containing = tuple(p for p in parts if any(_has_words(name, description) for name in p.names))
    if len(containing) == 1:
        return containing, True
    return (others if is_only_path else ()), False


def _named_in(description: str, parts: Sequence[Staining]) -> tuple[Staining, ...]:
    """Find the stainings that a description names; "HLA-DR" does not also name "HLA".

    Names that several stainings have, such as those of fluorophores, do not count.
    """
    counts = Counter(name.casefold() for part in parts for name in set(part.names))
    found = []
    for part in parts:
        own = [n for n in part.names if counts[n.casefold()] == 1 and _has_words(description, n)]
        if own:
            found.append((max(own, key=len), part))
    names = [name for name, _ in found]
    return tuple(
        part
        for name, part in found
        if not any(len(other) > len(name) and _has_words(other, name) for other in names)
    )


def _parts(staining: Staining) -> list[Staining]:
    """Split a staining with several components or none into one for each of its codes."""
    if len(staining.components) == 1:
        return [staining]
    return [
        *(Staining("", (component,), (), ()) for component in staining.components),
        *(Staining("", (), (substance,), ()) for substance in staining.substances),
    ]


def _has_words(text: str, words: str) -> bool:
    """Whether a text contains given words, in any case, as whole words."""
    words = words.strip()
    if len(words) < _SHORTEST_NAME or words.isdigit():
        return False
    return find_words(re.escape(words), text) is not None
