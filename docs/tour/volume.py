"""The sixth step on the bundled sample: a volume, its sections and missing wedge, the atoms in it."""

from __future__ import annotations

from tour.guide import Guide


def walk(guide: Guide) -> None:
    """From the sample to traced atoms."""
    bench = guide.bench
    guide.click("open_sample")
    guide.must(30, lambda: bench.state.series is not None, "The sample")
    guide.wait(1.0)
    guide.open("volume")
    guide.choose("volume_method", "SIRT: simultaneous iterative reconstruction technique")
    guide.type("volume_iterations", "40")
    guide.click("volume_start")
    guide.must(400, lambda: bench.volume.result is not None and not bench.state.running, "The volume")
    guide.click("trace_atoms")
    guide.must(120, lambda: not bench.volume.trace.task.running and bench.volume.trace.found is not None, "The atoms")
    guide.click("show_sections")
    guide.wait(3.0)
    guide.scroll_to("show_sections")
    guide.shot("11_sections")
    bench.volume.sections.put_away()
    guide.wait(0.5)
    guide.scroll_to("volume_stage")
    guide.shot("11_traced")
