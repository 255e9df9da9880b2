"""The HTTP sessions of a process: which of them may leave it, and in what form."""

import hashlib
import os
import uuid
from collections import OrderedDict
from collections.abc import Callable
from dataclasses import dataclass, field
from typing import Any
from weakref import WeakKeyDictionary, WeakValueDictionary

import requests
from requests.adapters import HTTPAdapter

from dicomslide.errors import ArgumentTypeError, ArgumentValueError, SourceError
from dicomslide.processes import make_lock, remake_after_fork
from dicomslide.sources.connections import renew_connections, use_lines

__all__ = ["Sessions"]

SessionFactory = Callable[[], requests.Session]

_MAX_SESSIONS = 32
_USUAL_HEADERS = frozenset({"user-agent", "accept", "accept-encoding", "connection", "host"})


class _Held:
    """A session that stays in its process."""

    def __init__(self, session: requests.Session) -> None:
        self.session = session
        use_lines(session)
        remake_after_fork(self)

    def remake(self) -> None:
        """Give the session connections of its own in the child of a fork."""
        renew_connections(self.session)


class _Made:
    """The sessions that were made here, those that were not used for long dropped."""

    def __init__(self) -> None:
        self._sessions: OrderedDict[tuple[str, str], requests.Session] = OrderedDict()
        self._of_parent: list[Any] = []
        self._lock = make_lock()
        remake_after_fork(self)

    def remake(self) -> None:
        """Make new ones in the child of a fork."""
        # Not taken apart, as that may need a lock that a thread of the parent had
        self._of_parent.append(self._sessions)
        self._sessions = OrderedDict()

    def get(self, key: tuple[str, str]) -> requests.Session | None:
        with self._lock:
            if key in self._sessions:
                self._sessions.move_to_end(key)
            return self._sessions.get(key)

    def keep(self, key: tuple[str, str], session: requests.Session) -> requests.Session:
        """Keep a session, unless another thread was faster; gives the one that is kept."""
        with self._lock:
            session = self._sessions.setdefault(key, session)
            while len(self._sessions) > _MAX_SESSIONS:
                self._sessions.popitem(last=False)
            return session

    def __len__(self) -> int:
        return len(self._sessions)


@dataclass(frozen=True)
class Sessions:
    """Where the session of a service comes from, in each process one.

    Pickled, it consists of the function that makes sessions. A session that was given itself may
    hold secrets: it does not leave its process.

    Parameters
    ----------
    key : str
        Tells sessions apart; empty for one without anything special
    factory : callable, optional
        Makes a session
    """

    key: str = ""
    factory: SessionFactory | None = field(default=None, repr=False, compare=False)
    _held: _Held | None = field(default=None, repr=False, compare=False)

    @classmethod
    def of(cls, session: Any, credentials: tuple[str, str] | str | None) -> "Sessions":
        """Take a session, a function that makes one, credentials, or nothing of these.

        Raises
        ------
        TypeError
            When an argument has the wrong type
        ValueError
            When there are both, or they cannot be used
        """
        if credentials is not None:
            if session is not None and not _is_plain(session):
                raise ArgumentValueError(
                    "credentials: the session has its own, give one of them only"
                )
            session = _plain_session()
            session.auth = _authentication(credentials)
        elif session is None or _is_plain(session):
            return cls()
        if isinstance(session, requests.Session):
            key = _key_of(session if credentials is None else credentials)
            held = _held_sessions.setdefault(key, _Held(session))
            return cls(key, None, held)
        if callable(session):
            return cls(_key_of(session), session)
        raise ArgumentTypeError(
            "session: expected a requests.Session or a function that makes one, got "
            f"{type(session).__name__}"
        )

    def __reduce__(self) -> tuple[Any, ...]:
        return _arrived, (self.key, self.factory)

    def get(self, url: str) -> requests.Session:
        """Get the session of this process for a service.

        Raises
        ------
        SourceError
            When it stayed in another process
        TypeError
            When the function makes none
        """
        if self._held is not None:
            return self._held.session
        if self.key and self.factory is None:
            raise SourceError(
                f"{url}: its session with credentials stays in the process that opened it; "
                "for other processes pass a function that makes the session"
            )
        key = url, self.key
        session = _sessions.get(key)
        if session is None:
            # Without a lock: who makes a session may need another one for that
            made = (self.factory or _plain_session)()
            if not isinstance(made, requests.Session):
                raise ArgumentTypeError(
                    "session: the function has to make a requests.Session, it made "
                    f"{type(made).__name__}"
                )
            use_lines(made)
            session = _sessions.keep(key, made)
        return session


_held_sessions: WeakValueDictionary[str, _Held] = WeakValueDictionary()
_sessions = _Made()


def _key_of(identity: Any) -> str:
    """Name a session, a function or credentials: the same one has the same name in a process."""
    if isinstance(identity, (str, tuple)):
        # The secret of the process keeps passwords from being guessed from the name
        return hashlib.blake2b(repr(identity).encode(), key=_SECRET, digest_size=16).hexdigest()
    with _keys_lock:
        try:
            return _keys.setdefault(identity, uuid.uuid4().hex)
        except TypeError:
            # What cannot be hashed or referred to weakly is known for the moment only
            return uuid.uuid4().hex


_keys: WeakKeyDictionary[Any, str] = WeakKeyDictionary()
_SECRET = os.urandom(32)
_keys_lock = make_lock()


def _arrived(key: str, factory: SessionFactory | None) -> Sessions:
    return Sessions(key, factory, _held_sessions.get(key))


def _plain_session() -> requests.Session:
    session = requests.Session()
    for scheme in ("http://", "https://"):
        session.mount(scheme, HTTPAdapter(pool_maxsize=_MAX_SESSIONS))
    return session


def _is_plain(session: Any) -> bool:
    """Whether a session is as good as a new one."""
    return (
        type(session) is requests.Session
        and session.auth is None
        and session.cert is None
        and session.verify is True
        and session.trust_env
        and not session.cookies
        and not session.params
        and not session.proxies
        and not any(session.hooks.values())
        and {name.lower() for name in session.headers} <= _USUAL_HEADERS
        and all(type(adapter) is HTTPAdapter for adapter in session.adapters.values())
    )


def _authentication(credentials: tuple[str, str] | str) -> Any:
    if isinstance(credentials, str):
        # Such as the end of the line in a file; messages of libraries would show the token
        if not credentials.isascii() or not credentials.isprintable() or " " in credentials:
            raise ArgumentValueError("credentials: the token has characters that no token has")
        return _Bearer(credentials)
    if (
        isinstance(credentials, tuple)
        and len(credentials) == 2
        and all(isinstance(part, str) for part in credentials)
    ):
        # In UTF-8 (RFC 7617 2.1), which is not the default of the library
        return tuple(part.encode() for part in credentials)
    raise ArgumentTypeError("credentials: expected (user, password) or a token")


class _Bearer(requests.auth.AuthBase):
    """Puts a bearer token into requests (RFC 6750)."""

    def __init__(self, token: str) -> None:
        self._token = token

    def __call__(self, request: Any) -> Any:
        request.headers["Authorization"] = f"Bearer {self._token}"
        return request
