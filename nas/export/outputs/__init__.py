"""What graphs give, task by task, in numpy alone: each file goes into the packs of its task.

A pack has it as `outputs.py`, beside `verify.py`, which classifies by itself. None of them may
import from the project.
"""
