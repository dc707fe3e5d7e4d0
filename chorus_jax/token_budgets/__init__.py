"""Different numbers of steps for different tokens of a video (HSA, arXiv 2605.06892).

`budgets` has the object of a plan, `presets` known ones by name. The loop runs them:
see `denoise.budget_steps`.
"""

from chorus_jax.token_budgets.budgets import TokenBudgets, TokenGroup

__all__ = ["TokenBudgets", "TokenGroup"]
