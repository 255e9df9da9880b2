"""Memory of the kinds of request that services refuse, so that each is tried only once."""

__all__ = ["FRAME_LISTS", "UNAUTHORIZED", "is_refused", "remember_refusal", "status_of"]

FRAME_LISTS = "frame lists"
"""Kind of requests for several frames at once (PS3.18 10.4.1.1.6)."""

UNAUTHORIZED = 401
"""HTTP status for missing or wrong credentials, which says nothing of the kind of request."""

_refusals: set[tuple[str, str]] = set()


def remember_refusal(service: str, what: str) -> None:
    """Remember that a service refuses a kind of request, until the process ends.

    Parameters
    ----------
    service : str
        URL of the service; nothing is remembered for an empty one, as of clients without a URL
    what : str
        Kind of request, such as `FRAME_LISTS` or a value of the header Accept
    """
    if service:
        _refusals.add((service, what))


def is_refused(service: str, what: str) -> bool:
    """Whether a service has refused a kind of request."""
    return (service, what) in _refusals


def status_of(error: BaseException | None) -> int | None:
    """Find the HTTP status of an error of this package or of a client; None without."""
    response = getattr(error, "response", None)
    if response is None and error is not None and error.__cause__ is not None:
        response = getattr(error.__cause__, "response", None)
    status = getattr(error, "status", None) or getattr(response, "status_code", None)
    return int(status) if isinstance(status, int) else None
