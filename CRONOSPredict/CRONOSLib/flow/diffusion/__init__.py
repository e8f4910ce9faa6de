"""Denoising diffusion: noise schedules, what a network predicts, samplers."""
