"""Passwords in storage URLs: never printed, never written."""

import re

_PASSWORD = re.compile(r"(://[^:/@\s]*):([^\s]+)@(?=[^@\s]*(?:$|\s))")
_SECRET = re.compile(r"(?i)([?&;](?:password|passwd|pwd|sslpassword|token|secret)=)[^&;\s]+")


def concealed(text: str) -> str:
    """Text in which no URL shows its password.

    >>> concealed("postgresql://me:se:cr@t@db:5432/dse?sslpassword=x and more")
    'postgresql://me:***@db:5432/dse?sslpassword=*** and more'
    """
    return "".join(_SECRET.sub(r"\1***", _PASSWORD.sub(r"\1:***@", word)) for word in re.split(r"(\s+)", text))


def without_password(url: str) -> str:
    """URL that can be kept in a manifest: the server's own password file or PGPASSWORD opens it again.

    >>> without_password("postgresql://me:secret@db/dse")
    'postgresql://me@db/dse'
    """
    return _SECRET.sub("", _PASSWORD.sub(r"\1@", url))
