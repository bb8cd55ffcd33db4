"""The list of system calls."""

from __future__ import annotations

from typing import Any

from roost.runtime.seccomp import (
    ALLOWED,
    ENOSYS,
    FORBIDDEN,
    NAMESPACE_FLAGS,
    profile,
    profile_key,
)


def test_lists_are_disjoint_and_without_repeats() -> None:
    """No call is both allowed and forbidden, or named twice."""
    assert len(set(ALLOWED)) == len(ALLOWED)
    assert len(set(FORBIDDEN)) == len(FORBIDDEN)
    assert set() == set(ALLOWED) & set(FORBIDDEN)


def test_conditional_calls_are_in_no_plain_list() -> None:
    """clone, unshare, socket and personality are allowed by their arguments only; clone3 never."""
    assert {"clone", "clone3", "unshare", "socket", "personality"}.isdisjoint(ALLOWED)


def test_dangerous_calls_are_forbidden() -> None:
    """What changes the host, or sees through namespaces, answers EPERM."""
    assert {"mount", "setns", "bpf", "keyctl", "kexec_load", "init_module", "reboot"} <= set(
        FORBIDDEN
    )


def test_namespace_flags_are_masked() -> None:
    """clone and unshare pass only without any namespace flag, in the argument that has them."""
    for machine, index in (("x86_64", 0), ("s390x", 1)):
        rules: Any = profile(machine)["syscalls"]
        clone = next(rule for rule in rules if rule["names"] == ["clone"])
        assert [
            {
                "index": index,
                "value": NAMESPACE_FLAGS,
                "valueTwo": 0,
                "op": "SCMP_CMP_MASKED_EQ",
            }
        ] == clone["args"]


def test_unknown_calls_do_not_exist() -> None:
    """A call newer than the list answers ENOSYS, so that libraries fall back."""
    made = profile("x86_64")
    assert ("SCMP_ACT_ERRNO", ENOSYS) == (made["defaultAction"], made["defaultErrnoRet"])


def test_key_follows_the_profile() -> None:
    """Another architecture has another compiled program."""
    assert profile_key("x86_64") == profile_key("x86_64")
    assert profile_key("x86_64") != profile_key("aarch64")
