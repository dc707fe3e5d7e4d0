"""A hundred pairs of prompts that look alike and differ in what matters.

By kind: ten templates, each with the words of either side. Beside them ten that say the
same in other words.
"""

PAIRS = {
    "colour": [
        ("a {} balloon drifts over the harbour at dawn", "red", "blue"),
        ("a vintage car in {} paint crosses the bridge", "green", "yellow"),
        ("a dancer in a {} dress turns under a lamp", "white", "black"),
        ("the {} door of the old house opens slowly", "violet", "orange"),
        ("a bird with {} wings lands on the fence", "grey", "scarlet"),
        ("a child draws a {} sun on the wall", "golden", "silver"),
        ("{} leaves fall on the still pond", "brown", "emerald"),
        ("a boat with {} sails leaves the port", "crimson", "turquoise"),
        ("smoke of {} flares rises over the stadium", "pink", "teal"),
        ("a knight in {} armour walks through snow", "copper", "jade"),
    ],
    "number": [
        ("{} horses gallop along the beach at sunset", "two", "five"),
        ("a table set for {} guests in a garden", "four", "twelve"),
        ("{} candles burn on a chocolate cake", "three", "nine"),
        ("a street with {} parked buses in rain", "one", "six"),
        ("{} dolphins jump beside the ferry", "seven", "two"),
        ("a clock strikes {} in the empty hall", "eight", "eleven"),
        ("{} paper planes cross the classroom", "ten", "forty"),
        ("a juggler keeps {} balls in the air", "three", "5"),
        ("the train with {} wagons enters the tunnel", "2", "20"),
        ("{} moons shine above the red desert", "two", "four"),
    ],
    "direction": [
        ("a cyclist rides {} along the canal", "left", "right"),
        ("the lift moves {} inside the glass tower", "up", "down"),
        ("the camera pans {} across the valley", "east", "west"),
        ("a swimmer dives {} the waterfall", "under", "over"),
        ("the crowd walks {} the burning house", "towards", "away from"),
        ("geese fly {} over frozen fields", "north", "south"),
        ("the tide moves {} at the pier", "in", "out"),
        ("the wheel of the mill turns {}", "forwards", "backwards"),
        ("a drone flies {} through the canyon", "ahead", "sideways"),
        ("sand runs {} the broken hourglass", "into", "from"),
    ],
    "negation": [
        ("a forest {} snow in the early morning", "with", "without"),
        ("a man who {} smiles looks at the sea", "always", "never"),
        ("the street lamp is {} shining tonight", "still", "not"),
        ("a kitchen with {} people in it", "many", "no"),
        ("the volcano is {} erupting above the town", "now", "hardly"),
        ("a dog {} a collar sleeps on the sofa", "wearing", "lacking"),
        ("the fountain {} water in the square", "spouts", "lacks"),
        ("a beach {} any footprints", "with", "without"),
        ("{} of the windows are lit in the tower", "all", "none"),
        ("a path that {} ends at the lake", "surely", "never"),
    ],
    "roles": [
        ("a {} chases a {} across the yard", "dog cat", "cat dog"),
        ("the {} paints a portrait of the {}", "queen clown", "clown queen"),
        ("a {} carries a sleeping {} home", "boy girl", "girl boy"),
        ("the {} hands the cup to the {}", "nurse pilot", "pilot nurse"),
        ("a {} watches a {} through the glass", "fish cat", "cat fish"),
        ("the {} follows the {} into the cave", "fox bear", "bear fox"),
        ("a {} teaches a {} to dance", "robot child", "child robot"),
        ("the {} pulls the {} up the hill", "horse tractor", "tractor horse"),
        ("a {} photographs a {} at night", "tourist owl", "owl tourist"),
        ("the {} waits while the {} speaks", "judge thief", "thief judge"),
    ],
    "binding": [
        ("a {} cube on a {} ball", "red blue", "blue red"),
        ("a {} man beside a {} woman", "tall short", "short tall"),
        ("a {} cat and a {} mouse", "sleeping running", "running sleeping"),
        ("a {} house before a {} hill", "white green", "green white"),
        ("an {} tree near a {} river", "old wide", "wide old"),
        ("a {} chair at a {} table", "wooden steel", "steel wooden"),
        ("a {} sky above a {} sea", "dark bright", "bright dark"),
        ("a {} king with a {} crown", "young golden", "golden young"),
        ("a {} bowl of {} apples", "broken fresh", "fresh broken"),
        ("a {} bus behind a {} truck", "small large", "large small"),
    ],
    "size": [
        ("a {} spider crosses the kitchen floor", "tiny", "gigantic"),
        ("a {} wave breaks at the lighthouse", "small", "huge"),
        ("a {} tower stands in the desert", "low", "towering"),
        ("a {} crack runs through the ice", "narrow", "wide"),
        ("the {} elephant drinks from the pond", "baby", "colossal"),
        ("a {} ship passes the islands", "toy", "massive"),
        ("a {} flame burns in the lantern", "weak", "mighty"),
        ("a {} crowd waits at the gate", "thin", "vast"),
        ("the {} shadow of a hand on the wall", "short", "long"),
        ("a {} hole opens in the road", "shallow", "deep"),
    ],
    "time": [
        ("the old market square at {}", "noon", "midnight"),
        ("a mountain lake in {}", "summer", "winter"),
        ("a street scene in the year {}", "1890", "2090"),
        ("the orchard {} the storm", "before", "after"),
        ("the rink on a {} with skaters", "morning", "evening"),
        ("the bridge while it is {}", "built", "demolished"),
        ("a face that grows {} in seconds", "older", "younger"),
        ("the castle in its {} days", "first", "last"),
        ("a garden {} the first frost", "until", "since"),
        ("a rocket {} its launch", "awaiting", "following"),
    ],
    "action": [
        ("a woman {} a letter at her desk", "writes", "burns"),
        ("the chef {} the fish on a board", "cuts", "frees"),
        ("a boy {} the kite on the hill", "flies", "tears"),
        ("two men {} on the station platform", "embrace", "fight"),
        ("the cat {} beside the fire", "sleeps", "attacks"),
        ("a car {} at the crossing", "stops", "crashes"),
        ("the child {} the glass of milk", "drinks", "spills"),
        ("a monk {} the bronze bell", "rings", "steals"),
        ("the crew {} the sails of the ship", "hoists", "cuts"),
        ("a girl {} the door behind her", "opens", "locks"),
    ],
    "subject": [
        ("a {} swims in the hotel pool", "shark", "duck"),
        ("a {} plays the piano on stage", "robot", "bear"),
        ("a {} grows from the cracked earth", "rose", "hand"),
        ("a {} crosses the frozen river", "wolf", "tank"),
        ("close view of a {} on a leaf", "snail", "diamond"),
        ("a {} hangs from the ceiling", "lamp", "bat"),
        ("a {} stands on the balcony", "bride", "soldier"),
        ("steam rises from a {} in the cold", "cup", "geyser"),
        ("a {} rolls down the stairs", "barrel", "wheelchair"),
        ("the {} on the roof at night", "violinist", "burglar"),
    ],
}
# Words that a model reads alike.
SYNONYMS = {
    **{"automobile": "car", "kid": "child", "big": "large", "little": "small"},
    **{"sprints": "runs", "feline": "cat", "sofa": "couch", "sea": "ocean"},
    **{"begins": "starts", "rug": "carpet"},
}
SAME = [
    ("an old {} waits at the corner in rain", "car", "automobile"),
    ("a {} draws on the pavement with chalk", "child", "kid"),
    ("a {} barn stands on the hill", "large", "big"),
    ("a {} boat rests on the sand", "small", "little"),
    ("a fox {} through the wheat field", "runs", "sprints"),
    ("a {} sleeps on the window sill", "cat", "feline"),
    ("a blanket lies on the {} by the fire", "couch", "sofa"),
    ("the {} is calm under the moon", "ocean", "sea"),
    ("the race {} at the city gate", "starts", "begins"),
    ("a dog rolls on the {} in the hall", "carpet", "rug"),
]


def written(template: str, words: str) -> str:
    """The prompt of one side: a word for each gap, or all of them for the only one."""
    if template.count("{}") == 1:
        return template.format(words)
    return template.format(*words.split())


def pairs() -> list[tuple[str, str]]:
    """All pairs that differ."""
    return [
        (written(template, first), written(template, second))
        for ten in PAIRS.values()
        for template, first, second in ten
    ]
