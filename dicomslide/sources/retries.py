"""Retries of requests that failed: their number, and the pauses between them."""

import logging

from urllib3.exceptions import MaxRetryError
from urllib3.util import Retry

from dicomslide.errors import SourceError
from dicomslide.sources import waiting

__all__ = ["Attempts"]

# Pauses in seconds
_FIRST_PAUSE, _LONGEST_PAUSE, _JITTER = 0.2, 10.0, 0.2


class Attempts:
    """Counter of the attempts of a request, which waits between them.

    Parameters
    ----------
    name : str
        Name of the file or the URL in messages
    most : int
        Number of attempts, the first one included
    logger : logging.Logger
        Logger that is told of each further attempt
    """

    def __init__(self, name: str, most: int, logger: logging.Logger) -> None:
        self._name, self._most, self._logger = name, most, logger
        self._retry = Retry(
            total=most - 1,
            backoff_factor=_FIRST_PAUSE,
            backoff_max=_LONGEST_PAUSE,
            backoff_jitter=_JITTER,
        )

    def wait(self, reason: str, cause: BaseException, pause: float | None = None) -> None:
        """Wait for the next attempt after one that failed.

        Parameters
        ----------
        reason : str
            Reason of the failure, for messages
        cause : BaseException
            Exception that the attempt ended with
        pause : float, optional
            Seconds that the server asks to wait; by default each pause is longer than the last

        Raises
        ------
        SourceError
            When no attempt is left
        """
        try:
            self._retry = self._retry.increment("GET", self._name)
        except MaxRetryError:
            asked = f"; asked {self._most} times" if self._most > 1 else ""
            raise SourceError(f"{self._name}: {reason}{asked}") from cause
        self._logger.info("%s: asked again: %s", self._name, reason)
        waiting.pause(self._retry.get_backoff_time() if pause is None else pause)
