"""The guarded WSGI app where uWSGI looks for it."""

from longlived_app import wsgi as application

__all__ = ["application"]
