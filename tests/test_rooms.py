"""Loading: names of lazy rooms are tried where these rooms are; here how a large package is loaded."""

import gc
import weakref

import pytest

from kedja.rooms import loading


@pytest.fixture(autouse=True)
def collector():
    """The collector as it was, whatever a test does with it."""
    yield
    gc.unfreeze()
    gc.enable()


class Ring:
    """Something that only the collector can free."""

    def __init__(self):
        self.itself = self


def test_the_collector_waits_inside_and_goes_on_after():
    """Also after an error; and what somebody else has switched off stays off."""
    with pytest.raises(KeyError), loading():
        assert not gc.isenabled()
        raise KeyError
    assert gc.isenabled()
    gc.disable()
    with loading():
        pass
    assert not gc.isenabled()


def test_what_came_is_old_and_can_still_be_freed():
    """The youngest generation does not hold it; a whole collection frees it when nobody holds it any more."""
    with loading():
        ring = Ring()
    assert not any(x is ring for x in gc.get_objects(0))
    gone = weakref.ref(ring)
    del ring
    gc.collect()
    assert gone() is None


def test_garbage_from_before_does_not_grow_old():
    """What could be freed before the package came is freed."""
    gone = weakref.ref(Ring())
    with loading():
        assert gone() is None


def test_what_was_frozen_stays_frozen():
    """A server that froze its objects before it forked still has them frozen."""
    gc.freeze()
    frozen = gc.get_freeze_count()
    with loading():
        pass
    assert gc.get_freeze_count() > frozen / 2 > 0
