"""Storage commitment as modalities ask for it."""

from pydicom.dataset import Dataset
from pydicom.sequence import Sequence
from pydicom.uid import MRImageStorage


def request(*uids: str, sop_class: str = MRImageStorage, transaction: str = "1.2.3.99") -> Dataset:
    """The data set of an N-ACTION about these instances."""
    asked = Dataset()
    asked.TransactionUID = transaction
    asked.ReferencedSOPSequence = Sequence(_item(sop_class, uid) for uid in uids)
    return asked


def _item(sop_class: str, uid: str) -> Dataset:
    item = Dataset()
    item.ReferencedSOPClassUID = sop_class
    item.ReferencedSOPInstanceUID = uid
    return item
