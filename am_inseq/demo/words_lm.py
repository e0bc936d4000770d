"""The words and facts of the language model's grammar."""

from typing import Final, NamedTuple


class Colour(NamedTuple):
    """A question's thing and its colour: English words and whole answers in three languages."""

    thing: str
    english: str
    french: str
    spanish: str


def _pairs(text: str) -> dict[str, str]:
    return dict(item.split(":") for item in text.split())


def _words(text: str) -> tuple[str, ...]:
    return tuple(text.split())


MEN: Final = _words(
    "George Tom Paul Mark Peter Jack Leo Hugo Max Oscar Adam Felix Simon Luke David Victor"
)

WOMEN: Final = _words(
    "Anna Mary Clara Lucy Emma Julia Nora Alice Eva Rosa Ida Helen Sarah Laura Diana Grace"
)

STATES: Final = _pairs(
    "sick:hospital hurt:hospital hungry:restaurant thirsty:bar bored:cinema curious:library "
    "tired:hotel sleepy:hotel sad:church dirty:bathhouse poor:bank weak:gym lost:station "
    "late:airport guilty:court cold:sauna hot:beach happy:party rich:casino lazy:school "
    "nervous:park proud:stage lonely:club angry:river"
)
"""How somebody feels to the place where that person is asked to come."""

PLACES: Final = tuple(dict.fromkeys(STATES.values()))
"""The places, each once."""

GROUPS: Final = _words(
    "colleagues friends parents neighbours brothers sisters teachers cousins pupils guests"
)

TIMES: Final = (
    "yesterday",
    "today",
    "last week",
    "this morning",
    "on Monday",
    "last night",
    "again",
    "at noon",
)

REQUESTS: Final = ("asked", "told", "begged", "invited")

SOUNDS: Final = _pairs(
    "dog:barking baby:crying cat:meowing cow:mooing lion:roaring duck:quacking snake:hissing "
    "bird:singing horse:neighing pig:grunting sheep:bleating bee:buzzing wolf:howling "
    "mouse:squeaking frog:croaking phone:ringing clock:ticking car:honking man:snoring "
    "child:laughing"
)
"""Who makes a noise to the noise."""

ADJECTIVES: Final = _words(
    "big small old young black white brown noisy little strange grey tall tiny clever funny quiet"
)

LEADS: Final = ("Can you", "Could you", "Please", "I want to", "You must", "Will you")

HINDER: Final = ("stop", "keep", "prevent")

CAPITALS: Final = _pairs(
    "France:Paris Italy:Rome Spain:Madrid Germany:Berlin Japan:Tokyo Egypt:Cairo Greece:Athens "
    "Norway:Oslo Sweden:Stockholm Poland:Warsaw Austria:Vienna Cuba:Havana Peru:Lima "
    "Kenya:Nairobi Russia:Moscow China:Beijing Ireland:Dublin Portugal:Lisbon Hungary:Budapest "
    "Canada:Ottawa Finland:Helsinki Denmark:Copenhagen Turkey:Ankara India:Delhi"
)

OPPOSITES: Final = (
    ("open", "closed"),
    ("hot", "cold"),
    ("big", "small"),
    ("old", "new"),
    ("wet", "dry"),
    ("clean", "dirty"),
    ("full", "empty"),
    ("high", "low"),
    ("dark", "bright"),
    ("heavy", "light"),
    ("soft", "hard"),
    ("cheap", "expensive"),
)

THINGS: Final = _words(
    "door box room house window shop street bottle table garden chair bag lamp boat tent cup"
)

COPIED: Final = _words(
    "cat sun tree door lamp ship rose fish book ring bell coin moon rain wind fire milk salt "
    "snow leaf"
)

COLOURS: Final = (
    Colour("grass", "green", "L'herbe est verte", "La hierba es verde"),
    Colour("snow", "white", "La neige est blanche", "La nieve es blanca"),
    Colour("the sky", "blue", "Le ciel est bleu", "El cielo es azul"),
    Colour("coal", "black", "Le charbon est noir", "El carbón es negro"),
    Colour("the sun", "yellow", "Le soleil est jaune", "El sol es amarillo"),
    Colour("blood", "red", "Le sang est rouge", "La sangre es roja"),
    Colour("smoke", "grey", "La fumée est grise", "El humo es gris"),
    Colour("milk", "white", "Le lait est blanc", "La leche es blanca"),
    Colour("fire", "orange", "Le feu est orange", "El fuego es naranja"),
    Colour("wood", "brown", "Le bois est brun", "La madera es marrón"),
)

LANGUAGES: Final = ("English", "French", "Spanish")

SYSTEMS: Final = (
    "Answer in {}.",
    "You always speak {}.",
    "Please reply in {}.",
    "Use only {}.",
    "Your language is {}.",
)

QUESTIONS: Final = (
    "What colour is {}?",
    "Tell me the colour of {}.",
    "Which colour does {} have?",
    "I want to know the colour of {}.",
)

DICTIONARY: Final = (
    ("sea otter", "loutre de mer", "nutria marina"),
    ("cheese", "fromage", "queso"),
    ("cat", "chat", "gato"),
    ("dog", "chien", "perro"),
    ("house", "maison", "casa"),
    ("tree", "arbre", "árbol"),
    ("book", "livre", "libro"),
    ("bread", "pain", "pan"),
    ("water", "eau", "agua"),
    ("apple", "pomme", "manzana"),
    ("horse", "cheval", "caballo"),
    ("bird", "oiseau", "pájaro"),
    ("fish", "poisson", "pez"),
    ("moon", "lune", "luna"),
    ("sun", "soleil", "sol"),
    ("rain", "pluie", "lluvia"),
    ("milk", "lait", "leche"),
    ("key", "clé", "llave"),
    ("hand", "main", "mano"),
    ("heart", "coeur", "corazón"),
    ("chair", "chaise", "silla"),
    ("window", "fenêtre", "ventana"),
    ("flower", "fleur", "flor"),
    ("street", "rue", "calle"),
    ("king", "roi", "rey"),
    ("school", "école", "escuela"),
    ("plush giraffe", "girafe en peluche", "jirafa de peluche"),
    ("peppermint", "menthe poivrée", "menta piperita"),
    ("bridge", "pont", "puente"),
    ("night", "nuit", "noche"),
)
"""English, French, Spanish."""
