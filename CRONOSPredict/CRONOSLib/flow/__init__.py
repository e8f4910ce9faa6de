"""Flow matching: paths, time codes and ODE integration on tensors."""
