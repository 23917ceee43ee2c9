"""How much each group loses: curves, costs, and the solver between them."""
