"""Names that the real application offers, as its public sources and its own Python modules use them.

The host refuses every other name. Checked against Slicer 5.13, CTK and Qt 5.15.
"""

from __future__ import annotations

from dataclasses import dataclass


def _names(text: str) -> frozenset[str]:
    return frozenset(text.split())


@dataclass(frozen=True)
class RealWidget:
    """A CTK or MRML widget: its Qt base class, and what it adds to it."""

    base: str
    properties: frozenset[str]
    signals: frozenset[str]


QT_NAMES = _names("""
    QAbstractItemView QAction QApplication QCheckBox QColor QComboBox QDate QDateEdit QDateTime QDir QDoubleSpinBox
    QEvent QFile QFileDialog QFont QFormLayout QFrame QGridLayout QHBoxLayout QHeaderView QIcon QKeySequence QLabel
    QLineEdit QMenu QMessageBox QPainter QPixmap QPlainTextEdit QPoint QProgressBar QPushButton QRect QScrollArea
    QSettings QShortcut QSize QSizePolicy QSlider QSpinBox QStyle QTableWidget QTableWidgetItem QTextBrowser QTimer
    QToolButton QUiLoader QUrl QVBoxLayout QWidget Qt
""")

SLICER_NAMES = _names("app mrmlScene util modules dicomDatabase packaging selfTests")
"""Names of the module `slicer` beside VTK and MRML classes."""

WIDGETS = {
    "ctkCollapsibleButton": RealWidget(
        "QAbstractButton",
        _names("""
            collapsed collapsedHeight flat contentsFrameShape contentsFrameShadow contentsLineWidth
            contentsMidLineWidth buttonTextAlignment indicatorAlignment
        """),
        _names("contentsCollapsed(bool)"),
    ),
    "ctkPathLineEdit": RealWidget(
        "QWidget",
        _names("""
            label filters currentPath options settingKey showBrowseButton showHistoryButton sizeAdjustPolicy
            minimumContentsLength nameFilters
        """),
        _names("validInputChanged(bool) currentPathChanged(QString)"),
    ),
    "qMRMLWidget": RealWidget("QWidget", _names(""), _names("mrmlSceneChanged(vtkMRMLScene*)")),
    "qMRMLNodeComboBox": RealWidget(
        "QWidget",
        _names("""
            currentNodeID nodeTypes showHidden showChildNodeTypes hideChildNodeTypes baseName noneEnabled addEnabled
            removeEnabled editEnabled renameEnabled selectNodeUponCreation noneDisplay sizeAdjustPolicy
        """),
        _names("""
            currentNodeChanged(vtkMRMLNode*) currentNodeIDChanged(QString) nodeActivated(vtkMRMLNode*)
            currentNodeChanged(bool) nodeAdded(vtkMRMLNode*)
        """),
    ),
}
"""The CTK and MRML widgets that the modules use."""
