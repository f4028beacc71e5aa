"""Teams: roles that several users hold together."""

from __future__ import annotations

from collections.abc import Callable

import pytest
from appwrite.exception import AppwriteException
from appwrite.query import Query
from appwrite.services.tables_db import TablesDB
from appwrite.services.teams import Teams

from .conftest import Person, Running, hear, hears_nothing


def test_members_of_a_team_share_its_rows_until_they_leave(
    server: Running, admin: TablesDB, person: Callable[..., Person]
) -> None:
    admin.create("crew_db", "Crew")
    admin.create_table("crew_db", "plan", "Plan", row_security=True, columns=[{"key": "n", "type": "integer"}])
    owner, editor, stranger = person(), person(), person()
    team = Teams(server.client(session=owner.session)).create("unique()", "Crew")
    by_key = Teams(server.client(key=server.key))
    member = by_key.create_membership(team.id, ["editor"], user_id=editor.id)
    granted = [f'read("team:{team.id}")', f'update("team:{team.id}/editor")']
    row = admin.create_row("crew_db", "plan", "p1", {"n": 1}, permissions=granted)
    for someone in (owner, editor):
        assert someone.rows.get_row("crew_db", "plan", row.id).data == {"n": 1}
    assert editor.rows.update_row("crew_db", "plan", row.id, {"n": 2}).data == {"n": 2}
    with pytest.raises(AppwriteException):
        owner.rows.update_row("crew_db", "plan", row.id, {"n": 3})
    assert stranger.rows.list_rows("crew_db", "plan").total == 0
    with server.socket(x_appwrite_session=editor.session) as socket, server.socket() as guest:
        assert (hear(socket)["type"], hear(guest)["type"]) == ("connected", "connected")
        for each in (socket, guest):
            each.send('{"type":"subscribe","data":[{"channels":["rows"]}]}')
            hear(each)
        admin.update_row("crew_db", "plan", row.id, {"n": 4})
        assert hear(socket)["data"]["payload"]["n"] == 4
        by_key.delete_membership(team.id, member.id)
        admin.update_row("crew_db", "plan", row.id, {"n": 5})
        assert hears_nothing(socket)
        assert hears_nothing(guest)
    assert editor.rows.list_rows("crew_db", "plan").total == 0
    admin.delete("crew_db")


def test_only_an_owner_changes_a_team_and_only_members_see_it(server: Running, person: Callable[..., Person]) -> None:
    owner, other = person(), person()
    mine = Teams(server.client(session=owner.session))
    theirs = Teams(server.client(session=other.session))
    team = mine.create("unique()", "Mine")
    attempts: list[Callable[[], object]] = [
        lambda: theirs.get(team.id),
        lambda: theirs.update_name(team.id, "x"),
        lambda: theirs.delete(team.id),
    ]
    for attempt in attempts:
        with pytest.raises(AppwriteException) as refused:
            attempt()
        assert refused.value.type == "team_not_found"
    assert theirs.list().total == 0
    assert mine.update_name(team.id, "Ours").name == "Ours"
    mine.delete(team.id)
    assert mine.list().total == 0


def test_the_user_who_makes_a_team_owns_it_whatever_roles_it_names(
    server: Running, person: Callable[..., Person]
) -> None:
    owner, member = person(name="Owner"), person(name="Member")
    mine, theirs = (Teams(server.client(session=someone.session)) for someone in (owner, member))
    team = mine.create("unique()", "Crew", roles=["editor"])
    joined = Teams(server.client(key=server.key)).create_membership(team.id, ["editor"], user_id=member.id)
    assert {each.username: each.roles for each in theirs.list_memberships(team.id).memberships} == {
        "Owner": ["editor", "owner"],
        "Member": ["editor"],
    }
    mine.update_prefs(team.id, {"colour": "blue"})
    assert theirs.get_prefs(team.id).data == {"colour": "blue"}
    refused: list[Callable[[], object]] = [
        lambda: theirs.update_prefs(team.id, {}),
        lambda: theirs.update_membership(team.id, joined.id, ["owner"]),
        lambda: theirs.delete(team.id),
    ]
    for attempt in refused:
        with pytest.raises(AppwriteException) as told:
            attempt()
        assert (told.value.code, told.value.type) == (401, "user_unauthorized")
    theirs.delete_membership(team.id, joined.id)
    assert theirs.list().total == 0
    assert mine.list(queries=[Query.equal("name", ["Crew"])]).total == 1


def test_a_client_cannot_add_members_because_no_mail_is_sent(server: Running, person: Callable[..., Person]) -> None:
    mine = Teams(server.client(session=person().session))
    team = mine.create("unique()", "Crew")
    with pytest.raises(AppwriteException) as refused:
        mine.create_membership(team.id, ["editor"], email="new@example.test", url="http://localhost/")
    assert (refused.value.code, refused.value.type) == (503, "general_smtp_disabled")
