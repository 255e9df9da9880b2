"""What services were found to refuse, so that each of them is asked for it only once."""

__all__ = ["FRAME_LISTS", "UNAUTHORIZED", "is_refused", "remember_refusal", "status_of"]

FRAME_LISTS = "frame lists"
"""Several frames with one request (PS3.18 10.4.1.1.6)."""

UNAUTHORIZED = 401
"""Status of an answer that refuses who asks, and not what is asked for."""

_refusals: set[tuple[str, str]] = set()


def remember_refusal(service: str, what: str) -> None:
    """Take note that a service refuses something, until the process ends.

    Parameters
    ----------
    service : str
        URL of the service. A client without one, whose URL is empty, is not remembered
    what : str
        What it refuses
    """
    if service:
        _refusals.add((service, what))


def is_refused(service: str, what: str) -> bool:
    """Whether a service was found to refuse something."""
    return (service, what) in _refusals


def status_of(error: BaseException | None) -> int | None:
    """Find the HTTP status that an error of this package or of a client tells; None without."""
    response = getattr(error, "response", None)
    if response is None and error is not None and error.__cause__ is not None:
        response = getattr(error.__cause__, "response", None)
    status = getattr(error, "status", None) or getattr(response, "status_code", None)
    return int(status) if isinstance(status, int) else None
