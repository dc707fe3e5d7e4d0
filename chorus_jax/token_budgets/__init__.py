"""Token budgets: how many steps each token of a video is run in.

This is HSA (arXiv 2605.06892). `budgets` defines token budgets, `presets` lists
settings by name. The denoising loop applies them (see `denoise.budget_steps`).
"""

from chorus_jax.token_budgets.budgets import TokenBudgets, TokenGroup

__all__ = ["TokenBudgets", "TokenGroup"]
