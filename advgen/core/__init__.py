"""The words of the platform: specs, types, budgets, goals, spaces, targets."""
