"""The few short documents that the answering process makes itself, without a template engine."""

from __future__ import annotations

import html

from leakguard.reports.escape import safe

_DOCUMENT = """<!doctype html>
<html lang="en">
<head>
<meta charset="utf-8">{again}
<meta name="viewport" content="width=device-width, initial-scale=1">
<title>{title} · leakguard</title>
<link rel="stylesheet" href="static/page.css">
</head>
<body>
<main class="notice">
<p class="brand">leakguard</p>
<h1>{title}</h1>
<p role="status">{sentence}</p>{form}
</main>
</body>
</html>
"""
_FORM = """
<form method="post" action="sign-in">
<input name="user" value="leakguard" autocomplete="username" hidden>
<label for="token">Token</label>
<input id="token" name="token" type="password" autocomplete="current-password" required autofocus>
<button>Open the page</button>
</form>"""


def sign_in(sentence: str = "The page is for those who know its token.") -> str:
    """Return the sign-in form."""
    return _DOCUMENT.format(title="Sign in", sentence=html.escape(sentence), form=_FORM, again="")


def nothing_yet(sentence: str, again: float) -> str:
    """Return why there is nothing to see; the browser asks again after so many seconds."""
    refresh = f'\n<meta http-equiv="refresh" content="{again:.0f}">'
    said = html.escape(safe(sentence[:1].upper() + sentence[1:]))
    return _DOCUMENT.format(title="Nothing to show yet", sentence=said, form="", again=refresh)
