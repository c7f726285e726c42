"""What everyone installs lets everyone use it; what is under the GPL comes with extras alone, which are chosen."""

import re
from importlib import metadata

import pytest
from packaging.requirements import Requirement


def plain(name):
    return re.sub(r"[-_.]+", "-", name).lower()


def installed_with(name, extra=""):
    """Distributions that a distribution needs, and those that these need, by name."""
    found, left = {}, [(name, {"", extra})]
    while left:
        name, extras = left.pop()
        for text in metadata.distribution(name).requires or ():
            needed = Requirement(text)
            if needed.marker is not None and not any(needed.marker.evaluate({"extra": e}) for e in extras):
                continue
            if plain(needed.name) not in found:
                found[plain(needed.name)] = metadata.distribution(needed.name)
                left.append((needed.name, {"", *needed.extras}))
    return found


def licence(distribution):
    """The licence in a distribution's words: its expression, its classifiers, or the first line of its field."""
    about = distribution.metadata
    classifiers = [c for c in about.get_all("Classifier", []) if c.startswith("License ::")]
    return about.get("License-Expression") or "; ".join(classifiers) or (about.get("License") or "").split("\n")[0]


def under_the_gpl(words):
    return re.search(r"(?<!L)(?<!Lesser )(A?GPL|General Public License)", words) is not None


def test_the_words_of_licences_are_told_apart():
    assert under_the_gpl("GPL-3.0-or-later")
    assert under_the_gpl("License :: OSI Approved :: GNU General Public License v3 (GPLv3)")
    assert not under_the_gpl("LGPL-3.0-only")
    assert not under_the_gpl("License :: OSI Approved :: GNU Lesser General Public License v3 (LGPLv3)")
    assert not under_the_gpl("BSD-3-Clause")


def test_nothing_that_everyone_installs_is_under_the_gpl():
    everything = installed_with("napari-lot")
    assert {"torch", "numpy", "typing-extensions"} <= set(everything), "and what these need"
    words = {name: licence(distribution) for name, distribution in everything.items()}
    assert [name for name, said in words.items() if not said] == []
    assert {name: said for name, said in words.items() if under_the_gpl(said)} == {}


@pytest.mark.parametrize(("extra", "name"), [("formats", "rosettasciio"), ("all", "pyqt6")])
def test_what_is_under_the_gpl_is_an_extra_that_the_documentation_names(extra, name):
    assert name not in installed_with("napari-lot")
    assert under_the_gpl(licence(installed_with("napari-lot", extra)[name]))
