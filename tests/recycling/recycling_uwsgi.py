"""The WSGI app where uWSGI looks for it: in the module's dictionary."""

from recycling_apps import wsgi as application

__all__ = ["application"]
