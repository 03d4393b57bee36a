"""`respool demo`: a real training, killed on a stage of its own, counted afterwards.

`train` is the script, the kind a user writes; `stage` is the temporary world it runs in; `play` is what happens
there; `check` counts what arrived; `picture` draws it.
"""
