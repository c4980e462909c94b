"""Tools of the restaurant: place an order, tell times, look up past orders.

An order is stored exactly once (`agent.tools.idempotency`). Its content distinguishes it, not the
model's words, the sequence of lines, or prices: those come from a menu that may change, or from a
model that is unsure of them. The plan is the whole item, with the sort key
`restaurantOrder::<last 4 of CallSid>::<epoch s>::<piece of the content's key>`. The item is written
only if absent: the kitchen may have edited it since.
"""

from __future__ import annotations

from datetime import datetime, timedelta
from decimal import Decimal
from functools import partial
from itertools import islice
from typing import Annotated, Literal

import msgspec
import structlog
from msgspec import Meta

from agent.call.messages import SideEffect
from agent.errors import ToolError
from agent.ports import Item
from agent.tools.builtin.order_history import ORDER, PlacedOrder, ordered_at, read_order
from agent.tools.builtin.restaurant.menu import (
    NO_MENU,
    Menu,
    OrderLine,
    PricedLine,
    free_text,
    price,
    read_menu,
    refuse_too_much,
)
from agent.tools.tool import CallContext, Tool, tool
from agent.usecases.call_events import OrderedItem, OrderPlacedEvent

log = structlog.get_logger(__name__)

OrderType = Annotated[
    Literal["pickup", "delivery"], Meta(description="How the order is handed over.")
]

NO_ORDER = "No order was placed in this call, so there is none to send."
_DAY = 24 * 60 * 60
_SHOWN_ORDERS = 3


@tool(
    "PlaceOrderFunction",
    side_effect=SideEffect.ONCE,
    filler="One moment, I am sending your order to the kitchen.",
    read_back=("line_item", "size", "toppings", "quantity", "order_total", "delivery_address"),
)
async def place_order(
    call: CallContext,
    current_order: Annotated[
        list[OrderLine], Meta(description="All items of the order.", min_length=1, max_length=50)
    ],
    order_type: OrderType,
    order_total: Annotated[
        float | None, Meta(description="Your sum of all lines; the menu decides.")
    ] = None,
    delivery_address: Annotated[
        str, Meta(description="Full postal address when the order is delivered.", max_length=300)
    ] = "",
) -> dict[str, object]:
    """Store a finished order.

    Use it once and alone, after you have read back all items with the total and the caller has
    agreed. Prices and the total come from the menu: tell the caller the total of the result.
    """
    address = free_text(delivery_address, "An address") if order_type == "delivery" else ""
    if order_type == "delivery" and not address:
        raise ToolError("A delivery needs an address. Ask the caller for it.")
    menu = await _menu(call)
    if menu is NO_MENU:
        log.warning("order.menu_missing", use_case=call.use_case)
    lines = [price(line, menu) for line in current_order]
    refuse_too_much(lines, menu)
    identities = [
        [line.name.casefold(), line.size, sorted(line.toppings), line.quantity, line.remarks]
        for line in lines
    ]
    content = [sorted(identities), order_type, address]
    key = call.idempotency.key(ORDER, content)
    item = _item(call, key, _order(lines, order_type, address))
    perform = partial(_store, call)
    order = await call.idempotency.once(ORDER, content, item, perform, repeatable=True)
    return _result(order, order_total)


@tool("CheckRestaurantPickUpTime")
async def check_pickup_time(call: CallContext, order_type: OrderType) -> dict[str, str]:
    """Tell when a pickup order will be ready."""
    if order_type == "delivery":
        raise ToolError("This is for pickup. Use CheckRestaurantDeliveryTime for a delivery.")
    duration, clock = _ready_in(call.now, (await _menu(call)).pickup_minutes)
    message = f"The order will be ready in {duration}, at about {clock}."
    return {"pickupTime": duration, "message": message}


@tool("CheckRestaurantDeliveryTime")
async def check_delivery_time(call: CallContext, order_type: OrderType) -> dict[str, str]:
    """Tell when a delivery order will arrive."""
    if order_type == "pickup":
        raise ToolError("This is for delivery. Use CheckRestaurantPickUpTime for a pickup.")
    duration, clock = _ready_in(call.now, (await _menu(call)).delivery_minutes)
    message = f"The order will arrive in {duration}, at about {clock}."
    return {"deliveryTime": duration, "message": message}


@tool("CheckPastOrdersFunction")
async def check_past_orders(call: CallContext) -> dict[str, object]:
    """Look up the caller's latest orders of the past days, the newest first."""
    items = await call.store.query(call.owner, f"{ORDER}::")
    newest = sorted(items, key=ordered_at, reverse=True)
    readable = (
        _past_order(item, order, call) for item in newest if (order := read_order(item)) is not None
    )
    orders = list(islice(readable, _SHOWN_ORDERS))
    if not orders:
        return {"orders": [], "message": "There are no past orders of this caller."}
    return {"orders": orders, "message": "These are the latest orders of this caller."}


async def order_of_call(call: CallContext) -> tuple[str, PlacedOrder]:
    """The sort key and content of the latest order of this call. Raises `ToolError`."""
    prefix = f"{ORDER}::{call.call_id[-4:]}::"
    items = await call.store.query(call.owner, prefix)
    placed = [item for item in items if item.get("callSid") == call.call_id]
    if not placed:
        raise ToolError(NO_ORDER)
    second = max(map(ordered_at, placed))
    last = [item for item in placed if ordered_at(item) == second]
    begun = [await call.idempotency.begun_at(str(item.get("idempotencyKey", ""))) for item in last]
    latest = last[begun.index(max(begun))]
    return str(latest["sk"]), msgspec.convert(latest.get("order", {}), PlacedOrder, strict=False)


async def _menu(call: CallContext) -> Menu:
    return read_menu(await call.store.get(call.use_case, "menu"))


def _order(lines: list[PricedLine], order_type: str, address: str) -> dict[str, object]:
    items = [
        {
            "line_item": line.title,
            "additional_details": line.remarks,
            "line_amount": float(line.amount),
        }
        for line in lines
    ]
    total = float(sum(line.amount for line in lines))
    where = {"delivery_address": address} if address else {}
    return {"order_items": items, "order_type": order_type, "order_total": total, **where}


def _item(call: CallContext, key: str, order: dict[str, object]) -> Item:
    now = int(call.clock())
    return {
        "pk": call.owner,
        "sk": f"{ORDER}::{call.call_id[-4:]}::{now}::{key[:8]}",
        "pk1": ORDER,
        "sk1": call.to or "unknown",
        "order": order,
        "callSid": call.call_id,
        "idempotencyKey": key,
        "neededUntil": now + _DAY,
        "expireAt": now + call.order_days * _DAY,
    }


async def _store(call: CallContext, item: Item) -> dict[str, object]:
    beside = call.outbox.items(_placed(call, item), item["idempotencyKey"])
    await call.store.put(item, only_if_absent=True, beside=beside)
    return msgspec.convert(item["order"], dict[str, object])


def _placed(call: CallContext, item: Item) -> OrderPlacedEvent:
    order = msgspec.convert(item["order"], PlacedOrder, strict=False)
    items = [
        OrderedItem(
            name=line.line_item,
            amount=float(str(line.line_amount)),
            remarks=line.additional_details,
        )
        for line in order.order_items
    ]
    return OrderPlacedEvent(
        call=call.call_id,
        use_case=call.use_case,
        caller=call.caller,
        order=str(item["sk"]),
        order_type=order.order_type,
        total=order.order_total,
        items=items,
        delivery_address=order.delivery_address or "",
    )


def _result(order: Item, named_total: float | None) -> dict[str, object]:
    total = Decimal(str(order["order_total"])).quantize(Decimal("0.01"))
    message = f"The order is placed. The total is {total} dollars."
    if named_total is not None and round(named_total, 2) != order["order_total"]:
        message += f" The total of {named_total:g} was wrong: tell the caller the right one."
    told = {name: order[name] for name in ("order_type", "order_items")}
    return {"message": message, "order_total": total, **told}


def _past_order(item: Item, order: PlacedOrder, call: CallContext) -> dict[str, object]:
    day = datetime.fromtimestamp(ordered_at(item), call.time_zone)
    return {
        "ordered": f"{day:%A, %B} {day.day}",
        "order_items": [line.text for line in order.order_items],
        "order_type": order.known_type,
        "order_total": order.order_total,
    }


def _ready_in(now: datetime, minutes: int) -> tuple[str, str]:
    """Duration and time of day; longer at dinner time, above all on Friday and Saturday."""
    if 17 <= now.hour < 20:
        minutes += 30 if now.weekday() in {4, 5} else 15
    hours, rest = divmod(minutes, 60)
    duration = [f"{hours} hour{'s' if hours > 1 else ''}"] if hours else []
    if rest or not hours:
        duration.append(f"{rest} minutes")
    return " ".join(duration), f"{now + timedelta(minutes=minutes):%I:%M %p}".lstrip("0")


TOOLS: tuple[Tool, ...] = (place_order, check_pickup_time, check_delivery_time, check_past_orders)
