"""Stains of specimens, and which of them an optical path shows (PS3.16 TID 8001, TID 8003)."""

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
# Concepts of the items of a preparation step, also as the first editions of TID 8003 coded them
_USING_SUBSTANCE = {("424361007", "SCT"), ("G-C350", "SRT")}
_COMPONENT_INVESTIGATED = {("246094008", "SCT")}
_USING_FLUOROPHORE = {("C0598447", "UMLS")}
_CHANNEL = {("C44170", "NCIt")}
# A shorter text, such as a digit, occurs in too many names to be one
_SHORTEST_NAME = 2


@dataclass(frozen=True)
class Staining:
    """A step in which a specimen was stained.

    Parameters
    ----------
    path : str
        Optical Path Identifier of the channel that shows it; empty where it is not stated
    components : tuple of CodeItem
        What was investigated, such as an antigen
    substances : tuple of CodeItem
        What the specimen was stained with
    fluorophores : tuple of CodeItem
        What gives light
    """

    path: str
    components: tuple[CodeItem, ...]
    substances: tuple[CodeItem, ...]
    fluorophores: tuple[CodeItem, ...]

    @property
    def names(self) -> list[str]:
        """All that it is called."""
        codes = (*self.components, *self.substances, *self.fluorophores)
        return [code.meaning for code in codes if code.meaning]


def read_stainings(dataset: Dataset) -> tuple[Staining, ...]:
    """Read how the specimens of an image were stained; specimens stained alike count once.

    Warns
    -----
    UserWarning
        When they cannot be read: nothing is known of them then, as no pixel depends on them
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
    """Parse specimens once, which all images of a slide repeat."""
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
    """Get the items of a sequence; none where the attribute has another type of value."""
    value = dataset.get(keyword)
    return value if isinstance(value, pydicom.Sequence) else ()


def _values(contents: Iterable[Dataset], concept: set[tuple[str, str]]) -> tuple[CodeItem, ...]:
    """Read the codes that stand for a concept, or its texts where it has no codes."""
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
        All of the specimens of an image
    identifier, description : str
        Optical Path Identifier and Optical Path Description
    is_only_path : bool
        Whether the image has no other optical path
    codes : collection of CodeItem, optional
        Channel Description Codes

    Returns
    -------
    own : tuple of Staining
        Those that name the path; else those that its codes or its description name, or that alone
        has the description in one of its names; else all of them for the only path of an image.
        Otherwise nobody knows, and there are none
    is_stated : bool
        Whether something says that they are those of the path
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
    """Find the stainings that a description names: "HLA-DR" is not "HLA" as well.

    Names that several of them have, such as those of fluorophores, tell none apart.
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
    """Part what a step lists: with one component it is about that, and otherwise about many."""
    if len(staining.components) == 1:
        return [staining]
    return [
        *(Staining("", (component,), (), ()) for component in staining.components),
        *(Staining("", (), (substance,), ()) for substance in staining.substances),
    ]


def _has_words(text: str, words: str) -> bool:
    """Whether a text has given words, in upper or lower case, and not as a part of others."""
    words = words.strip()
    if len(words) < _SHORTEST_NAME or words.isdigit():
        return False
    return find_words(re.escape(words), text) is not None
