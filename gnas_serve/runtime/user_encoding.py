"""A newcomer's features as a ranker reads those of the users that it knows: one row of the same columns."""

from __future__ import annotations

import numpy as np
import numpy.typing as npt

from gnas_serve.artifact.encoding_facts import FeatureEncoding, NumberEncoding, WordsEncoding
from gnas_serve.runtime.told_values import Features, FeatureValue, as_number, as_text

_Floats = npt.NDArray[np.float32]


class UserEncoder:
    """Makes the row of somebody who is not in the ranker's table of users.

    Parameters
    ----------
    encodings
        Of the features that the table is made of; none where the ranker reads no features, or the artifact is from
        before they went with it.
    width
        F, the columns of the table; 0 where there is none.

    Raises
    ------
    ValueError
        If a column is not in the table.
    """

    def __init__(self, encodings: tuple[FeatureEncoding, ...], width: int) -> None:
        beyond = [encoding.name for encoding in encodings if max(encoding.columns, default=0) >= width]
        if beyond:
            raise ValueError(
                f"user feature {beyond[0]!r} is in a column that the ranker's table of users does not have"
            )
        self._width = width
        self._makers: dict[str, _Number | _Words] = {
            encoding.name: _Number(encoding) if isinstance(encoding, NumberEncoding) else _Words(encoding)
            for encoding in encodings
        }

    def row(self, features: Features) -> _Floats | None:
        """Encode what somebody says.

        Parameters
        ----------
        features
            By name; values that the model does not know are passed over, as are features that the ranker does not read.

        Returns
        -------
        (F,) float32 or None
            Zeros for all that is not known, as for the users of the table; None where nothing is said or encoded.
        """
        if not features or not self._makers:
            return None
        row = np.zeros(self._width, dtype=np.float32)
        for name, value in features:
            maker = self._makers.get(name)
            if maker is not None:
                maker.write(value, row)
        return row


class _Number:
    def __init__(self, encoding: NumberEncoding) -> None:
        self._encoding = encoding

    def write(self, value: FeatureValue, row: _Floats) -> None:
        number, encoding = as_number(value), self._encoding
        if number is not None:
            within = min(max(number, encoding.low), encoding.high)
            row[encoding.column] = encoding.first + (within - encoding.low) * encoding.slope


class _Words:
    def __init__(self, encoding: WordsEncoding) -> None:
        self._delimiter = encoding.delimiter
        self._columns = dict(zip(encoding.words, encoding.columns, strict=True))

    def write(self, value: FeatureValue, row: _Floats) -> None:
        text = as_text(value)
        if text is None:
            return
        words = [text] if self._delimiter is None else [word.strip() for word in text.split(self._delimiter)]
        for word in words:
            column = self._columns.get(word)
            if column is not None:
                row[column] = 1.0
