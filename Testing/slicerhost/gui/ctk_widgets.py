"""The CTK widgets that the modules use."""

from __future__ import annotations

from PySide6 import QtCore, QtGui, QtWidgets

from .manners import dressed

_HEADER = 24
"""Height of a collapsible button's own row, pixels."""


class ctkCollapsibleButton(dressed(QtWidgets.QAbstractButton)):
    """A header that hides and shows what stands below it."""

    contentsCollapsed = QtCore.Signal(bool)

    def __init__(self, parent=None) -> None:
        QtWidgets.QAbstractButton.__init__(self, parent)
        self._collapsed = False
        self.setCheckable(True)
        self.setChecked(True)
        self.setContentsMargins(0, _HEADER, 0, 0)
        self.setSizePolicy(QtWidgets.QSizePolicy.Preferred, QtWidgets.QSizePolicy.Preferred)
        self.toggled.connect(lambda checked: self._collapse(not checked))

    def _read(self) -> bool:
        return self._collapsed

    def _write(self, collapsed: bool) -> None:
        self.setChecked(not collapsed)

    collapsed = QtCore.Property(bool, _read, _write)

    def _collapse(self, collapsed: bool) -> None:
        self._collapsed = collapsed
        for child in self.findChildren(QtWidgets.QWidget, options=QtCore.Qt.FindDirectChildrenOnly):
            child.setVisible(not collapsed)
        self.setMaximumHeight(_HEADER if collapsed else 16777215)
        self.contentsCollapsed.emit(collapsed)

    def hitButton(self, position) -> bool:
        """Only the header is clicked."""
        return position.y() < _HEADER

    def paintEvent(self, event) -> None:
        """Header row: arrow and text."""
        painter = QtWidgets.QStylePainter(self)
        option = QtWidgets.QStyleOptionButton()
        option.initFrom(self)
        option.rect = QtCore.QRect(0, 0, self.width, _HEADER)
        option.text = self.text
        painter.drawControl(QtWidgets.QStyle.CE_PushButtonBevel, option)
        arrow = QtWidgets.QStyle.PE_IndicatorArrowRight if self._collapsed else QtWidgets.QStyle.PE_IndicatorArrowDown
        option.rect = QtCore.QRect(6, 6, 12, 12)
        painter.drawPrimitive(arrow, option)
        painter.setPen(self.palette.color(QtGui.QPalette.ButtonText))
        place = QtCore.QRect(24, 0, self.width - 24, _HEADER)
        painter.drawText(place, QtCore.Qt.AlignVCenter | QtCore.Qt.AlignLeft, self.text)


class ctkPathLineEdit(dressed(QtWidgets.QWidget)):
    """A path that is typed or browsed for."""

    currentPathChanged = QtCore.Signal(str)
    validInputChanged = QtCore.Signal(bool)

    def __init__(self, parent=None) -> None:
        QtWidgets.QWidget.__init__(self, parent)
        self._line = QtWidgets.QLineEdit(self)
        self._values = {"filters": 0, "nameFilters": [], "settingKey": ""}
        browse = QtWidgets.QPushButton("...", self)
        row = QtWidgets.QHBoxLayout(self)
        row.setContentsMargins(0, 0, 0, 0)
        row.addWidget(self._line)
        row.addWidget(browse)
        self._line.textChanged.connect(self.currentPathChanged.emit)

    def _read(self) -> str:
        return self._line.text

    def setCurrentPath(self, path: str) -> None:
        """Show another path."""
        if path != self._line.text:
            self._line.setText(path)

    currentPath = QtCore.Property(str, _read, setCurrentPath)

    def _kept(name, kind):
        return QtCore.Property(
            kind, lambda self: self._values[name], lambda self, value: self._values.__setitem__(name, value)
        )

    filters = _kept("filters", int)
    nameFilters = _kept("nameFilters", list)
    settingKey = _kept("settingKey", str)
