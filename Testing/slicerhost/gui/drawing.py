"""What a slice view draws, off screen: the blended slices, and all that the real displayable managers lay over them."""

from __future__ import annotations

import os

os.environ.setdefault("VTK_DEFAULT_OPENGL_WINDOW", "vtkEGLRenderWindow")  # needs no display

import slicer
import vtk
from PySide6 import QtGui
from vtk.util import numpy_support

_MANAGERS = ("vtkMRMLColorLegendDisplayableManager", "vtkMRMLSegmentationsDisplayableManager2D")


class SliceCanvas:
    """Draws one slice view as ctkVTKSliceView does; it is made for the first picture, which takes tens of milliseconds.

    slice_logic:       of the view
    application_logic: vtkMRMLApplicationLogic that knows the logics of all slice views
    """

    def __init__(self, slice_logic, application_logic) -> None:
        self._logic = slice_logic
        self._mapper = vtk.vtkImageMapper()
        self._mapper.SetColorWindow(255)
        self._mapper.SetColorLevel(127.5)
        self._image = vtk.vtkActor2D()
        self._image.SetMapper(self._mapper)
        self._image.GetProperty().SetDisplayLocationToBackground()
        self._renderer = vtk.vtkRenderer()
        self._window = vtk.vtkRenderWindow()
        self._window.SetOffScreenRendering(True)
        self._window.SetMultiSamples(0)
        self._window.AddRenderer(self._renderer)
        self._interactor = vtk.vtkRenderWindowInteractor()  # the managers observe it
        self._interactor.SetRenderWindow(self._window)
        factory = slicer.vtkMRMLSliceViewDisplayableManagerFactory.GetInstance()
        factory.SetMRMLApplicationLogic(application_logic)
        for manager in _MANAGERS:
            if not factory.IsDisplayableManagerRegistered(manager):
                factory.RegisterDisplayableManager(manager)
        self._managers = factory.InstantiateDisplayableManagers(self._renderer)
        self._managers.SetMRMLDisplayableNode(slice_logic.GetSliceNode())
        composite = slice_logic.GetSliceCompositeNode()
        composite.SetInteractionFlags(composite.BackgroundVolumeFlag)  # colour legends of before are looked for then
        composite.Modified()
        composite.SetInteractionFlags(0)

    def picture(self, width: int, height: int) -> QtGui.QImage:
        """What the view shows, in pixels."""
        self._window.SetSize(width, height)
        shows_image = bool(self._logic.GetSliceCompositeNode().GetBackgroundVolumeID())
        self._renderer.RemoveViewProp(self._image)
        if shows_image:
            self._mapper.SetInputConnection(self._logic.GetImageDataConnection())
            self._renderer.AddViewProp(self._image)
        self._window.Render()
        grab = vtk.vtkWindowToImageFilter()
        grab.SetInput(self._window)
        grab.ReadFrontBufferOff()
        grab.ShouldRerenderOff()
        grab.Update()
        image = grab.GetOutput()
        columns, rows, _ = image.GetDimensions()
        pixels = numpy_support.vtk_to_numpy(image.GetPointData().GetScalars()).reshape(rows, columns, -1)
        pixels = pixels[::-1, :, :3].copy()
        return QtGui.QImage(pixels.data, columns, rows, 3 * columns, QtGui.QImage.Format_RGB888).copy()
