"""A payment that is traced into the bank's system."""

import sentry_sdk
from opentelemetry import propagate, trace
from opentelemetry.sdk.trace import TracerProvider
from sentry_sdk.integrations.opentelemetry import SentryPropagator, SentrySpanProcessor
from starlette.applications import Starlette
from starlette.responses import JSONResponse
from starlette.routing import Route

sentry_sdk.init(dsn=None, instrumenter="otel", traces_sample_rate=1.0)
provider = TracerProvider()
provider.add_span_processor(SentrySpanProcessor())
trace.set_tracer_provider(provider)
propagate.set_global_textmap(SentryPropagator())
tracer = trace.get_tracer("till")


async def pay(request):
    sent = {}
    with tracer.start_as_current_span("ask-the-bank"):
        propagate.inject(sent)
    return JSONResponse({"sent": sorted(sent)})


app = Starlette(routes=[Route("/pay", pay)])
