"""HTTP sessions of a process, and how they are made again in other processes."""

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
    """Session of the caller, which cannot be made again in another process."""

    def __init__(self, session: requests.Session) -> None:
        self.session = session
        use_lines(session)
        remake_after_fork(self)

    def remake(self) -> None:
        """Give the session connections of its own in the child of a fork."""
        renew_connections(self.session)


class _Made:
    """Sessions that this process made; the least recently used are dropped first."""

    def __init__(self) -> None:
        self._sessions: OrderedDict[tuple[str, str], requests.Session] = OrderedDict()
        self._of_parent: list[Any] = []
        self._lock = make_lock()
        remake_after_fork(self)

    def remake(self) -> None:
        """Forget all sessions; called in the child of a fork."""
        # Sessions of the parent stay referenced: closing them may need a lock that a thread of the
        # parent held during the fork
        self._of_parent.append(self._sessions)
        self._sessions = OrderedDict()

    def get(self, key: tuple[str, str]) -> requests.Session | None:
        with self._lock:
            if key in self._sessions:
                self._sessions.move_to_end(key)
            return self._sessions.get(key)

    def keep(self, key: tuple[str, str], session: requests.Session) -> requests.Session:
        """Keep a session, or the one that another thread made first; return the kept one."""
        with self._lock:
            session = self._sessions.setdefault(key, session)
            while len(self._sessions) > _MAX_SESSIONS:
                self._sessions.popitem(last=False)
            return session

    def __len__(self) -> int:
        return len(self._sessions)


@dataclass(frozen=True)
class Sessions:
    """Provider of the session of a service, one in each process.

    The function that makes sessions is pickled. A session of the caller may hold secrets, and is
    not.

    Parameters
    ----------
    key : str
        Key that tells sessions apart; empty for one without anything special
    factory : callable, optional
        Makes a session; called without arguments
    """

    key: str = ""
    factory: SessionFactory | None = field(default=None, repr=False, compare=False)
    _held: _Held | None = field(default=None, repr=False, compare=False)

    @classmethod
    def of(cls, session: Any, credentials: tuple[str, str] | str | None) -> "Sessions":
        """Make a provider from a session, a function that makes one, credentials, or nothing.

        Raises
        ------
        TypeError
            When an argument has the wrong type
        ValueError
            When both are given, or the token has characters that cannot be sent
        """
        if credentials is not None:
            if session is not None and not _is_plain(session):
                raise ArgumentValueError(
                    "credentials: pass either credentials or a session that has its own"
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
            When the session is one of another process
        TypeError
            When the function makes something else
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
            # No lock is held, as the function may use this module to make its session
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
    """Make a key of a session, a function or credentials, equal for the same in a process."""
    if isinstance(identity, (str, tuple)):
        # A secret of the process keeps passwords from being guessed from the key
        return hashlib.blake2b(repr(identity).encode(), key=_SECRET, digest_size=16).hexdigest()
    with _keys_lock:
        try:
            return _keys.setdefault(identity, uuid.uuid4().hex)
        except TypeError:
            # Objects that cannot be hashed or referred to weakly get a new key each time
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
    """Whether a session has the settings of a new one, so that another can replace it."""
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
        # A token read from a file may end with a line break; libraries would fail with a message
        # that shows the token
        if not credentials.isascii() or not credentials.isprintable() or " " in credentials:
            raise ArgumentValueError("credentials: the token has characters that no token has")
        return _Bearer(credentials)
    if (
        isinstance(credentials, tuple)
        and len(credentials) == 2
        and all(isinstance(part, str) for part in credentials)
    ):
        # Encoded as UTF-8 (RFC 7617 2.1), as requests would use Latin-1
        return tuple(part.encode() for part in credentials)
    raise ArgumentTypeError("credentials: expected (user, password) or a token")


class _Bearer(requests.auth.AuthBase):
    """Authentication with a bearer token (RFC 6750)."""

    def __init__(self, token: str) -> None:
        self._token = token

    def __call__(self, request: Any) -> Any:
        request.headers["Authorization"] = f"Bearer {self._token}"
        return request
