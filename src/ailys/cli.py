"""The command ``ailys``: one sub-command for each system, and the two fronts, tour and audit."""

from __future__ import annotations

import _thread
import importlib
import os
import sys
import threading
import warnings
from typing import Annotated, Any

import typer
import typer.core

from . import __version__
from .core.console import Exit, Refused, warn
from .core.optional import MissingExtra
from .domains import DOMAINS

__all__ = ["app", "main"]

FRONTS = {
    "tour": "Show every system at work, on real data and on stated models, on one page, index.html.",
    "audit": "Try to break the guarantees by experiment.",
}


class _Deferred(typer.core.TyperGroup):
    """A sub-command whose module is imported when it is called, not when the help lists it."""

    def make_context(self, info_name: str | None, args: list[str], parent: Any = None, **extra: Any) -> Any:
        module = importlib.import_module(f".{self.name}.cli", __package__)
        command = typer.main.get_command(module.app)
        command.name = self.name
        return command.make_context(info_name, args, parent=parent, **extra)


class _Root(typer.core.TyperGroup):
    """The list of domains and fronts."""

    def __init__(self, **attributes: Any) -> None:
        super().__init__(**attributes)
        for name, text in {**FRONTS, **DOMAINS}.items():
            self.add_command(_Deferred(name=name, help=text), name)


app = typer.Typer(
    cls=_Root,
    no_args_is_help=True,
    add_completion=False,
    help="Frugal and responsible algorithms; every answer comes with its guarantee.",
)


def _print_version(wanted: bool) -> None:
    if wanted:
        print(f"ailys {__version__}")
        raise typer.Exit


@app.callback()
def _root(
    version: Annotated[
        bool, typer.Option("--version", callback=_print_version, is_eager=True, help="Print the version and stop.")
    ] = False,
) -> None:
    """The options before the name of a sub-command."""


def main(arguments: list[str] | None = None) -> None:
    """Run the command line; errors become one line on standard error and an exit code."""
    command = typer.main.get_command(app)
    if sys.stdout is None:  # closed by the caller
        sys.stdout = open(os.devnull, "w")  # noqa: SIM115
    previous, sys.unraisablehook = sys.unraisablehook, _interrupt_again
    try:
        with warnings.catch_warnings(record=True) as caught:
            code = _run(command, arguments)
    finally:
        sys.unraisablehook = previous
    if code in (Exit.DONE, Exit.REFUSED):  # otherwise the one line that says why matters
        for text in dict.fromkeys(_remark(item) for item in caught):
            warn(text)
    sys.exit(int(code))


def _remark(item: warnings.WarningMessage) -> str:
    """A warning of a library as a line of this program."""
    kind = "" if item.category is UserWarning else f"{item.category.__name__}: "
    return f"{kind}{item.message}"


def _run(command: Any, arguments: list[str] | None) -> int:
    code: int = Exit.DONE
    try:
        result = command.main(args=arguments, prog_name="ailys", standalone_mode=False)
        if isinstance(result, int):
            code = _say("stopped", 130) if result == 130 else result  # 130: how Typer returns an interrupt
    except (typer.Abort, KeyboardInterrupt):
        code = _say("stopped", 130)
    except SystemExit:  # Typer's way to say that the reader of a pipe has gone: nobody to tell
        code = Exit.DONE
    except Exception as fault:
        code = _explain(fault)
    return code


def _explain(fault: Exception) -> int:
    """One line that says what went wrong; the exit code."""
    if _interrupted(fault):
        return _say("stopped", 130)
    if _is_usage(fault):
        return _usage(fault)
    if isinstance(fault, Refused):
        return _say(str(fault), Exit.REFUSED)
    if isinstance(fault, (ValueError, TypeError, OSError, MissingExtra)):
        return _say(str(fault), Exit.BAD_INPUT)
    if isinstance(fault, MemoryError):
        return _say("not enough memory for this input", Exit.BAD_INPUT)
    if os.environ.get("AILYS_TRACEBACK"):
        raise fault
    text = f"a fault in ailys itself ({type(fault).__name__}: {fault}); run again with AILYS_TRACEBACK=1 and report it"
    return _say(text, Exit.FAILED)


def _interrupted(fault: BaseException | None) -> bool:
    """Whether an interrupt is behind the fault: while a library defines a class, Python puts it into a RuntimeError."""
    while fault is not None and not isinstance(fault, KeyboardInterrupt):
        fault = fault.__cause__ or fault.__context__
    return fault is not None


def _interrupt_again(ignored: Any) -> None:
    """An interrupt that falls into a callback of compiled code is dropped there: it comes again a moment later."""
    if issubclass(ignored.exc_type, KeyboardInterrupt):
        threading.Timer(0.01, _thread.interrupt_main).start()  # not now: this is still inside of the callback
    else:
        sys.__unraisablehook__(ignored)


def _is_usage(fault: Exception) -> bool:
    """Whether this is Typer's complaint about the words of the command."""
    return hasattr(fault, "format_message") and hasattr(fault, "exit_code")


def _usage(fault: Any) -> int:
    if type(fault).__name__ == "NoArgsIsHelpError":
        if fault.ctx is not None:
            print(fault.ctx.get_help())
        return Exit.BAD_INPUT
    where = fault.ctx.command_path if getattr(fault, "ctx", None) is not None else "ailys"
    return _say(f"{fault.format_message().rstrip('.')}; see '{where} --help'", Exit.BAD_INPUT)


def _say(message: str, code: int) -> int:
    warn(message)
    return code
