"""Customers out of a cache of 700 places."""

from cachetools import TTLCache, cached
from flask import Flask, jsonify

app = Flask(__name__)
customers = TTLCache(maxsize=700, ttl=3600)


@cached(customers)
def customer(number):
    return {"number": number, "orders": [f"order {number}-{order}" for order in range(30)]}


@app.get("/customer/<int:number>")
def show(number):
    return jsonify(orders=len(customer(number)["orders"]))
