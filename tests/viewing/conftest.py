"""What the tests of the viewer share: slides, and requests to a viewer that runs."""

import io
import json
import urllib.error
import urllib.request
from collections.abc import Callable, Iterator
from contextlib import ExitStack
from typing import Any, NamedTuple

import numpy as np
import pytest
from PIL import Image

from dicomslide.viewing import View, view


class Answer(NamedTuple):
    """What the server says."""

    status: int
    headers: Any
    body: bytes

    @property
    def json(self) -> Any:
        return json.loads(self.body)

    @property
    def pixels(self) -> np.ndarray:
        return np.asarray(Image.open(io.BytesIO(self.body)))


def fetch(url: str) -> Answer:
    try:
        with urllib.request.urlopen(url, timeout=60) as answer:
            return Answer(answer.status, answer.headers, answer.read())
    except urllib.error.HTTPError as error:
        with error:
            return Answer(error.code, error.headers, error.read())


@pytest.fixture
def open_view() -> Iterator[Callable[..., View]]:
    """Opens viewers without a browser, which are closed after the test."""
    with ExitStack() as stack:
        yield lambda *slides, **options: stack.enter_context(view(*slides, show=False, **options))
