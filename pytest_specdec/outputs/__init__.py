"""Does speculation change what the model says?"""
