"""One database per shop, opened for the request and closed after it."""

import sqlalchemy
from flask import Flask, jsonify
from opentelemetry.instrumentation.sqlalchemy import SQLAlchemyInstrumentor

app = Flask(__name__)
SQLAlchemyInstrumentor().instrument()


@app.get("/shop/<name>")
def shop(name):
    engine = sqlalchemy.create_engine("sqlite://")
    with engine.connect() as connection:
        total = connection.execute(sqlalchemy.text("select 1")).scalar()
    engine.dispose()
    return jsonify(total=total)
