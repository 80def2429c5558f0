"""Keep what Python makes of sources in zip files, as it does for other sources by itself.

Ansible sends each module with all that it imports as one zip file, which a host compiles anew each
time: half of what a module costs it. Test hosts run thousands of modules, so they keep what that
came to, by the source. ``compiled.pth`` has every Python import this; it is for root's alone, who
makes the directory at boot.
"""

from __future__ import annotations

# Every Python of the host begins with this, so nothing is imported that is not there already.
import _imp
import marshal
import os
import sys
import zipimport

TYPE_CHECKING = False
if TYPE_CHECKING:
    from types import CodeType

KEPT = "/run/test-host-compiled"
_compile = zipimport._compile_source  # type: ignore[attr-defined]


def compiled(path: str, source: bytes) -> CodeType:
    """Return the code of a source within a zip file, compiled now or before."""
    kept = f"{KEPT}/{_imp.source_hash(0, source).hex()}.{sys.implementation.cache_tag}"
    code: CodeType
    try:
        with open(kept, "rb") as file:
            code = marshal.load(file)  # noqa: S302 (root's own directory)
    except (OSError, EOFError, ValueError):
        code = _compile(path, source)
        own = f"{kept}.{os.getpid()}"
        try:
            with open(own, "wb") as file:
                marshal.dump(code, file)
            os.replace(own, kept)
        except OSError:
            pass  # It will be compiled again.
    _imp._fix_co_filename(code, path)  # type: ignore[attr-defined]
    return code


if os.geteuid() == 0 and os.path.isdir(KEPT):
    zipimport._compile_source = compiled  # type: ignore[attr-defined]
