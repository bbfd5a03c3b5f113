"""The words that the pictures show.

``HELD_OUT`` never appears in training: reading one of them needs letters, not a memorised word.
"""

TRAINED = tuple(
    """
    CAT DOG SUN MAP BUS CAR KEY BOX CUP HAT PEN BED EGG FOX BEE ANT OWL PIG COW HEN JAM TEA ICE SEA SKY
    AIR OIL RED BIG NEW OLD HOT WET DRY LOW ONE TWO SIX TEN YES NOT ALL TOP END WAY DAY VEX FIX RYE ZOO
    JOB KIT LIP MUD NUT ORE PIE RUG SAW TIN URN VAN WAX YAK ZEN IN ON UP GO NO OK TO AT BY ME WE
    """.split()  # noqa: SIM905
)

HELD_OUT = tuple(
    """
    BAT LOG RUN CAP BAG JAR BOY TOY RAT NET PAN SIT FLY WEB ZIP GYM HUB JET KEG LAW MIX OAK POT RIB SPA
    TUB VET WIG YAM AXE DO SO IT HE
    """.split()  # noqa: SIM905
)
