"""The child's end of a conversation: a line of JSON for each answer, and nothing else on stdout."""

from __future__ import annotations

import importlib.util
import json
import os
from collections.abc import Iterable
from typing import Any

__all__ = ["Answers"]


class Answers:
    """Keeps stdout for answers and sends whatever libraries print to stderr, C code's output too."""

    def __init__(self) -> None:
        self._private = os.fdopen(os.dup(1), "w", encoding="utf-8")
        os.dup2(2, 1)

    def say(self, answer: dict[str, Any]) -> None:
        """One answer."""
        self._private.write(json.dumps(answer) + "\n")
        self._private.flush()

    def misses(self, packages: Iterable[str]) -> bool:
        """Whether one of these packages is not installed; if so that is the answer."""
        for package in packages:
            if importlib.util.find_spec(package) is None:
                self.say({"missing": f"needs {package}"})
                return True
        return False
