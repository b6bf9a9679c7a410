"""The page: the report, live, for a browser. ``app.mount(PATH, page())``, or by itself through the option ``page_token``.

It is off, a plain 404, until it is given a token. It reads the journal, so that any worker shows all workers of the host; it
changes nothing. What is dear, reading the journal and making the document, happens in a process of its own that is last in
the queue for processor and memory (``draw``): the worker that answers passes bytes on.
"""

from leakguard.web.page import PATH, Page, page

__all__ = ["PATH", "Page", "page"]
