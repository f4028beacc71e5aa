"""Users, sessions and tokens as they are kept and shown; the rules that /account and /users share."""

from __future__ import annotations

import hashlib
import re
import secrets
import sqlite3
import time
from typing import Any

from emulator import clock
from emulator.auth import encode_session, hash_secret
from emulator.database import Database, pack, unpack
from emulator.errors import AppwriteError, invalid_argument
from emulator.wire import unique_id

TABLES = """
CREATE TABLE IF NOT EXISTS user_tokens (
    id TEXT PRIMARY KEY, user_id TEXT NOT NULL, secret_hash TEXT NOT NULL,
    expire TEXT NOT NULL, created_at TEXT NOT NULL
);
"""
SESSION_SECONDS = 31_536_000  # a year, as on a fresh Appwrite project
_SCRYPT = {"n": 2**14, "r": 8, "p": 1, "dklen": 32}
_PHONE = re.compile(r"\+[1-9][0-9]{5,14}")
_EMAIL = re.compile(r"[^@\s]{1,64}@[A-Za-z0-9-]+(\.[A-Za-z0-9-]+)+")
_FREE_MAIL = frozenset({"gmail.com", "outlook.com", "hotmail.com", "yahoo.com", "icloud.com", "proton.me", "gmx.de"})


def hash_password(password: str) -> str:
    """A password as it is kept; takes some 50 ms, so handlers call it in a thread."""
    salt = secrets.token_bytes(16)
    return f"{salt.hex()}:{hashlib.scrypt(password.encode(), salt=salt, **_SCRYPT).hex()}"


def password_fits(password: str, kept: str) -> bool:
    """Whether this password was kept; as slow as hashing."""
    salt, _, digest = kept.partition(":")
    tried = hashlib.scrypt(password.encode(), salt=bytes.fromhex(salt), **_SCRYPT)
    return secrets.compare_digest(tried.hex(), digest)


def checked_email(value: object) -> str:
    """The address in lower case. Raises general_argument_invalid."""
    if not isinstance(value, str) or len(value) > 254 or _EMAIL.fullmatch(value) is None:
        raise invalid_argument("email", "Value must be a valid email address")
    return value.lower()


def checked_phone(value: object) -> str:
    """The number. Raises general_argument_invalid."""
    if not isinstance(value, str) or _PHONE.fullmatch(value) is None:
        raise invalid_argument("phone", "Phone number must start with a '+' and can have a maximum of fifteen digits.")
    return value


def checked_password(value: object) -> str:
    """Raises general_argument_invalid."""
    if not isinstance(value, str) or not 8 <= len(value) <= 256:
        raise invalid_argument("password", "Password must be between 8 and 256 characters long.")
    return value


def create_user(
    db: Database,
    user_id: str,
    *,
    name: str = "",
    email: str | None = None,
    phone: str | None = None,
    password: str | None = None,
    seen: bool,
) -> sqlite3.Row:
    """Store a new user; `password` is already hashed; `seen`: it made itself. Raises user_already_exists."""
    now = clock.now_text()
    try:
        with db.transaction() as connection:
            connection.execute(
                "INSERT INTO users (id, name, email, phone, password, password_changed_at, created_at, updated_at,"
                " accessed_at) VALUES (?, ?, ?, ?, ?, ?, ?, ?, ?)",
                (user_id, name, email, phone, password, now if password else "", now, now, now if seen else ""),
            )
    except sqlite3.IntegrityError:
        raise AppwriteError(
            "user_already_exists", "A user with the same id, email or phone already exists in this project."
        ) from None
    return find_user(db, user_id)


def find_user(db: Database, user_id: str) -> sqlite3.Row:
    """Raises user_not_found."""
    row = db.one("SELECT * FROM users WHERE id = ?", (user_id,))
    if row is None:
        raise AppwriteError("user_not_found", f"User with the requested ID '{user_id}' could not be found.")
    return row


def change_user(db: Database, user_id: str, **fields: Any) -> sqlite3.Row:
    """Set columns of a user and return it. Raises user_not_found, user_(email|phone)_already_exists."""
    find_user(db, user_id)
    sets = ", ".join(f"{name} = ?" for name in fields)
    try:
        with db.transaction() as connection:
            connection.execute(
                f"UPDATE users SET {sets}, updated_at = ? WHERE id = ?", (*fields.values(), clock.now_text(), user_id)
            )
    except sqlite3.IntegrityError:
        what = "phone" if "phone" in fields else "email"
        raise AppwriteError(f"user_{what}_already_exists", f"Another user has this {what}.") from None
    return find_user(db, user_id)


def delete_user(db: Database, user_id: str) -> None:
    """Forget a user, its sessions, tokens and memberships. Raises user_not_found."""
    find_user(db, user_id)
    with db.transaction() as connection:
        for table in ("sessions", "user_tokens", "memberships"):
            connection.execute(f"DELETE FROM {table} WHERE user_id = ?", (user_id,))
        connection.execute("DELETE FROM users WHERE id = ?", (user_id,))


def create_session(db: Database, user_id: str, provider: str, provider_uid: str, ip: str) -> tuple[sqlite3.Row, str]:
    """A new session and the value its client keeps."""
    secret = secrets.token_hex(128)
    now = clock.now_text()
    session_id = unique_id()
    with db.transaction() as connection:
        connection.execute(
            "INSERT INTO sessions (id, user_id, secret_hash, provider, provider_uid, ip, expire, created_at,"
            " updated_at) VALUES (?, ?, ?, ?, ?, ?, ?, ?, ?)",
            (session_id, user_id, hash_secret(secret), provider, provider_uid, ip, _in(SESSION_SECONDS), now, now),
        )
        connection.execute("UPDATE users SET accessed_at = ? WHERE id = ?", (now, user_id))
    return find_session(db, user_id, session_id), encode_session(user_id, secret)


def find_session(db: Database, user_id: str, session_id: str) -> sqlite3.Row:
    """Raises user_session_not_found."""
    row = db.one("SELECT * FROM sessions WHERE id = ? AND user_id = ?", (session_id, user_id))
    if row is None:
        raise AppwriteError("user_session_not_found", "The current user session could not be found.")
    return row


def extend_session(db: Database, session: sqlite3.Row) -> sqlite3.Row:
    """Let a session's time begin anew."""
    with db.transaction() as connection:
        connection.execute(
            "UPDATE sessions SET expire = ?, updated_at = ? WHERE id = ?",
            (_in(SESSION_SECONDS), clock.now_text(), session["id"]),
        )
    return find_session(db, session["user_id"], session["id"])


def create_token(db: Database, user_id: str, length: int, seconds: int) -> dict[str, Any]:
    """A token as shown; its secret may be exchanged once for a session."""
    secret = secrets.token_hex(length)[:length]
    token_id, now, expire = unique_id(), clock.now_text(), _in(seconds)
    with db.transaction() as connection:
        connection.execute(
            "INSERT INTO user_tokens VALUES (?, ?, ?, ?, ?)", (token_id, user_id, hash_secret(secret), expire, now)
        )
    return {
        "$id": token_id,
        "$createdAt": now,
        "userId": user_id,
        "secret": secret,
        "expire": expire,
        "phrase": "",
    }


def spend_token(db: Database, user_id: str, secret: str) -> None:
    """Use a token up. Raises user_invalid_token."""
    with db.transaction() as connection:
        used = connection.execute(
            "DELETE FROM user_tokens WHERE user_id = ? AND secret_hash = ? AND expire > ?",
            (user_id, hash_secret(secret), clock.now_text()),
        )
    if used.rowcount == 0:
        raise AppwriteError("user_invalid_token", "Invalid token passed in the request.")


def show_user(user: sqlite3.Row, *, for_server: bool = False) -> dict[str, Any]:
    """A user as it sees itself, or with its password's hash as a server sees it."""
    email = user["email"]
    known = email is not None
    free = known and email.partition("@")[2] in _FREE_MAIL
    shown: dict[str, Any] = {
        "$id": user["id"],
        "$createdAt": user["created_at"],
        "$updatedAt": user["updated_at"],
        "name": user["name"],
    }
    if for_server:
        shown["password"] = user["password"]
        shown["hash"] = "scrypt"
        shown["hashOptions"] = {
            "type": "scrypt",
            "costCpu": _SCRYPT["r"],
            "costMemory": _SCRYPT["n"],
            "costParallel": _SCRYPT["p"],
            "length": _SCRYPT["dklen"],
        }
    shown.update(
        {
            "registration": user["created_at"],
            "status": bool(user["active"]),
            "labels": unpack(user["labels"]),
            "passwordUpdate": user["password_changed_at"],
            "email": email or "",
            "phone": user["phone"] or "",
            "emailVerification": bool(user["email_verified"]),
            "emailCanonical": email,
            "emailIsFree": free if known else None,
            "emailIsDisposable": False if known else None,
            "emailIsCorporate": not free if known else None,
            "emailIsCanonical": True if known else None,
            "phoneVerification": bool(user["phone_verified"]),
            "mfa": False,
            "prefs": unpack(user["prefs"]),
            "targets": [_email_target(user)] if known else [],
            "accessedAt": user["accessed_at"],
            "impersonator": False,
            "impersonatorUserId": None,
        }
    )
    return shown


def show_session(session: sqlite3.Row, current: str, secret: str = "") -> dict[str, Any]:
    """A session; `current` is the asking session's id; `secret` only for a server that has just made it."""
    provider = session["provider"]
    unknown_client = dict.fromkeys(
        (
            *("osCode", "osName", "osVersion", "clientType", "clientCode", "clientName", "clientVersion"),
            *("clientEngine", "clientEngineVersion", "deviceName", "deviceBrand", "deviceModel"),
        ),
        "",
    )
    return {
        "$id": session["id"],
        "$createdAt": session["created_at"],
        "$updatedAt": session["updated_at"],
        "userId": session["user_id"],
        "expire": session["expire"],
        "provider": provider,
        "providerUid": session["provider_uid"],
        "providerAccessToken": "",
        "providerAccessTokenExpiry": "",
        "providerRefreshToken": "",
        "ip": session["ip"],
        **unknown_client,
        "countryCode": "--",
        "countryName": "Unknown",
        "current": session["id"] == current,
        "factors": ["password" if provider == "email" else provider],
        "secret": secret,
        "mfaUpdatedAt": "",
    }


def _email_target(user: sqlite3.Row) -> dict[str, Any]:
    return {
        "$id": hashlib.sha256(f"{user['id']} {user['email']}".encode()).hexdigest()[:20],
        "$createdAt": user["created_at"],
        "$updatedAt": user["created_at"],
        "name": "",
        "userId": user["id"],
        "providerId": None,
        "providerType": "email",
        "identifier": user["email"],
        "expired": False,
    }


def _in(seconds: int) -> str:
    return clock.text(int((time.time() + seconds) * 1000))


def as_json(value: object, name: str, limit: int = 65_535) -> str:
    """A JSON object parameter as stored text. Raises general_argument_invalid."""
    if not isinstance(value, dict):
        raise invalid_argument(name, "Value must be a valid object")
    stored = pack(value)
    if len(stored) > limit:
        raise invalid_argument(name, f"Value must be no longer than {limit} bytes")
    return stored
