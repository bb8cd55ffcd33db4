"""Limits as cgroup values, in both cgroup worlds."""

from __future__ import annotations

from roost.runtime.limits import Limits, oci_resources, v1_values

LIMITS = Limits(cpus=0.5, memory=64 << 20, pids=100)

ALL = frozenset({"cpu", "memory", "pids"})


def test_unified_resources() -> None:
    """Half a core, memory in bytes and a number of tasks, with swap left open."""
    assert {
        "cpu": {"quota": 50_000, "period": 100_000},
        "memory": {"limit": 64 << 20},
        "pids": {"limit": 100},
    } == oci_resources(LIMITS, controllers=ALL, devices=False)


def test_unified_devices_start_with_a_refusal() -> None:
    """The first device rule refuses all; disks are never opened again."""
    rules = oci_resources(LIMITS, controllers=ALL, devices=True)["devices"]
    assert isinstance(rules, list)
    assert {"allow": False, "access": "rwm"} == rules[0]
    assert {"allow": True, "type": "c", "major": 136, "access": "rwm"} in rules
    assert [] == [rule for rule in rules if rule.get("type") == "b" and rule["access"] != "m"]


def test_only_what_is_delegated() -> None:
    """A user whose session has no cpu controller still gets the other limits."""
    found = oci_resources(LIMITS, controllers=frozenset({"memory", "pids"}), devices=False)
    assert {"memory", "pids"} == set(found)
    assert {} == oci_resources(LIMITS, controllers=frozenset(), devices=False)


def test_v1_values_in_order() -> None:
    """The period comes before the quota, and refusing all devices before allowing some."""
    values = v1_values(LIMITS)
    assert ("memory", "memory.limit_in_bytes", str(64 << 20)) in values
    assert ("pids", "pids.max", "100") in values
    period = values.index(("cpu", "cpu.cfs_period_us", "100000"))
    assert ("cpu", "cpu.cfs_quota_us", "50000") == values[period + 1]
    devices = [value for controller, _, value in values if controller == "devices"]
    assert "a" == devices[0]
    assert "c 136:* rwm" in devices
    assert [] == [value for value in devices if value.startswith("b") and not value.endswith(" m")]


def test_nothing_means_unlimited() -> None:
    """No cores and no memory given: no such limit in either world."""
    free = Limits(cpus=0, memory=0, pids=5)
    assert {"pids"} == set(oci_resources(free, controllers=ALL, devices=False))
    assert {"pids", "devices"} == {controller for controller, _, _ in v1_values(free)}


def test_quota_has_a_floor() -> None:
    """The kernel refuses a quota under a millisecond."""
    assert 1_000 == Limits(cpus=0.001, memory=0, pids=1).cpu_quota_us
