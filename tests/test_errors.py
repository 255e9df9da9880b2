"""One hierarchy of exceptions, each also the built-in that callers may already catch."""

import inspect
import pickle

import pytest

import dicomslide
from dicomslide import errors

BUILT_INS = {
    "ArgumentTypeError": (TypeError,),
    "ArgumentValueError": (ValueError,),
    "FrameError": (ValueError,),
    "InvalidImageError": (ValueError,),
    "NoSlideError": (ValueError,),
    "PixelIndexError": (IndexError,),
    "SelectionError": (ValueError, IndexError),
    "SourceError": (OSError,),
    "StoreError": (OSError,),
    "UnsupportedError": (ValueError,),
}


def test_all_errors_are_tested():
    defined = {
        name
        for name, member in inspect.getmembers(errors, inspect.isclass)
        if issubclass(member, BaseException)
    }
    assert defined == {"DicomSlideError", *BUILT_INS}
    assert defined <= set(errors.__all__)


@pytest.mark.parametrize("name", BUILT_INS)
class TestError:
    def test_error_is_of_the_package_and_a_built_in(self, name):
        error = getattr(errors, name)
        assert issubclass(error, errors.DicomSlideError)
        for built_in in (ValueError, IndexError, TypeError, OSError, KeyError):
            assert issubclass(error, built_in) == (built_in in BUILT_INS[name])

    def test_error_keeps_its_message(self, name):
        assert str(getattr(errors, name)("slide.dcm: no pixels")) == "slide.dcm: no pixels"

    def test_pickled_error_is_the_same(self, name):
        error = getattr(errors, name)("slide.dcm: no pixels")
        back = pickle.loads(pickle.dumps(error))
        assert type(back) is type(error)
        assert str(back) == str(error)

    def test_error_has_a_docstring(self, name):
        assert inspect.getdoc(getattr(errors, name))


def test_base_of_errors_is_public():
    assert dicomslide.DicomSlideError is errors.DicomSlideError
    assert issubclass(errors.DicomSlideError, Exception)
    assert not issubclass(errors.DicomSlideError, (ValueError, OSError))
