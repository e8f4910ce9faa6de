"""Section "Patient series": the scans, their dates, and what is wrong with them."""

from __future__ import annotations

from datetime import datetime

import qt
from slicer.i18n import tr as _

from CRONOSLib.scene.dates import NodeDate
from CRONOSLib.scene.panel.add_menu import AddMenu
from CRONOSLib.scene.panel.scan_list import ScanRow
from CRONOSLib.scene.panel.state import PanelState, typed_problem
from CRONOSLib.scene.panel.target import unit_words
from CRONOSLib.scene.panel.widgets import allow, show_date, show_headings, silent, text_item
from CRONOSLib.series import LongitudinalSeries

_USE, _VOLUME, _WHEN, _INTERVAL, _SOURCE, _STATUS = range(6)
_GOOD, _DOUBTFUL, _BAD = "✓", "⚠", "✗"


class SeriesSection:
    """Table of the scans by time; dates are typed in the table or chosen in the calendar below."""

    def __init__(self, ui, state: PanelState) -> None:
        self._ui, self._state = ui, state
        self._rows: list[ScanRow] | None = None
        self._said = ""
        table = ui.scansTable
        headings = {
            _("Use"): _("Whether the forecast looks at the scan."),
            _("Volume"): _("Name of the volume."),
            _("Date"): _("When the scan was taken. Type another date into the cell."),
            _("Interval"): _("Time from the last scan; negative: before it."),
            _("Source"): _("Where the date came from: DICOM, BIDS, the name, or typed."),
            _("Status"): _("✓ usable, ⚠ unusual, ✗ unusable; the tool tip of the sign tells why."),
        }
        show_headings(table, headings)
        table.horizontalHeader().setSectionResizeMode(qt.QHeaderView.ResizeToContents)
        table.horizontalHeader().setSectionResizeMode(_VOLUME, qt.QHeaderView.Stretch)
        table.connect("itemChanged(QTableWidgetItem*)", self._on_item)
        table.connect("itemSelectionChanged()", self._on_selected)
        table.connect("cellPressed(int,int)", lambda row, column: self.forget_said())
        ui.scanDateEdit.connect("dateChanged(QDate)", self._on_date)
        ui.removeButton.connect("clicked()", self._on_remove)
        self._menu = AddMenu(ui.addButton, self.add)

    def refresh(self) -> None:
        """Show the scans of the choices."""
        assert self._state.scans is not None
        rows = self._state.scans.rows()
        if rows != self._rows:
            selected = self._selected()
            self._rows = rows
            with silent(self._ui.scansTable):
                self._fill(rows, selected)
        self._show_selected()
        self._show_problem()

    def _fill(self, rows: list[ScanRow], selected: list) -> None:
        table = self._ui.scansTable
        table.setRowCount(len(rows))
        timeline = self._state.timeline
        for index, row in enumerate(rows):
            use = qt.QTableWidgetItem("")
            use.setFlags(qt.Qt.ItemIsEnabled | qt.Qt.ItemIsSelectable | qt.Qt.ItemIsUserCheckable)
            use.setCheckState(qt.Qt.Checked if row.used else qt.Qt.Unchecked)
            use.setToolTip(_("Let the forecast look at this scan."))
            table.setItem(index, _USE, use)
            table.setItem(index, _VOLUME, text_item(row.node.GetName()))
            table.setItem(index, _WHEN, text_item(_written(row), _("Type a date as 2024-03-01."), editable=True))
            table.setItem(index, _INTERVAL, text_item(_interval(row, timeline)))
            table.setItem(index, _SOURCE, text_item(row.when.source.value if row.when else ""))
            table.setItem(index, _STATUS, text_item(*_status(row)))
        table.clearSelection()
        for index, row in enumerate(rows):
            if row.node in selected:
                table.selectRow(index)

    def _selected(self) -> list:
        rows = self._rows or []
        chosen = {item.row() for item in self._ui.scansTable.selectedItems()}
        return [row.node for index, row in enumerate(rows) if index in chosen]

    def _show_selected(self) -> None:
        """The calendar shows the one selected scan that has, or may get, a date."""
        nodes = self._selected()
        allow("" if nodes else _("Select scans in the table first."), self._ui.removeButton)
        row = next((row for row in self._rows or [] if row.node in nodes), None) if len(nodes) == 1 else None
        dated = row is not None and (row.when is None or isinstance(row.when, NodeDate))
        edit = self._ui.scanDateEdit
        allow("" if dated else _("Select one scan in the table, one with a date or without any time."), edit)
        if row is not None and isinstance(row.when, NodeDate):
            show_date(edit, row.when.date)

    def _show_problem(self) -> None:
        self._ui.seriesLabel.text = self._said or self._state.problem
        self._ui.seriesLabel.visible = bool(self._ui.seriesLabel.text)

    def _on_item(self, item) -> None:
        assert self._state.scans is not None
        row = (self._rows or [])[item.row()]
        if item.column() == _USE:
            self._said = ""
            self._state.scans.use(row.node, item.checkState() == qt.Qt.Checked)
        elif item.column() == _WHEN:
            self._said = typed_problem(self._state, row.node, item.text())
            self._rows = None  # what was typed gives way to what is kept
        self._state.changed()

    def _on_selected(self) -> None:
        self._show_selected()
        self.forget_said()

    def forget_said(self) -> None:
        """The user goes on: what was wrong with the last entry was read."""
        self._said = ""
        self._show_problem()

    def _on_date(self, chosen) -> None:
        nodes = self._selected()
        if len(nodes) == 1:
            row = next(row for row in self._rows or [] if row.node is nodes[0])
            clock = row.when.date.time() if isinstance(row.when, NodeDate) else datetime.min.time()
            day = datetime(chosen.year(), chosen.month(), chosen.day())
            self._said = typed_problem(self._state, nodes[0], datetime.combine(day, clock).isoformat())
            self._state.changed()

    def _on_remove(self) -> None:
        assert self._state.scans is not None
        self._state.scans.remove(self._selected())
        self._said = ""
        self._state.changed()

    def add(self, nodes: list, said: str = "") -> None:
        """Add volume nodes to the series, and say one sentence when something is wrong with them."""
        assert self._state.scans is not None
        self._state.scans.add(nodes)
        self._said = said
        self._state.changed()


def _written(row: ScanRow) -> str:
    if row.when is None:
        return ""
    if not isinstance(row.when, NodeDate):
        return f"{row.when.time:g}"
    date = row.when.date
    return date.date().isoformat() if date.time() == datetime.min.time() else date.isoformat(" ", "minutes")


def _interval(row: ScanRow, timeline: LongitudinalSeries | None) -> str:
    if timeline is None or row.when is None or row.problem:
        return ""
    time = timeline.time_at(row.when.date) if isinstance(row.when, NodeDate) else row.when.time
    distance = time - timeline.last.time
    return f"{distance:+.4g} {unit_words(timeline.unit)}" if distance else _("last")


def _status(row: ScanRow) -> tuple[str, str]:
    if row.problem:
        return _BAD, row.problem
    if row.notes:
        return _DOUBTFUL, "\n".join(row.notes)
    return _GOOD, _("Nothing is wrong with this scan.")
