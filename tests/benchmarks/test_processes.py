"""The model of many processes that share the tilts."""

import pytest
from benchmarks.processes.__main__ import LATENCY_S, modelled, page


def test_the_model_knows_whole_tilts_and_the_network():
    rows = {row["processes"]: row for row in modelled(passes(7.2), 72, 1e6, 10.0)}
    assert rows[1]["pass_s"] == pytest.approx(7.2)
    assert rows[1]["efficiency"] == pytest.approx(1.0)
    # 64 megabits sent and received for two processes: 6.4 ms at 10 Gbit/s
    assert rows[2]["pass_s"] == pytest.approx(3.6 + 0.0064 + 2 * LATENCY_S)
    # one of 64 has two tilts of 0.1 s
    assert rows[64]["pass_s"] == pytest.approx(0.2 + 2 * 63 / 64 * 0.0064 + 126 * LATENCY_S)
    assert rows[64]["efficiency"] < 0.6
    # what every process does by itself is not shared out
    slower = {row["processes"]: row for row in modelled(passes(7.2, by_itself_s=0.5), 72, 1e6, 10.0)}
    assert slower[1]["pass_s"] == pytest.approx(7.7)
    assert slower[64]["pass_s"] == pytest.approx(rows[64]["pass_s"] + 0.5)


def passes(all_s: float, by_itself_s: float = 0.0) -> dict[str, float]:
    """Of 72 tilts and of 9."""
    return {"pass_s": by_itself_s + all_s, "few_s": by_itself_s + all_s / 8.0, "few": 9.0}


def test_the_page_says_what_was_not_measured():
    measured = [{"processes": 1, "sums_s": 0.0, **passes(2.0)}, {"processes": 2, "pass_s": 1.1, "sums_s": 0.002}]
    found = {
        "machine": "A machine",
        "atoms": 1000,
        "tilts": 72,
        "numbers": 4000.0,
        "network_gbit_s": 10.0,
        "measured": measured,
        "modelled": modelled(measured[0], 72, 4000.0, 10.0),
    }
    text = page(found)
    assert "| 2 | 1.100 | 2.0 | 1.82 | 0.91 |" in text
    assert "**not been measured**" in text
