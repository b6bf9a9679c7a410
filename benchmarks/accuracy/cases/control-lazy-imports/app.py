"""Colours a line of code in one of 200 languages, each imported when it is first asked for."""

from flask import Flask
from pygments import highlight
from pygments.formatters import HtmlFormatter
from pygments.lexers import get_all_lexers, get_lexer_by_name

app = Flask(__name__)
LANGUAGES = sorted({aliases[0] for _, aliases, _, _ in get_all_lexers() if aliases})[:200]


@app.get("/colour/<int:number>")
def colour(number):
    return highlight("a = b + 1", get_lexer_by_name(LANGUAGES[number % len(LANGUAGES)]), HtmlFormatter())
