"""The WSGI app where uWSGI looks for it: in the module's dictionary."""

from benchmarks.recycling.app import wsgi as application

__all__ = ["application"]
