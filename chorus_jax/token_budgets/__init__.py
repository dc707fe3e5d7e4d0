"""Token budgets: how many steps each token of a video is run in.

This is HSA (arXiv 2605.06892). `budgets` defines token budgets, `presets` lists
settings by name, `schedule` gives a share of the tokens step by step. The denoising
loop applies them (see `denoise.budget_steps`).
"""

from chorus_jax.token_budgets.active_sets import ActiveSets
from chorus_jax.token_budgets.budgets import TokenBudgets, TokenGroup
from chorus_jax.token_budgets.schedule import TokenSchedule

__all__ = ["ActiveSets", "TokenBudgets", "TokenGroup", "TokenSchedule"]
