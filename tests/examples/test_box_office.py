"""The box office, migrated by the command of Alembic, served by uvicorn, used over HTTP."""

from collections import Counter
from pathlib import Path

import httpx
import pytest
import sqlalchemy as sa

from tests.examples.office import Office
from tests.processes import in_threads


def made(answer: httpx.Response) -> dict[str, object]:
    assert answer.status_code == 201, answer.text
    body: dict[str, object] = answer.json()
    return body


def customer(client: httpx.Client, name: str) -> object:
    return made(client.post("/customers", json={"name": name, "email": f"{name}@x.org"}))["id"]


def test_after_its_migration_alembic_finds_nothing_to_do(office: Office) -> None:
    assert "No new upgrade operations detected" in office.alembic("check")


def test_before_its_migration_it_does_not_start_and_says_what_to_do(tmp_path: Path) -> None:
    office = Office(f"sqlite:///{tmp_path / 'empty.db'}", tmp_path)

    server = office.start()

    assert server.wait() != 0
    assert "TablesMissing" in server.log
    assert "alembic upgrade head" in server.log
    office.stop()


def test_an_order_is_a_row_and_an_event(office: Office) -> None:
    with office.client() as client:
        ada = customer(client, "ada")
        made(client.post("/shows", json={"title": "Faust", "seats": 10}))

        order = made(client.post("/shows/Faust/orders", json={"customer_id": ada, "tickets": 4}))

        expected = {"show": "Faust", "number": 1, "customer_id": ada, "tickets": 4}
        assert order == {**expected, "taken_back": False}
        assert client.get(f"/customers/{ada}/orders").json() == [order]
        assert client.get("/shows/Faust").json() == {"title": "Faust", "seats": 10, "left": 6}

        for _ in range(2):  # the second time there is nothing left to do
            assert client.delete("/shows/Faust/orders/1").status_code == 204

        assert client.get(f"/customers/{ada}/orders").json() == [{**order, "taken_back": True}]
        assert client.get("/shows/Faust").json() == {"title": "Faust", "seats": 10, "left": 10}
        history = client.get("/shows/Faust/history").json()
        assert [(each["version"], each["what"], each["details"]) for each in history] == [
            (1, "ShowAnnounced", {"title": "Faust", "seats": 10}),
            (2, "TicketsSold", {"order": 1, "customer": ada, "tickets": 4}),
            (3, "TicketsTakenBack", {"order": 1}),
        ]
        office.ledger().check()


def test_what_is_refused_stores_nothing_and_says_why(office: Office) -> None:
    with office.client() as client:
        bob = customer(client, "bob")
        made(client.post("/shows", json={"title": "Carmen", "seats": 3}))
        two = {"customer_id": bob, "tickets": 2}
        made(client.post("/shows/Carmen/orders", json=two, headers={"Idempotency-Key": "used"}))
        before = office.ledger()

        def refused(method: str, path: str, json: object = None, key: str | None = None) -> str:
            headers = {} if key is None else {"Idempotency-Key": key}
            answer = client.request(method, path, json=json, headers=headers)
            return f"{answer.status_code} {answer.json()['detail']}"

        assert refused("POST", "/shows/Carmen/orders", two) == "409 Carmen has 1 seats left"
        assert refused("POST", "/shows/Norma/orders", two) == "404 there is no show Norma"
        assert refused("GET", "/shows/Norma") == "404 there is no show Norma"
        assert refused("DELETE", "/shows/Carmen/orders/7") == "404 Carmen has no order 7"
        assert refused("DELETE", f"/shows/Carmen/orders/{10**30}").startswith("404")
        stranger = {"customer_id": 99, "tickets": 1}
        assert refused("POST", "/shows/Carmen/orders", stranger) == "404 there is no customer 99"
        again = {"title": "Carmen", "seats": 300}
        assert refused("POST", "/shows", again) == "409 Carmen is announced already"
        same = {"name": "bob", "email": "bob@x.org"}
        assert refused("POST", "/customers", same) == "409 bob@x.org is a customer already"
        other = {"customer_id": bob, "tickets": 1}
        assert refused("POST", "/shows/Carmen/orders", other, "used").startswith("422")
        for tickets in (0, 11, 1.5, "many"):
            bad = {"customer_id": bob, "tickets": tickets}
            assert refused("POST", "/shows/Carmen/orders", bad).startswith("422")
        for title in ("", "a/b", "a\0b", "x" * 101):
            bad_show = {"title": title, "seats": 1}
            assert refused("POST", "/shows", bad_show).startswith("422")
        assert refused("GET", "/shows/a%00b").startswith("422")

        assert office.ledger() == before


def test_while_the_database_is_away_it_says_so_and_then_goes_on(office: Office) -> None:
    if office.on_sqlite:
        pytest.skip("a file is not away")
    database = sa.make_url(office.url).database
    elsewhere = sa.make_url(office.url).set(database="postgres")
    engine = sa.create_engine(elsewhere, poolclass=sa.NullPool, isolation_level="AUTOCOMMIT")
    shut = f'ALTER DATABASE "{database}" ALLOW_CONNECTIONS %s'
    end = f"SELECT pg_terminate_backend(pid) FROM pg_stat_activity WHERE datname = '{database}'"
    with office.client() as client, engine.connect() as connection:
        ida = customer(client, "ida")
        made(client.post("/shows", json={"title": "Otello", "seats": 9}))
        one = {"customer_id": ida, "tickets": 1}
        requests = [
            ("POST", "/shows/Otello/orders", one),
            ("GET", "/shows/Otello", None),
            ("GET", f"/customers/{ida}/orders", None),
        ]
        connection.exec_driver_sql(shut % "false")
        try:
            connection.exec_driver_sql(end)
            answers = [client.request(how, path, json=json) for how, path, json in requests]
        finally:
            connection.exec_driver_sql(shut % "true")
        assert [answer.status_code for answer in answers] == [503, 503, 503]
        assert all(answer.headers["Retry-After"] for answer in answers)

        made(client.post("/shows/Otello/orders", json=one))
        connection.exec_driver_sql(end)
        made(client.post("/shows/Otello/orders", json=one))
        assert client.get("/shows/Otello").json()["left"] == 7
    office.ledger().check()


def test_a_title_is_the_same_however_its_letters_are_composed(office: Office) -> None:
    with office.client() as client:
        cleo = customer(client, "cleo")
        made(client.post("/shows", json={"title": "Caf\u00e9", "seats": 3}))

        one = {"customer_id": cleo, "tickets": 1}
        order = made(client.post("/shows/Cafe\u0301/orders", json=one))
        assert client.delete("/shows/Cafe\u0301/orders/1").status_code == 204

        assert order["show"] == "Caf\u00e9"
        office.ledger().check()


def test_of_many_who_want_the_last_seats_as_many_get_one_as_there_are(office: Office) -> None:
    with office.client() as client:
        dora = customer(client, "dora")
        made(client.post("/shows", json={"title": "Tosca", "seats": 5}))

    def buy(_: int) -> int:
        with office.client() as mine:
            one = {"customer_id": dora, "tickets": 1}
            return mine.post("/shows/Tosca/orders", json=one).status_code

    assert Counter(in_threads(12, buy)) == {201: 5, 409: 7}

    with office.client() as client:
        assert client.get("/shows/Tosca").json()["left"] == 0
    ledger = office.ledger().check()
    assert sorted(row.number for row in ledger.rows if row.show == "Tosca") == [1, 2, 3, 4, 5]


def test_a_request_that_many_send_with_one_key_is_one_order(office: Office) -> None:
    with office.client() as client:
        eve = customer(client, "eve")
        made(client.post("/shows", json={"title": "Aida", "seats": 100}))

    def buy(_: int) -> dict[str, object]:
        with office.client() as mine:
            two = {"customer_id": eve, "tickets": 2}
            key = {"Idempotency-Key": "from eve"}
            return made(mine.post("/shows/Aida/orders", json=two, headers=key))

    orders = in_threads(8, buy)

    assert orders == [orders[0]] * 8
    ledger = office.ledger().check()
    assert [row.number for row in ledger.rows if row.show == "Aida"] == [1]
    assert ledger.keys.count("from eve") == 1
