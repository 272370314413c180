"""SQL is written as SQL, in `.sql` files beside the module that runs it, each statement under a name.

A statement starts at a line `-- name: take_due` and ends before the next. Comments in the file say why; they are sent
along, which is harmless.
"""

import re
from collections.abc import Mapping
from importlib.resources import files

_NAME = re.compile(r"^-- name: (\w+)\s*$", re.MULTILINE)


def load(package: str, file: str, replacements: Mapping[str, str] | None = None) -> Mapping[str, bytes]:
    """Read the statements of a file.

    Args:
        package: the package that the file lies in, usually `__package__`.
        file: its name.
        replacements: texts made from the domain's tables to put in place of `{name}` before the file is cut up.

    Returns:
        each statement as bytes, the one form of variable query text psycopg's types accept.
    """
    text = (files(package) / file).read_text(encoding="utf-8")
    for name, replacement in (replacements or {}).items():
        text = text.replace("{" + name + "}", replacement)
    parts = _NAME.split(text)
    return {name: body.strip().encode() for name, body in zip(parts[1::2], parts[2::2], strict=True)}
