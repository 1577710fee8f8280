"""Small experiments, chosen on the validation list alone; `python -m train.studies` runs them."""
