"""The rules that a search has found: what each block does where, and how sure that is."""

from nas.explain.advice import Advice, advise
from nas.explain.drawing import draw_rules
from nas.explain.rules import Effect, Explanation, explain, explain_front

__all__ = ["Advice", "Effect", "Explanation", "advise", "draw_rules", "explain", "explain_front"]
