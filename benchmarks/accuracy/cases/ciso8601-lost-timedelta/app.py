"""The seven days of a week, in the time zone of who asks."""

from datetime import UTC, datetime

import ciso8601
from flask import Flask, jsonify, request

app = Flask(__name__)


@app.get("/week")
def week():
    zone = ciso8601.parse_datetime(request.args["from"]).tzinfo
    days = [datetime(2026, 3, day, tzinfo=UTC) for day in range(2, 9)]
    return jsonify([day.astimezone(zone).isoformat() for day in days])
