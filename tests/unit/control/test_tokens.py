"""Tokens: made within their maker's reach, found by hash, listed, ended."""

from __future__ import annotations

import asyncio
from pathlib import Path

import pytest

from roost.control import tokens as tokens_module
from roost.control.edit import edit_machine
from roost.control.token_scope import LIFE_MS, NewToken
from roost.control.tokens import Made
from roost.errors import ForbiddenError, InvalidError, NotFoundError, PreconditionError, RoostError
from roost.model.access import Token, TokenKind
from roost.model.machine_state import MachineState
from roost.model.records import Machine, Org
from roost.store.base import Change, Put
from tests.support.control_bench import START_MS, Bench, with_bench

ORG = NewToken(grade=TokenKind.ORG, org="personal")
DEPLOY = NewToken(grade=TokenKind.DEPLOY, org="personal", app="web")


def admin(bench: Bench) -> Token:
    found = bench.control.tokens.check(bench.home.token.read_text().strip())
    assert found is not None
    return found


async def make(bench: Bench, new: NewToken, by: Token | None = None) -> Made:
    return await bench.control.tokens.create(new, by=by or admin(bench))


def ended(machine: Machine) -> Machine:
    return machine.model_copy(update={"state": MachineState.DESTROYED})


def machine_token(machine: str, app: str = "web") -> NewToken:
    return NewToken(grade=TokenKind.MACHINE, org="personal", app=app, machine=machine)


def test_a_token_of_each_kind(tmp_path: Path) -> None:
    """Each is valid at once, says on what and by whom, and lives twenty years; no record has its
    text.
    """

    async def body(bench: Bench) -> None:
        machine = await bench.machine()
        number = bench.control.apps.get("web").number
        asked = [
            (NewToken(grade=TokenKind.OPERATOR), (None, None, None, None)),
            (ORG, ("personal", None, None, None)),
            (NewToken(grade=TokenKind.READONLY, org="personal"), ("personal", None, None, None)),
            (DEPLOY, ("personal", "web", number, None)),
            (machine_token(machine.id), ("personal", "web", number, machine.id)),
        ]
        for new, scope in asked:
            made = await make(bench, new)
            token = made.token
            assert bench.control.tokens.check(made.text) == token
            assert (token.org, token.app, token.app_number, token.machine) == scope
            assert (token.grade, token.created_by) == (new.grade, "admin")
            assert token.expires_at == START_MS + LIFE_MS
            everything = "".join(s.record.model_dump_json() for s in bench.store.scan(Token))
            assert made.text not in everything
            assert made.text.removeprefix("roost_") not in everything

    with_bench(tmp_path, body)


@pytest.mark.parametrize(
    ("new", "error"),
    [
        (NewToken(grade=TokenKind.ORG), InvalidError),
        (NewToken(grade=TokenKind.ORG, org="personal", app="web"), InvalidError),
        (NewToken(grade=TokenKind.OPERATOR, org="personal"), InvalidError),
        (NewToken(grade=TokenKind.DEPLOY, org="personal"), InvalidError),
        (NewToken(grade=TokenKind.MACHINE, org="personal", app="web"), InvalidError),
        (NewToken(grade=TokenKind.ORG, org="nope"), NotFoundError),
        (NewToken(grade=TokenKind.DEPLOY, org="personal", app="nope"), NotFoundError),
        (NewToken(grade=TokenKind.DEPLOY, org="acme", app="web"), NotFoundError),
        (machine_token("0" * 14), NotFoundError),
        (NewToken(grade=TokenKind.ORG, org="personal", name="x" * 129), InvalidError),
        (NewToken(grade=TokenKind.ORG, org="personal", name="a\x07b"), InvalidError),
        (NewToken(grade=TokenKind.ORG, org="closing"), PreconditionError),
    ],
)
def test_what_does_not_fit_is_refused(
    tmp_path: Path, new: NewToken, error: type[RoostError]
) -> None:
    """A kind needs exactly its scope, and all of it must exist, together; nothing is written."""

    async def body(bench: Bench) -> None:
        await bench.machine()
        for slug in ("acme", "closing"):
            org = Org(slug=slug, name=slug, closed=slug == "closing", created_at=0)
            await bench.store.commit(Put(org))
        before = bench.store.revision()
        with pytest.raises(error):
            await make(bench, new)
        assert bench.store.revision() == before

    with_bench(tmp_path, body)


def test_no_token_hands_on_more_than_it_has(tmp_path: Path) -> None:
    """A lesser token makes no greater one, of another app, or of another organization."""

    async def body(bench: Bench) -> None:
        await bench.machine()
        await bench.machine("db")
        await bench.store.commit(Put(Org(slug="acme", name="Acme", created_at=0)))
        org, deploy = (await make(bench, ORG)).token, (await make(bench, DEPLOY)).token
        for by, new in (
            (org, NewToken(grade=TokenKind.OPERATOR)),
            (org, NewToken(grade=TokenKind.ORG, org="acme")),
            (deploy, ORG),
            (deploy, NewToken(grade=TokenKind.READONLY, org="personal")),
            (deploy, NewToken(grade=TokenKind.DEPLOY, org="personal", app="db")),
        ):
            with pytest.raises(ForbiddenError, match="may do more than it"):
                await make(bench, new, by)

    with_bench(tmp_path, body)


def test_nothing_outlives_its_maker(tmp_path: Path) -> None:
    """A token made with a short-lived one ends with it at the latest."""

    async def body(bench: Bench) -> None:
        short = await make(bench, NewToken(grade=TokenKind.ORG, org="personal", life_ms=5000))
        bench.clock.forward(1)
        for life, ends in ((LIFE_MS, 5000), (1000, 2000)):
            new = NewToken(grade=TokenKind.READONLY, org="personal", life_ms=life)
            assert (await make(bench, new, short.token)).token.expires_at == START_MS + ends

    with_bench(tmp_path, body)


def test_the_end_of_a_token(tmp_path: Path) -> None:
    """Revoked it is invalid at once and stays listed; revoked again nothing changes; another
    organization's, and an unknown one, are not found.
    """

    async def body(bench: Bench) -> None:
        tokens = bench.control.tokens
        made = await make(bench, ORG)
        for org in (None, "acme"):
            with pytest.raises(NotFoundError):
                await tokens.revoke(org, made.token.id)
        assert tokens.check(made.text) is not None
        bench.clock.forward(1)
        assert (await tokens.revoke("personal", made.token.id)).revoked_at == START_MS + 1000
        assert tokens.check(made.text) is None
        bench.clock.forward(1)
        assert (await tokens.revoke("personal", made.token.id)).revoked_at == START_MS + 1000
        assert [token.id for token in tokens.list("personal")] == [made.token.id]

    with_bench(tmp_path, body)


def test_the_last_operator_stays(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """The last valid operator token is not revoked, also when two are revoked at once."""

    async def body(bench: Bench) -> None:
        tokens, first = bench.control.tokens, admin(bench)
        with pytest.raises(PreconditionError, match="last operator") as refused:
            await tokens.revoke(None, first.id)
        assert "tokens create operator" in str(refused.value)
        short = NewToken(grade=TokenKind.OPERATOR, life_ms=1000)
        other = (await make(bench, short)).token
        outcomes: list[str] = []
        store = bench.control.context.store
        commit = store.commit

        async def slow(*changes: Change) -> int:
            await asyncio.sleep(0)  # As a real flush, which others overtake.
            return await commit(*changes)

        monkeypatch.setattr(store, "commit", slow)

        async def revoke(token: Token) -> None:
            try:
                await tokens.revoke(None, token.id)
                outcomes.append("revoked")
            except PreconditionError:
                outcomes.append("refused")

        async with asyncio.TaskGroup() as group:
            for token in (first, other):
                group.create_task(revoke(token))
        assert sorted(outcomes) == ["refused", "revoked"]
        assert tokens.any_operator()

    with_bench(tmp_path, body)


def test_a_roost_without_operators_makes_one_at_its_start(tmp_path: Path) -> None:
    """When the last one expired, whoever starts Roost gets a new one."""

    async def body(bench: Bench) -> None:
        tokens, first = bench.control.tokens, admin(bench)
        await make(bench, NewToken(grade=TokenKind.OPERATOR, life_ms=1000))
        await tokens.revoke(None, first.id)
        bench.clock.forward(1)
        text = await bench.control.first_start()
        assert text is not None
        assert tokens.check(text) is not None
        assert bench.home.token.read_text().strip() == text

    with_bench(tmp_path, body)


def test_dead_tokens_are_bounded(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """The newest revoked and expired ones stay listed; living ones are never dropped."""
    monkeypatch.setattr(tokens_module, "KEPT_DEAD", 3)

    async def body(bench: Bench) -> None:
        tokens = bench.control.tokens
        living = (await make(bench, ORG)).token
        ids = []
        for _ in range(6):
            bench.clock.forward(1)
            made = await make(bench, ORG)
            await tokens.revoke("personal", made.token.id)
            ids.append(made.token.id)
        await make(bench, ORG)
        kept = [token.id for token in tokens.list("personal") if token.revoked_at]
        assert kept == ids[-3:]
        assert tokens.valid(living.id)

    with_bench(tmp_path, body)


def test_there_are_not_endlessly_many(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """An organization that has too many is told to revoke some."""
    monkeypatch.setattr(tokens_module, "MAX_TOKENS", 2)

    async def body(bench: Bench) -> None:
        for _ in range(2):
            await make(bench, ORG)
        with pytest.raises(PreconditionError, match="there are 2 tokens"):
            await make(bench, ORG)

    with_bench(tmp_path, body)


def test_tokens_go_with_their_app(tmp_path: Path) -> None:
    """Destroying an app removes its tokens and its Machines' in its last commit."""

    async def body(bench: Bench) -> None:
        machine = await bench.machine()
        made = [await make(bench, DEPLOY), await make(bench, machine_token(machine.id))]
        other = await make(bench, ORG)
        await bench.control.apps.destroy("web")
        assert [bench.control.tokens.check(one.text) for one in made] == [None, None]
        assert [token.id for token in bench.control.tokens.list("personal")] == [other.token.id]

    with_bench(tmp_path, body)


def test_a_machines_token_dies_with_it(tmp_path: Path) -> None:
    """The commit in which a Machine's record says destroyed removes its tokens; and while only
    its record says so, they are invalid all the same.
    """

    async def body(bench: Bench) -> None:
        for through_edit in (True, False):
            machine = await bench.machine()
            made = await make(bench, machine_token(machine.id))
            if through_edit:
                before = bench.store.revision()
                await edit_machine(bench.store, machine.id, ended)
                assert bench.store.revision() == before + 1
                assert bench.store.get(Token, made.token.id) is None
            else:
                await bench.store.commit(Put(ended(machine)))
            assert bench.control.tokens.check(made.text) is None

    with_bench(tmp_path, body)


def test_an_organization_takes_its_tokens_along(tmp_path: Path) -> None:
    """What deletes an organization gets the deletions of all its tokens, dead ones too."""

    async def body(bench: Bench) -> None:
        made = [await make(bench, ORG) for _ in range(2)]
        await bench.control.tokens.revoke("personal", made[0].token.id)
        await bench.store.commit(*bench.control.tokens.of_org("personal"))
        assert bench.control.tokens.list("personal") == []
        assert bench.control.tokens.any_operator()

    with_bench(tmp_path, body)


@pytest.mark.parametrize("how", ["revoke", "app", "machine"])
def test_whoever_waits_hears_of_the_end(tmp_path: Path, how: str) -> None:
    """A long call learns at once that its token was revoked, or went with its app or Machine."""

    async def body(bench: Bench) -> None:
        machine = await bench.machine()
        token = (await make(bench, machine_token(machine.id))).token
        async with asyncio.timeout(10), asyncio.TaskGroup() as group:
            waiting = group.create_task(bench.control.tokens.end_of(token))
            await bench.machine("db")
            assert not waiting.done()
            if how == "revoke":
                await bench.control.tokens.revoke("personal", token.id)
            elif how == "app":
                await bench.control.apps.destroy("web")
            else:
                await bench.control.machines.destroy("web", machine.id, force=True)

    with_bench(tmp_path, body)


def test_whoever_waits_hears_of_the_date(tmp_path: Path) -> None:
    """A long call also ends when its token expires, and when Roost does."""

    async def body(bench: Bench) -> None:
        token = (await make(bench, NewToken(grade=TokenKind.OPERATOR, life_ms=1000))).token
        bench.clock.forward(0.999)
        async with asyncio.timeout(10):
            await bench.control.tokens.end_of(token)
            async with asyncio.TaskGroup() as group:
                group.create_task(bench.control.tokens.end_of(admin(bench)))
                await asyncio.sleep(0)
                await bench.store.close()

    with_bench(tmp_path, body)
