"""Ships the bundles and the sample patient of Resources/ inside the wheel; everything else stands in pyproject.toml.

Resources/ is at the root because the Slicer extension installs it from there. For pip it becomes the data-only
package CRONOSLib._resources, which `CRONOSLib.resources` looks for first.
"""

from setuptools import find_packages, setup

setup(
    packages=[*find_packages("CRONOSPredict", include=["CRONOSLib*"]), "CRONOSLib._resources"],
    package_dir={"": "CRONOSPredict", "CRONOSLib._resources": "Resources"},
    package_data={"CRONOSLib._resources": ["bundles/**/*", "sample/**/*"]},
)
