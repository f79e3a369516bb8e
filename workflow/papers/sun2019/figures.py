"""To be written."""


def draw_distances(inputs, settings):
    raise NotImplementedError


def draw_draws(inputs, settings):
    raise NotImplementedError


def draw_parameters(inputs, settings):
    raise NotImplementedError


def draw_penalties(inputs, settings):
    raise NotImplementedError


def draw_quality(inputs, settings):
    raise NotImplementedError
