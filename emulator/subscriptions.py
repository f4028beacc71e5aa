"""What a realtime client asked to hear: channels with queries, and whether an event is one of those."""

from __future__ import annotations

import operator
from collections.abc import Callable, Sequence
from typing import Any

from emulator.errors import AppwriteError
from emulator.events import Event
from emulator.queries import Query, parse

_COMPARISONS: dict[str, Callable[[Any, Any], bool]] = {
    "lessThan": operator.lt,
    "lessThanEqual": operator.le,
    "greaterThan": operator.gt,
    "greaterThanEqual": operator.ge,
}
_FILTERS = frozenset({"equal", "notEqual", *_COMPARISONS, "isNull", "isNotNull", "and", "or", "select"})


class Subscription:
    """One subscription of one connection; each channel has the queries it was last subscribed with."""

    def __init__(self, subscription_id: str) -> None:
        self.id = subscription_id
        self.channels: dict[str, list[Query]] = {}

    def listen(self, channels: Sequence[str], written: Sequence[str]) -> None:
        """Add channels, or change their queries. Raises realtime_message_format_invalid."""
        try:
            queries = parse(written)
        except AppwriteError as error:
            raise malformed(error.message) from None
        for query in queries:
            _require_filter(query)
        for channel in channels:
            self.channels[channel] = queries

    def wants(self, event: Event) -> bool:
        """Whether one of its channels carries the event and every query of it matches."""
        for channel in event.channels:
            queries = self.channels.get(channel)
            if queries is not None and all(matches(query, event.payload) for query in queries):
                return True
        return False


def matches(query: Query, payload: dict[str, Any]) -> bool:
    """Whether a payload fits one query; types must be the same, and a missing field fits nothing."""
    if query.method in ("and", "or"):
        return (all if query.method == "and" else any)(matches(each, payload) for each in query.values)
    if query.method == "select":
        return True
    return query.attribute in payload and _fits(query, payload[query.attribute])


def _fits(query: Query, value: Any) -> bool:
    if query.method in ("isNull", "isNotNull"):
        return (value is None) == (query.method == "isNull")
    if query.method in ("equal", "notEqual"):
        found = any(_comparable(value, each) and value == each for each in query.values)
        return found == (query.method == "equal")
    compare = _COMPARISONS[query.method]
    return any(_comparable(value, each) and compare(value, each) for each in query.values)


def _comparable(left: Any, right: Any) -> bool:
    """Whether both are numbers, texts or truth values: JSON does not tell 3 from 3.0."""
    kinds = (bool, (int, float), str)
    return any(isinstance(left, kind) and isinstance(right, kind) for kind in kinds) and (
        isinstance(left, bool) == isinstance(right, bool)
    )


def _require_filter(query: Query) -> None:
    if query.method not in _FILTERS:
        raise malformed(f"Query method {query.method} is not supported in realtime.")
    if query.method in ("and", "or"):
        for each in query.values:
            _require_filter(each)


def items(data: object) -> list[dict[str, Any]]:
    """The list of objects a client's message must carry. Raises realtime_message_format_invalid."""
    if not isinstance(data, list) or not data or not all(isinstance(item, dict) for item in data):
        raise malformed("The message's data must be a list of objects.")
    return data


def read(item: dict[str, Any]) -> tuple[str, list[str], list[str]]:
    """Id ("" where the server shall choose one), channels and queries of one wanted subscription."""
    channels, queries = item.get("channels"), item.get("queries") or []
    if not _is_texts(channels) or not channels or not _is_texts(queries):
        raise malformed("A subscription needs a list of channels, and its queries are a list of texts.")
    return (id_of(item) if "subscriptionId" in item else ""), channels, queries


def id_of(item: dict[str, Any]) -> str:
    """The id of a subscription in a client's message. Raises realtime_message_format_invalid."""
    given = item.get("subscriptionId")
    if not isinstance(given, str) or not given:
        raise malformed("A subscriptionId must be a text.")
    return given


def malformed(reason: str) -> AppwriteError:
    """The refusal of a client's message; the socket stays open."""
    return AppwriteError("realtime_message_format_invalid", reason)


def _is_texts(value: object) -> bool:
    return isinstance(value, list) and all(isinstance(each, str) for each in value)
