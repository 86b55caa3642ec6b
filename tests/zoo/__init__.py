"""Small models of many families with their expected results; `zoo.table` lists them.

To add a family, write a function that builds a small model, add a row to the table, and run
`docs/models_table.py` to update docs/models.md.
"""
