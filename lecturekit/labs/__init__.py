"""What a notebook plays with and no other module needs.

Each module is loaded when it is imported by name: most notebooks need one or two of them.
"""
