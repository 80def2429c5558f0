"""What was measured, as a table for people and as JSON for programs."""

from __future__ import annotations

import json
from collections.abc import Sequence
from dataclasses import asdict, dataclass
from pathlib import Path
from statistics import median, quantiles


@dataclass(frozen=True)
class Measure:
    """One comparison on one host, or a figure that stands alone.

    Attributes:
        host: The test host.
        name: What was measured.
        unit: Of ``ours`` and ``stock``.
        ours: Median of our side.
        stock: Median of what it is compared with: the stock websockify, unless ``name`` says; None
            if there is nothing to compare with.
        n: Number of samples of each side.
        goal: The largest ratio that is good enough; None where it is only to be known.
        limit: The same of our side by itself, in its unit.
        spread: The quartiles of the ratios of samples taken side by side, if there are enough.
    """

    host: str
    name: str
    unit: str
    ours: float
    stock: float | None
    n: int
    goal: float | None
    limit: float | None = None
    spread: tuple[float, float] | None = None

    @property
    def ratio(self) -> float | None:
        """Ours as a part of the other's; below 1 is better. None where there is no other's."""
        return self.ours / self.stock if self.stock else None

    @property
    def met(self) -> bool | None:
        """Whether it is as good as its goals; None without one."""
        verdicts = []
        if self.goal is not None and self.ratio is not None:
            verdicts.append(self.ratio <= self.goal)
        if self.limit is not None:
            verdicts.append(self.ours <= self.limit)
        return all(verdicts) if verdicts else None

    def as_dict(self) -> dict[str, object]:
        """Return everything as JSON types, rounded to what may mean something."""
        numbers = {"ours": self.ours, "stock": self.stock, "ratio": self.ratio}
        rounded = {
            key: None if number is None else round(number, 3) for key, number in numbers.items()
        }
        spread = self.spread and [round(ratio, 3) for ratio in self.spread]
        return asdict(self) | rounded | {"spread": spread, "met": self.met}

    def row(self) -> list[str]:
        """Return its cells of the table."""
        verdict = {True: "met", False: "MISSED", None: ""}[self.met]
        other = "" if self.stock is None else f"{self.stock:.4g}"
        ratio = "" if self.ratio is None else f"{self.ratio:.2f}"
        spread = "" if self.spread is None else "{:.2f}-{:.2f}".format(*self.spread)
        goals = [] if self.goal is None else [f"<= {self.goal:.3g}"]
        goals += [] if self.limit is None else [f"<= {self.limit:.4g} {self.unit}"]
        numbers = [f"{self.ours:.4g}", other, self.unit, ratio, spread]
        return [self.host, self.name, *numbers, ", ".join(goals), str(self.n), verdict]


def compared(
    host: str,
    name: str,
    unit: str,
    sides: tuple[Sequence[float], Sequence[float]],
    goal: float | None,
    *,
    limit: float | None = None,
) -> Measure:
    """Return the measure of two sides' samples, ours first, each beside the other's."""
    ours, stock = sides
    spread = None
    if len(ours) >= 4 and all(stock):
        low, _, high = quantiles([a / b for a, b in zip(ours, stock, strict=True)], n=4)
        spread = (low, high)
    return Measure(host, name, unit, median(ours), median(stock), len(ours), goal, limit, spread)


def alone(
    host: str, name: str, unit: str, samples: Sequence[float], limit: float | None
) -> Measure:
    """Return the measure of samples that are compared with nothing but a limit."""
    return Measure(host, name, unit, median(samples), None, len(samples), None, limit)


def table(measures: Sequence[Measure]) -> str:
    """Return the measures as aligned text, with a last line that sums up the goals."""
    head = ["host", "measure", "ours", "other", "", "ratio", "quartiles", "goal", "n", ""]
    rows = [head, *(measure.row() for measure in measures)]
    widths = [max(map(len, column)) for column in zip(*rows, strict=True)]
    right = {2, 3, 5, 8}
    lines = [
        "  ".join(
            text.rjust(width) if i in right else text.ljust(width)
            for i, (text, width) in enumerate(zip(row, widths, strict=True))
        ).rstrip()
        for row in rows
    ]
    verdicts = [m.met for m in measures]
    lines.append(f"goals: {verdicts.count(True)} met, {verdicts.count(False)} missed")
    return "\n".join(lines)


def write(measures: Sequence[Measure], versions: dict[str, str], path: Path) -> None:
    """Write the measures, and what they were measured on, as JSON."""
    path.parent.mkdir(parents=True, exist_ok=True)
    content = {"versions": versions, "measures": [m.as_dict() for m in measures]}
    path.write_text(json.dumps(content, indent=2) + "\n")
