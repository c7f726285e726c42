"""The window measured: ``probe`` times a changed value until it is drawn, ``memory`` follows a long run,
``waits`` presses everything with a large series.

    xvfb-run -a -s "-screen 0 1600x1200x24 +extension GLX" python -m benchmarks.window [probe|memory|waits]

Without a word it is ``probe``. Each says what it does with --help.
"""

from __future__ import annotations

import argparse
import sys

from benchmarks.window import memory, probe, waits

COMMANDS = {"probe": probe, "memory": memory, "waits": waits}


def main(words: list[str] | None = None) -> None:
    """Run one of them."""
    words = list(sys.argv[1:] if words is None else words)
    if not words or (words[0] not in COMMANDS and words[0] not in ("-h", "--help")):
        words.insert(0, "probe")
    parser = argparse.ArgumentParser(
        prog="python -m benchmarks.window",
        description=__doc__,
        formatter_class=argparse.RawDescriptionHelpFormatter,
    )
    commands = parser.add_subparsers(dest="command", required=True)
    for name, module in COMMANDS.items():
        module.add_options(
            commands.add_parser(name, description=module.__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
        )
    options = parser.parse_args(words)
    COMMANDS[options.command].measure(options)


if __name__ == "__main__":
    main()
