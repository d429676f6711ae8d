"""What accuracy costs: recipes from seconds to an hour, each trained with several seeds."""
