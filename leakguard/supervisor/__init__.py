"""``leakguard run``: a small supervisor for servers that are a single process, and the way into an app without touching it.

The supervisor keeps the listening socket, boots a successor when the process asks for one, and passes signals on. It stays
small: managing processes beyond this belongs to the servers, to systemd and to Kubernetes.

``command`` reads what is to be run, ``supervisor`` watches it, ``child`` is what happens inside of it: ``listening`` hands
its sockets up and down, ``wrapping`` puts the middleware around the app.
"""
