"""The commands, and what a command's end means: exit code and one line on stderr."""

from __future__ import annotations

import errno
import io
import os
import shlex
import sys
import tempfile
import traceback
from collections.abc import Sequence
from contextlib import AbstractContextManager, nullcontext
from typing import Annotated

import typer
from pydantic import ValidationError

from napari_lot import __version__
from napari_lot.cli.demo import demo
from napari_lot.cli.reconstruct import INTERRUPTED, reconstruct
from napari_lot.cli.sessions import export, resume
from napari_lot.cli.simulate import simulate
from napari_lot.cli.tools import compare, devices, info
from napari_lot.cli.trace import trace
from napari_lot.cli.voxel import voxel
from napari_lot.errors import InputError, LostRank, RunFailed, of_a_card, out_of_memory
from napari_lot.machine import processes, writes
from napari_lot.settings import in_words

PROGRAM = "napari-lot"
OK, INTERNAL_ERROR, INPUT_ERROR = 0, 1, 2
NOT_PRINTED = (errno.ENOSPC, errno.EFBIG, errno.EIO, errno.EBADF)
"""Of an error without a file's name: stdout cannot be written; files are written by names, or their errors handled."""

app = typer.Typer(
    help="Local-orbital tomography: from a tilt series of HAADF-STEM images to the 3D coordinates of every atom.",
    add_completion=False,
    pretty_exceptions_enable=False,
    context_settings={"help_option_names": ["-h", "--help"]},
)
for command in (reconstruct, resume, voxel, trace, info, demo, simulate, compare, export, devices):
    app.command()(command)


def _print_version(wanted: bool) -> None:
    if wanted:
        print(f"{PROGRAM} {__version__}")
        raise typer.Exit


@app.callback()
def _common(
    version: Annotated[
        bool, typer.Option("--version", callback=_print_version, is_eager=True, help="Show the version.")
    ] = False,
) -> None:
    pass


def main(args: Sequence[str] | None = None) -> None:
    """Run the command line and exit: 0 done, 1 internal error, 2 the user's input, 130 interrupted."""
    if isinstance(sys.stdout, io.TextIOWrapper):
        sys.stdout.reconfigure(errors="backslashreplace")  # as stderr: the name of a file need not be UTF-8
    sys.exit(_printed(run(sys.argv[1:] if args is None else args)))


def _printed(code: int) -> int:
    """The exit code, once all that was said is out: a full disk is found here, where the output goes to a file."""
    try:
        if sys.stdout is not None:  # closed by who started this
            sys.stdout.flush()
    except OSError as error:
        os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())  # or Python fails once more when it ends
        return code or _not_printed(error)
    return code


def _not_printed(error: OSError) -> int:
    """What is said where stdout cannot be written."""
    return _fail(
        f"what is printed cannot be written: {error.strerror or error}; check where the output is sent to.", INPUT_ERROR
    )


def run(args: Sequence[str]) -> int:
    """Run the command line; the exit code."""
    if "" in args:
        before = " ".join([PROGRAM, *args[: list(args).index("")]])
        return _fail(
            f"after '{before}' an argument is empty: check the variable of the shell that it comes from.", INPUT_ERROR
        )
    try:
        with _together():
            code = typer.main.get_command(app).main(
                list(args) or ["--help"],
                prog_name=PROGRAM,
                standalone_mode=False,
                obj=_command(args),
            )
    except InputError as error:
        return _fail(str(error), INPUT_ERROR)
    except LostRank as error:
        return _fail(str(error), INTERNAL_ERROR, error.speaks)
    except RunFailed as error:
        return _fail(str(error), INTERNAL_ERROR)
    except (KeyboardInterrupt, typer.Abort):
        return INTERRUPTED
    except Exception as error:
        if isinstance(error, OSError) and error.filename is None and error.errno in NOT_PRINTED:
            return _not_printed(error)
        if out_of_memory(error):
            way = " take --device cpu," if of_a_card(error) else ""
            return _fail(f"out of memory: bin or crop the series,{way} or close other programs.", INTERNAL_ERROR)
        usage = getattr(error, "format_message", None)  # typer's own errors: an unknown flag, a wrong kind of value
        if usage is not None:
            _name_the_value(error)
            context = getattr(error, "ctx", None)
            path = context.command_path if context else PROGRAM
            text = usage().replace("Value error, ", "").rstrip(".")
            return _fail(f"{text}; see {path} --help.", INPUT_ERROR)
        return _fail(f"internal error: {type(error).__name__}: {error} (traceback in {_log(args)})", INTERNAL_ERROR)
    return code if isinstance(code, int) else OK


def _command(args: Sequence[str]) -> str:
    """The command as given, for reports."""
    if processes() == 1:
        return shlex.join([PROGRAM, *args])
    each = os.environ.get("LOCAL_WORLD_SIZE", str(processes()))
    return shlex.join(["torchrun", "--nproc-per-node", each, "-m", "napari_lot", *args])


def _name_the_value(error: Exception) -> None:
    """Where typer says by pydantic that a value is no number, which it was, and what may have been meant."""
    cause = error.__cause__
    if isinstance(cause, ValidationError) and hasattr(error, "message"):
        first = cause.errors()[0]
        if first["type"] in ("float_parsing", "int_parsing"):
            error.message = f"{in_words(cause)} (given: {first['input']!r})"


def _together() -> AbstractContextManager[None]:
    """The processes of torchrun, where it has started this one."""
    if processes() == 1:
        return nullcontext()  # PyTorch is not loaded before it is needed
    from napari_lot.lot.distributed import joined

    return joined()


def _fail(message: str, code: int, speaks: bool | None = None) -> int:
    """One line on stderr, whatever the message holds; of processes that share a run one speaks."""
    if writes() if speaks is None else speaks:
        print(f"{PROGRAM}: {' '.join(message.split())}", file=sys.stderr)
    return code


def _log(args: Sequence[str]) -> str:
    """Keep the traceback that is being handled in a file of its own; its path."""
    try:
        handle, path = tempfile.mkstemp(prefix="napari-lot-", suffix=".log", text=True)
        with os.fdopen(handle, "w", encoding="utf-8", errors="backslashreplace") as file:
            file.write(f"{__version__}: {shlex.join([PROGRAM, *args])}\n{traceback.format_exc()}")
    except OSError:
        return "no file: the temporary folder cannot be written"
    return path
