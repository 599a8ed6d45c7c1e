"""The report of objects."""


def object_html(*a):
    return ""
