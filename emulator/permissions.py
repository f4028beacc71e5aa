"""Permission strings and roles: reading, checking, expanding and matching them; pure functions."""

from __future__ import annotations

import re
from collections.abc import Iterable, Sequence

from emulator.errors import AppwriteError, invalid_argument

_PERMISSION = re.compile(r'(create|read|update|delete|write)\("([^"]+)"\)')
_WRITE = ("create", "update", "delete")
_ID = r"[a-zA-Z0-9][a-zA-Z0-9._-]{0,35}"
_ROLE = re.compile(
    rf"(any|guests|users(/(verified|unverified))?|user:{_ID}(/(verified|unverified))?"
    rf"|team:{_ID}(/[a-zA-Z0-9._-]{{1,36}})?|member:{_ID}|label:[a-zA-Z0-9]{{1,36}})"
)


def role_is_valid(role: str) -> bool:
    """Whether the text names a role Appwrite knows."""
    return _ROLE.fullmatch(role) is not None


def parse(permission: str) -> tuple[str, str] | None:
    """`read("any")` as ("read", "any"); None where it is no permission."""
    match = _PERMISSION.fullmatch(permission)
    if match is None or not role_is_valid(match[2]):
        return None
    return match[1], match[2]


def checked(permissions: object, allowed: Sequence[str], name: str = "permissions") -> list[str]:
    """The given permissions with `write` expanded to the allowed writing actions, without duplicates, in order.

    `allowed`: the actions that mean something for this resource. Raises general_argument_invalid.
    """
    if not isinstance(permissions, list) or len(permissions) > 100:
        raise invalid_argument(name, "Value must be a list of at most 100 permissions.")
    expanded: dict[str, None] = {}
    for permission in permissions:
        parsed = parse(permission) if isinstance(permission, str) else None
        if parsed is None or (parsed[0] != "write" and parsed[0] not in allowed):
            raise invalid_argument(name, f"Each permission must be one of {', '.join(allowed)}, write with a role.")
        action, role = parsed
        for each in _WRITE if action == "write" else (action,):
            if each in allowed:
                expanded[f'{each}("{role}")'] = None
    return list(expanded)


def roles(permissions: Iterable[str], action: str) -> frozenset[str]:
    """The roles that hold `action` in a checked permission list."""
    start, end = len(action) + 2, -2
    prefix = action + '("'
    return frozenset(permission[start:end] for permission in permissions if permission.startswith(prefix))


def allows(permissions: Iterable[str], action: str, held: frozenset[str]) -> bool:
    """Whether one of the held roles may do `action`."""
    return not held.isdisjoint(roles(permissions, action))


def require_own_roles(permissions: Iterable[str], held: frozenset[str]) -> None:
    """A client may only grant roles it holds itself. Raises user_unauthorized."""
    for permission in permissions:
        parsed = parse(permission)
        if parsed is not None and parsed[1] not in held:
            raise AppwriteError(
                "user_unauthorized",
                f"Permissions must be one of: ({', '.join(sorted(held))})",
            )


def own(user_id: str, actions: Iterable[str] = ("read", "update", "delete")) -> list[str]:
    """What a client gets that asks for no permissions: everything on its own resource."""
    return [f'{action}("user:{user_id}")' for action in actions]
