"""The shelves of the embedded sample's shop: categories, styles and the words that titles are made of."""

from __future__ import annotations

from dataclasses import dataclass


@dataclass(frozen=True)
class Category:
    """One shelf.

    Attributes
    ----------
    name
        As in ``items.parquet``.
    typical_price
        Median price.
    nouns
        Products of this kind.
    """

    name: str
    typical_price: float
    nouns: tuple[str, ...]


@dataclass(frozen=True)
class Style:
    """A taste that crosses the categories; neighbours in :data:`STYLES` are close in taste.

    Attributes
    ----------
    adjectives
        How its products are called.
    brands
        Who makes them.
    """

    adjectives: tuple[str, ...]
    brands: tuple[str, ...]


CATEGORIES = (
    Category("bags", 70.0, ("Backpack", "Tote", "Weekender", "Sling Bag", "Duffel")),
    Category("books", 18.0, ("Cookbook", "Field Guide", "Atlas", "Photo Book", "Journal")),
    Category("coffee", 35.0, ("Grinder", "Pour-Over Set", "Espresso Cups", "Kettle", "Bean Canister")),
    Category("garden", 28.0, ("Planter", "Watering Can", "Herb Kit", "Trellis", "Bird Feeder")),
    Category("home", 45.0, ("Cushion", "Throw", "Vase", "Wall Clock", "Candle Holder")),
    Category("kitchen", 40.0, ("Skillet", "Knife Set", "Cutting Board", "Mixing Bowl", "Stock Pot")),
    Category("lighting", 65.0, ("Desk Lamp", "Lantern", "Floor Lamp", "String Lights", "Reading Light")),
    Category("outdoor", 90.0, ("Tent", "Hammock", "Camp Chair", "Headlamp", "Cool Box")),
    Category("shoes", 85.0, ("Sneakers", "Boots", "Sandals", "Loafers", "Trail Shoes")),
    Category("sports", 50.0, ("Yoga Mat", "Kettlebell", "Water Bottle", "Jump Rope", "Foam Roller")),
    Category("toys", 25.0, ("Puzzle", "Building Set", "Board Game", "Plush Bear", "Kite")),
    Category("watches", 140.0, ("Field Watch", "Chronograph", "Dress Watch", "Dive Watch", "Watch Strap")),
)

STYLES = (
    Style(("Minimal", "Plain", "Slim"), ("Nordhem", "Ettna", "Lino & Co")),
    Style(("Scandinavian", "Light", "Airy"), ("Fjordal", "Hygga", "Birk")),
    Style(("Natural", "Linen", "Organic"), ("Moss & Reed", "Terrana", "Oatfield")),
    Style(("Rustic", "Oak", "Hand-Made"), ("Barnwood", "Old Mill", "Hearthline")),
    Style(("Vintage", "Heritage", "Classic"), ("Aldwych", "Penrose", "Marlow")),
    Style(("Elegant", "Brass", "Velvet"), ("Orsini", "Belle Rive", "Castellan")),
    Style(("Luxury", "Gold", "Signature"), ("Vantoro", "Maison Q", "Aurelle")),
    Style(("Glossy", "Neon", "Pop"), ("Zazu", "Pixelpop", "Bright Side")),
    Style(("Retro", "Arcade", "Funky"), ("Rewind", "Cassette", "Disco Bros")),
    Style(("Urban", "Street", "Bold"), ("Kerb", "Block 9", "Metroline")),
    Style(("Active", "Sport", "Aero"), ("Veloz", "Sprintex", "Kinetiq")),
    Style(("Rugged", "Trail", "Expedition"), ("Granite Peak", "Northbound", "Summit Union")),
    Style(("Tactical", "Carbon", "Pro"), ("Ironvale", "Corvex", "Blackline")),
    Style(("Smart", "Digital", "Connected"), ("Lumio", "Qubit", "Nexhaus")),
    Style(("Industrial", "Steel", "Loft"), ("Foundry", "Rivet", "Concrete Lab")),
    Style(("Modern", "Geometric", "Mono"), ("Axis", "Form & Void", "Halden")),
)

REGIONS = ("central", "coast", "east", "north", "south", "west")
AGE_BANDS = ("18-24", "25-34", "35-44", "45-54", "55+")
