"""Storage of open files and data in memory, kept for as long as their owners are in use."""

from collections import OrderedDict
from collections.abc import Callable
from typing import Any, TypeVar
from weakref import ref

from dicomslide.bounds import bound
from dicomslide.processes import make_lock, remake_after_fork

__all__ = ["Holder"]

T = TypeVar("T")

# Owners that were unpickled for a task are kept for the next tasks, so many at most
_MOST_ARRIVALS = 64


class Holder:
    """Store of one resource for each owner, such as the open file of a LocalFile.

    A resource is dropped with its owner, and earlier when all resources together weigh more than
    is allowed, the least recently used first. The last owners that were unpickled are kept, so that
    one task after another shares their resources. Any thread may use a holder.

    Parameters
    ----------
    name : str
        Name of the bound of the total weight: see `dicomslide.bounds`
    weigh : callable, optional
        Returns the weight of a resource, which may change; 1 by default
    """

    def __init__(self, name: str, weigh: Callable[[Any], int] = lambda _: 1) -> None:
        self._name = name
        self._weigh = weigh
        self._lock = make_lock()
        self.remake()
        remake_after_fork(self)

    def remake(self) -> None:
        """Forget all resources and owners; called in the child of a fork."""
        self._held: OrderedDict[int, tuple[ref[Any], Any]] = OrderedDict()
        self._arrivals: OrderedDict[tuple[Any, ...], Any] = OrderedDict()

    def get(self, owner: Any, make: Callable[[], T]) -> T:
        """Get the resource of an owner, or make it.

        Parameters
        ----------
        owner : object
            Object that can be referred to weakly
        make : callable
            Makes the resource; called without arguments
        """
        key = id(owner)
        with self._lock:
            found = self._held.get(key)
            if found is not None and found[0]() is owner:
                self._held.move_to_end(key)
                return found[1]
        thing = make()
        with self._lock:
            # Another thread may have added the resource of this owner in the meantime
            found = self._held.get(key)
            if found is not None and found[0]() is owner:
                return found[1]
            self._held[key] = ref(owner, lambda gone: self._forget(key, gone)), thing
            self.trim()
        return thing

    def drop(self, owner: Any) -> None:
        """Drop the resource of an owner."""
        with self._lock:
            found = self._held.get(id(owner))
            if found is not None and found[0]() is owner:
                del self._held[id(owner)]

    def _forget(self, key: int, gone: "ref[Any]") -> None:
        with self._lock:
            found = self._held.get(key)
            if found is not None and found[0] is gone:
                del self._held[key]

    def trim(self) -> None:
        """Drop the least recently used resources while all weigh too much; one is kept."""
        most = bound(self._name)
        with self._lock:
            while len(self._held) > 1 and self._weight() > most:
                self._held.popitem(last=False)

    def _weight(self) -> int:
        # Weights change and owners are collected at any time, so a running sum would go wrong
        return sum(self._weigh(thing) for _, thing in list(self._held.values()))

    def arrived(self, kind: Callable[..., T], *arguments: Any) -> T:
        """Make an owner that is unpickled, or get the equal one that was unpickled before.

        Parameters
        ----------
        kind : callable
            Makes the owner
        arguments
            Arguments of `kind`, which can be hashed
        """
        key = (kind, *arguments)
        with self._lock:
            owner = self._arrivals.get(key) or kind(*arguments)
            self._arrivals[key] = owner
            self._arrivals.move_to_end(key)
            if len(self._arrivals) > _MOST_ARRIVALS:
                self._arrivals.popitem(last=False)
            return owner

    def __len__(self) -> int:
        return len(self._held)
