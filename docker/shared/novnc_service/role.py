# Copyright: novnc-fleet contributors
# Apache License 2.0 (see LICENSE)
"""A role's own files, read by a container: one file of the role's keys comes to what it does.

The defaults, the variables, the templates and the refusals are the role's; nothing of them is
written a second time.
"""

from __future__ import annotations

import difflib
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import yaml
from jinja2 import TemplateError
from novnc_image.environment import WrittenError

from novnc_service.templating import Variables

ROLES = Path("/usr/local/share/novnc-fleet/roles")
"""Where the image has them."""
_TYPES: dict[str, tuple[type, ...]] = {
    "str": (str,),
    "path": (str,),
    "int": (int,),
    "bool": (bool,),
    "list": (list,),
    "dict": (dict,),
}
_OF_ANY_ROLE = {"inventory_hostname": "str"}
"""Types of what an inventory says of every host."""
_UNFIT = (
    TemplateError,
    OSError,
    ValueError,
    TypeError,
    LookupError,
    ArithmeticError,
    AttributeError,
    RecursionError,
)
"""What values may lead to that nobody has thought of."""


class Role:
    """One role of this collection."""

    def __init__(self, name: str) -> None:
        """Know a role by its short name."""
        self.name = name
        self._path = ROLES / name

    def variables(self, written: Mapping[str, Any], known: Mapping[str, Any]) -> Variables:
        """Return the role's variables, with what is written, and what is known beside that."""
        layers = [self._read("defaults/main.yml"), self._read("vars/main.yml")]
        return Variables({**known, **written}, *layers)

    def check_keys(self, path: str, written: Mapping[str, Any], more: frozenset[str]) -> None:
        """Refuse keys that the role does not have, and values of another type.

        Args:
            path: The file, for messages.
            written: What stands in it.
            more: Keys beside the role's own.

        Raises:
            WrittenError: The first of them.
        """
        options = self._read("meta/argument_specs.yml")["argument_specs"]["main"]["options"]
        for key, value in written.items():
            if key in more and key not in _OF_ANY_ROLE:
                continue
            if key not in options and key not in more:
                near = difflib.get_close_matches(str(key), [*options, *more], n=1)
                hint = f"; did you mean {near[0]}?" if near else ""
                raise WrittenError(f"{path} has the unknown key {key!r}{hint}")
            kind = _OF_ANY_ROLE.get(key) or options[key]["type"]
            if not _is(value, kind):
                raise WrittenError(f"{path}: {key} is {value!r}, which is no {kind}")
            kind = options.get(key, {}).get("elements", "")
            for one in value if kind else ():
                if not _is(one, kind):
                    raise WrittenError(f"{path}: {key} has {one!r}, which is no {kind}")

    def refuse(self, path: str, tasks: str, variables: Variables) -> None:
        """Refuse what the role's assertions refuse. Raises WrittenError."""
        for task in self._read(f"tasks/{tasks}.yml"):
            checked = task["ansible.builtin.assert"]
            known = variables.with_more(task.get("vars", {}))
            conditions = checked["that"]
            for condition in [conditions] if isinstance(conditions, str) else conditions:
                if not known.expression(condition):
                    raise WrittenError(f"{path}: {known.evaluate(checked['fail_msg'])}")

    def template(self, name: str, variables: Variables) -> str:
        """Return what one of the role's templates comes to."""
        return variables.render((self._path / "templates" / name).read_text(encoding="utf-8"))

    def _read(self, file: str) -> Any:
        return yaml.safe_load((self._path / file).read_text(encoding="utf-8"))


def read_written(path: str) -> dict[str, Any]:
    """Return what stands in the one mounted file. Raises WrittenError."""
    try:
        with open(path, encoding="utf-8") as file:
            found = yaml.safe_load(file)
    except OSError as error:
        raise WrittenError(
            f"{path} cannot be read: {error.strerror}; mount the file with the role's keys there"
        ) from None
    except (yaml.YAMLError, ValueError, RecursionError) as error:
        # ValueError: such as 2024-02-30, which has the form of a date.
        raise WrittenError(f"{path} is no YAML: {' '.join(str(error).split())}") from None
    if not isinstance(found, dict):
        raise WrittenError(f"{path} is no mapping of the role's keys to values")
    return found


@contextmanager
def used(path: str) -> Iterator[None]:
    """Say in a sentence what cannot be made of a file. Raises WrittenError."""
    try:
        yield
    except _UNFIT as error:
        reason = " ".join(str(error).split()) or "no reason is known"
        kind = "" if isinstance(error, TemplateError) else f"{type(error).__name__}: "
        raise WrittenError(f"{path} cannot be used: {kind}{reason}") from None


def _is(value: object, kind: str) -> bool:
    # YAML's true is Python's 1.
    return isinstance(value, _TYPES[kind]) and not (kind == "int" and isinstance(value, bool))
