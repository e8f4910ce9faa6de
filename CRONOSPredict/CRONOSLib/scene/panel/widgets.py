"""Small things that several sections do with Qt's widgets."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from datetime import datetime

import qt

_ROW_HEIGHT = 22
"""Of tables, in pixels, as the .ui file has it; the headings and a scroll bar take as much as two rows."""

_USUAL = "usualToolTip"
"""Dynamic property of a widget: the tool tip that it has while it can be used."""


@contextmanager
def silent(*widgets) -> Iterator[None]:
    """Show new values without their signals: they come from the choices, not from the user."""
    before = [widget.blockSignals(True) for widget in widgets]
    try:
        yield
    finally:
        for widget, blocked in zip(widgets, before):
            widget.blockSignals(blocked)


def show(widget, **properties) -> None:
    """Set the properties that differ: setting an equal one would disturb the user who types."""
    with silent(widget):
        for name, value in properties.items():
            if getattr(widget, name) != value:
                setattr(widget, name, value)


def allow(reason: str, *widgets) -> None:
    """Enable widgets, or let their tool tips tell why they cannot be used: one sentence; "" when they can."""
    for widget in widgets:
        usual = widget.property(_USUAL) or widget.toolTip
        widget.setProperty(_USUAL, usual)
        widget.enabled = not reason
        widget.toolTip = reason or usual


def sections(ui) -> list:
    """The collapsible sections of a panel; `ui` has its named widgets."""
    return [widget for name, widget in vars(ui).items() if name.endswith("CollapsibleButton")]


def measuring_texts(ui):
    """Timer that soon after its start lets the sections of a panel give their texts the height that they need.

    Qt finds the height of a wrapped text that was hidden only the second time that it lays out a form.
    """
    timer = qt.QTimer()
    timer.setSingleShot(True)
    timer.connect("timeout()", lambda: [section.layout().update() for section in sections(ui)])
    return timer


def show_date(edit, date: datetime) -> None:
    """Show the day of a date, unless it is shown already."""
    if edit.date.toString("yyyy-MM-dd") != f"{date:%Y-%m-%d}":
        with silent(edit):
            edit.date = qt.QDate(date.year, date.month, date.day)


def fill_combo(combo, items: Sequence[tuple[str, str]], chosen: str) -> None:
    """List (text, data) pairs and show the chosen data; an unknown one shows the first."""
    shown = [(combo.itemText(index), combo.itemData(index)) for index in range(combo.count)]
    with silent(combo):
        if shown != list(items):
            combo.clear()
            for text, data in items:
                combo.addItem(text, data)
        combo.setCurrentIndex(max(combo.findData(chosen), 0))


def on_choice(combo, choose: Callable[[str], None]) -> None:
    """Call with the data of the item that the user chooses."""
    combo.connect("activated(int)", lambda index: choose(combo.itemData(index)))


def text_item(text: str, tool_tip: str = "", editable: bool = False):
    """Cell of a table."""
    item = qt.QTableWidgetItem(text)
    item.setToolTip(tool_tip or text)
    flags = qt.Qt.ItemIsEnabled | qt.Qt.ItemIsSelectable
    item.setFlags(flags | qt.Qt.ItemIsEditable if editable else flags)
    return item


def show_headings(table, headings: Mapping[str, str]) -> None:
    """Name the columns of a table, each with what it means."""
    table.setColumnCount(len(headings))
    table.setHorizontalHeaderLabels(list(headings))
    for column, meaning in enumerate(headings.values()):
        table.horizontalHeaderItem(column).setToolTip(meaning)


def fill_table(table, rows: Sequence[Sequence[str]]) -> None:
    """Show rows of texts that are only read."""
    table.setRowCount(len(rows))
    for row, texts in enumerate(rows):
        for column, text in enumerate(texts):
            table.setItem(row, column, text_item(text))


def fit_height(table) -> None:
    """Make a table as high as its rows."""
    table.setFixedHeight(_ROW_HEIGHT * (table.rowCount + 2))
