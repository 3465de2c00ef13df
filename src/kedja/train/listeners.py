"""The callbacks of a run: who is told of what and when, and who raised an error."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from typing import TYPE_CHECKING, Any

from kedja.errors import DataError
from kedja.train.callbacks.cadence import Cadence, cadence
from kedja.train.callbacks.callback import Callback

if TYPE_CHECKING:
    from pathlib import Path

    from kedja.train.run import Run

__all__ = ["Listeners", "as_callbacks"]

EACH_EPOCH = Cadence(1, "epoch")


def as_callbacks(callbacks: Any) -> list[Callback]:
    """The callbacks, each an object; one alone is taken too."""
    several = callbacks is None or isinstance(callbacks, list | tuple)
    found = list(callbacks or ()) if several else [callbacks]
    written: dict[Path, str] = {}
    for hook in found:
        if not isinstance(hook, Callback):
            hint = " Write it with brackets." if isinstance(hook, type) else ""
            hint = hint or (" A function is told with kj.callbacks.Log(function)." if callable(hook) else "")
            raise DataError(f"callbacks are objects made from kj.callbacks.Callback, got {hook!r}.{hint}")
        name = type(hook).__name__
        if sum(other is hook for other in found) > 1:
            raise DataError(f"callbacks: the same {name} is there twice, and would count everything twice.")
        cadence(hook.every, name)
        if hook.writes is not None:
            from pathlib import Path

            place = Path(hook.writes).resolve()
            if place in written:
                raise DataError(
                    f"two callbacks write {hook.writes}: {written[place]} and {name}. Give each its own place."
                )
            written[place] = name
    return found


class Listeners:
    """The callbacks in the order they are told: as given, those that want to come `after_others` at the end."""

    def __init__(self, callbacks: Sequence[Callback]) -> None:
        self.all = sorted(callbacks, key=lambda one: one.after_others)
        self.begun: list[Callback] = []
        self.epochs: list[tuple[int, Callback]] = []  # how often, who
        self.steps: list[tuple[int, Callback]] = []
        self.writers = [one for one in self.all if defines(one, "between")]
        self.measures = any(defines(one, "measure") for one in self.all)

    def __bool__(self) -> bool:
        return any(one not in self.writers for _, one in (*self.epochs, *self.steps))  # anybody who may change the run

    def begin(self, run: Run) -> None:
        """Tell of the beginning, and note who wants to be told when."""
        for one in self.all:
            self.call(run, one, "before_fit")
            self.begun.append(one)
        for one in self.all:
            every = cadence(one.every, type(one).__name__)
            if every.unit == "step" and defines(one, "after_step"):
                self.steps.append((every.count, one))
            if defines(one, "after_epoch") or defines(one, "measure"):
                self.epochs.append((every.count if every.unit == "epoch" else 1, one))

    def marks(self, steps_per_epoch: int, hindsight: bool) -> list[int]:
        """After every how many steps a chunk must end; with `hindsight`, not for those that may be told later."""
        late = [count * steps_per_epoch for count, one in self.epochs if not (hindsight and looks_back(one))]
        return sorted({*(count for count, _ in self.steps), *late})

    def due(self, first: int, last: int) -> Iterable[int]:
        """Numbers of epochs from `first` to `last` that somebody is told of."""
        periods = {count for count, _ in self.epochs}
        if 1 in periods:
            return range(first, last + 1)
        return sorted({e for p in periods for e in range(-(-first // p) * p, last + 1, p)})

    def of_epoch(self, epoch: int) -> list[Callback]:
        """Who is told of this epoch."""
        return [one for count, one in self.epochs if epoch % count == 0]

    def of_step(self, step: int) -> list[Callback]:
        """Who is told of this step."""
        return [one for count, one in self.steps if step % count == 0]

    def measured(self, run: Run, epoch: int) -> dict[str, float]:
        """The figures callbacks add to those of an epoch."""
        found: dict[str, float] = {}
        for one in self.of_epoch(epoch):
            if defines(one, "measure"):
                found.update({str(k): float(v) for k, v in (self.call(run, one, "measure", epoch) or {}).items()})
        return found

    def call(self, run: Run, one: Callback, event: str, *told: Any) -> Any:
        """One event for one callback; an error says whose and when."""
        run.event = event
        try:
            return getattr(one, event)(run, *told)
        except BaseException as error:
            when = f" of {event.removeprefix('after_')} {told[0]}" if event in ("after_step", "after_epoch") else ""
            where = f"{type(one).__name__}.{event}{when}"
            error.add_note(f"It arose in the callback {where}. What was learned until then is kept.")
            if run.history.stopped in ("", run.UNTOLD):
                run.history.stopped = f"{where} raised {type(error).__name__}: {error}"
            raise
        finally:
            run.event = ""

    def tell(self, run: Run, event: str, who: Sequence[Callback], number: int, figures: Mapping[str, float]) -> None:
        """One event for several."""
        for one in who:
            self.call(run, one, event, number, dict(figures))

    def end(self, run: Run, error: BaseException | None) -> None:
        """Tell of the end those who were told of the beginning: an error of one does not keep it from the others."""
        first = error
        for one in self.begun:
            try:
                self.call(run, one, "after_fit")
            except Exception as later:
                if first is None:
                    first = later
                else:
                    first.add_note(f"After it {type(one).__name__}.after_fit raised {type(later).__name__}: {later}")
        if first is not None and first is not error:
            raise first


def defines(one: Callback, event: str) -> bool:
    """Whether the callback has this event, other than the base's, which does nothing."""
    return getattr(getattr(one, event), "__func__", None) is not getattr(Callback, event)


def looks_back(one: Callback) -> bool:
    """Whether it may be told of epochs later: it says so, and whoever says so wrote (or knew) its `after_epoch`."""
    if not one.hindsight or "after_epoch" in vars(one) or defines(one, "measure"):
        return False
    order = type(one).__mro__
    said = next(i for i, kind in enumerate(order) if "hindsight" in vars(kind))
    written = next(i for i, kind in enumerate(order) if "after_epoch" in vars(kind))
    return said <= written
