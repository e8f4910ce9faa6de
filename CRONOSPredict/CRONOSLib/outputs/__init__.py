"""What a forecast leaves on disk: images, report and panel."""
