"""What mkdocs runs while it builds: the pages of the catalogue are made from the code and never written to disk."""

from __future__ import annotations

import sys
from pathlib import Path
from typing import Any

from mkdocs.structure.files import File

ROOT = Path(__file__).parents[1]


def on_files(files: Any, config: Any) -> Any:
    """Add the pages of the catalogue."""
    if str(ROOT) not in sys.path:
        sys.path.insert(0, str(ROOT))
    from docs.catalogue.pages import pages

    for name, text in pages().items():
        files.append(File.generated(config, f"catalogue/{name}", content=text))
    return files
