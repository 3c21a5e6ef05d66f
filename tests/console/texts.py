"""What a person reads on a page."""

from __future__ import annotations

import re

from django.http import HttpResponse
from django.utils.html import strip_tags

_BLOCK_END = re.compile(r"</(?:div|td|th|dt|dd|p|li|tr|h\d|section|a|button|label|time)>|<br>")


def text_of(answer: HttpResponse) -> str:
    """The page's words in one line, with a space where a block ends."""
    return " ".join(strip_tags(_BLOCK_END.sub(r"\g<0> ", answer.content.decode())).split())
