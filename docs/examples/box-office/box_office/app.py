"""The box office over HTTP: `uvicorn box_office.app:app`."""

from datetime import datetime
from typing import Annotated, Any

import sqlalchemy as sa
from fastapi import FastAPI, Header, HTTPException, Request
from fastapi.responses import JSONResponse
from pydantic import BaseModel, Field, StringConstraints

import spry_sqla as spry
from box_office.database import Customer, Order
from box_office.sessions import Session, Storage, committed, lifespan
from box_office.shows import AnnounceShow, NotThere, SellTickets, Show, TakeTicketsBack, TicketsSold

app = FastAPI(title="Box office", lifespan=lifespan)

# What comes in and goes out -----------------------------------------------------------------------

Text = Annotated[str, StringConstraints(max_length=100, pattern=r"^[^\x00]+$")]
"""PostgreSQL keeps no NUL in a text."""

Title = Annotated[str, StringConstraints(max_length=100, pattern=r"^[^\x00/]+$")]
"""As it stands in a path, which a slash would divide."""

CustomerId = Annotated[int, Field(ge=1, lt=2**31)]

Key = Annotated[Text | None, Header(alias="Idempotency-Key")]
"""A request that is sent again with the key it had is answered as it was, and done once."""


class NewCustomer(BaseModel):
    name: Text
    email: Text


class CustomerMade(NewCustomer, from_attributes=True):
    id: int


class NewShow(BaseModel):
    title: Title
    seats: int = Field(ge=1, le=100_000)


class ShowNow(BaseModel, from_attributes=True):
    title: str
    seats: int
    left: int


class NewOrder(BaseModel):
    customer_id: CustomerId
    tickets: int = Field(ge=1, le=10)


class OrderMade(BaseModel, from_attributes=True):
    show: str
    number: int
    customer_id: int
    tickets: int
    taken_back: bool


class Happened(BaseModel):
    version: int
    time: datetime
    what: str
    details: dict[str, Any]


# Rows alone, and events alone ---------------------------------------------------------------------


@app.post("/customers", status_code=201, response_model=CustomerMade)
async def add_customer(new: NewCustomer, session: Session) -> Customer:
    customer = Customer(**new.model_dump())
    session.add(customer)
    try:
        await session.commit()
    except sa.exc.IntegrityError:
        raise HTTPException(409, f"{new.email} is a customer already") from None
    return customer


@app.get("/customers/{customer_id}/orders", response_model=list[OrderMade])
async def orders_of_customer(customer_id: CustomerId, session: Session) -> list[Order]:
    await _customer(session, customer_id)
    of_customer = sa.select(Order).where(Order.customer_id == customer_id)
    return [*await session.scalars(of_customer.order_by(Order.show, Order.number))]


@app.post("/shows", status_code=201, response_model=ShowNow)
async def announce_show(new: NewShow, storage: Storage, key: Key = None) -> Show:
    results = await storage.repository(Show).handle(
        AnnounceShow(new.title, new.seats), idempotency_key=key
    )
    return results.unwrap()


@app.get("/shows/{title}", response_model=ShowNow)
async def show_now(title: Title, storage: Storage) -> Show:
    found = await storage.repository(Show).get(title=title)
    if found is None:
        raise NotThere(f"there is no show {title}")
    return found


@app.get("/shows/{title}/history")
async def history_of_show(title: Title, storage: Storage) -> list[Happened]:
    return [
        Happened(
            version=entry.version,
            time=entry.time,
            what=type(entry.event).__name__,
            details=vars(entry.event),
        )
        async for entry in storage.repository(Show).history(title=title)
    ]


# Rows and events together -------------------------------------------------------------------------


@app.post("/shows/{title}/orders", status_code=201, response_model=OrderMade)
async def order_tickets(
    title: Title, new: NewOrder, session: Session, storage: Storage, key: Key = None
) -> Order:
    shows = storage.join(session).repository(Show)

    async def sell() -> Order:
        await _customer(session, new.customer_id)
        results = await shows.handle(
            SellTickets(title, new.customer_id, new.tickets), idempotency_key=key
        )
        show = results.unwrap()
        sold: TicketsSold = results.events[0]
        # It is there where the key came before: it was committed together with the event.
        order = await session.get(Order, (show.title, sold.order))
        if order is None:
            order = Order(
                show=show.title,
                number=sold.order,
                customer_id=sold.customer,
                tickets=sold.tickets,
            )
            session.add(order)
        return order

    return await committed(session, sell)


@app.delete("/shows/{title}/orders/{number}", status_code=204)
async def take_tickets_back(title: Title, number: int, session: Session, storage: Storage) -> None:
    shows = storage.join(session).repository(Show)

    async def take() -> None:
        show = (await shows.handle(TakeTicketsBack(title, number))).unwrap()
        order = await session.get_one(Order, (show.title, number))
        order.taken_back = True

    await committed(session, take)


async def _customer(session: Session, customer_id: int) -> Customer:
    customer = await session.get(Customer, customer_id)
    if customer is None:
        raise HTTPException(404, f"there is no customer {customer_id}")
    return customer


# What is refused ----------------------------------------------------------------------------------

STATUSES: dict[type[spry.SpryError], int] = {
    NotThere: 404,
    spry.Rejected: 409,  # a rule says no
    spry.ConcurrencyError: 409,  # too many at once: to be sent again
    spry.KeyReused: 422,
    spry.UnusableValue: 422,
    spry.StorageUnavailable: 503,
}


async def refuse(request: Request, error: Exception) -> JSONResponse:
    status = next(STATUSES[kind] for kind in type(error).__mro__ if kind in STATUSES)
    again = isinstance(error, spry.ConcurrencyError | spry.StorageUnavailable)
    return JSONResponse(
        {"detail": str(error)}, status, headers={"Retry-After": "1"} if again else None
    )


async def unavailable(request: Request, error: Exception) -> JSONResponse:
    """The database is away, and a query of our own was the first to find out."""
    detail = "the database cannot be reached"
    return JSONResponse({"detail": detail}, 503, headers={"Retry-After": "1"})


for kind in STATUSES:
    app.add_exception_handler(kind, refuse)
app.add_exception_handler(sa.exc.OperationalError, unavailable)
