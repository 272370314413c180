"""The words of HTML: what a reader sees of it, as text. Each character is looked at once, however broken the markup is.

The standard library's parser tries each tag that does not end up to the end of the text: a mail of a few MiB would keep
a process busy for hours.
"""

import html
import re

# A tag ends at the first > that is not in a quoted value, which only begins behind an equals sign (WHATWG HTML 13.2.5).
# What does not end takes in all that follows, as it does in a browser. Nothing here is ever tried a second time.
MARKUP = re.compile(
    r"""<!--(?:-?>|.*?--!?>|.*+)
      | <(?P<end>/?+)(?P<name>[a-z][^\s/>]*+)(?>[^>=]++|=\s*+(?>"[^"]*+"?+|'[^']*+'?+)?+)*+>?+
      | <[!/?][^>]*+>?+""",
    re.DOTALL | re.IGNORECASE | re.VERBOSE,
)
"""A comment, a tag or a declaration; of a tag, `name`, and `end` that is empty unless it ends an element."""
_SILENT = {
    # in these nothing but their own end is markup
    "script": re.compile(r"</script\b", re.IGNORECASE),
    "style": re.compile(r"</style\b", re.IGNORECASE),
    "title": re.compile(r"</title\b", re.IGNORECASE),
}
_LONGEST_REFERENCE = 1_000
_ENDLESS_REFERENCE = re.compile(rf"&#[0-9]{{{_LONGEST_REFERENCE},}}+")


def of_html(text: str) -> str:
    """Return what is between the tags, each of which leaves a space; nothing of scripts, styles and titles."""
    words: list[str] = []
    position = 0
    while (markup := MARKUP.search(text, position)) is not None:
        words += [_shown(text[position : markup.start()]), " "]
        position = markup.end()
        if not markup["end"] and (silent := _SILENT.get((markup["name"] or "").lower())):
            end = silent.search(text, position)
            position = end.start() if end else len(text)
    words.append(_shown(text[position:]))
    return "".join(words)


def _shown(text: str) -> str:
    # Python makes no numbers of very many digits
    return html.unescape(_ENDLESS_REFERENCE.sub("\ufffd", text))
