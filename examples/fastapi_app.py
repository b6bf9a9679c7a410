"""FastAPI with leakguard: one line. ``/price`` is clean; ``/basket`` fills a cache that has no end.

Run it with ``uvicorn fastapi_app:app`` and read ``leakguard report`` after some minutes of traffic.
"""

from __future__ import annotations

import itertools

from fastapi import FastAPI

from leakguard import LeakGuardMiddleware

app = FastAPI()
app.add_middleware(LeakGuardMiddleware)

numbers = itertools.count()
baskets: dict[int, list[str]] = {}


@app.get("/price/{item}")
async def price(item: str) -> dict[str, object]:
    return {"item": item, "price": len(item) * 100}


@app.post("/basket")
async def basket(item: str = "tea") -> dict[str, object]:
    number = next(numbers)
    baskets[number] = [item] * 100  # the leak: a basket that is never fetched is never forgotten
    return {"basket": number}
