"""Compares the project's consoles with plain websockify; `__main__` says how."""
