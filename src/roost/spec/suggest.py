"""Which known word was probably meant."""

from __future__ import annotations

from collections.abc import Iterable
from difflib import get_close_matches


def nearest(word: str, known: Iterable[str]) -> str | None:
    """The known word closest to `word`, or None when nothing is near.

    Dashes count as underscores; a word that begins another one is near to it.
    """
    words = sorted(known)
    plain = word.lower().replace("-", "_")
    table = {other.lower().replace("-", "_"): other for other in words}
    close = get_close_matches(plain, list(table), n=1, cutoff=0.7)
    if close:
        return table[close[0]]
    starts = [
        other
        for key, other in table.items()
        if len(plain) >= 4 and (key.startswith(plain) or plain.startswith(f"{key}_"))
    ]
    if starts:
        return starts[0]
    far = get_close_matches(plain, list(table), n=1, cutoff=0.55)
    return table[far[0]] if far else None
