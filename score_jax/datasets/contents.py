"""Content of a file that is not what the name of the file says.

Downloads leave web pages, pointers and parts of files behind, which no parser
names as such.
"""

_STARTS = {
    b"version https://git-lfs.github.com/spec/": (
        "only points to the file: run git lfs pull where it was cloned"
    ),
    b"/annex/objects/": (
        "only points to the file: run git annex get where it was cloned"
    ),
    b"PK\x03\x04": "is a zip archive: unpack it",
    b"\x28\xb5\x2f\xfd": "is compressed with zstd: unpack it",
    b"BZh": "is compressed with bzip2: unpack it",
    b"\xfd7zXZ\x00": "is compressed with xz: unpack it",
    b"\xff\xfe": "is text in UTF-16: save it as UTF-8",
    b"\xfe\xff": "is text in UTF-16: save it as UTF-8",
}
_GZIP, _PARQUET = b"\x1f\x8b", b"PAR1"
_WEB_PAGES = (b"<!doctype", b"<html", b"<head", b"<?xml")


def check(content: bytes, name: str) -> None:
  """Raises ValueError for content that no file of rows has.

  Args:
    content: all bytes of the file.
    name: the file, whose ending tells what it should hold.
  """
  fault = _fault(content, name)
  if fault:
    raise ValueError(f"{name} {fault}")


def _fault(content: bytes, name: str) -> str | None:
  """What is wrong with the content, and what to do; None if nothing is."""
  if not content.strip(b"\x00"):
    found = "holds zero bytes alone" if content else "has no rows: it is empty"
    return f"{found}, it was not copied whole: fetch it again"
  for start, fault in _STARTS.items():
    if content.startswith(start):
      return fault
  # A web page says what happened: an error, or a page about the file.
  if content.lstrip(b"\xef\xbb\xbf \r\n\t").lower().startswith(_WEB_PAGES):
    return "is a web page, not the file: fetch the file itself (the raw one)"
  if content.startswith(_GZIP) and not name.endswith(".gz"):
    return "is compressed with gzip: unpack it, or let its name end in .gz"
  if content.startswith(_PARQUET) and not name.endswith(".parquet"):
    return "is a parquet file: let its name end in .parquet"
  return None
