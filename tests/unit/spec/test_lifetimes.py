"""How long something is good for."""

from __future__ import annotations

import pytest

from roost.errors import InvalidError
from roost.spec.lifetimes import milliseconds

DAY = 86_400_000


@pytest.mark.parametrize(
    ("text", "wanted"),
    [("7d", 7 * DAY), ("1d12h", DAY + DAY // 2), ("90m", 5_400_000), ("1s", 1000), ("0d1s", 1000)],
)
def test_days_and_go_durations(text: str, wanted: int) -> None:
    """Days may come before a Go duration."""
    assert wanted == milliseconds(text)


@pytest.mark.parametrize(
    "text", ["", "d", "7", "0s", "999ms", "-1h", "1h7d", "7 d", "1w", "999999d"]
)
def test_other_words_are_refused(text: str) -> None:
    """Nothing shorter than a second or longer than a duration can be."""
    with pytest.raises(InvalidError, match="lifetime"):
        milliseconds(text)
