import numpy as np
import numpy.typing as npt

ABI: int
SOURCES: str

class _Lists: ...
class _Links: ...

def open_lists(
    values: npt.NDArray[np.int8],
    scales: npt.NDArray[np.float32],
    bounds: npt.NDArray[np.int32],
    rows: npt.NDArray[np.int32] = ...,
    starts: npt.NDArray[np.int64] = ...,
    centroids: npt.NDArray[np.int8] = ...,
    centroid_scales: npt.NDArray[np.float32] = ...,
    /,
) -> _Lists: ...
def search(
    lists: _Lists,
    query: npt.NDArray[np.float32],
    count: int,
    nprobe: int,
    excluded: npt.NDArray[np.int64],
    rows: npt.NDArray[np.int64],
    parts: npt.NDArray[np.float32],
    /,
) -> int: ...
def score_rows(
    lists: _Lists,
    query: npt.NDArray[np.float32],
    rows: npt.NDArray[np.int64],
    parts: npt.NDArray[np.float32],
    /,
) -> None: ...
def open_links(
    offsets: npt.NDArray[np.int64], items: npt.NDArray[np.int32], values: npt.NDArray[np.floating], /
) -> _Links: ...
def follow(
    links: _Links,
    history: npt.NDArray[np.int64],
    factor: float,
    rows: npt.NDArray[np.int64],
    scores: npt.NDArray[np.float32],
    /,
) -> int: ...
def scores_at(
    rows: npt.NDArray[np.int64],
    scores: npt.NDArray[np.float32],
    wanted: npt.NDArray[np.int64],
    found: npt.NDArray[np.float32],
    /,
) -> None: ...
def best(scores: npt.NDArray[np.float32], count: int, positions: npt.NDArray[np.int64], /) -> int: ...
def cross_features(
    kinds: npt.NDArray[np.int32],
    scores: npt.NDArray[np.float32],
    parts: npt.NDArray[np.float32],
    log_ranks: npt.NDArray[np.float32],
    content: npt.NDArray[np.float32] | None,
    features: npt.NDArray[np.float32],
    /,
) -> None: ...
def level() -> str: ...
def use_level(name: str, /) -> None: ...
