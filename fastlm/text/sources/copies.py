"""Copies of streams that cannot seek."""

import tempfile


class Copy(tempfile.SpooledTemporaryFile[bytes]):
    """A copy of a stream, in memory where it is small, which is closed when it is collected."""

    def __del__(self) -> None:
        self.close()
