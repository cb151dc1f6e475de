"""How it looks: the block graph as DOT, SVG, PNG, PDF. Never imports torch."""
