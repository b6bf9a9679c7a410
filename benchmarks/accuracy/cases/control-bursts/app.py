"""Loads rows, few or very many."""

import json

from flask import Flask, jsonify, request

app = Flask(__name__)


@app.post("/load")
def load():
    rows = [{"row": row, "name": f"name-{row}", "marks": [f"m{row}", "x"]} for row in range(request.get_json()["rows"])]
    return jsonify(size=len(json.dumps(rows)))
