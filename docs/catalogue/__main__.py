"""Write the pages of the catalogue into a folder, without mkdocs: python -m docs.catalogue [folder]."""

import sys
from pathlib import Path

from .pages import pages


def main(folder: Path) -> None:
    """All pages, as Markdown."""
    folder.mkdir(parents=True, exist_ok=True)
    for name, text in pages().items():
        (folder / name).write_text(text, encoding="utf-8")


if __name__ == "__main__":
    main(Path(sys.argv[1]) if len(sys.argv) > 1 else Path("build/catalogue"))
