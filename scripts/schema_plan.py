"""What a project lacks of the schema, and where it differs: pure functions over what is wanted and what is there."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any

from core.errors import InvalidInputError

Body = dict[str, Any]
Found = Mapping[str, Body | None]  # API path -> what the server has there, None: nothing

ROW_BYTES_MAX = 65_535  # of one row, where the server does not say
ROW_BYTES_BASE = 1_067  # what the system columns take of it
_VARCHAR_MAX = 16_381  # longer texts are kept off the row
_FIXED_WIDTHS = {"double": 8, "float": 8, "boolean": 1, "datetime": 7, "bigint": 8}
_FORMAT_SIZES = {"email": 254, "url": 2000, "ip": 39, "enum": 255}
_ROUTES = {"double": "float"}  # a column's route where it is not named like its type
_SAME_KIND = {"varchar": "string"}
_COLUMN_FIELDS = ("key", "size", "required", "default", "array", "elements", "min", "max")
_SMALLER_FILES = (100_000_000, 50_000_000, 30_000_000, 10_000_000, 5_000_000)  # where a server takes less than asked
_FUNCTION_LISTS = ("execute", "events", "scopes")
_FUNCTION_VALUES = ("schedule", "timeout", "logging", "entrypoint", "commands")
# an update without these would reset them: the person's connection to a repository, the machine's size
_FUNCTION_KEPT = (
    *("name", "runtime", "specification", "buildSpecification", "runtimeSpecification", "installationId"),
    *("providerRepositoryId", "providerBranch", "providerSilentMode", "providerRootDirectory", "providerBranches"),
    *("providerPaths", "deploymentRetention", "interval", "description", "emailEnabled"),
)


@dataclass(frozen=True, slots=True)
class Change:
    """One request that adds something. `sizes`: file sizes to try in turn, the largest first."""

    verb: str  # what a person reads once it is done: made, widened, changed, removed, renewed
    what: str
    method: str
    path: str
    body: Body = field(default_factory=dict)
    table: str = ""  # path of the table whose columns or indexes it changes
    sizes: tuple[int, ...] = ()

    @property
    def wanted(self) -> bool:
        """Whether the schema is incomplete without it; a secret written again and a larger bucket are extras."""
        return self.verb not in ("renewed", "enlarged")


@dataclass(slots=True)
class Plan:
    """All that is to be done, and what is there but otherwise: that is named and never touched."""

    changes: list[Change] = field(default_factory=list)
    differences: list[str] = field(default_factory=list)
    notes: list[str] = field(default_factory=list)

    @property
    def missing(self) -> list[Change]:
        """The changes without which the schema is incomplete."""
        return [change for change in self.changes if change.wanted]


def paths(schema: Body) -> Iterator[str]:
    """Everything that must be read before a plan can be made."""
    for database in schema["tablesDB"]:
        yield database_path(database)
    for table in schema["tables"]:
        yield table_path(table)
    for bucket in schema["buckets"]:
        yield f"/storage/buckets/{bucket['$id']}"
    for function in schema["functions"]:
        yield f"/functions/{function['$id']}"


def database_path(database: Body) -> str:
    """Where a database is read."""
    return f"/tablesdb/{database['$id']}"


def table_path(table: Body) -> str:
    """Where a table is read, with its columns and indexes."""
    return f"/tablesdb/{table['databaseId']}/tables/{table['$id']}"


def plan(schema: Body, found: Found) -> Plan:
    """What turns `found` into `schema` without taking anything away.

    Raises:
        InvalidInputError: a table would be wider than the server's rows (code row_too_wide).
    """
    made = Plan()
    for database in schema["tablesDB"]:
        if found[database_path(database)] is None:
            body = {"databaseId": database["$id"], "name": database["name"], "enabled": database["enabled"]}
            made.changes.append(Change("made", f"database {database['$id']}", "post", "/tablesdb", body))
    for table in schema["tables"]:
        _plan_table(made, table, found[table_path(table)])
    for bucket in schema["buckets"]:
        _plan_bucket(made, bucket, found[f"/storage/buckets/{bucket['$id']}"])
    for function in schema["functions"]:
        _plan_function(made, function, found[f"/functions/{function['$id']}"])
    return made


# ---- tables


def _plan_table(made: Plan, table: Body, there: Body | None) -> None:
    path, name = table_path(table), table["$id"]
    check_width(table, there)
    if there is None:
        body = {"tableId": name, "permissions": table["$permissions"]} | {k: table[k] for k in ("name", "rowSecurity")}
        made.changes.append(Change("made", f"table {name}", "post", path.rpartition("/")[0], body))
    else:
        granted, asked = there["$permissions"], table["$permissions"]
        made.differences += _open_to_others(f"table {name}", asked, granted)
        made.differences += [f"table {name} does not grant {p}" for p in asked if p not in granted]
        made.differences += _values_apart(f"table {name}", table, there, ("rowSecurity", "enabled"))
    columns = {c["key"]: c for c in there["columns"]} if there else {}
    for column in table["columns"]:
        _plan_column(made, table, column, columns.get(column["key"]))
    indexes = {i["key"]: i for i in there["indexes"]} if there else {}
    for index in table["indexes"]:
        what = f"index {name}.{index['key']}"
        known = indexes.get(index["key"])
        if known is None:
            made.changes.append(Change("made", what, "post", f"{path}/indexes", dict(index), path))
            continue
        seen = {"type": known["type"], "columns": known.get("columns") or known.get("attributes")}
        made.differences += _values_apart(what, index, seen, ("type", "columns")) + _unusable(what, known)


def _plan_column(made: Plan, table: Body, column: Body, there: Body | None) -> None:
    path, what = table_path(table), f"column {table['$id']}.{column['key']}"
    kind = kind_of(column)
    route = f"{path}/columns/{_ROUTES.get(kind, kind)}"
    if there is None:
        body = {k: column[k] for k in _COLUMN_FIELDS if column.get(k) is not None}
        made.changes.append(Change("made", what, "post", route, body, path))
        return
    if kind_of(there) != kind:
        made.differences.append(f"{what} is of type {kind_of(there)}, not {kind}")
        return
    asked = [k for k in ("size", "required", "array", "default", "min", "max") if k in column]
    # a limit that is not asked for is the server's own
    asked = [k for k in asked if k in there or column[k] is not None]
    made.differences += _values_apart(what, column, there, asked) + _unusable(what, there)
    new = [e for e in column.get("elements", ()) if e not in there.get("elements", ())]
    if new:
        body = {"elements": [*there["elements"], *new], "required": there["required"], "default": there["default"]}
        made.changes.append(Change("widened", what, "patch", f"{route}/{column['key']}", body, path))


def kind_of(column: Body) -> str:
    """A column's type as people name it: the format where it has one."""
    kind = str(column.get("format") or column["type"])
    return _SAME_KIND.get(kind, kind)


def check_width(table: Body, there: Body | None) -> None:
    """Refuse columns that would not fit the server's rows, before anything is made.

    Raises:
        InvalidInputError: code row_too_wide.
    """
    known = {c["key"] for c in there["columns"]} if there else set()
    new = sum(width(c) for c in table["columns"] if c["key"] not in known)
    used = ROW_BYTES_BASE + sum(width(c) for c in there["columns"]) if there else ROW_BYTES_BASE
    used = (there or {}).get("bytesUsed") or used
    most = (there or {}).get("bytesMax") or ROW_BYTES_MAX
    if new and used + new > most:
        raise InvalidInputError(
            f"A row of table {table['$id']} would take {used + new} bytes, more than the {most} the server allows: "
            f"make some of its texts longer than {_VARCHAR_MAX} characters, which are kept off the row, or shorter.",
            code="row_too_wide",
            field=table["$id"],
        )


def width(column: Body) -> int:
    """Bytes a column takes of a row: four a character, and 20 for what is kept off the row."""
    kind = kind_of(column)
    if column.get("array"):
        return 20
    if kind == "integer":
        largest = column.get("max")
        return 8 if largest is None or largest > 2**31 - 1 else 4
    if kind in _FIXED_WIDTHS:
        return _FIXED_WIDTHS[kind]
    size = _FORMAT_SIZES.get(kind) or column.get("size") or _VARCHAR_MAX + 1
    if size > _VARCHAR_MAX:
        return 20
    return int(size) * 4 + (2 if size > 255 else 1)


# ---- buckets


def _plan_bucket(made: Plan, bucket: Body, there: Body | None) -> None:
    name, path = bucket["$id"], f"/storage/buckets/{bucket['$id']}"
    size = bucket["maximumFileSize"]
    sizes = (size, *(s for s in _SMALLER_FILES if s < size))
    body = {k: v for k, v in bucket.items() if not k.startswith("$")} | {"permissions": bucket["$permissions"]}
    if there is None:
        create = {"bucketId": name, **body}
        made.changes.append(Change("made", f"bucket {name}", "post", "/storage/buckets", create, sizes=sizes))
        return
    made.differences += _open_to_others(f"bucket {name}", bucket["$permissions"], there["$permissions"])
    same = ("fileSecurity", "enabled", "compression", "encryption", "antivirus")
    made.differences += _values_apart(f"bucket {name}", bucket, there, same)
    kinds = there["allowedFileExtensions"]  # none named: all are taken
    more = [e for e in bucket["allowedFileExtensions"] if kinds and e not in kinds]
    granted = [p for p in bucket["$permissions"] if p not in there["$permissions"]]
    kept = {k: there[k] for k in (*body, "transformations") if k in there}
    body = kept | {
        "permissions": [*there["$permissions"], *granted],
        "allowedFileExtensions": [*kinds, *more],
        "maximumFileSize": there["maximumFileSize"],
    }
    if more or granted:
        made.changes.append(Change("widened", f"bucket {name}", "put", path, body))
    larger = tuple(s for s in sizes if s > there["maximumFileSize"])
    if larger:
        made.changes.append(Change("enlarged", f"bucket {name}", "put", path, body, sizes=larger))
        made.notes.append(smaller_bucket(name, there["maximumFileSize"], size))


def smaller_bucket(name: str, bytes_taken: int, bytes_wanted: int) -> str:
    """The sentence about a bucket that takes less than asked for."""
    return (
        f"bucket {name} takes files up to {bytes_taken / 10**6:g} MB, not {bytes_wanted / 10**6:g} MB as appwrite.json "
        "asks; a film that would be larger is refused before it is made"
    )


# ---- the function


def _plan_function(made: Plan, function: Body, there: Body | None) -> None:
    name, what = function["$id"], f"function {function['$id']}"
    wanted = {k: function[k] for k in (*_FUNCTION_LISTS, *_FUNCTION_VALUES)}
    if there is None:
        body = {"functionId": name, **{k: function[k] for k in ("name", "runtime", "enabled")}, **wanted}
        made.changes.append(Change("made", what, "post", "/functions", body))
        return
    made.differences += _values_apart(what, function, there, ("runtime", "enabled"))
    extra = [role for role in there["execute"] if role not in function["execute"]]
    made.differences += [f"{what} may be executed by {role}, which appwrite.json does not say" for role in extra]
    for key in _FUNCTION_LISTS:
        wanted[key] = [*there[key], *(item for item in function[key] if item not in there[key])]
    if any(there[k] != v for k, v in wanted.items()):
        kept = {k: there[k] for k in _FUNCTION_KEPT if there.get(k)}
        body = {"enabled": there["enabled"]} | kept | wanted
        made.changes.append(Change("changed", what, "put", f"/functions/{name}", body))


def plan_variables(
    function_id: str, wanted: Mapping[str, str], known: frozenset[str], secret: frozenset[str], there: Body | None
) -> list[Change]:
    """The changes that give a function its variables; those it knows and that have no value any more are removed."""
    path = f"/functions/{function_id}/variables"
    variables = {v["key"]: v for v in (there or {}).get("vars", ())}
    changes = []
    for key, value in sorted(wanted.items()):
        body: Body = {"key": key, "value": value, "secret": key in secret}
        now = variables.get(key)
        if now is None:
            changes.append(Change("made", f"variable {key}", "post", path, {"variableId": "unique()", **body}))
        elif now["secret"]:  # its value cannot be read back: it is written again, and stays a secret
            body["secret"] = True
            changes.append(Change("renewed", f"variable {key}", "put", f"{path}/{now['$id']}", body))
        elif now["value"] != value or key in secret:
            changes.append(Change("changed", f"variable {key}", "put", f"{path}/{now['$id']}", body))
    gone = sorted(known & variables.keys() - wanted.keys())
    return changes + [Change("removed", f"variable {k}", "delete", f"{path}/{variables[k]['$id']}") for k in gone]


# ---- what differs


def _values_apart(what: str, wanted: Body, there: Body, keys: Sequence[str]) -> list[str]:
    apart = [k for k in keys if there.get(k) != wanted[k]]
    return [f"{what} has {k} {_shown(there.get(k))}, not {_shown(wanted[k])}" for k in apart]


def _open_to_others(what: str, wanted: list[str], there: list[str]) -> list[str]:
    return [f"{what} grants {p}, which appwrite.json does not say" for p in there if p not in wanted]


def _unusable(what: str, item: Body) -> list[str]:
    return [f"{what} is {item['status']}"] if item["status"] in ("failed", "stuck", "deleting") else []


def _shown(value: object) -> str:
    return "nothing" if value is None else str(value)
