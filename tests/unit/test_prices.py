"""Machines as settings name them, and what a second of them costs."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from core.errors import InvalidInputError
from core.prices import GPU_SECOND, Machine, dollars
from core.settings import Settings


def test_a_machine_costs_what_its_gpu_its_cores_and_its_memory_cost() -> None:
    machine = Machine.parse("H100,4,16", "X")

    assert machine.usd_per_second == pytest.approx(0.001097 + 4 * 0.0000131 + 16 * 0.00000222)
    assert machine.name == "H100,4,16"


def test_a_machine_may_have_several_gpus_or_none() -> None:
    two, none = Machine.parse("l4:2, 8, 32", "X"), Machine.parse(",4,4", "X")

    assert two.usd_per_second == pytest.approx(2 * 0.000222 + 8 * 0.0000131 + 32 * 0.00000222)
    assert none.usd_per_second == pytest.approx(4 * 0.0000131 + 4 * 0.00000222)
    assert (two.name, none.name) == ("L4:2,8,32", ",4,4")


def test_no_machine_costs_nothing() -> None:
    assert Machine.parse("", "X").usd_per_second == 0.0
    assert Machine.parse("  ", "X").name == ""


@pytest.mark.parametrize("text", ["H100", "H100,4", "TPU,4,4", "H100:9,4,4", ":2,4,4", "H100:x,4,4", ",a,4", ",4,nan"])
def test_a_machine_that_cannot_be_read_names_the_setting(text: str) -> None:
    with pytest.raises(InvalidInputError) as raised:
        Settings.from_env({"SCENEWRIGHT_RENDER_MACHINE": text})

    assert (raised.value.code, raised.value.field) == ("bad_machine", "SCENEWRIGHT_RENDER_MACHINE")


@pytest.mark.parametrize("text", ["-1", "nan", "inf"])
def test_a_limit_that_is_no_amount_names_the_setting(text: str) -> None:
    with pytest.raises(InvalidInputError) as raised:
        Settings.from_env({"SCENEWRIGHT_MAX_USD_PER_USER_DAY": text})

    assert raised.value.field == "SCENEWRIGHT_MAX_USD_PER_USER_DAY"


@given(
    st.sampled_from(["", *GPU_SECOND]),
    st.integers(1, 8),
    st.integers(0, 256).map(lambda n: n / 4),
    st.integers(0, 512).map(float),
)
def test_the_name_of_a_machine_reads_as_the_machine(gpu: str, gpus: int, cores: float, gib: float) -> None:
    machine = Machine(gpu, gpus if gpu else 0, cores, gib)

    assert Machine.parse(machine.name, "X") == machine


@pytest.mark.parametrize(
    ("usd", "shown"), [(0, "$0.00"), (0.5, "$0.50"), (0.00123, "$0.00123"), (12.3456, "$12.35"), (0.0000004, "$0.00")]
)
def test_amounts_are_shown_as_people_read_them(usd: float, shown: str) -> None:
    assert dollars(usd) == shown
