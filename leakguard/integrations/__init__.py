"""The ways into an app: pure ASGI and WSGI middleware. Each imports its framework lazily, or not at all."""
