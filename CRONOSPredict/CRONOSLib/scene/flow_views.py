"""The members of a flow side by side, and maps laid over the slice views."""

from __future__ import annotations

import slicer

from CRONOSLib.scene.arrangements import member_view, members
from CRONOSLib.scene.flow import SCAN_ATTRIBUTE, FlowNodes
from CRONOSLib.scene.layouts import look_at, place_of_most, set_layout, show_alone
from CRONOSLib.scene.overlay import shown_composites

SPEED, DISAGREEMENT, BEND = "speed", "disagreement", "bend"
"""What can be laid over the slice views."""

_VIEW_GROUP = 516


def show_members(layout_manager, flow: FlowNodes) -> None:
    """One axial view for each context scan, all at the same flow step, linked, where most flows.

    layout_manager: qSlicerLayoutManager
    """
    set_layout(layout_manager, members([state.GetAttribute(SCAN_ATTRIBUTE) for state in flow.states]))
    widgets = [layout_manager.sliceWidget(member_view(index)) for index in range(len(flow.states))]
    for widget, state in zip(widgets, flow.states):
        show_alone(widget, state, _VIEW_GROUP)
    begin = flow.browser.GetSequenceNode(flow.speeds[-1]).GetNthDataNode(0)
    look_at(widgets, place_of_most(slicer.util.arrayFromVolume(begin), begin))


def lay_flow_over(layout_manager, flow: FlowNodes, what: str, opacity: float) -> None:
    """Show a map over the slice views: over the state of a scan its own speed, elsewhere that of the last scan.

    what:    `SPEED`, `DISAGREEMENT`, `BEND`, or "" for none
    opacity: 0 shows what lies below alone, 1 the map alone
    """
    maps = {DISAGREEMENT: flow.disagreement, BEND: flow.bend}
    speeds = {state.GetID(): speed for state, speed in zip(flow.states, flow.speeds)}
    every = {node.GetID() for node in (*flow.speeds, flow.disagreement, flow.bend) if node is not None}
    for composite in shown_composites(layout_manager):
        under = composite.GetBackgroundVolumeID()
        over = speeds.get(under, flow.speeds[-1]) if what == SPEED else maps.get(what)
        if over is not None and under is not None and under != over.GetID():
            composite.SetForegroundVolumeID(over.GetID())
            composite.SetForegroundOpacity(opacity)
        elif composite.GetForegroundVolumeID() in every:
            composite.SetForegroundVolumeID(None)
