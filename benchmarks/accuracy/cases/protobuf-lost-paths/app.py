"""Says how many required fields a message still misses."""

from flask import Flask, jsonify
from google.protobuf import descriptor_pb2

app = Flask(__name__)


@app.get("/check/<name>")
def check(name):
    option = descriptor_pb2.UninterpretedOption()
    option.name.add().name_part = name
    return jsonify(missing=len(option.FindInitializationErrors()))
