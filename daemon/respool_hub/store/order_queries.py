"""SQL over the changes of lineages that people ordered."""

# ruff: noqa: S608 - the pieces are this module's own constants

from __future__ import annotations

from respool.wire import codec
from respool_hub.store.connected import Connected
from respool_hub.store.packing import pack_map
from respool_hub.store.rows import OrderRow

_COLUMNS = ", ".join(OrderRow._fields)
_INSERT = f"INSERT INTO orders ({_COLUMNS}) VALUES ({', '.join('?' * len(OrderRow._fields))})"


class OrderReader(Connected):
    """The part of `respool_hub.store.ports.Reader` that is about orders."""

    def orders(self, run: int) -> list[OrderRow]:
        rows = self._all(f"SELECT {_COLUMNS} FROM orders WHERE run = ? ORDER BY id", run)
        found = (OrderRow(*row) for row in rows)
        return [
            row._replace(before=codec.unpack_map(bytes(row.before)), undone=bool(row.undone))  # type: ignore[arg-type]
            for row in found
        ]


class OrderTransaction(OrderReader):
    """The part of `respool_hub.store.ports.Transaction` that is about orders."""

    def add_order(self, order: OrderRow) -> OrderRow:
        values = order._replace(id=None, before=pack_map(order.before))  # type: ignore[arg-type]
        return order._replace(id=int(self._db.execute(_INSERT, values).lastrowid or 0))

    def undo_order(self, order: int) -> None:
        self._db.execute("UPDATE orders SET undone = 1 WHERE id = ?", (order,))
