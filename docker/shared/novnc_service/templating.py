# Copyright: novnc-fleet contributors
# Apache License 2.0 (see LICENSE)
"""Jinja as the roles use it, without Ansible.

Variables are templates of other variables, looked up when they are needed; what is one expression
alone keeps its type, and the rest is text. The few filters and tests of Ansible's that the roles'
variables and templates use are here, each as Ansible has it; a test compares what both make.
"""

from __future__ import annotations

import base64
import functools
import re
from collections.abc import Callable, Iterable, Iterator, Mapping
from typing import Any

from ansible_collections.novnc.fleet.plugins.module_utils.gateway import (
    accounts,
    endpoints,
    faults,
    script_hashes,
)
from jinja2 import Environment, StrictUndefined, nodes
from jinja2.runtime import Context

_EXPRESSION = re.compile(r"\s*\{\{(.*)\}\}\s*\Z", re.DOTALL)
_EXPRESSIONS = re.compile(r"\{\{.*?\}\}", re.DOTALL)
_TEMPLATE = re.compile(r"\{\{|\{%")


def _flatten(value: Iterable[Any]) -> list[Any]:
    found: list[Any] = []
    for one in value:
        found += _flatten(one) if _is_many(one) else [one]
    return found


def _is_many(value: object) -> bool:
    return isinstance(value, Iterable) and not isinstance(value, (str, bytes, Mapping))


def _version(value: str, other: str, operator: str) -> bool:
    left, right = ([int(one) for one in re.findall(r"[0-9]+", text)] for text in (value, other))
    if operator != ">=":
        raise NotImplementedError(f"no role compares versions by {operator!r}")
    return left >= right


FILTERS = {
    "b64decode": lambda value: base64.b64decode(value).decode(),
    "flatten": _flatten,
    "regex_escape": re.escape,
    "regex_replace": lambda value, pattern, replacement: re.sub(pattern, replacement, str(value)),
    "unique": lambda value: list(dict.fromkeys(value)),
    "zip": zip,
    "novnc.fleet.endpoints": endpoints,
    "novnc.fleet.gateway_accounts": accounts,
    "novnc.fleet.gateway_faults": faults,
    "novnc.fleet.script_hashes": script_hashes,
}
TESTS = {
    "match": lambda value, pattern: re.match(pattern, value) is not None,
    "version": _version,
}


def _literal(expression: str) -> str:
    """Return an expression of a variable, in which backslashes are just that."""
    return expression.replace("\\", "\\\\")


def _listed(function: Callable[..., Any]) -> Callable[..., Any]:
    """Return a filter that makes lists where it would make generators, as Ansible has it."""

    @functools.wraps(function)
    def made(*args: Any, **options: Any) -> Any:
        found = function(*args, **options)
        return list(found) if isinstance(found, Iterator) else found

    return made


class Variables:
    """Variables by their name, of which later layers hide earlier ones."""

    def __init__(self, literal: Mapping[str, Any], *templates: Mapping[str, Any]) -> None:
        """Know variables; ``literal`` ones hide all others and are no templates."""
        self._literal = dict(literal)
        self._templates = {name: one for layer in templates for name, one in layer.items()}
        self._environment = Environment(  # noqa: S701 (settings, no pages)
            undefined=StrictUndefined, trim_blocks=True, keep_trailing_newline=True
        )
        filters = {**self._environment.filters, **FILTERS}
        self._environment.filters = {name: _listed(one) for name, one in filters.items()}
        self._environment.tests.update(TESTS)
        self._environment.context_class = _context_class(self)

    def __contains__(self, name: str) -> bool:
        return name in self._literal or name in self._templates

    def __getitem__(self, name: str) -> Any:
        if name not in self._literal:
            self._literal[name] = self.evaluate(self._templates[name])
        return self._literal[name]

    def with_more(self, templates: Mapping[str, Any]) -> Variables:
        """Return these variables and some more, as a task has them."""
        return Variables(self._literal, self._templates, templates)

    def evaluate(self, value: Any) -> Any:
        """Return a value without templates. Raises jinja2.TemplateError."""
        if isinstance(value, Mapping):
            return {name: self.evaluate(one) for name, one in value.items()}
        if isinstance(value, list):
            return [self.evaluate(one) for one in value]
        if not isinstance(value, str) or not _TEMPLATE.search(value):
            return value
        expression = _EXPRESSION.match(value)
        if expression and self._is_one_expression(value):
            return self.expression(expression[1])
        return self.render(_EXPRESSIONS.sub(lambda found: _literal(found[0]), value))

    def expression(self, text: str) -> Any:
        """Return what an expression comes to. Raises jinja2.TemplateError."""
        return self._environment.compile_expression(_literal(text), undefined_to_none=False)()

    def render(self, text: str) -> str:
        """Return a template's text. Raises jinja2.TemplateError."""
        return self._environment.from_string(text).render()

    def _is_one_expression(self, text: str) -> bool:
        body = self._environment.parse(text.strip()).body
        return (
            len(body) == 1
            and isinstance(body[0], nodes.Output)
            and len(body[0].nodes) == 1
            and not isinstance(body[0].nodes[0], nodes.TemplateData)
        )


def _context_class(variables: Variables) -> type[Context]:
    class Lazy(Context):
        """Looks up variables that the template does not make itself."""

        def resolve_or_missing(self, key: str) -> Any:
            if key not in self.vars and key in variables:
                return variables[key]
            return super().resolve_or_missing(key)

    return Lazy
