"""Every file name of an artifact, in one place."""

from __future__ import annotations

from dataclasses import dataclass


@dataclass(frozen=True)
class Layout:
    """File names beside the manifest and the seals; all but the reports are hashed.

    The manifest is named by :mod:`gnas_serve.artifact.store`, the seals by :mod:`gnas_serve.artifact.checksums`.
    """

    model_card: str = "MODEL_CARD.md"
    sbom: str = "sbom.cdx.json"
    decisions: str = "decisions.json"
    report: str = "report.json"
    report_page: str = "report.html"
    user_ids: str = "users.ids.npy"
    user_id_offsets: str = "users.offsets.npy"
    item_ids: str = "items.ids.npy"
    item_id_offsets: str = "items.offsets.npy"
    user_vectors: str = "users.vectors.npy"
    user_scales: str = "users.scales.npy"
    item_vectors: str = "items.vectors.npy"
    item_scales: str = "items.scales.npy"
    item_counts: str = "items.counts.npy"
    seen_offsets: str = "seen.offsets.npy"
    seen_items: str = "seen.items.npy"
    fold_in: str = "fold_in.npy"
    neighbour_offsets: str = "neighbours.offsets.npy"
    neighbour_items: str = "neighbours.items.npy"
    neighbour_values: str = "neighbours.values.npy"
    projection: str = "projection.npy"
    index: str = "index.faiss"
    lists: str = "index.lists"
    ranker: str = "ranker.onnx"
    ranker_users: str = "ranker.users.npy"
    ranker_items: str = "ranker.items.npy"
    item_content: str = "items.content.npy"
    segment_offsets: str = "segments.offsets.npy"
    segment_items: str = "segments.items.npy"
    segment_counts: str = "segments.counts.npy"
    segment_totals: str = "segments.totals.npy"
    item_attribute_numbers: str = "items.attributes.numbers.npy"
    item_attribute_codes: str = "items.attributes.codes.npy"
    item_attribute_list_offsets: str = "items.attributes.list_offsets.npy"
    item_attribute_list_codes: str = "items.attributes.list_codes.npy"
    item_attribute_word_bytes: str = "items.attributes.word_bytes.npy"
    item_attribute_word_offsets: str = "items.attributes.word_offsets.npy"
    content_word_bytes: str = "content.word_bytes.npy"
    content_word_offsets: str = "content.word_offsets.npy"
    content_rarity: str = "content.rarity.npy"
    content_offsets: str = "content.offsets.npy"
    content_items: str = "content.items.npy"
    content_values: str = "content.values.npy"


LAYOUT = Layout()
