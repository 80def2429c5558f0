"""What was measured, as a table for people and as JSON for programs."""

from __future__ import annotations

import json
from collections.abc import Sequence
from dataclasses import asdict, dataclass
from pathlib import Path
from statistics import median


@dataclass(frozen=True)
class Measure:
    """One comparison on one host.

    Attributes:
        host: The test host.
        name: What was measured.
        unit: Of ``ours`` and ``stock``.
        ours: Median of our side.
        stock: Median of what it is compared with: the stock websockify, unless ``name`` says.
        n: Number of samples of each side.
        goal: The largest ratio that is good enough; None where it is only to be known.
    """

    host: str
    name: str
    unit: str
    ours: float
    stock: float
    n: int
    goal: float | None

    @property
    def ratio(self) -> float:
        """Ours as a part of the other's; below 1 is better."""
        return self.ours / self.stock

    @property
    def met(self) -> bool | None:
        """Whether the ratio is as good as its goal; None without one."""
        return None if self.goal is None else self.ratio <= self.goal

    def as_dict(self) -> dict[str, object]:
        """Return everything as JSON types, rounded to what may mean something."""
        numbers = {key: round(getattr(self, key), 3) for key in ("ours", "stock", "ratio")}
        return asdict(self) | numbers | {"met": self.met}


def compared(
    host: str,
    name: str,
    unit: str,
    sides: tuple[Sequence[float], Sequence[float]],
    goal: float | None,
) -> Measure:
    """Return the measure of two sides' samples, ours first."""
    ours, stock = sides
    return Measure(host, name, unit, median(ours), median(stock), len(ours), goal)


def table(measures: Sequence[Measure]) -> str:
    """Return the measures as aligned text, with a last line that sums up the goals."""
    rows = [["host", "measure", "ours", "other", "", "ratio", "goal", "n", ""]]
    for m in measures:
        verdict = {True: "met", False: "MISSED", None: ""}[m.met]
        numbers = [f"{value:.4g}" for value in (m.ours, m.stock)]
        goal = "" if m.goal is None else f"<= {m.goal:.3g}"
        ratios = [f"{m.ratio:.2f}", goal, str(m.n)]
        rows.append([m.host, m.name, *numbers, m.unit, *ratios, verdict])
    widths = [max(map(len, column)) for column in zip(*rows, strict=True)]
    right = {2, 3, 5, 7}
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
