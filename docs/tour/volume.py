"""The sixth step on the bundled sample: a volume while it iterates, its sections and missing wedge, atoms in it."""

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
    guide.scroll_to("volume")
    guide.shot("11_method")
    guide.click("volume_start")
    detail = guide.widget("volume_detail")
    guide.must(120, lambda: "iteration" in detail.text() and bench.layers.volume.volume is not None, "The first volume")
    guide.wait(4.0)
    guide.scroll_to("volume")
    guide.shot("11_volume")
    guide.must(400, lambda: not bench.state.running, "The volume")
    guide.viewer.scene.camera.angles = (0, 20, 10)
    guide.scroll_to("volume_stage")
    guide.shot("11_done")
    guide.click("trace_atoms")
    guide.must(120, lambda: not bench.volume.trace.task.running and bench.volume.trace.found is not None, "The atoms")
    guide.viewer.scene.camera.angles = (0, 0, 0)
    guide.click("show_sections")
    guide.wait(3.0)
    guide.scroll_to("show_sections")
    guide.shot("11_sections")
    bench.volume.sections.put_away()
    guide.wait(0.5)
    guide.scroll_to("show_sections")
    guide.shot("11_traced")
