"""The bounded list of sleepers whose container is made ahead of time."""

from __future__ import annotations

from roost.agent.prepared import Prepared


def test_the_longest_asleep_gives_way() -> None:
    """Beyond the limit the one put to sleep first is given up."""
    prepared = Prepared(2)
    assert [None, None, "a"] == [prepared.admit(name) for name in "abc"]
    assert "b" in prepared
    assert "a" not in prepared
    assert 2 == len(prepared)


def test_going_to_sleep_again_makes_it_the_newest() -> None:
    """A Machine that sleeps anew moves to the end."""
    prepared = Prepared(2)
    for name in "aba":
        prepared.admit(name)
    assert "b" == prepared.admit("c")


def test_no_limit_means_none() -> None:
    """With a limit of 0 nobody is prepared."""
    prepared = Prepared(0)
    assert "a" == prepared.admit("a")
    assert 0 == len(prepared)
