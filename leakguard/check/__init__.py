"""``leakguard check``: imports an app, drives it in the process through its real interface, judges and explains.

``target`` finds the app and ``interface`` what it speaks; requests come from a file (``requests_file``, ``har``), from paths or
from the app's own routes (``routes/``); ``clients/`` send them as a server would; ``trips`` makes round trips of them, which
``judging`` measures; ``drive`` puts it together.
"""
