"""The rules that a search has found: what each block does where, and how sure that is."""

from nas.report.explain.advice import Advice, advise
from nas.report.explain.drawing import draw_rules
from nas.report.explain.explanation import Effect, Explanation
from nas.report.explain.rules import explain, explain_front

__all__ = ["Advice", "Effect", "Explanation", "advise", "draw_rules", "explain", "explain_front"]
