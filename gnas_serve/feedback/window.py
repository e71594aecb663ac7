"""DigestWindow: the latest event ids, so many and no more, in few bytes each."""

from __future__ import annotations

from array import array

from gnas_serve.feedback.event import DIGEST_BYTES


class DigestWindow:
    """Remembers the last N digests that were added, 24 to 32 bytes for each.

    The digests stand in a ring in the order in which they came; an open-addressing table of twice as many places or
    more finds them there. A Python set of the same takes four times as much.

    Parameters
    ----------
    capacity
        N, at least 1.

    References
    ----------
    Knuth (1998), The Art of Computer Programming 3, section 6.4, algorithms L and R (deletion with linear probing).
    """

    def __init__(self, capacity: int) -> None:
        if not 1 <= capacity < 2**31:
            raise ValueError(f"a window of {capacity} digests: at least 1, and below 2**31")
        self.capacity = capacity
        self._ring = bytearray()  # grows to its full size as digests come
        self._next = 0  # where in the ring the next digest goes
        self._mask = (1 << (2 * capacity - 1).bit_length()) - 1
        self._places = array("I", bytes(4 * (self._mask + 1)))  # 1 + position in the ring; 0 where nothing is

    def __len__(self) -> int:
        return len(self._ring) // DIGEST_BYTES

    def __contains__(self, digest: bytes) -> bool:
        return self._places[self._find(digest)] != 0

    def add(self, digest: bytes) -> bool:
        """Remember a digest; the oldest one goes where there is no room.

        Returns
        -------
        bool
            False where it is remembered already, at the age that it has.
        """
        place = self._find(digest)
        if self._places[place]:
            return False
        start = self._next * DIGEST_BYTES
        if start < len(self._ring):
            self._remove(self._next)
            place = self._find(digest)  # what was moved up may have left another one empty
        self._ring[start : start + DIGEST_BYTES] = digest
        self._places[place] = self._next + 1
        self._next = (self._next + 1) % self.capacity
        return True

    def _home(self, digest: bytes | bytearray) -> int:
        return int.from_bytes(digest[:8], "little") & self._mask  # the digest is the hash

    def _at(self, position: int) -> bytearray:
        return self._ring[position * DIGEST_BYTES : (position + 1) * DIGEST_BYTES]

    def _find(self, digest: bytes | bytearray) -> int:
        """Find the place of a digest, or the empty place where it belongs."""
        places, ring, mask = self._places, self._ring, self._mask
        place = int.from_bytes(digest[:8], "little") & mask
        while held := places[place]:
            stop = held * DIGEST_BYTES
            if ring[stop - DIGEST_BYTES : stop] == digest:
                break
            place = (place + 1) & mask
        return place

    def _remove(self, position: int) -> None:
        """Empty the place of a digest, and move up those behind that would no longer be found."""
        hole = self._find(self._at(position))
        place = hole
        while True:
            place = (place + 1) & self._mask
            held = self._places[place]
            if not held:
                break
            distance = (place - self._home(self._at(held - 1))) & self._mask  # from where it would like to be
            if distance >= (place - hole) & self._mask:
                self._places[hole] = held
                hole = place
        self._places[hole] = 0
