"""`wandb.plot`: charts as what they are made of: a table that is kept, and how it was meant to be drawn.

Nothing is drawn here. A chart in a row becomes {"_type": "chart", "kind", "title", "fields", "table"}, whose table
is a file of the run; `fields` says which column is what.
"""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from itertools import accumulate
from typing import Any

from respool import notices
from respool.compat import absent
from respool.media import Table
from respool.media.shelf import Shelf

_POINTS = 1000


class CustomChart:
    """A table and how it is meant: pass it to log()."""

    def __init__(self, kind: str, table: Table, fields: dict[str, Any], title: str = "") -> None:
        self.kind = kind
        self.table = table
        self.fields = fields
        self.title = title

    def respool_reference(self, shelf: Shelf, key: str) -> dict[str, Any]:
        """Keep the table; the dict that stands for the chart in the row."""
        found = {"_type": "chart", "kind": self.kind, "title": self.title, "fields": self.fields}
        return {**found, "table": self.table.respool_reference(shelf, key)}


def line(table: Table, x: str, y: str, stroke: str | None = None, title: str = "", **_: Any) -> CustomChart:
    """`y` over `x`, one line per value of `stroke`."""
    return CustomChart("line", table, {"x": x, "y": y, **({"stroke": stroke} if stroke else {})}, title)


def scatter(table: Table, x: str, y: str, title: str = "", **_: Any) -> CustomChart:
    """A point per row."""
    return CustomChart("scatter", table, {"x": x, "y": y}, title)


def bar(table: Table, label: str, value: str, title: str = "", **_: Any) -> CustomChart:
    """A bar per row."""
    return CustomChart("bar", table, {"label": label, "value": value}, title)


def histogram(table: Table, value: str, title: str = "", **_: Any) -> CustomChart:
    """How often each value of a column comes."""
    return CustomChart("histogram", table, {"value": value}, title)


def line_series(
    xs: Any,
    ys: Iterable[Iterable[Any]],
    keys: Iterable[str] | None = None,
    title: str = "",
    xname: str = "x",
    **_: Any,
) -> CustomChart:
    """Several lines, over one `xs` or one each."""
    lines = [list(one) for one in ys]
    over = [list(one) if isinstance(one, (list, tuple)) else one for one in xs]
    each = over if over and isinstance(over[0], list) else [over] * len(lines)
    names = list(keys) if keys is not None else [f"key_{at}" for at in range(len(lines))]
    rows = [
        [x, name, y]
        for one, own, name in zip(lines, each, names, strict=False)
        for x, y in zip(own, one, strict=False)
    ]
    fields = {"x": "step", "y": "lineVal", "stroke": "lineKey", "xname": xname}
    return CustomChart("line", Table(["step", "lineKey", "lineVal"], rows), fields, title)


def plot_table(
    vega_spec_name: str, data_table: Table, fields: dict[str, Any], string_fields: Any = None, **_: Any
) -> CustomChart:
    """A chart of the script's own kind."""
    return CustomChart(vega_spec_name, data_table, {**fields, **(string_fields or {})})


def confusion_matrix(
    probs: Any = None,
    y_true: Any = None,
    preds: Any = None,
    class_names: Sequence[str] | None = None,
    title: str = "Confusion Matrix Curve",
    **_: Any,
) -> CustomChart:
    """How often each class was taken for each: from predicted classes, or from probabilities per class."""
    actual = _listed(y_true)
    found = _listed(preds) if preds is not None else [_largest(_listed(row)) for row in _listed(probs)]
    names = list(class_names) if class_names is not None else []
    classes = list(range(len(names))) if names else sorted({*actual, *found}, key=str)
    labels = names or [f"Class_{one}" for one in classes]
    count: dict[tuple[Any, Any], int] = {}
    for pair in zip(actual, found, strict=False):
        count[pair] = count.get(pair, 0) + 1
    rows = [
        [labels[i], labels[j], count.get((one, other), 0)]
        for i, one in enumerate(classes)
        for j, other in enumerate(classes)
    ]
    fields = {"Actual": "Actual", "Predicted": "Predicted", "nPredictions": "nPredictions"}
    return CustomChart(
        "confusion_matrix", Table(["Actual", "Predicted", "nPredictions"], rows), fields, title
    )


def roc_curve(
    y_true: Any = None, y_probas: Any = None, labels: Any = None, classes_to_plot: Any = None,
    title: str = "ROC Curve", **_: Any
) -> CustomChart:  # fmt: skip
    """True over false positive rate of each class, at up to a thousand thresholds."""
    rows = [
        [name, round(false / max(negatives, 1), 4), round(true / max(positives, 1), 4)]
        for name, hits in _per_class(y_true, y_probas, labels, classes_to_plot)
        for positives, negatives in [(_positives(hits), len(hits) - _positives(hits))]
        for true, false in [(0, 0), *_running(hits)]
    ]
    return CustomChart(
        "roc", Table(["class", "fpr", "tpr"], rows), {"x": "fpr", "y": "tpr", "stroke": "class"}, title
    )


def pr_curve(
    y_true: Any = None, y_probas: Any = None, labels: Any = None, classes_to_plot: Any = None, interp_size: int = 21,  # noqa: ARG001 - W&B's
    title: str = "Precision-Recall Curve", **_: Any
) -> CustomChart:  # fmt: skip
    """Precision over recall of each class, at up to a thousand thresholds."""
    rows = [
        [name, round(true / (true + false), 4), round(true / max(_positives(hits), 1), 4)]
        for name, hits in _per_class(y_true, y_probas, labels, classes_to_plot)
        for true, false in _running(hits)
    ]
    fields = {"x": "recall", "y": "precision", "stroke": "class"}
    return CustomChart("pr", Table(["class", "precision", "recall"], rows), fields, title)


Hits = list[tuple[float, int]]


def _per_class(y_true: Any, y_probas: Any, labels: Any, chosen: Any) -> list[tuple[str, Hits]]:
    """For each class its name, and each probability with whether it was the true one, falling."""
    actual, probabilities = _listed(y_true), [_listed(row) for row in _listed(y_probas)]
    if len(actual) != len(probabilities):
        cause = f"a curve of {len(actual)} labels and {len(probabilities)} rows of probabilities"
        notices.misused("plot sizes", cause, "what is too much is left out", "Pass as many of both")
    classes = sorted(set(actual), key=str)
    found = []
    for at, one in enumerate(classes):
        if chosen is None or one in _listed(chosen):
            rows = zip(actual, probabilities, strict=False)
            hits = [(float(row[at]), int(own == one)) for own, row in rows if at < len(row)]
            name = str(labels[at]) if labels is not None and at < len(labels) else str(one)
            found.append((name, sorted(hits, key=lambda hit: -hit[0])))
    return found


def _positives(hits: Hits) -> int:
    return sum(hit for _, hit in hits)


def _running(hits: Hits) -> list[tuple[int, int]]:
    """True and false positives at each threshold, a thousand at most: equal probabilities pass one together."""
    sums = [(true, at + 1 - true) for at, true in enumerate(accumulate(hit for _, hit in hits))]
    last = [at for at in range(len(hits)) if at + 1 == len(hits) or hits[at][0] != hits[at + 1][0]]
    stride = max(len(last) // _POINTS, 1)
    return [sums[at] for at in (*last[:-1][::stride], *last[-1:])]


def _listed(values: Any) -> list[Any]:
    if values is None:
        return []
    return list(values.tolist() if hasattr(values, "tolist") else values)


def _largest(row: list[Any]) -> int:
    return max(range(len(row)), key=row.__getitem__)


Visualize = CustomChart
visualize = custom_chart = plot_table


def __getattr__(name: str) -> Any:
    if name.startswith("_"):
        raise AttributeError(name)
    return absent(f"plot.{name}")
