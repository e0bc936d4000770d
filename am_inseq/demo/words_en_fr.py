"""The words of the English-French grammar."""

from typing import Final, Literal, NamedTuple


class Occupation(NamedTuple):
    """A person's work: English, French masculine, French feminine."""

    english: str
    masculine: str
    feminine: str


class Interaction(NamedTuple):
    """What the first person did to the second; `*` marks where a feminine e goes."""

    english: str
    auxiliary: tuple[str, ...]
    preposition: str


class Reason(NamedTuple):
    """A clause that says whom its pronoun means.

    `english` holds PRON or POSS; `french` lists `word:source,source` with word numbers within
    the clause, IL for the pronoun and `*` where a feminine e goes.
    """

    refers_to: Literal["first", "second"]
    english: str
    french: str


class Noun(NamedTuple):
    """A thing: English and French, singular and plural, and the French gender."""

    singular: str
    plural: str
    french_singular: str
    french_plural: str
    feminine: bool


class Adjective(NamedTuple):
    """English, the four French forms, and whether it follows the noun."""

    english: str
    forms: tuple[str, str, str, str]
    follows: bool


class Verb(NamedTuple):
    """English and the six French persons of the present."""

    english: str
    persons: tuple[str, ...]


def _fields(text: str) -> list[list[str]]:
    return [item.strip().split(",") for item in text.split(";")]


OCCUPATIONS: Final = tuple(
    Occupation(*item)
    for item in _fields(
        "developer,développeur,développeuse;designer,designer,designer;"
        "nurse,infirmier,infirmière;teacher,professeur,professeure;baker,boulanger,boulangère;"
        "farmer,fermier,fermière;lawyer,avocat,avocate;cook,cuisinier,cuisinière;"
        "driver,chauffeur,chauffeuse;singer,chanteur,chanteuse;dancer,danseur,danseuse;"
        "writer,écrivain,écrivaine;painter,peintre,peintre;student,étudiant,étudiante;"
        "director,directeur,directrice;actor,acteur,actrice;"
        "mechanic,mécanicien,mécanicienne;musician,musicien,musicienne;"
        "technician,technicien,technicienne;carpenter,charpentier,charpentière;"
        "cashier,caissier,caissière;manager,gérant,gérante;clerk,employé,employée;"
        "secretary,secrétaire,secrétaire;librarian,bibliothécaire,bibliothécaire;"
        "journalist,journaliste,journaliste;dentist,dentiste,dentiste;"
        "accountant,comptable,comptable;architect,architecte,architecte;"
        "guard,gardien,gardienne;hunter,chasseur,chasseuse;fisher,pêcheur,pêcheuse;"
        "seller,vendeur,vendeuse;buyer,acheteur,acheteuse;researcher,chercheur,chercheuse;"
        "engineer,ingénieur,ingénieure;physician,médecin,médecin;tailor,couturier,couturière;"
        "hairdresser,coiffeur,coiffeuse;translator,traducteur,traductrice;"
        "editor,éditeur,éditrice;reader,lecteur,lectrice;swimmer,nageur,nageuse;"
        "runner,coureur,coureuse;worker,ouvrier,ouvrière;neighbor,voisin,voisine;"
        "counselor,conseiller,conseillère;pharmacist,pharmacien,pharmacienne;"
        "waiter,serveur,serveuse;gardener,jardinier,jardinière;butcher,boucher,bouchère;"
        "grocer,épicier,épicière;surgeon,chirurgien,chirurgienne;"
        "magician,magicien,magicienne;inventor,inventeur,inventrice;"
        "visitor,visiteur,visiteuse;traveler,voyageur,voyageuse;client,client,cliente;"
        "president,président,présidente;pianist,pianiste,pianiste;"
        "detective,détective,détective;photographer,photographe,photographe;"
        "sculptor,sculpteur,sculptrice;judge,juge,juge;soldier,soldat,soldate;"
        "plumber,plombier,plombière;electrician,électricien,électricienne;"
        "chemist,chimiste,chimiste;jeweler,bijoutier,bijoutière"
    )
)

INTERACTIONS: Final = (
    Interaction("argued with", ("se", "est", "disputé*"), "avec"),
    Interaction("got angry with", ("se", "est", "fâché*"), "avec"),
    Interaction("walked with", ("se", "est", "promené*"), "avec"),
    Interaction("talked with", ("a", "parlé"), "avec"),
    Interaction("worked with", ("a", "travaillé"), "avec"),
    Interaction("danced with", ("a", "dansé"), "avec"),
    Interaction("traveled with", ("a", "voyagé"), "avec"),
    Interaction("thanked", ("a", "remercié"), ""),
    Interaction("called", ("a", "appelé"), ""),
    Interaction("helped", ("a", "aidé"), ""),
    Interaction("hired", ("a", "engagé"), ""),
    Interaction("greeted", ("a", "salué"), ""),
    Interaction("visited", ("a", "visité"), ""),
    Interaction("followed", ("a", "suivi"), ""),
    Interaction("congratulated", ("a", "félicité"), ""),
    Interaction("waited for", ("a", "attendu"), ""),
    Interaction("met", ("a", "rencontré"), ""),
)

REASONS: Final = (
    Reason("first", "PRON was hungry", "IL:0 avait:1 faim:2"),
    Reason("first", "PRON needed help", "IL:0 avait:1 besoin:1 de:1 aide:2"),
    Reason("first", "PRON wanted a job", "IL:0 voulait:1 un:2 emploi:3"),
    Reason("first", "PRON was glad", "IL:0 était:1 content*:2"),
    Reason("first", "PRON had no time", "IL:0 ne:2 avait:1 pas:2 le:3 temps:3"),
    Reason("first", "PRON was ill", "IL:0 était:1 malade:2"),
    Reason("first", "PRON was tired", "IL:0 était:1 fatigué*:2"),
    Reason("first", "PRON wanted to leave", "IL:0 voulait:1 partir:2,3"),
    Reason(
        "second",
        "POSS idea cannot be implemented",
        "son:0 idée:1 ne:2 peut:2 pas:2 être:3 mise:4 en:4 œuvre:4",
    ),
    Reason("second", "POSS car was broken", "sa:0 voiture:1 était:2 cassée:3"),
    Reason("second", "POSS work was not finished", "son:0 travail:1 ne:3 était:2 pas:3 fini:4"),
    Reason("second", "PRON was late", "IL:0 était:1 en:2 retard:2"),
    Reason("second", "PRON was absent", "IL:0 était:1 absent*:2"),
    Reason("second", "POSS plan was good", "son:0 plan:1 était:2 bon:3"),
    Reason("second", "POSS house was new", "sa:0 maison:1 était:2 neuve:3"),
    Reason("second", "PRON did not come", "IL:0 ne:2 est:1,3 pas:2 venu*:3"),
)

NOUNS: Final = tuple(
    Noun(item[0], item[1], item[2], item[3], item[4] == "f")
    for item in _fields(
        "car,cars,voiture,voitures,f;cat,cats,chat,chats,m;dog,dogs,chien,chiens,m;"
        "house,houses,maison,maisons,f;book,books,livre,livres,m;table,tables,table,tables,f;"
        "badger,badgers,blaireau,blaireaux,m;bird,birds,oiseau,oiseaux,m;"
        "apple,apples,pomme,pommes,f;door,doors,porte,portes,f;train,trains,train,trains,m;"
        "city,cities,ville,villes,f;garden,gardens,jardin,jardins,m;"
        "flower,flowers,fleur,fleurs,f;library,libraries,bibliothèque,bibliothèques,f;"
        "lamp,lamps,lampe,lampes,f;boat,boats,bateau,bateaux,m;"
        "letter,letters,lettre,lettres,f;tree,trees,arbre,arbres,m;"
        "shirt,shirts,chemise,chemises,f;box,boxes,boîte,boîtes,f;bed,beds,lit,lits,m;"
        "chair,chairs,chaise,chaises,f;cheese,cheeses,fromage,fromages,m;"
        "tool,tools,outil,outils,m;picture,pictures,image,images,f;"
        "window,windows,fenêtre,fenêtres,f;hat,hats,chapeau,chapeaux,m;"
        "school,schools,école,écoles,f;road,roads,route,routes,f;friend,friends,ami,amis,m;"
        "lady,ladies,dame,dames,f;hotel,hotels,hôtel,hôtels,m;knife,knives,couteau,couteaux,m;"
        "street,streets,rue,rues,f;bridge,bridges,pont,ponts,m;"
        "kitchen,kitchens,cuisine,cuisines,f;island,islands,île,îles,f;"
        "shoe,shoes,chaussure,chaussures,f;bag,bags,sac,sacs,m;"
        "spoon,spoons,cuillère,cuillères,f;plate,plates,assiette,assiettes,f;"
        "star,stars,étoile,étoiles,f;river,rivers,rivière,rivières,f;"
        "mountain,mountains,montagne,montagnes,f;field,fields,champ,champs,m;"
        "horse,horses,cheval,chevaux,m;egg,eggs,œuf,œufs,m;tower,towers,tour,tours,f;"
        "shop,shops,magasin,magasins,m;bottle,bottles,bouteille,bouteilles,f;"
        "coat,coats,manteau,manteaux,m;ring,rings,bague,bagues,f;"
        "clock,clocks,horloge,horloges,f;key,keys,clé,clés,f;song,songs,chanson,chansons,f;"
        "newspaper,newspapers,journal,journaux,m;phone,phones,téléphone,téléphones,m;"
        "cloud,clouds,nuage,nuages,m;mirror,mirrors,miroir,miroirs,m;"
        "forest,forests,forêt,forêts,f;wall,walls,mur,murs,m"
    )
)

ADJECTIVES: Final = tuple(
    Adjective(item[0], (item[1], item[2], item[3], item[4]), item[5] == "after")
    for item in _fields(
        "red,rouge,rouge,rouges,rouges,after;black,noir,noire,noirs,noires,after;"
        "green,vert,verte,verts,vertes,after;white,blanc,blanche,blancs,blanches,after;"
        "clean,propre,propre,propres,propres,after;heavy,lourd,lourde,lourds,lourdes,after;"
        "open,ouvert,ouverte,ouverts,ouvertes,after;strong,fort,forte,forts,fortes,after;"
        "expensive,cher,chère,chers,chères,after;round,rond,ronde,ronds,rondes,after;"
        "happy,heureux,heureuse,heureux,heureuses,after;dry,sec,sèche,secs,sèches,after;"
        "blue,bleu,bleue,bleus,bleues,after;yellow,jaune,jaune,jaunes,jaunes,after;"
        "grey,gris,grise,gris,grises,after;hard,dur,dure,durs,dures,after;"
        "light,léger,légère,légers,légères,after;cold,froid,froide,froids,froides,after;"
        "empty,vide,vide,vides,vides,after;full,plein,pleine,pleins,pleines,after;"
        "useful,utile,utile,utiles,utiles,after;good,bon,bonne,bons,bonnes,before;"
        "big,grand,grande,grands,grandes,before;small,petit,petite,petits,petites,before;"
        "pretty,joli,jolie,jolis,jolies,before;bad,mauvais,mauvaise,mauvais,mauvaises,before"
    )
)

PREDICATES: Final = (
    ("happy", "heureux", "heureuse"),
    ("strong", "fort", "forte"),
    ("tall", "grand", "grande"),
    ("small", "petit", "petite"),
    ("ready", "prêt", "prête"),
    ("alone", "seul", "seule"),
    ("tired", "fatigué", "fatiguée"),
    ("absent", "absent", "absente"),
    ("glad", "content", "contente"),
    ("quiet", "discret", "discrète"),
)

VERBS: Final = tuple(
    Verb(english, tuple(forms.split()))
    for english, forms in (
        ("see", "vois vois voit voyons voyez voient"),
        ("sell", "vends vends vend vendons vendez vendent"),
        ("want", "veux veux veut voulons voulez veulent"),
        ("look at", "regarde regardes regarde regardons regardez regardent"),
        ("take", "prends prends prend prenons prenez prennent"),
        ("paint", "peins peins peint peignons peignez peignent"),
        ("lose", "perds perds perd perdons perdez perdent"),
        ("clean", "nettoie nettoies nettoie nettoyons nettoyez nettoient"),
        ("love", "aime aimes aime aimons aimez aiment"),
        ("find", "trouve trouves trouve trouvons trouvez trouvent"),
        ("hide", "cache caches cache cachons cachez cachent"),
        ("draw", "dessine dessines dessine dessinons dessinez dessinent"),
        ("bring", "apporte apportes apporte apportons apportez apportent"),
        ("buy", "achète achètes achète achetons achetez achètent"),
    )
)

SUBJECTS: Final = (
    ("I", "je", 0),
    ("he", "il", 2),
    ("she", "elle", 2),
    ("we", "nous", 3),
    ("you", "vous", 4),
    ("they", "ils", 5),
)

DETERMINERS: Final = {
    "the": ("le", "la", "les"),
    "a": ("un", "une", ""),
    "my": ("mon", "ma", "mes"),
    "your": ("votre", "votre", "vos"),
    "his": ("son", "sa", "ses"),
    "her": ("son", "sa", "ses"),
}
"""English determiner to French masculine, feminine and plural ("" where there is none)."""

ADDRESSED: Final = {"lady": "mesdames"}
"""Nouns whose plural has its own form when the people are spoken to."""
