"""How an explanation is written: blocks of a page, and pages as text, Markdown, LaTeX, HTML with MathML and data."""
