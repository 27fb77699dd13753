"""Roles in docstrings (``:func:`name```) as links of the site."""

from __future__ import annotations

import re
from html import escape
from typing import Any

from griffe import Extension, NameResolutionError, Object

ROLE = re.compile(r":(?:func|class|mod|meth|attr|data|exc):`~?([\w.]+)`")


class CrossReferences(Extension):
    """Makes a link of every role; where the site has no page of what it names, the name alone is left."""

    def on_object(self, *, obj: Object, **_: Any) -> None:
        """Change an object's docstring."""
        if obj.docstring is not None and not obj.is_alias:
            obj.docstring.value = ROLE.sub(lambda match: _link(obj, match[1]), obj.docstring.value)


def _link(obj: Object, name: str) -> str:
    try:
        path = name if name.startswith(("smoothnet_core", "smpl_tools")) else obj.resolve(name)
    except NameResolutionError:
        path = name
    return f'<autoref optional identifier="{escape(path)}"><code>{escape(name)}</code></autoref>'
