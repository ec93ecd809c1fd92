"""The encoders by name, replaced while requests run: each request keeps the version that it began with."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator, Mapping
from contextvars import ContextVar, Token
from types import MappingProxyType

from nestvec.service.catalog.aliases import check_aliases
from nestvec.service.catalog.instance import EncoderInstance
from nestvec.service.encoders import EncoderNames, LoadedEncoder
from nestvec_schemas.errors import ServiceError


class _View:
    """What the catalog held at one time. Immutable, but for how many requests look at it."""

    def __init__(self, instances: Iterable[EncoderInstance], aliases: Mapping[str, str]) -> None:
        self.instances = tuple(instances)
        self.instance_by_name: dict[str, EncoderInstance] = {}
        self.encoders: dict[str, LoadedEncoder] = {}
        for instance in self.instances:
            _check_names(instance, self.instance_by_name)
            self.instance_by_name |= dict.fromkeys(instance.encoders, instance)
            self.encoders |= instance.encoders
        check_aliases(aliases, self.encoders)
        self.aliases = MappingProxyType(dict(aliases))
        self.pins = 0


def _check_names(instance: EncoderInstance, present: Mapping[str, EncoderInstance]) -> None:
    """Raise ServiceError if another encoder, or an output of it, has a name of ``instance``."""
    for name in instance.encoders.keys() & present.keys():
        raise ServiceError(
            f"the encoders {present[name].name} and {instance.name} both have vectors under one name",
            value=name,
            next_step="Export one of them under another name (--name), or serve only the other (--encoder).",
        )


class Pin:
    """What one request looks at for the length of a block: the view at its first look."""

    __slots__ = ("_token", "catalog", "is_over", "view")

    def __init__(self, catalog: EncoderCatalog) -> None:
        self.catalog = catalog
        self.view: _View | None = None
        self._token: Token[Pin | None] | None = None
        self.is_over = False
        """Whether the block has ended: what runs on in its context sees the newest version."""

    def __enter__(self) -> None:
        outer = _current_pin.get()
        if outer is None or outer.catalog is not self.catalog or outer.is_over:
            self._token = _current_pin.set(self)

    def __exit__(self, *_: object) -> None:
        if self._token is not None:
            _current_pin.reset(self._token)
            self.is_over = True
            self.catalog.release(self)


_current_pin: ContextVar[Pin | None] = ContextVar("nestvec_catalog_pin", default=None)


class EncoderCatalog(EncoderNames):
    """The encoders of a service by name. Belongs to one event loop; threads may read what a request sees.

    Inside ``pinned`` everything shows the catalog as it was at the first look.
    """

    def __init__(
        self, instances: Iterable[EncoderInstance], aliases: Mapping[str, str] | None = None
    ) -> None:
        """Raises AliasInvalid, ServiceError for two encoders of one name."""
        self._current = _View(instances, aliases or {})
        self._previous: list[_View] = []
        """Replaced views that requests still look at."""
        self.on_retired: Callable[[EncoderInstance], None] | None = None
        """Called with an instance once it is in no view that a request can see."""

    def __getitem__(self, name: str) -> LoadedEncoder:
        return self._view().encoders[name]

    def __iter__(self) -> Iterator[str]:
        return iter(self._view().encoders)

    def __contains__(self, name: object) -> bool:
        return name in self._view().encoders

    def __len__(self) -> int:
        return len(self._view().encoders)

    @property
    def aliases(self) -> Mapping[str, str]:
        """Other names of encoders."""
        return self._view().aliases

    @property
    def instances(self) -> tuple[EncoderInstance, ...]:
        """The newest instance of each encoder."""
        return self._current.instances

    def instance(self, name: str) -> EncoderInstance:
        """The instance that has the encoder, or the output, of this name."""
        return self._view().instance_by_name[name]

    def pinned(self) -> Pin:
        """Show one version throughout the block, also to tasks and threads that are started in it."""
        return Pin(self)

    def check(self, instances: Iterable[EncoderInstance], aliases: Mapping[str, str]) -> None:
        """Raise what ``replace`` would raise."""
        _View(instances, aliases)

    def replace(self, instances: Iterable[EncoderInstance], aliases: Mapping[str, str]) -> None:
        """Show other instances and aliases from now on, all at once.

        Raises AliasInvalid, ServiceError for two encoders of one name.
        """
        self._replace(_View(sorted(instances, key=lambda instance: instance.name), aliases))

    def set_aliases(self, aliases: Mapping[str, str]) -> None:
        """Replace all aliases at once. Raises AliasInvalid."""
        self._replace(_View(self.instances, aliases))

    def _view(self) -> _View:
        pin = _current_pin.get()
        if pin is None or pin.catalog is not self or pin.is_over:
            return self._current
        if pin.view is None:
            pin.view = self._current
            pin.view.pins += 1
        return pin.view

    def _replace(self, view: _View) -> None:
        replaced, self._current = self._current, view
        self._previous.append(replaced)
        self._forget_unseen()

    def release(self, pin: Pin) -> None:
        """A request no longer looks at what it has pinned."""
        view, pin.view = pin.view, None  # a context that lives on holds the pin, and would hold the encoders
        if view is not None:
            view.pins -= 1
            if not view.pins and view is not self._current:
                self._forget_unseen()

    def _forget_unseen(self) -> None:
        pinned = [view for view in self._previous if view.pins]
        visible = {id(instance) for view in (self._current, *pinned) for instance in view.instances}
        retired = {
            id(instance): instance
            for view in self._previous
            for instance in view.instances
            if id(instance) not in visible
        }
        self._previous = pinned
        for instance in retired.values():
            if self.on_retired is not None:
                self.on_retired(instance)
