"""Leaflets, each from a template of its own."""

from flask import Flask, render_template
from jinja2 import DictLoader

LEAFLETS = 850

app = Flask(__name__)
app.jinja_loader = DictLoader(
    {
        f"leaflet-{number}.html": "<h1>{{ name }}</h1>"
        + f"{{% if large %}}<p>{number} {{{{ large }}}}</p>{{% endif %}}" * 15
        for number in range(LEAFLETS)
    }
)


@app.get("/leaflet/<int:number>")
def leaflet(number):
    return render_template(f"leaflet-{number % LEAFLETS}.html", name="leaflet", large=number)
