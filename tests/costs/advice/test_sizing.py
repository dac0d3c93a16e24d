"""Which bundle the use of a machine asks for."""

from hypothesis import given
from hypothesis import strategies as st

from costs.advice.sizing import Load, confidence, sizes_for
from workspaces.bundles import BUNDLES

ALL = list(BUNDLES)


def load(cpu, memory=30.0, most=None, *, samples=1000, days=10):
    return Load(samples, days, cpu / 2, cpu, memory, memory if most is None else most)


def fitting(bundle, used, offered=ALL):
    sizes = sizes_for(bundle, used, offered)
    return None if sizes is None else (sizes.is_larger, sizes.fitting)


def test_a_little_used_machine_becomes_what_holds_its_memory_and_its_cpu():
    assert fitting("POWERPRO", load(10.0, 9.0)) == (False, ("STANDARD", "PERFORMANCE", "POWER"))
    assert fitting("POWERPRO", load(10.0, 10.1)) == (False, ("PERFORMANCE", "POWER"))  # 3.23 of 4 GiB: over 80 percent
    assert fitting("POWERPRO", load(19.0, 9.0)) == (False, ("POWER",))  # 76 percent of two vCPUs
    assert fitting("PERFORMANCE", load(5.0, 30.0, 41.0)) is None  # once it used 3.28 GiB
    assert fitting("PERFORMANCE", load(5.0, 40.0)) == (False, ("STANDARD",))
    assert fitting("PERFORMANCE", load(5.0, 40.0), ["PERFORMANCE", "POWER"]) is None
    assert fitting("STANDARD", load(5.0)) is None


def test_a_busy_machine_becomes_what_relieves_it():
    assert fitting("STANDARD", load(95.0)) == (True, ("POWER", "POWERPRO"))  # PERFORMANCE has no more vCPUs
    assert fitting("STANDARD", load(5.0, 90.0)) == (True, ("PERFORMANCE", "POWER", "POWERPRO"))
    assert sizes_for("STANDARD", load(5.0, 90.0), ALL).because == "memory"
    assert fitting("STANDARD", load(95.0), ["STANDARD", "PERFORMANCE"]) is None
    assert fitting("POWERPRO", load(99.0)) is None


def test_thresholds_are_20_and_80_percent():
    assert fitting("POWERPRO", load(20.0)) is None
    assert fitting("POWERPRO", load(19.99)) is not None
    assert fitting("POWER", load(80.0)) is None
    assert fitting("POWER", load(80.01)) == (True, ("POWERPRO",))


def test_what_is_not_known_proves_nothing_and_graphics_are_never_converted():
    assert fitting("POWER", Load(1000, 10, 1.0, 2.0, None, None)) is None
    assert fitting("POWER", load(2.0, samples=143)) is None
    assert fitting("POWER", load(2.0, days=2)) is None
    assert fitting("GRAPHICSPRO_G4DN", load(2.0)) is None
    assert fitting("STANDARD", load(99.0), ["GRAPHICS_G4DN"]) is None


def test_confidence_is_of_coverage_and_distance():
    down, up = sizes_for("POWER", load(10.0, 10.0), ALL), sizes_for("POWER", load(90.0), ALL)
    assert confidence(load(10.0, days=8), down) == "HIGH"
    assert confidence(load(15.1, days=14), down) == "MEDIUM"
    assert confidence(load(10.0, days=7), down) == "MEDIUM"
    assert confidence(load(10.0, days=4), down) == "LOW"
    assert confidence(load(86.0, days=8), up) == "HIGH"
    assert confidence(load(84.0, days=8), up) == "MEDIUM"


percent = st.floats(0, 100)


@given(st.sampled_from(ALL), percent, percent, percent, st.sets(st.sampled_from(ALL)))
def test_nothing_is_advised_in_which_the_use_would_not_fit(bundle, cpu, memory, more, offered):
    used = Load(1000, 10, cpu / 2, cpu, min(memory, more), max(memory, more))
    sizes = sizes_for(bundle, used, list(offered))
    for size in sizes.fitting if sizes else ():
        assert size in offered
        assert BUNDLES[size].gpu is None
        assert BUNDLES[bundle].gpu is None
        gib = (used.memory_p95 if sizes.is_larger else used.memory_most) / 100 * BUNDLES[bundle].memory_gib
        assert gib <= 0.8 * BUNDLES[size].memory_gib * 1.000001
        assert cpu / 100 * BUNDLES[bundle].vcpus <= 0.8 * BUNDLES[size].vcpus * 1.000001
        assert (BUNDLES[size].memory_gib > BUNDLES[bundle].memory_gib) == sizes.is_larger
