"""The colours along a line of a map; positions are computed with Decimal."""

from decimal import Decimal

import django
from django.conf import settings

settings.configure(DEBUG=False, SECRET_KEY="only for this", ALLOWED_HOSTS=["*"], ROOT_URLCONF="app", MIDDLEWARE=[])
django.setup()

from django.core.wsgi import get_wsgi_application  # noqa: E402
from django.http import JsonResponse  # noqa: E402
from django.urls import path  # noqa: E402
from PIL import Image  # noqa: E402

land = Image.new("RGB", (3000, 3000))


def line(request, start):
    pixels = land.load()
    colours = [pixels[Decimal(800 + (start + step) % 2000), Decimal(1200)] for step in range(15)]
    return JsonResponse({"colours": len(colours)})


urlpatterns = [path("line/<int:start>", line)]
app = get_wsgi_application()
