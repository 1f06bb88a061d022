"""A user's own code, named as `package.module:function` or `path/to/file.py:function`.

Naming one runs its module or file, as importing it would.
"""

from __future__ import annotations

import difflib
import hashlib
import importlib
import importlib.util
import inspect
import os
import re
import sys
import sysconfig
from collections.abc import Callable, Iterator
from contextlib import contextmanager, suppress
from pathlib import Path
from types import ModuleType
from typing import cast

from nas.base.errors import SpecError
from nas.base.own_name import OwnName
from nas.base.program import PACKAGE

__all__ = ["call_user_function", "describe_failure", "is_function", "user_function"]

_FAILURES = (Exception, SystemExit)  # a script without a guard may end the program
_INSTALLED = tuple(
    os.path.join(sysconfig.get_path(kind), "") for kind in ("stdlib", "purelib", "platlib")
)
_OURS = os.path.join(PACKAGE, "")

_neighbours: dict[str, dict[str, ModuleType]] = {}
"""Folder of a file -> modules beside it that others of their names have displaced meanwhile."""


def is_function(name: str) -> bool:
    """Say whether a name is written as `package.module:function` or `path/to/file.py:function`.

    Raises SpecError for arguments that cannot be read.
    """
    return OwnName.parse(name) is not None


def user_function(name: str, what: str) -> Callable[..., object]:
    """Return the function of this name, without the arguments that the name may hold.

    what: what it is for, in errors: `backbone`.
    Raises SpecError when the name, its module or the function is wrong.
    """
    own = OwnName.parse(name)
    if own is None:
        raise SpecError(
            f"{what} {name!r}; write one's own as package.module:function or "
            "path/to/file.py:function"
        )
    if own.place == "__main__":  # a worker's is another
        raise SpecError(
            f"{what} {name!r}: what a session defines is found by no other process; put it into a "
            "file and name that, path/to/file.py:name (a network may also be given in memory)"
        )
    if own.is_file and not os.path.isfile(own.place):
        raise SpecError(
            f"{what} {name!r}: there is no file {own.place} (from {os.getcwd()}); put it back "
            "where it was, or name another"
        )
    try:
        with _importable(own):
            module = _load_file(own.place) if own.is_file else importlib.import_module(own.place)
    except ImportError as error:
        where = "" if own.is_file else f"; looked in {os.getcwd()} as well"
        raise SpecError(f"{what} {name!r}: {_with_line(str(error), error)}{where}") from None
    except _FAILURES as error:
        raise SpecError(f"{what} {name!r}: {describe_failure(error)}") from None
    maker = getattr(module, own.name, None)
    if not callable(maker):
        there = [each for each, value in vars(module).items() if callable(value)]
        near = difflib.get_close_matches(own.name, there, n=3)
        hint = f"; is it {' or '.join(near)}?" if near else ""
        raise SpecError(f"{what} {name!r}: {own.place} has no function {own.name!r}{hint}")
    return cast(Callable[..., object], maker)


def call_user_function(name: str, what: str, **arguments: object) -> object:
    """Call the function of this name, with the arguments that the name holds and these.

    Raises SpecError, in one line, for arguments that it does not take, and for what it raises.
    """
    function, own = user_function(name, what), OwnName.parse(name)
    assert own is not None
    given = arguments | {key: value for key, value in own.arguments if key not in arguments}
    _check_arguments(function, name, what, given)
    try:
        with _importable(own):
            return function(**given)
    except SpecError:
        raise
    except _FAILURES as error:
        called = f"called with {', '.join(f'{key}=' for key in given)}: " if given else ""
        raise SpecError(f"{what} {name!r}: {called}{describe_failure(error)}") from error


def describe_failure(error: BaseException) -> str:
    """Say in one line what a user's code raised, with the file and line where it did."""
    lines = str(error).strip().splitlines()
    text = lines[0] if lines else ""
    if isinstance(error, SyntaxError):
        text = error.msg
    elif isinstance(error, SystemExit):
        text = "it ends the program"
    return _with_line(f"{type(error).__name__}: {text}" if text else type(error).__name__, error)


def _with_line(text: str, error: BaseException) -> str:
    """Add the innermost line of the user's that an error came through, where there is one."""
    if isinstance(error, SyntaxError) and error.filename:
        return f"{text} ({error.filename}, line {error.lineno})"
    place, step = "", error.__traceback__
    while step is not None:
        file = step.tb_frame.f_code.co_filename
        if os.path.isfile(file) and not file.startswith((*_INSTALLED, _OURS)):
            place = f" ({file}, line {step.tb_lineno})"
        step = step.tb_next
    return text + place


def _check_arguments(
    function: Callable[..., object], name: str, what: str, given: dict[str, object]
) -> None:
    """Raise SpecError where a function does not take these arguments, and say what it takes."""
    try:
        signature = inspect.signature(function)
    except (TypeError, ValueError):  # something callable that does not say what it takes
        return
    try:
        signature.bind(**given)
    except TypeError as error:
        takes = ", ".join(
            str(parameter.replace(annotation=inspect.Parameter.empty))
            for parameter in signature.parameters.values()
        )
        called = ", ".join(f"{key}=" for key in given) or "nothing"
        raise SpecError(
            f"{what} {name!r}: called with {called}: {error}; it takes: {takes or 'nothing'}"
        ) from None


# Where a user's code looks for what it imports.


def _load_file(path: str) -> ModuleType:
    """Run a file as a module of its own, once, under a name that is the same in every process.

    Classes are looked up by the name of their module when they are pickled.
    """
    path = os.path.abspath(path)
    stem = re.sub(r"\W", "_", Path(path).stem)
    digest = hashlib.sha256(os.fsencode(path)).hexdigest()[:12]
    name = f"own_{stem}_{digest}"
    if name in sys.modules:
        return sys.modules[name]
    spec = importlib.util.spec_from_file_location(name, path)
    assert spec is not None and spec.loader is not None
    module = importlib.util.module_from_spec(spec)
    sys.modules[name] = module
    try:
        spec.loader.exec_module(module)
    except BaseException:
        del sys.modules[name]
        raise
    return module


@contextmanager
def _importable(own: OwnName) -> Iterator[None]:
    """Look for modules beside a file first, and in the working directory last.

    As `python file.py` and `python -m` do by themselves. Nothing is left on the path.
    """
    here = os.getcwd()
    folder = os.path.dirname(os.path.abspath(own.place)) if own.is_file else here
    last = [] if here in sys.path else [here]
    first = [folder] if own.is_file else []
    with _displaced(folder, by_file=own.is_file):
        sys.path[:] = [*first, *sys.path, *last]
        importlib.invalidate_caches()  # a file may have been written a moment ago
        try:
            yield
        finally:
            # By name, since the user's code may have changed the path itself.
            for place in first:
                _take_off(place, sys.path)
            for place in last:
                sys.path.reverse()
                _take_off(place, sys.path)
                sys.path.reverse()


def _take_off(place: str, path: list[str]) -> None:
    with suppress(ValueError):
        path.remove(place)


@contextmanager
def _displaced(folder: str, *, by_file: bool) -> Iterator[None]:
    """Put away modules of other folders whose names are those of modules in this one.

    Two files in different folders may each import a `layers` that lies beside it. Both stay what
    they are: whoever comes first is put back at the end, and the others are kept for next time.
    by_file: of a file's own folder, as opposed to the working directory, for which only the
        neighbours of files make place.
    """
    here = _modules_in(folder)
    strangers = {
        name: module
        for name, module in sys.modules.items()
        if name.partition(".")[0] in here and _is_stranger(module, folder, by_file=by_file)
    }
    mine = _neighbours.setdefault(folder, {}) if by_file else _neighbours.get(folder, {})
    for name in strangers:
        del sys.modules[name]
    sys.modules.update(mine)
    try:
        yield
    finally:
        tops = {name.partition(".")[0] for name in strangers}
        for name in [name for name in sys.modules if name.partition(".")[0] in tops]:
            module = sys.modules.pop(name)
            mine[name] = module
        if mine:
            _neighbours[folder] = mine
        sys.modules.update(strangers)


def _modules_in(folder: str) -> set[str]:
    names = set()
    with suppress(OSError), os.scandir(folder) as entries:
        for entry in entries:
            name = entry.name.removesuffix(".py")
            if name.isidentifier() and (name != entry.name or entry.is_dir()):
                names.add(name)
    return names - {"nas", "__main__"} - set(sys.stdlib_module_names)


def _is_stranger(module: ModuleType | None, folder: str, *, by_file: bool) -> bool:
    """Say whether a module is a user's from another folder than this one."""
    places = [getattr(module, "__file__", None), *list(getattr(module, "__path__", None) or [])]
    place = next((place for place in places if isinstance(place, str)), None)
    if place is None or place.startswith((os.path.join(folder, ""), *_INSTALLED)):
        return False
    return by_file or any(place.startswith(os.path.join(other, "")) for other in _neighbours)
