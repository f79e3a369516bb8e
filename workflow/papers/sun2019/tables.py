"""To be written."""


def adapted(inputs, settings):
    raise NotImplementedError


def adversarial_training(inputs, settings):
    raise NotImplementedError


def behind(inputs, settings):
    raise NotImplementedError


def claims(inputs, settings):
    raise NotImplementedError


def numbers(inputs, settings):
    raise NotImplementedError


def retrained(inputs, settings):
    raise NotImplementedError
