"""A DICOM appliance that runs inference pipelines beside a PACS.

Read ARCHITECTURE.md first: it shows the way of a study through the rooms.
"""
