"""Calls by hand: a wrong argument is one sentence, and so is an interrupt.

A learner types ``LabCluster(job_manager=3)`` or ``job.wait(timeout="3 s")``. Python would accept
the second and fail somewhere below. Here a sentence names the method, the argument and what it
takes.
"""

from __future__ import annotations

import difflib
import functools
import inspect
import numbers
import sys
import types
import typing
from collections.abc import Callable, Mapping
from typing import Any, TypeVar

from hawork.core.errors import WrongArgumentError
from hawork.core.one_sentence import tell_interrupt

C = TypeVar("C", bound=type)
F = TypeVar("F", bound=Callable[..., Any])


_FOR_CHECKERS = frozenset({"pandas"})
"""Modules that are loaded late; until then no value can be of their types."""


def checked(function: F) -> F:
    """``function``, whose arguments are checked by its annotations before it begins.

    ``WrongArgumentError`` for an argument that is unknown, missing, too much or of another type. An
    annotation that is known to type checkers only is not checked.
    """
    signature = inspect.signature(function)
    method = next(iter(signature.parameters), "") == "self"

    @functools.wraps(function)
    def checking(*args: Any, **kwargs: Any) -> Any:
        name = function.__name__
        if method and args:
            name = f"{type(args[0]).__name__}.{name}".removesuffix(".__init__")
        try:
            given = signature.bind(*args, **kwargs).arguments
        except TypeError as error:
            raise WrongArgumentError(_unbound(name, signature, method, kwargs, error)) from None
        hints = _hints(function, frozenset(_FOR_CHECKERS & sys.modules.keys()))
        for argument, value in given.items():
            kind = signature.parameters[argument].kind
            if kind in (kind.VAR_POSITIONAL, kind.VAR_KEYWORD) or argument not in hints:
                continue
            if not fits(value, hints[argument]):
                wanted = signature.parameters[argument].annotation
                raise WrongArgumentError(
                    f"{name}: {argument} is {_short(value)}, of type {type(value).__name__}: "
                    f"give it as {wanted}"
                )
        try:
            return function(*args, **kwargs)
        except KeyboardInterrupt as interrupt:
            tell_interrupt(interrupt, f"in {name}")
            raise

    return typing.cast(F, checking)


def checked_calls(kind: C) -> C:
    """A class whose constructor and public methods are ``checked``."""
    for name, member in list(vars(kind).items()):
        if name.startswith("_") and name != "__init__":
            continue
        if isinstance(member, staticmethod | classmethod):
            setattr(kind, name, type(member)(checked(member.__func__)))
        elif isinstance(member, types.FunctionType):
            setattr(kind, name, checked(member))
    return kind


def fits(value: object, hint: Any) -> bool:
    """Whether a value is of an annotated type; ``True`` for what cannot be told at run time."""
    origin = typing.get_origin(hint)
    if origin in (typing.Union, types.UnionType):
        return any(fits(value, each) for each in typing.get_args(hint))
    if origin is typing.Literal:
        return value in typing.get_args(hint)
    kind = types.NoneType if hint is None else origin or hint
    if kind is float:
        return isinstance(value, numbers.Real)
    if kind is int:
        return isinstance(value, numbers.Integral)
    try:
        return isinstance(value, kind)
    except TypeError:  # Any, a type variable, a protocol
        return True


@functools.cache
def _hints(function: Callable[..., Any], loaded: frozenset[str]) -> Mapping[str, Any]:
    """The annotations that can be looked up now, with the modules that are ``loaded``."""
    found = {}
    modules = {name: sys.modules[name] for name in loaded}
    inner = inspect.unwrap(function)
    for name, annotation in inner.__annotations__.items():
        alone = types.SimpleNamespace(__annotations__={name: annotation})
        try:
            found.update(typing.get_type_hints(alone, inner.__globals__, modules))
        except NameError:  # imported for type checkers only
            continue
    return found


def _unbound(
    name: str,
    signature: inspect.Signature,
    method: bool,
    kwargs: Mapping[str, object],
    error: TypeError,
) -> str:
    """What is wrong with the names or the number of the arguments, and what there is."""
    known = list(signature.parameters)[1 if method else 0 :]
    takes = f"{name} takes {', '.join(known)}" if known else f"{name} takes no argument"
    for unknown in kwargs:
        if unknown not in known:
            close = difflib.get_close_matches(unknown, known, n=1)
            hint = f"did you mean {close[0]}?" if close else takes
            return f"{name} has no argument {unknown}: {hint}"
    return f"{name}: {error}; {takes}"


def _short(value: object) -> str:
    text = repr(value)
    return text if len(text) <= 60 else f"{text[:59]}…"
