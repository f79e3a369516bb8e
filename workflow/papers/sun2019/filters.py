"""To be written."""


def draw_clusters(inputs, settings):
    raise NotImplementedError


def draw_filters(inputs, settings):
    raise NotImplementedError


def draw_pipeline(inputs, settings):
    raise NotImplementedError
