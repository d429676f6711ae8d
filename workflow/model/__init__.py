"""From a recipe to a trained model and its predictions, in TensorFlow held to equal bits."""
