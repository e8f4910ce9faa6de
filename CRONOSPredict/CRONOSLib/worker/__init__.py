"""A process that forecasts and talks JSON lines."""
