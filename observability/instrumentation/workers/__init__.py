"""
Several workers of one server tell together what they have done: one scrape of their shared port is the truth about all.

What is counted lies in a file of each worker, which outlives it however it ends. What is so at this moment, each worker is
asked for. See docs/workers.md.
"""
