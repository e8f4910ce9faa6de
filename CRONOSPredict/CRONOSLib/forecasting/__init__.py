"""The steps of a forecast: which method, in what time, on which device, and what is kept for the next one."""
