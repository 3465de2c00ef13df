"""How peers name what we name otherwise, and the errors that say so: a newcomer's first words are in another dialect.

`NAMES` and `METHODS` are for things looked up in a module or an object of ours, `ARGUMENTS` for what
constructors are given. Only an error ever reads them.
"""

from __future__ import annotations

import difflib
import dis
import inspect
import sys
from collections.abc import Callable, Iterable
from functools import cache, wraps
from types import FrameType
from typing import Any

from kedja.elsewhere.arguments import ARGUMENTS
from kedja.elsewhere.names import METHODS, NAMES

__all__ = ["ARGUMENTS", "METHODS", "NAMES", "Answering", "missing", "refused", "signature_of", "takes_only"]


def missing(
    module: str, name: str, ours: Iterable[str], answer: str | None = None
) -> AttributeError | ImportError:  # fmt: skip
    """The error for a name that a module of ours does not have: what we call it, else the nearest there is.

    An ImportError for the line `from kedja.nn import Linear`, where Python would drop the words of an AttributeError.

    >>> str(missing("kedja.nn", "Linear", []))
    "kedja.nn has no 'Linear': kedja spells it Dense(units); the width of the input is found at the first call"
    >>> str(missing("kedja.nn", "Dens", ["Dense", "Dot"]))
    "kedja.nn has no 'Dens'. Did you mean 'Dense'?"
    """
    text = f"{module} has no {name!r}"
    if name.startswith("_"):
        return AttributeError(text)
    answer = answer or NAMES.get(module, {}).get(name)
    if answer is None and module == "kedja":  # asked for at the top, said in the room it would be in
        rooms = (room for room in NAMES if name in NAMES[room])
        answer = next((f"in kj.{room.rpartition('.')[2]}: {NAMES[room][name]}" for room in rooms), None)
    if answer is None:
        same = {known.lower(): known for known in ours}
        near = difflib.get_close_matches(name.lower(), same, 1, 0.7)
        text += f". Did you mean {same[near[0]]!r}?" if near else ""
    else:
        text += f": {answer}"
    return ImportError(text) if _importing(sys._getframe(2)) else AttributeError(text)


def _importing(frame: FrameType) -> bool:
    """Whether what this frame is just doing is `from … import …`."""
    return frame.f_lasti >= 0 and frame.f_code.co_code[frame.f_lasti] == dis.opmap["IMPORT_FROM"]


def refused(cls: type, given: Iterable[str], error: TypeError) -> TypeError:
    """The error for arguments that a class does not take: our spelling of a peer's, else the names there are."""
    names: list[str] = []
    for base in cls.__mro__:  # where a class hands **options on, those of the next one count too
        if "__init__" not in vars(base) or base is object:
            continue
        parameters = list(inspect.signature(vars(base)["__init__"]).parameters.values())[1:]
        names += [p.name for p in parameters if p.kind not in (p.VAR_KEYWORD, p.VAR_POSITIONAL) and p.name not in names]
        if not any(p.kind is p.VAR_KEYWORD for p in parameters):
            break
    unknown = [name for name in given if name not in names]
    takes = f"it takes {', '.join(names)}" if names else "it takes none"
    if not unknown:
        return TypeError(f"{cls.__name__}: {error}; {takes}")
    answer = ARGUMENTS.get(f"{cls.__name__}.{unknown[0]}") or ARGUMENTS.get(unknown[0])
    if answer is None:
        near = difflib.get_close_matches(unknown[0], names, 1)
        answer = f"did you mean {near[0]!r}? {takes[0].upper()}{takes[1:]}" if near else takes
    return TypeError(f"{cls.__name__} has no argument {unknown[0]!r}: {answer}")


@cache
def signature_of(function: Callable[..., Any]) -> inspect.Signature:
    """How a function is called: looked up at its first call, not for the hundreds of classes nobody has asked for."""
    return inspect.signature(function)


class Answering:
    """A class whose constructors, and those of the classes made from it, answer a wrong argument in our words.

    >>> class Loss(Answering):
    ...     def __init__(self, delta=1.0):
    ...         self.delta = delta
    >>> Loss(ignore_index=-1)
    Traceback (most recent call last):
    TypeError: Loss has no argument 'ignore_index': give those rows the weight 0: ...
    """

    def __init_subclass__(cls, **kwargs: Any) -> None:
        super().__init_subclass__(**kwargs)
        if "__init__" in vars(cls):
            cls.__init__ = _answering(cls.__init__)  # type: ignore[method-assign]


def takes_only(function: Callable[..., Any]) -> Callable[..., Any]:
    """The function, answering an argument it does not take with those it does; it is called by its public name."""

    @wraps(function)
    def answered(*args: Any, **kwargs: Any) -> Any:
        parameters = signature_of(function).parameters
        for name in kwargs:
            if name not in parameters:
                names = list(parameters)[1:]
                hint = METHODS.get(name, f"it takes {', '.join(names)}")
                raise TypeError(f"{function.__name__.strip('_')}() has no argument {name!r}: {hint}")
        return function(*args, **kwargs)

    return answered


def _answering(init: Callable[..., None]) -> Callable[..., None]:

    @wraps(init)
    def answered(self: Any, *args: Any, **kwargs: Any) -> None:
        try:
            signature_of(init).bind(self, *args, **kwargs)
        except TypeError as error:
            raise refused(type(self), kwargs, error) from None
        init(self, *args, **kwargs)

    return answered
