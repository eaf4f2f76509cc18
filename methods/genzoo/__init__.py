"""GenZoo: an animal's shape, pose and camera from a picture, learned from generated ones."""
