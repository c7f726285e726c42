"""Names that stand twice in a YAML file: YAML wants them unique, its readers take the last one without a word."""

from __future__ import annotations

import yaml


def given_twice(document: yaml.Node | None) -> str | None:
    """The first name that stands twice at one place, and in which lines; None where all are unique.

    >>> given_twice(yaml.compose("solver:\\n  seed: 1\\n  threads: 2\\n  seed: 3", Loader=yaml.SafeLoader))
    'solver.seed is given twice, in lines 2 and 4'

    Parameters
    ----------
    document : yaml.Node or None
        As composed, before its values are made: those know no lines, and of two only one is left.
    """
    waiting: list[tuple[str, yaml.Node | None]] = [("", document)]
    looked_at: set[int] = set()  # what aliases repeat may be without end
    while waiting:
        place, node = waiting.pop()
        if id(node) in looked_at:
            continue
        looked_at.add(id(node))
        if isinstance(node, yaml.SequenceNode):
            waiting += [(place, item) for item in reversed(node.value)]
        if isinstance(node, yaml.MappingNode):
            lines: dict[tuple[str, str], int] = {}
            for key, _ in node.value:
                if not isinstance(key, yaml.ScalarNode):
                    continue
                line = key.start_mark.line + 1
                if (key.tag, key.value) in lines:
                    return _sentence(f"{place}{key.value}", lines[key.tag, key.value], line)
                lines[key.tag, key.value] = line
            waiting += [(f"{place}{_short(key)}.", value) for key, value in reversed(node.value)]
    return None


def _short(key: yaml.Node) -> str:
    return str(key.value)[:40]


def _sentence(name: str, first: int, second: int) -> str:
    where = f"in lines {first} and {second}" if first != second else f"in line {first}"
    # a name may be of any length and hold line breaks
    return f"{' '.join(name[:120].split())} is given twice, {where}"
