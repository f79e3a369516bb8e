"""To be written."""


def draw_reconstructions(inputs, settings):
    raise NotImplementedError


def draw_transformed(inputs, settings):
    raise NotImplementedError
