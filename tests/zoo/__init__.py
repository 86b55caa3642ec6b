"""Small models of many families, and what must come out of each; `zoo.table` lists them.

To add a family, write a function that builds a small model and give it a line in the table;
`docs/models_table.py` then writes docs/models.md anew.
"""
